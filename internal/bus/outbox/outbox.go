// Package outbox stands between a store that several hubs share and a bus that
// is not part of it. Messages are published into a table, in the transaction of
// what they tell of: there is no event without its state and no state without its
// event. One hub at a time forwards them to the bus, in their order.
//
// Transactions of all hubs take turns, so the places in the table are in the
// order of the commits and have no gap that is filled later; reading on from the
// last place misses nothing. A message may be forwarded twice, with the same id;
// the handlers of the hub take note of ids in the transaction of their effects.
package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// tableName is the topic of the store that the outbox is.
	tableName = "outbox"
	// metaTopic is the header that says where a message goes.
	metaTopic = "outbox-topic"
	// forwarder is the group of the store whose progress is the outbox's.
	forwarder = "forwarder"
)

// Options of an outbox. The zero value is ready.
type Options struct {
	// Batch is how many messages are forwarded at a time; 0 is 1,024.
	Batch int
	// Poll is how often the forwarding hub looks for messages of others; 0 is 10 ms.
	Poll time.Duration
	// Clear is how often what was forwarded is removed, and so how much is forwarded
	// again after a crash; 0 is 200 ms.
	Clear time.Duration
	// BackoffMin and BackoffMax bound the pause after the bus has refused messages,
	// which doubles each time; 0 is 50 ms and 2 s.
	BackoffMin, BackoffMax time.Duration
	// MaxBacklog is from how many messages on, that the bus has not taken,
	// publishing is refused with a Transient error; 0 is 1,000,000.
	MaxBacklog int64

	Log      *slog.Logger
	Registry prometheus.Registerer
}

func (o *Options) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Poll, 10*time.Millisecond)
	set(&o.Clear, 200*time.Millisecond)
	set(&o.BackoffMin, 50*time.Millisecond)
	set(&o.BackoffMax, 2*time.Second)
	if o.Batch == 0 {
		o.Batch = 1024
	}
	if o.MaxBacklog == 0 {
		o.MaxBacklog = 1_000_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// An Outbox is the table of messages that are on their way to the bus. Its
// methods may be called by any number of goroutines.
type Outbox struct {
	st      *store.Store
	opts    Options
	topic   store.TopicRow
	base    int64  // the place before its first message
	counter string // of its places

	backlog atomic.Int64 // as of the last look
	wake    chan struct{}

	forwarded, failed, refused prometheus.Counter
}

// Open makes the table's topic if there is none.
func Open(ctx context.Context, st *store.Store, opts Options) (*Outbox, error) {
	opts.fill()
	o := &Outbox{
		st: st, opts: opts, wake: make(chan struct{}, 1),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_outbox_forwarded_total", Help: "Messages given to the bus by this node."}),
		failed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_outbox_failures_total", Help: "Batches of messages that the bus did not take at once."}),
		refused:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_outbox_refused_total", Help: "Messages left out because they are larger than the bus takes."}),
	}
	err := st.Do(ctx, func(tx *store.Tx) (err error) {
		o.topic, err = tx.OpenTopic(tableName, 1)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	o.base, o.counter = store.Position(o.topic.No, 0, 0), fmt.Sprintf("bus.%d.0", o.topic.No)
	if opts.Registry != nil {
		opts.Registry.MustRegister(o.forwarded, o.failed, o.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tocsin_outbox_backlog", Help: "Messages that the bus has not taken yet.",
		}, func() float64 { return float64(o.backlog.Load()) }))
	}
	return o, nil
}

// PublishTx publishes messages in a transaction: they exist if it commits.
func (o *Outbox) PublishTx(tx *store.Tx, topic string, msgs ...*message.Message) error {
	if n := o.backlog.Load(); n >= o.opts.MaxBacklog {
		return &hub.Error{
			Kind: hub.Transient, RetryAfter: 5 * time.Second,
			Msg: fmt.Sprintf("the bus has not taken %d messages; nothing was accepted, try again later", n),
		}
	}
	at := hub.Micros(tx.Now())
	for _, m := range msgs {
		headers := message.Metadata{metaTopic: topic}
		for k, v := range m.Metadata {
			headers[k] = v
		}
		tx.AppendMessage(&store.MessageRow{
			Pos: o.base + tx.Counter(o.counter, 1), Tenant: m.Metadata[bus.MetaTenant], ID: m.UUID, Key: m.Metadata[bus.MetaKey],
			At: at, Headers: bus.EncodeHeaders(headers), Payload: m.Payload,
		})
	}
	tx.AfterCommit(o.poke)
	return nil
}

func (o *Outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// done gives the place up to which everything was forwarded.
func (o *Outbox) done(r *store.Reader) (int64, error) {
	rows, err := r.Consumers(o.topic.No)
	for _, row := range rows {
		if row.Group == forwarder {
			return row.Pos, err
		}
	}
	return o.base, err
}

// Waiting is how many messages the bus has not taken yet.
func (o *Outbox) Waiting(ctx context.Context) (n int64, err error) {
	err = o.st.View(ctx, func(r *store.Reader) error {
		end, err := r.CounterValue(o.counter)
		if err != nil {
			return err
		}
		done, err := o.done(r)
		n = max(0, o.base+end-done)
		return err
	})
	return n, err
}

// Look counts what waits, every second until ctx ends, so that publishing on
// this node is refused when there is too much.
func (o *Outbox) Look(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if n, err := o.Waiting(ctx); err == nil { // else the next look tries again
			o.backlog.Store(n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Pending finds a message that was not forwarded yet, or a moment ago.
func (o *Outbox) Pending(ctx context.Context, tenant, id string) (*message.Message, bool) {
	var found *store.MessageRow
	err := o.st.View(ctx, func(r *store.Reader) error {
		end, err := r.CounterValue(o.counter)
		if err == nil {
			found, err = r.FindMessage(tenant, id, o.base, o.base+end, 20_000)
		}
		return err
	})
	if err != nil || found == nil {
		return nil, false
	}
	_, m, err := open(found)
	return m, err == nil
}

// open gives the message of a row, and where it goes.
func open(row *store.MessageRow) (topic string, m *message.Message, err error) {
	m = bus.NewMessage(row.ID, row.Tenant, row.Key, row.Payload)
	if err := bus.DecodeHeaders(row.Headers, m.Metadata); err != nil {
		return "", nil, fmt.Errorf("headers of message %s in the outbox: %w", row.ID, err)
	}
	topic = m.Metadata[metaTopic]
	delete(m.Metadata, metaTopic)
	return topic, m, nil
}
