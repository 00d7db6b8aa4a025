package kafka

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// Publisher gives a Watermill publisher. Its Publish returns when all in-sync
// replicas have the messages; publishers at the same time share a request.
func (b *Bus) Publisher() message.Publisher { return &publisher{bus: b} }

type publisher struct {
	bus    *Bus
	closed atomic.Bool
}

// Publish publishes msgs, those of a partition in their order. It waits as long
// as the context of the first of them allows, and at most for
// Options.PublishTimeout. If it fails, some of them may be published, and those
// of the same key up to some point.
func (p *publisher) Publish(name string, msgs ...*message.Message) error {
	if p.closed.Load() {
		return errClosed
	}
	if len(msgs) == 0 {
		return nil
	}
	ctx := msgs[0].Context()
	t, err := p.bus.open(ctx, name)
	if err != nil {
		return err
	}
	if err := t.admit(); err != nil {
		return err
	}
	return p.bus.publish(ctx, t, msgs)
}

func (b *Bus) publish(ctx context.Context, t *topic, msgs []*message.Message) error {
	queues, bodies, err := b.pack(t, msgs)
	if err != nil {
		return err
	}
	c := &call{done: make(chan struct{})}
	if err := b.out.enqueue(c, queues, bodies); err != nil {
		return err
	}
	// The producer gives up after the same time, but not while a request is under
	// way.
	limit := time.NewTimer(b.opts.PublishTimeout)
	defer limit.Stop()
	select {
	case <-c.done:
		return c.err
	case <-limit.C:
		return unconfirmed(context.DeadlineExceeded)
	case <-ctx.Done():
		return hub.Wrap(hub.Transient, ctx.Err(), "the call ended before the message bus confirmed the message; it may be stored")
	}
}

// pack encodes messages here and now: after Publish has failed, its caller may
// change them, while they may still be under way.
func (b *Bus) pack(t *topic, msgs []*message.Message) ([]*queue, [][]byte, error) {
	size := 0
	for _, m := range msgs {
		size += sizeOf(m)
	}
	buf := make([]byte, 0, size)
	queues, bodies := make([]*queue, len(msgs)), make([][]byte, len(msgs))
	for i, m := range msgs {
		from := len(buf)
		buf = appendRecord(buf, m)
		bodies[i] = buf[from:len(buf):len(buf)]
		if n := len(bodies[i]) + batchHead + recordHead; n > b.opts.MaxMessageBytes {
			return nil, nil, hub.E(hub.TooLarge, fmt.Sprintf("message %s takes %d bytes with its headers; at most %d are allowed", m.UUID, n, b.opts.MaxMessageBytes))
		}
		queues[i] = t.partition(m.Metadata[bus.MetaKey])
	}
	return queues, bodies, nil
}

// Largest is how many bytes of payload fit a message, with room left for headers
// and for what a message that answers it may add.
func (b *Bus) Largest() int { return b.opts.MaxMessageBytes - b.opts.MaxMessageBytes/8 }

// Close refuses further messages. Nothing of this publisher is waiting to be
// sent then: Publish returns only when it is.
func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}
