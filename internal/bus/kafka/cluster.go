package kafka

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
)

const (
	// clientID is the name of the hub in the logs and quotas of brokers.
	clientID = "tocsin"
	// metadataEvery bounds how old the knowledge of the partitions' leaders gets,
	// and so how long publishing waits for it after one has moved.
	metadataEvery = 2 * time.Second
	// askTimeout bounds requests that a broker answers at once.
	askTimeout = 5 * time.Second
	// stalledAfter is after what time without any answer all connections are made
	// anew. A broker that restarts takes less.
	stalledAfter = 30 * time.Second
)

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// A cluster is what the bus shares of connections and of what it knows of the
// brokers.
type cluster struct {
	client    *kafka.Client
	transport *kafka.Transport
	addr      net.Addr
	heard     atomic.Int64 // when a broker last answered, in nanoseconds
}

func newCluster(o *Options) (*cluster, error) {
	if len(o.Brokers) == 0 {
		return nil, hub.E(hub.Invalid, "no Kafka broker is given; name at least one as host:port")
	}
	tlsConf, err := o.Security.tls()
	if err != nil {
		return nil, err
	}
	mechanism, err := o.Security.sasl()
	if err != nil {
		return nil, err
	}
	if o.Security.SASL == "plain" && !o.Security.TLS {
		o.Log.Warn("the password for Kafka goes over the network unencrypted; switch TLS on")
	}
	dial := o.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	t := &kafka.Transport{
		Dial: dial, DialTimeout: askTimeout, IdleTimeout: time.Minute, MetadataTTL: metadataEvery,
		ClientID: clientID, TLS: tlsConf, SASL: mechanism,
	}
	if !o.AnyTopic {
		for name := range o.Topics {
			t.MetadataTopics = append(t.MetadataTopics, o.Prefix+name)
		}
		slices.Sort(t.MetadataTopics)
	}
	c := &cluster{transport: t, addr: kafka.TCP(o.Brokers...)}
	c.client = &kafka.Client{Addr: c.addr, Transport: t}
	c.answered()
	return c, nil
}

func (c *cluster) close() { c.transport.CloseIdleConnections() }

// answered notes that a broker has answered.
func (c *cluster) answered() { c.heard.Store(time.Now().UnixNano()) }

func (c *cluster) silence() time.Duration { return time.Since(time.Unix(0, c.heard.Load())) }

// ping asks a broker something that is answered without the cache of the
// transport.
func (c *cluster) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil {
		c.answered()
	}
	return err
}

// watch makes all connections anew when no broker has answered for long, though
// asked. Each request has a deadline and is repeated by whoever made it; this is
// for whatever else may be stuck, such as addresses that have changed.
func (b *Bus) watch() {
	t := time.NewTicker(stalledAfter / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-b.ctx.Done():
			return
		}
		if b.cluster.silence() < stalledAfter || b.cluster.ping(b.ctx) == nil || b.ctx.Err() != nil {
			continue
		}
		b.log.Warn("no Kafka broker has answered for long; connecting anew", "silence", b.cluster.silence().Round(time.Second))
		b.cluster.transport.CloseIdleConnections()
	}
}

// metadata gives what is known of a topic, at most metadataEvery old.
func (c *cluster) metadata(ctx context.Context, name string) (kafka.Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}})
	if err != nil {
		return kafka.Topic{}, err
	}
	if len(res.Topics) != 1 {
		return kafka.Topic{}, fmt.Errorf("asked for one topic, got %d", len(res.Topics))
	}
	return res.Topics[0], res.Topics[0].Error
}

// ask sends a request in the library's own form. The transport finds out which
// broker it is for.
func (c *cluster) ask(ctx context.Context, req kafka.Request) (kafka.Response, error) {
	res, err := c.transport.RoundTrip(ctx, c.addr, req)
	if err == nil {
		c.answered()
	}
	return res, err
}

// pause waits for d or until stop is closed.
func pause(d time.Duration, stop <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	}
}
