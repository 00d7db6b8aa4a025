package kafka

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
)

const (
	// pendingScan is how many messages of a partition a look-up reads at most.
	pendingScan = 20_000
	// pendingSlack is how many messages that are done a look-up still finds, so
	// that a caller who asked the handler's tables first misses none in between.
	pendingSlack = 256
	// A message is published soon after its id was made, by a clock that may be
	// some seconds apart.
	idBefore, idAfter = 5 * time.Second, 20 * time.Second
)

// Pending finds a message that a group of the topic has yet to do, such as a
// finding that was accepted and not triaged. It may also find one that was done
// a moment ago. It looks where the id was made at, if the id tells.
func (b *Bus) Pending(ctx context.Context, tenant, topic, id string) (*message.Message, bool) {
	t := b.topic(topic)
	if t == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	undone, err := b.undone(ctx, t)
	if err != nil {
		return nil, false
	}
	for _, no := range t.places {
		r, err := b.find(ctx, t, no, undone[no]-pendingSlack, tenant, id)
		if err != nil {
			return nil, false
		}
		if r != nil {
			return r.message(no), true
		}
	}
	return nil, false
}

// undone gives for each partition the offset before which every group at work
// here is done.
func (b *Bus) undone(ctx context.Context, t *topic) (map[int]int64, error) {
	b.mu.Lock()
	var groups []*group
	for name, g := range b.groups {
		if name.topic == t.name {
			groups = append(groups, g)
		}
	}
	b.mu.Unlock()
	all := map[int]int64{}
	for i, g := range groups {
		own := map[int]int64{}
		for _, p := range g.held() {
			own[p.no] = p.done.Load()
		}
		var others []int
		for _, no := range t.places {
			if _, held := own[no]; !held {
				others = append(others, no)
			}
		}
		if len(others) > 0 {
			done, err := b.cluster.committed(ctx, g.id, t.full, others)
			if err != nil {
				return nil, err
			}
			for no, offset := range done {
				own[no] = offset
			}
		}
		for no, offset := range own {
			if i == 0 || offset < all[no] {
				all[no] = offset
			}
		}
	}
	return all, nil
}

// find looks for a message in a partition, from an offset on.
func (b *Bus) find(ctx context.Context, t *topic, no int, from int64, tenant, id string) (found *record, err error) {
	from = max(from, 0)
	made, timed := ident.Time(id)
	if timed {
		at, err := b.cluster.offset(ctx, t.full, kafka.TimeOffsetOf(no, made.Add(-idBefore)))
		if err != nil || at < 0 {
			return nil, err // nothing is as young
		}
		from = max(from, at)
	}
	end, err := b.cluster.offset(ctx, t.full, kafka.LastOffsetOf(no))
	if err != nil {
		return nil, err
	}
	err = b.cluster.scan(ctx, t.full, no, from, min(end, from+pendingScan), func(r *record) bool {
		if timed && r.at.After(made.Add(idAfter)) {
			return false
		}
		if r.id == id && r.header(bus.MetaTenant) == tenant {
			found = r
		}
		return found == nil
	})
	return found, err
}

func (x *record) header(name string) string {
	for _, h := range x.headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
