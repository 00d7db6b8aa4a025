// Package forward publishes what a store has kept for publishing: messages that
// were written in the transaction of what they tell of, to a bus that takes no
// part in that transaction.
//
// Every message is published at least once, under the id that it was kept with,
// and those of one key in their order; a repeat may bring the last few of a key
// again, in their order. What cannot be published is tried again without end,
// with growing pauses; other keys go on meanwhile, within a window.
//
// A [Forwarder] must run once at a time for a source, such as under a lease. If
// two do for a moment, messages may come twice and the second time late.
package forward

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/internal/bus"
)

// An Item is a message that waits to be published.
type Item struct {
	// Position is its place among all, from 1. Later ones have higher ones.
	Position int64
	// At is when it was kept.
	At      time.Time
	Topic   string
	Message *message.Message
}

// A Source is where messages wait.
type Source interface {
	// Next gives up to limit items behind a position, in their order; none if there
	// are none yet. An item must not appear before another that was given: a
	// source whose transactions commit in another order than they number must hold
	// back what lies behind one that may still commit.
	Next(ctx context.Context, after int64, limit int) ([]Item, error)
	// Done says that everything up to a position is published, and need not be
	// given again after a restart. If it fails, a later call says as much or more.
	Done(ctx context.Context, position int64) error
}

// A Counter is a [Source] that knows how many messages wait in it. Others are
// taken to hold what was read.
type Counter interface {
	Waiting(ctx context.Context) (int64, error)
}

// Options of a forwarder. Zero values have the defaults named.
type Options struct {
	// Window is how many items are read and not published at most; 2,048.
	Window int
	// Poll is how often the source is asked when it had nothing; 200 ms.
	Poll time.Duration
	// Wake tells that the source may have something; nil if nobody does.
	Wake <-chan struct{}
	// BackoffMin and BackoffMax bound the pause before what failed is tried again,
	// which doubles each time; 50 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// Refused is told of an item that can never be published, such as one that is
	// too large, and puts it aside; if it fails, or is nil, the item is tried again
	// like others and those of its key behind it wait.
	Refused func(ctx context.Context, it Item, err error) error

	Log      *slog.Logger
	Registry prometheus.Registerer
}

// A Forwarder carries messages from a source to a publisher.
type Forwarder struct {
	opts Options
	log  *slog.Logger
	metrics
}

