package app

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/internal/bus/outbox"
	"github.com/tocsin/tocsin/internal/store"
)

// A hubBus is the bus as the hub uses it, embedded or Kafka.
type hubBus interface {
	// PublishTx publishes messages in a transaction: they exist if it commits.
	PublishTx(tx *store.Tx, topic string, msgs ...*message.Message) error
	// Subscriber gives a group with a window of messages in flight, which puts
	// messages of one key in order itself.
	Subscriber(group string, window int) message.Subscriber
	// Pending finds a message that was published and is not done yet.
	Pending(ctx context.Context, tenant, topic, id string) (*message.Message, bool)
	// Lag tells how many messages of a topic a group has not done.
	Lag(topic, group string) (int64, error)
	// Check tells what is wrong, nil if nothing.
	Check() error
	Close() error
}

// embeddedBus keeps its messages in the store of a hub that is alone.
type embeddedBus struct{ *embedded.Bus }

var _ hubBus = embeddedBus{}

// Subscriber gives a group.
func (b embeddedBus) Subscriber(group string, window int) message.Subscriber {
	return b.Bus.Subscriber(embedded.Group{Name: group, Window: window, Coalesce: true})
}

// Check is always fine: the store tells for itself.
func (b embeddedBus) Check() error { return nil }

// sharedBus is Kafka behind an outbox in the store.
type sharedBus struct {
	*kafka.Bus
	box *outbox.Outbox
}

var _ hubBus = sharedBus{}

// PublishTx puts messages into the outbox. Findings that Kafka would not take, with
// the events that come of them, are refused while somebody can be told.
func (b sharedBus) PublishTx(tx *store.Tx, topic string, msgs ...*message.Message) error {
	if topic == bus.TopicFindings {
		for _, m := range msgs {
			if n, most := len(m.Payload), b.Largest(); n > most {
				return hub.E(hub.TooLarge, fmt.Sprintf("the finding takes %d bytes as a message, and Kafka's topics are made for %d", n, most))
			}
		}
	}
	return b.box.PublishTx(tx, topic, msgs...)
}

// Subscriber gives a group.
func (b sharedBus) Subscriber(group string, window int) message.Subscriber {
	return b.Bus.Subscriber(kafka.Group{Name: group, Window: window, Coalesce: true})
}

// Pending looks into the outbox, then into Kafka.
func (b sharedBus) Pending(ctx context.Context, tenant, topic, id string) (*message.Message, bool) {
	if m, there := b.box.Pending(ctx, tenant, id); there {
		return m, true
	}
	return b.Bus.Pending(ctx, tenant, topic, id)
}

// Lag counts what a group has not done, and before it what waits in the outbox,
// whatever its topic.
func (b sharedBus) Lag(topic, group string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	waiting, err := b.box.Waiting(ctx) // first: what it forwards meanwhile is counted by the bus
	if err != nil {
		return 0, err
	}
	n, err := b.Bus.Lag(topic, group)
	return waiting + n, err
}

// Check asks a broker for a sign of life.
func (b sharedBus) Check() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return b.Ping(ctx)
}

// openBus opens the bus that is configured.
func (a *App) openBus(ctx context.Context) error {
	if a.cfg.Bus.Kind == "kafka" {
		return a.openKafka(ctx)
	}
	topics := embedded.DefaultTopics()
	topics[bus.TopicFindings] = embedded.Topic{Partitions: a.cfg.Bus.Partitions, MaxBacklog: int64(a.cfg.Bus.MaxBacklog), Retain: a.cfg.Bus.FindingsRetention}
	topics[bus.TopicEvents] = embedded.Topic{Partitions: a.cfg.Bus.Partitions, Retain: a.cfg.Bus.EventsRetention}
	b, err := embedded.New(ctx, a.st, embedded.Options{Topics: topics, Log: a.log, Registry: a.reg})
	if err == nil {
		a.bus = embeddedBus{b}
		a.onStop("bus", func(context.Context) error { return b.Close() })
	}
	return err
}

func (a *App) openKafka(ctx context.Context) error {
	c := &a.cfg.Bus.Kafka
	partitions := a.cfg.Bus.Partitions
	if partitions == 1 {
		partitions = 0 // what Kafka's topics have when nobody says
	}
	topics := kafka.DefaultTopics()
	topics[bus.TopicFindings] = kafka.Topic{Partitions: partitions, MaxBacklog: int64(a.cfg.Bus.MaxBacklog), Retain: a.cfg.Bus.FindingsRetention}
	topics[bus.TopicEvents] = kafka.Topic{Partitions: partitions, Retain: a.cfg.Bus.EventsRetention}
	b, err := kafka.New(ctx, kafka.Options{
		Brokers: c.Brokers, Prefix: c.TopicPrefix, Topics: topics, Replication: c.Replication, MinInSync: c.MinInsync,
		Security: kafka.Security{
			TLS: c.TLS, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
			SASL: c.SASL, Username: c.Username, Password: c.Password,
		},
		Now: a.st.Now, Log: a.log, Registry: a.reg,
	})
	if err != nil {
		return err
	}
	a.onStop("bus", func(context.Context) error { return b.Close() })
	box, err := outbox.Open(ctx, a.st, outbox.Options{MaxBacklog: int64(a.cfg.Bus.MaxBacklog), Log: a.log, Registry: a.reg})
	if err == nil {
		a.bus, a.outbox = sharedBus{b, box}, box
		a.forward = func(ctx context.Context) {
			a.cluster.once(ctx, outboxLease, func(ctx context.Context) {
				box.Forward(ctx, b.Publisher(), func(tx *store.Tx) error { return a.cluster.fence(tx, outboxLease) })
			})
		}
	}
	return err
}

// outboxLease is the lease of who forwards the outbox.
const outboxLease = "outbox"

// waitEvery is how often a request that waits for a triage looks whether another
// node has done it.
const waitEvery = 25 * time.Millisecond

// triagedElsewhere waits until the store holds the triage of a finding.
func triagedElsewhere(ctx context.Context, st *store.Store, t hub.TenantID, id hub.FindingID) <-chan hub.Triage {
	out := make(chan hub.Triage, 1)
	go func() {
		tick := time.NewTicker(waitEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_ = st.View(ctx, func(r *store.Reader) error { // the next look tries again
				found, err := r.Triaged(t, []hub.FindingID{id})
				if triage, there := found[id]; err == nil && there {
					out <- triage
					return context.Canceled
				}
				return err
			})
			if len(out) > 0 {
				return
			}
		}
	}()
	return out
}
