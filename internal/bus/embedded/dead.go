package embedded

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// bury moves an item to the dead letters and finishes it. It reports false if
// the store did not take it, or if it is a dead letter already: then it is
// retried like any other.
//
// A crash after it and before the progress is stored makes the message come
// again, and perhaps a second dead letter.
func (g *group) bury(it *item, cause error) bool {
	t, err := g.bus.open(g.bus.ctx, bus.TopicDeadLetters)
	if err != nil || t == g.topic {
		return false
	}
	m := message.Metadata{}
	_ = bus.DecodeHeaders(it.row.Headers, m) // if they are damaged, they are what is wrong with it
	m[bus.DeadReason], m[bus.DeadStage] = reason(cause), g.name
	m[bus.DeadAttempts], m[bus.DeadTopic] = strconv.Itoa(it.attempts), g.topic.row.Name
	m[bus.DeadPosition] = placeText(it.row.Pos)
	headers := bus.EncodeHeaders(m)
	err = g.bus.st.Do(g.bus.ctx, func(tx *store.Tx) error {
		letter := *it.row
		letter.Headers, letter.At = headers, hub.Micros(time.Now())
		t.append(tx, []store.MessageRow{letter})
		return nil
	})
	if err != nil {
		g.bus.log.Warn("storing a dead letter failed; trying again", "topic", g.topic.row.Name, "group", g.name, "id", it.row.ID, "error", err)
		return false
	}
	g.dead.Add(1)
	g.bus.log.Error("message could not be handled; it is a dead letter now", "topic", g.topic.row.Name, "group", g.name,
		"tenant", it.row.Tenant, "id", it.row.ID, "attempts", it.attempts, "error", cause)
	g.finish(it)
	return true
}

// reason is what is shown of an error: for one of ours what a caller may see.
func reason(err error) string {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return "internal error: " + err.Error()
}

// DeadLetters gives up to limit dead letters behind the place after (0: from the
// oldest); of every tenant if tenant is empty.
func (b *Bus) DeadLetters(ctx context.Context, tenant hub.TenantID, after int64, limit int) ([]bus.DeadLetter, error) {
	t := b.topic(bus.TopicDeadLetters)
	if t == nil {
		return nil, nil
	}
	var all []bus.DeadLetter
	err := b.st.View(ctx, func(r *store.Reader) error {
		for _, p := range t.parts {
			err := r.Messages(max(after, p.base), p.head.Load(), math.MaxInt32, func(m *store.MessageRow) bool {
				if tenant == "" || m.Tenant == string(tenant) {
					all = append(all, deadLetter(m))
				}
				return len(all) < limit
			})
			if err != nil || len(all) >= limit {
				return err
			}
		}
		return nil
	})
	return all, err
}

func deadLetter(row *store.MessageRow) bus.DeadLetter {
	m := message.Metadata{}
	_ = bus.DecodeHeaders(row.Headers, m) // a letter without its headers is shown without them
	n, _ := strconv.Atoi(m[bus.DeadAttempts])
	return bus.DeadLetter{
		Position: row.Pos, At: row.At, ID: row.ID, Tenant: row.Tenant, Key: row.Key, Payload: row.Payload,
		Topic: m[bus.DeadTopic], Stage: m[bus.DeadStage], Reason: m[bus.DeadReason], Attempts: n,
	}
}

// RequeueTx puts a dead letter back at the end of the topic that it came from,
// with its own id, and removes it from the dead letters. Every group of that
// topic gets it again.
func (b *Bus) RequeueTx(tx *store.Tx, tenant hub.TenantID, position int64) error {
	var row *store.MessageRow
	err := tx.Messages(position-1, position, 1, func(m *store.MessageRow) bool {
		row = m
		return true
	})
	if err != nil {
		return err
	}
	dead := b.topic(bus.TopicDeadLetters)
	if row == nil || row.Tenant != string(tenant) || dead == nil || position>>48 != dead.row.No {
		return hub.E(hub.NotFound, "there is no such dead letter; it may have been put back already")
	}
	m := message.Metadata{}
	if err := bus.DecodeHeaders(row.Headers, m); err != nil {
		return err
	}
	t := b.topic(m[bus.DeadTopic])
	if t == nil {
		return hub.E(hub.Conflict, "the topic that the message came from does not exist any more")
	}
	for _, name := range []string{bus.DeadReason, bus.DeadStage, bus.DeadAttempts, bus.DeadTopic, bus.DeadPosition} {
		delete(m, name)
	}
	row.Headers, row.At = bus.EncodeHeaders(m), hub.Micros(time.Now())
	t.append(tx, []store.MessageRow{*row})
	_, err = tx.DeleteMessage(position)
	return err
}