// New makes a forwarder.
func New(o Options) (*Forwarder, error) {
	preset := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	preset(&o.Poll, 200*time.Millisecond)
	preset(&o.BackoffMin, 50*time.Millisecond)
	preset(&o.BackoffMax, 10*time.Second)
	if o.Window <= 0 {
		o.Window = 2048
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Forwarder{opts: o, log: o.Log}
	if o.Registry != nil {
		if err := o.Registry.Register(&f.metrics); err != nil {
			return nil, fmt.Errorf("register the metrics of the outbox: %w", err)
		}
	}
	return f, nil
}

// Forward publishes what the source has, until ctx ends, and returns when
// nothing is under way any more.
func (f *Forwarder) Forward(ctx context.Context, source Source, publisher message.Publisher) {
	r := &run{
		Forwarder: f, ctx: ctx, source: source, publisher: publisher,
		lanes: map[laneName]*lane{}, landed: make(chan *lane, f.opts.Window),
	}
	r.loop()
	r.flights.Wait()
	f.rest()
}

// A run is one call of Forward. Its goroutine owns all but the flights.
type run struct {
	*Forwarder
	ctx       context.Context
	source    Source
	publisher message.Publisher

	read    int64    // everything up to here was read
	front   int64    // up to here is published
	told    int64    // and up to here the source knows it
	open    []*entry // what was read and is not published, and what is behind it
	waiting int      // entries of them that are not published
	lanes   map[laneName]*lane

	failures int       // of the source, in a row
	asleep   time.Time // until when it is left alone
	counted  time.Time // when it last said how much waits

	landed  chan *lane // flights that have ended
	flights sync.WaitGroup
}

type entry struct {
	Item
	done bool
}

type laneName struct{ topic, key string }

// A lane is the items of one key that are not published. The first of them are
// under way.
type lane struct {
	name   laneName
	flight []*entry // under way, or landed; else it has none
	behind []*entry
}

func (r *run) loop() {
	for r.ctx.Err() == nil {
		r.fill()
		r.tell()
		r.count()
		r.await()
	}
	r.tell()
}

// fill reads what there is room for.
func (r *run) fill() {
	for r.ctx.Err() == nil && time.Now().After(r.asleep) {
		room := r.opts.Window - len(r.open)
		if room <= 0 {
			return
		}
		items, err := r.source.Next(r.ctx, r.read, room)
		if err != nil {
			r.tired("reading the outbox failed; trying again", err)
			return
		}
		r.failures = 0
		for _, it := range items {
			r.enter(it)
		}
		if len(items) < room {
			r.asleep = time.Now().Add(r.opts.Poll)
		}
	}
}

// tired leaves the source alone for a while.
func (r *run) tired(what string, err error) {
	if r.ctx.Err() != nil {
		return
	}
	r.failures++
	r.asleep = time.Now().Add(r.backoff(r.failures))
	r.log.Warn(what, "error", err)
}

func (r *run) enter(it Item) {
	e := &entry{Item: it}
	r.read = it.Position
	r.open = append(r.open, e)
	r.waiting++
	name := laneName{it.Topic, it.Message.Metadata[bus.MetaKey]}
	l := r.lanes[name]
	if l == nil {
		l = &lane{name: name}
		r.lanes[name] = l
	}
	l.behind = append(l.behind, e)
	r.launch(l)
}

// launch publishes what waits in a lane, if nothing of it is under way.
func (r *run) launch(l *lane) {
	if len(l.flight) > 0 {
		return
	}
	if len(l.behind) == 0 {
		delete(r.lanes, l.name)
		return
	}
	n := min(len(l.behind), maxFlight)
	l.flight, l.behind = l.behind[:n:n], l.behind[n:]
	flight := l.flight
	r.flights.Go(func() {
		if r.publish(flight) {
			r.landed <- l // has room for all lanes there can be
		}
	})
}

// maxFlight is how many messages of a key are published in one call. So many may
// come again together.
const maxFlight = 64

// await waits until there may be something to do, and takes what has landed.
func (r *run) await() {
	var read <-chan time.Time
	if len(r.open) < r.opts.Window {
		t := time.NewTimer(max(time.Until(r.asleep), 0) + 1)
		defer t.Stop()
		read = t.C
	}
	select {
	case l := <-r.landed:
		r.land(l)
	case <-read:
	case <-r.opts.Wake:
		if r.failures == 0 {
			r.asleep = time.Time{}
		}
	case <-r.ctx.Done():
	}
	for {
		select {
		case l := <-r.landed:
			r.land(l)
		default:
			return
		}
	}
}

// land notes what was published and lets what waits behind it go.
func (r *run) land(l *lane) {
	for _, e := range l.flight {
		e.done = true
	}
	r.waiting -= len(l.flight)
	l.flight = nil
	r.launch(l)
}

// tell tells the source up to where everything is published.
func (r *run) tell() {
	n := 0
	for n < len(r.open) && r.open[n].done {
		r.front = r.open[n].Position
		n++
	}
	clear(r.open[:n])
	r.open = r.open[n:]
	r.show()
	if r.front == r.told {
		return
	}
	// Also when Forward is about to end, so that less comes again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 5*time.Second)
	defer cancel()
	if err := r.source.Done(ctx, r.front); err != nil {
		r.log.Warn("what was published could not be noted; trying again", "position", r.front, "error", err)
		return
	}
	r.told = r.front
}
