package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// Subscriber gives a Watermill subscriber for a group. Subscriptions of one
// group to one topic share its partitions, in this process and in others. A
// group that is new to a topic begins with the oldest message there is.
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
	errs   []error        // of subscriptions that ended
	done   sync.WaitGroup // of subscriptions
}

// SubscribeInitialize makes the topic if there is none. Messages are kept for
// groups that come later.
func (s *subscriber) SubscribeInitialize(topic string) error {
	_, err := s.bus.open(context.Background(), topic)
	return err
}

// Subscribe starts handing out the messages of a topic, until ctx or the
// subscriber ends.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := s.bus.open(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	g, err := s.bus.join(t, s.conf)
	if err != nil {
		return nil, err
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
		err := g.drop()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, x)
		if s.closed && err != nil {
			s.errs = append(s.errs, err)
		}
	})
	return x.out, nil
}

// Close ends the subscriptions and waits for them; what was done is committed
// then.
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
	if err := errors.Join(s.errs...); err != nil {
		return hub.Wrap(hub.Transient, err, "the last progress could not be stored, so some messages will come again")
	}
	return nil
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
		d := newDelivery(s.ctx, it)
		select {
		case s.out <- d.msg:
			s.group.delivered.Add(1)
			s.waits.Go(func() { s.await(d) })
		case <-it.part.closing: // it is another member's
			s.group.land(it)
		case <-s.stop:
			s.group.land(it)
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
	case <-d.item.part.gone:
		d.End()
		s.group.land(d.item)
	case <-s.abort:
		d.End()
		s.group.land(d.item)
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
		if it.internal++; it.internal >= g.bus.opts.MaxAttempts && g.bury(s.ctx, it, err) {
			return
		}
	case bus.Dead:
		if g.bury(s.ctx, it, err) {
			return
		}
	}
	g.redelivered.Add(1)
	g.land(it)
	t := time.NewTimer(bus.Backoff(it.attempts, err, g.bus.opts.BackoffMin, g.bus.opts.BackoffMax))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stop:
	case <-it.part.closing:
		return
	}
	g.again(it)
}
