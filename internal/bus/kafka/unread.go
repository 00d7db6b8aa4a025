package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// Unread calls yield for the messages of a topic that not all of the groups have
// done, those of a key in their order, until it returns an error. The groups need
// not be at work, here or elsewhere; one that never was has done nothing.
func (b *Bus) Unread(ctx context.Context, topic string, groups []string, yield func(bus.Kept) error) error {
	t := b.topic(topic)
	if t == nil {
		return hub.E(hub.Internal, fmt.Sprintf("topic %q is not among the bus's topics", topic))
	}
	for _, no := range t.places {
		from, end, err := b.cluster.ends(ctx, t.full, no)
		if err != nil {
			return unreachable(err)
		}
		done := end
		for _, name := range groups {
			offsets, err := b.cluster.committed(ctx, b.opts.Prefix+name+"."+t.name, t.full, []int{no})
			if err != nil {
				return unreachable(err)
			}
			done = min(done, max(offsets[no], from)) // -1 is a group that never was
		}
		if err := b.each(ctx, t, no, done, end, yield); err != nil {
			return err
		}
	}
	return nil
}

// each gives the messages of a partition. A record that is missing at the end is
// an error: what is unread must not be passed over.
func (b *Bus) each(ctx context.Context, t *topic, no int, from, end int64, yield func(bus.Kept) error) error {
	var own error
	next := from
	err := b.cluster.scan(ctx, t.full, no, from, end, func(r *record) bool {
		next = r.offset + 1
		own = yield(bus.Keep(r.message(no)))
		return own == nil
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		return unreachable(err)
	case next < end:
		last, err := b.cluster.offset(ctx, t.full, kafka.FirstOffsetOf(no))
		if err != nil {
			return unreachable(err)
		}
		if last < end {
			return fmt.Errorf("messages %d to %d of partition %d of %s could not be read", next, end-1, no, t.full)
		}
	}
	return nil
}
