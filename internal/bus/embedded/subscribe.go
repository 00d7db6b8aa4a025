package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// Subscriber gives a Watermill subscriber for a group. Subscriptions of one
// group to one topic share its messages and its window. A group that is new to a
// topic begins with the oldest message there is.
//
// When a subscription ends, messages in flight may still be acknowledged for as
// long as Options.Grace says; their contexts live that long.
func (b *Bus) Subscriber(conf Group) message.Subscriber {
	conf.fill()
	s := &subscriber{bus: b, conf: conf, subs: map[*subscription]struct{}{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[s] = struct{}{}
	s.closed = b.closed
	return s
}

type subscriber struct {
	bus  *Bus
	conf Group

	mu     sync.Mutex // guards what follows
	closed bool
	subs   map[*subscription]struct{}
	done   sync.WaitGroup // of subscriptions
}

// SubscribeInitialize registers the group, so that messages are kept for it.
func (s *subscriber) SubscribeInitialize(topic string) error {
	_, err := s.bus.join(context.Background(), topic, s.conf)
	return err
}

// Subscribe starts handing out the messages of a topic, until ctx or the
// subscriber ends.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g, err := s.bus.join(ctx, topic, s.conf)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	x := &subscription{
		group: g, ctx: ctx, out: make(chan *message.Message),
		stop: make(chan struct{}), abort: make(chan struct{}),
	}
	s.subs[x] = struct{}{}
	x.end = sync.OnceFunc(func() { close(x.stop) })
	release := context.AfterFunc(ctx, x.end)
	s.done.Go(func() {
		defer release()
		x.run(s.bus.opts.Grace)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, x)
	})
	return x.out, nil
}

// Close ends the subscriptions, waits for them and stores what was done.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for x := range s.subs {
		x.end()
	}
	s.mu.Unlock()
	s.done.Wait()
	s.bus.mu.Lock()
	delete(s.bus.subs, s)
	s.bus.mu.Unlock()
	return s.bus.flush(context.Background())
}

// join gives the group of a topic, and registers it if it is new.
func (b *Bus) join(ctx context.Context, name string, conf Group) (*group, error) {
	t, err := b.open(ctx, name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	if g := t.group(conf.Name); g != nil {
		g.configure(conf)
		return g, nil
	}
	rows, err := b.register(ctx, t, conf.Name)
	if err != nil {
		return nil, err
	}
	g := newGroup(t, conf.Name, rows)
	g.configure(conf)
	all := append([]*group{g}, *t.groups.Load()...)
	t.groups.Store(&all)
	return g, nil
}

// register makes the rows of a group where they are missing, and says that it is
// at work.
func (b *Bus) register(ctx context.Context, t *topic, name string) (rows []store.ConsumerRow, err error) {
	err = b.st.Do(ctx, func(tx *store.Tx) error {
		for i, p := range t.parts {
			// A new group begins right before the oldest message, or at the end.
			start := p.head.Load()
			first, _, err := tx.MessageTime(p.base, start)
			if err != nil {
				return err
			}
			if first > 0 {
				start = first - 1
			}
			row := store.ConsumerRow{Topic: t.row.No, Group: name, Partition: i, Pos: start, At: hub.Truncate(time.Now())}
			if err := tx.TouchConsumer(row); err != nil {
				return err
			}
		}
		rows, err = tx.Consumers(t.row.No)
		return err
	})
	return rows, err
}

// Forget drops the progress of a group on a topic, so that nothing is kept for it
// any more. It must not be at work.
func (b *Bus) Forget(ctx context.Context, topic, group string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topic(topic)
	if t == nil || t.group(group) != nil {
		return hub.E(hub.Conflict, fmt.Sprintf("group %q of topic %q is at work or the topic does not exist", group, topic))
	}
	return b.st.Do(ctx, func(tx *store.Tx) error { return tx.DeleteConsumer(t.row.No, group) })
}

func (t *topic) group(name string) *group {
	for _, g := range *t.groups.Load() {
		if g.name == name {
			return g
		}
	}
	return nil
}

// configure sets how the group hands out what it has not handed out yet.
func (g *group) configure(conf Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.loaded > 0 && g.conf.Coalesce != conf.Coalesce {
		conf.Coalesce = g.conf.Coalesce // its lanes are in use
	}
	g.conf = conf
}

// A subscription is one output channel of a group.
type subscription struct {
	group *group
	ctx   context.Context // its values go to the messages
	out   chan *message.Message

	end   func()        // closes stop
	stop  chan struct{} // closed when nothing more is handed out
	abort chan struct{} // closed when messages in flight are taken back

	waits sync.WaitGroup // of messages in flight
}

// run hands out messages until stop is closed, and then waits for those in
// flight, for up to grace.
func (s *subscription) run(grace time.Duration) {
	s.pump()
	close(s.out)
	t := time.AfterFunc(grace, func() { close(s.abort) })
	defer t.Stop()
	s.waits.Wait()
}

func (s *subscription) pump() {
	for {
		it := s.group.take(s.stop)
		if it == nil {
			return
		}
		d, err := newDelivery(s.ctx, it)
		if err != nil {
			s.waits.Go(func() { s.refused(it, hub.Wrap(hub.Malformed, err, "the message is damaged")) })
			continue
		}
		select {
		case s.out <- d.msg:
			s.group.delivered.Add(1)
			s.waits.Go(func() { s.await(d) })
		case <-s.stop:
			s.group.land()
			s.group.again(it)
			return
		}
	}
}

// await waits for what becomes of a message in flight.
func (s *subscription) await(d *delivery) {
	select {
	case <-d.msg.Acked():
		d.End()
		s.group.finish(d.item)
	case <-d.msg.Nacked():
		d.End()
		s.refused(d.item, d.Failure())
	case <-s.abort:
		d.End()
		s.group.land()
		s.group.again(d.item)
	}
}

// refused decides about a message that a handler did not take; err is nil if it
// did not say why.
func (s *subscription) refused(it *item, err error) {
	g := s.group
	it.attempts++
	switch bus.Verdict(err) {
	case bus.Limit:
		if it.internal++; it.internal >= g.bus.opts.MaxAttempts && g.bury(it, err) {
			return
		}
	case bus.Dead:
		if g.bury(it, err) {
			return
		}
	}
	g.redelivered.Add(1)
	g.land()
	pause(bus.Backoff(it.attempts, err, g.bus.opts.BackoffMin, g.bus.opts.BackoffMax), s.stop)
	g.again(it)
}
