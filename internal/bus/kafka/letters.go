package kafka

import (
	"context"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// headerPutBack is the header of a note among the dead letters that one of them
// was put back: its place. Nothing can be taken out of a topic.
const headerPutBack = "dead-put-back"

// DeadLetters gives up to limit dead letters behind the place after (0: from the
// oldest) that were not put back; of every tenant if tenant is empty.
func (b *Bus) DeadLetters(ctx context.Context, tenant hub.TenantID, after int64, limit int) ([]bus.DeadLetter, error) {
	t, err := b.open(ctx, bus.TopicDeadLetters)
	if err != nil {
		return nil, err
	}
	gone, err := b.putBack(ctx, t, after)
	if err != nil {
		return nil, unreachable(err)
	}
	var all []bus.DeadLetter
	err = b.eachLetter(ctx, t, after, func(pos int64, r *record) bool {
		mine := tenant == "" || r.header(bus.MetaTenant) == string(tenant)
		if note := r.header(headerPutBack) != ""; mine && !note && !gone[placeText(pos)] {
			all = append(all, deadLetter(pos, r))
		}
		return len(all) < limit
	})
	if err != nil {
		return nil, unreachable(err)
	}
	return all, nil
}

// putBack gives the places, as text, of the letters that were put back. A note
// of it lies behind its letter.
func (b *Bus) putBack(ctx context.Context, t *topic, after int64) (map[string]bool, error) {
	gone := map[string]bool{}
	err := b.eachLetter(ctx, t, after, func(_ int64, r *record) bool {
		if place := r.header(headerPutBack); place != "" {
			gone[place] = true
		}
		return true
	})
	return gone, err
}

// eachLetter goes through the records behind a place, partition by partition,
// until fn returns false.
func (b *Bus) eachLetter(ctx context.Context, t *topic, after int64, fn func(pos int64, r *record) bool) error {
	first, offset := place(after)
	more := true
	for _, no := range t.places {
		if no < first {
			continue
		}
		from, end, err := b.cluster.ends(ctx, t.full, no)
		if err != nil {
			return err
		}
		if no == first {
			from = max(from, offset+1)
		}
		err = b.cluster.scan(ctx, t.full, no, from, end, func(r *record) bool {
			more = fn(position(no, r.offset), r)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func deadLetter(pos int64, r *record) bus.DeadLetter {
	partition, _ := place(pos)
	m := r.message(partition)
	n, _ := strconv.Atoi(m.Metadata[bus.DeadAttempts])
	return bus.DeadLetter{
		Position: pos, At: hub.Micros(r.at), ID: m.UUID, Tenant: m.Metadata[bus.MetaTenant], Key: r.key, Payload: r.payload,
		Topic: m.Metadata[bus.DeadTopic], Stage: m.Metadata[bus.DeadStage], Reason: m.Metadata[bus.DeadReason], Attempts: n,
	}
}

// Requeue publishes a dead letter again to the topic that it came from, with its
// own id, and notes that it is none any more. Every group of that topic gets it
// again; if the note fails, it can be put back a second time.
func (b *Bus) Requeue(ctx context.Context, tenant hub.TenantID, pos int64) error {
	t, err := b.open(ctx, bus.TopicDeadLetters)
	if err != nil {
		return err
	}
	r, err := b.letter(ctx, t, pos)
	if err != nil {
		return err
	}
	if r == nil || r.header(bus.MetaTenant) != string(tenant) {
		return hub.E(hub.NotFound, "there is no such dead letter; it may have been put back already")
	}
	partition, _ := place(pos)
	m := r.message(partition)
	from := b.topic(m.Metadata[bus.DeadTopic])
	if from == nil {
		return hub.E(hub.Conflict, "the topic that the message came from does not exist any more")
	}
	for _, name := range []string{bus.DeadReason, bus.DeadStage, bus.DeadAttempts, bus.DeadTopic, bus.DeadPosition} {
		delete(m.Metadata, name)
	}
	if err := b.publish(ctx, from, []*message.Message{m}); err != nil {
		return err
	}
	note := bus.NewMessage(m.UUID, string(tenant), r.key, nil)
	note.Metadata[headerPutBack] = placeText(pos)
	return b.publish(ctx, t, []*message.Message{note})
}

// letter gives the letter at a place; nil if there is none or it was put back.
func (b *Bus) letter(ctx context.Context, t *topic, pos int64) (found *record, err error) {
	err = b.eachLetter(ctx, t, pos-1, func(at int64, r *record) bool {
		if at == pos && r.header(headerPutBack) == "" {
			found = r
		}
		return false
	})
	if err != nil {
		return nil, unreachable(err)
	}
	if found == nil {
		return nil, nil
	}
	gone, err := b.putBack(ctx, t, pos)
	if err != nil {
		return nil, unreachable(err)
	}
	if gone[placeText(pos)] {
		return nil, nil
	}
	return found, nil
}
