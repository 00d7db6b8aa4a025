// Package embedded is a message bus whose topics are tables in the store's own
// database, so that messages can be published in the transaction of what they
// tell of, and share its fsync.
//
// A message is stored once for all groups of its topic. Each group hands it out
// until it is acknowledged: at least once, and again after a crash. What a group
// has done is stored as the place up to which everything is done, up to 50 ms or
// 1,000 messages late; so much may come again after a crash, and more if an old
// message is still being retried.
//
// Messages of one key are handed out one after the other, each when the one
// before is done, and those of other keys meanwhile. A message that is refused
// comes again after a pause that the bus waits for, not the handler. How often,
// and when it goes to the topic deadletters, is decided by [bus.Verdict] if the
// handler is wrapped in [bus.Report].
//
// Subscribers are woken by the commit. What was just published is handed over in
// memory; only a group that has fallen behind reads the tables.
//
// Topics have one partition by default: order is kept by key and the window of a
// group works across keys, so that more partitions would not make one process
// faster. They are for several processes.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// Topic says how a topic is kept.
type Topic struct {
	// Partitions of a topic that is made; 0 is Options.DefaultPartitions. A topic that exists keeps its own.
	Partitions int
	// MaxBacklog is from how many messages on, that the slowest group at work has
	// not done, publishing is refused with a Transient error; 0 is no limit.
	MaxBacklog int64
	// Retain is how long messages are kept that every group has done; 0 is one
	// hour.
	Retain time.Duration
}

// DefaultTopics are the topics of the hub. Findings are refused when triage does
// not keep up; events are not, because a far side that is down for days must not
// stop triage.
func DefaultTopics() map[string]Topic {
	const day = 24 * time.Hour
	return map[string]Topic{
		bus.TopicFindings:    {MaxBacklog: 1_000_000, Retain: time.Hour},
		bus.TopicEvents:      {Retain: 30 * day},
		bus.TopicDeadLetters: {Retain: 90 * day},
	}
}

// Options of a bus. The zero value is ready.
type Options struct {
	// Topics by name; nil is [DefaultTopics]. A topic that is not in it can be
	// subscribed and published to by Watermill's interfaces, with the zero Topic.
	Topics map[string]Topic
	// DefaultPartitions of topics that do not say how many; 0 is 1.
	DefaultPartitions int
	// BackoffMin and BackoffMax bound the pause before a refused message comes
	// again, which doubles each time; 0 is 100 ms and 30 s.
	BackoffMin, BackoffMax time.Duration
	// MaxAttempts is how often a message is handed out whose handler fails with
	// an internal error, before it is a dead letter; 0 is 10. It starts anew when
	// the bus does.
	MaxAttempts int
	// Grace is how long a subscription that ends waits for messages in flight to
	// be acknowledged; 0 is 10 s. Their contexts end with it.
	Grace time.Duration
	// GroupExpiry is how long messages are kept for a group that is not at work,
	// such as one that was taken out of the configuration; 0 is 30 days.
	GroupExpiry time.Duration
	// CleanEvery is how often messages past their time are removed; 0 is 10 s.
	CleanEvery time.Duration

	Log      *slog.Logger
	Registry prometheus.Registerer
}

func (o *Options) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.BackoffMin, 100*time.Millisecond)
	set(&o.BackoffMax, 30*time.Second)
	set(&o.Grace, 10*time.Second)
	set(&o.GroupExpiry, 30*24*time.Hour)
	set(&o.CleanEvery, 10*time.Second)
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 10
	}
	if o.Topics == nil {
		o.Topics = DefaultTopics()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// A Bus is an open bus. There must be one at a time over a store. Its methods
// may be called by any number of goroutines.
type Bus struct {
	st   *store.Store
	opts Options
	log  *slog.Logger

	topics atomic.Pointer[map[string]*topic] // replaced as a whole under mu
	mu     sync.Mutex                        // guards what follows, and opening topics and groups
	subs   map[*subscriber]struct{}
	closed bool

	dirty    chan struct{} // tells that there is progress to store
	urgent   chan struct{} // tells that there is much of it
	finished atomic.Int64  // messages done since progress was last stored
	flushing sync.Mutex    // held while progress is stored

	ctx    context.Context // ends with the bus
	cancel context.CancelFunc
	done   sync.WaitGroup
	close  func() error // run once
}

// New opens the bus over an open store, which must stay open until Close has
// returned.
func New(ctx context.Context, st *store.Store, opts Options) (*Bus, error) {
	opts.fill()
	b := &Bus{
		st: st, opts: opts, log: opts.Log, subs: map[*subscriber]struct{}{},
		dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
	}
	b.topics.Store(&map[string]*topic{})
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.close = sync.OnceValue(b.shut)
	if err := b.openAll(ctx); err != nil {
		b.cancel()
		return nil, fmt.Errorf("open the bus: %w", err)
	}
	if opts.Registry != nil {
		if err := opts.Registry.Register(collector{b}); err != nil {
			b.cancel()
			return nil, err
		}
	}
	b.done.Go(b.keepOffsets)
	b.done.Go(b.housekeep)
	return b, nil
}

// Close ends every subscription, waits for messages in flight as long as
// Options.Grace says, and stores what was done.
func (b *Bus) Close() error { return b.close() }

func (b *Bus) shut() error {
	b.mu.Lock()
	b.closed = true
	subs := make([]*subscriber, 0, len(b.subs))
	for s := range b.subs {
		subs = append(subs, s)
	}
	b.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() { _ = s.Close() }) // the progress is stored once for all, below
	}
	all.Wait()
	b.cancel()
	b.done.Wait()
	return b.flush(context.Background())
}

// openAll opens the topics that are configured and those that exist.
func (b *Bus) openAll(ctx context.Context) error {
	var names []string
	err := b.st.View(ctx, func(r *store.Reader) error {
		rows, err := r.Topics()
		for _, t := range rows {
			names = append(names, t.Name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, t := range b.opts.Topics {
		if t.Partitions < 0 || t.Partitions > store.MaxPartitions {
			return hub.E(hub.Invalid, fmt.Sprintf("topic %s has %d partitions; choose 1 to %d", name, t.Partitions, store.MaxPartitions))
		}
		names = append(names, name)
	}
	for _, name := range names {
		if _, err := b.open(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// topic gives an open topic, or nil.
func (b *Bus) topic(name string) *topic { return (*b.topics.Load())[name] }

var errClosed = errors.New("the bus is closed")

// open gives a topic, which it makes if there is none.
func (b *Bus) open(ctx context.Context, name string) (*topic, error) {
	if t := b.topic(name); t != nil {
		return t, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.topic(name); t != nil {
		return t, nil
	}
	if b.closed {
		return nil, errClosed
	}
	var row store.TopicRow
	err := b.st.Do(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.OpenTopic(name, cmp.Or(b.opts.Topics[name].Partitions, b.opts.DefaultPartitions, 1))
		return err
	})
	if err != nil {
		return nil, err
	}
	t := newTopic(b, row, b.opts.Topics[name])
	if err := b.st.View(ctx, t.load); err != nil {
		return nil, err
	}
	all := map[string]*topic{name: t}
	for n, x := range *b.topics.Load() {
		all[n] = x
	}
	b.topics.Store(&all)
	return t, nil
}
