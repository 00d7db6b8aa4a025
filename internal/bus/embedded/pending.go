package embedded

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// pendingScan is how many messages a look-up reads at most; an id tells when it
	// was made, so that the look-up begins near it.
	pendingScan = 20_000
	// pendingSlack is how many messages that are done a look-up still finds, so
	// that a caller who asked the handler's tables first misses none in between.
	pendingSlack = 2048
	// idAge is how much earlier than its publishing a message's id may be looked
	// for, for steps of the clock.
	idAge = 5 * time.Second
)

// Pending finds a message that a group of the topic has yet to do, such as a
// finding that was accepted and not triaged. It may also find one that was done
// a moment ago.
func (b *Bus) Pending(ctx context.Context, tenant, topic, id string) (*message.Message, bool) {
	t := b.topic(topic)
	if t == nil {
		return nil, false
	}
	var found *store.MessageRow
	err := b.st.View(ctx, func(r *store.Reader) (err error) {
		for i, p := range t.parts {
			after, end := t.undone(i), p.head.Load()
			if made, ok := ident.Time(id); ok {
				if after, err = firstSince(r, after, end, hub.Micros(made.Add(-idAge))); err != nil {
					return err
				}
			}
			if found, err = r.FindMessage(tenant, id, after, end, pendingScan); err != nil || found != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || found == nil {
		return nil, false
	}
	d, err := newDelivery(context.WithoutCancel(ctx), &item{row: found})
	if err != nil {
		return nil, false
	}
	return d.msg, true
}

// undone gives the place behind which messages are looked for.
func (t *topic) undone(partition int) int64 {
	p := t.parts[partition]
	least := p.head.Load()
	groups := *t.groups.Load()
	if len(groups) == 0 {
		return p.base
	}
	for _, g := range groups {
		least = min(least, g.cursors[partition].done.Load())
	}
	return max(p.base, least-pendingSlack)
}

// firstSince gives a place behind which every message at or after a time lies.
func firstSince(r *store.Reader, after, end, at int64) (int64, error) {
	for end-after > 256 {
		middle := after + (end-after)/2
		pos, when, err := r.MessageTime(middle, end)
		switch {
		case err != nil:
			return 0, err
		case pos == 0 || when >= at:
			end = middle
		default:
			after = pos
		}
	}
	return after, nil
}
