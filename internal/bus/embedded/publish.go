package embedded

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// PublishTx publishes messages in a transaction: they exist if it commits, and
// wake their subscribers then. A full backlog is a Transient error, found before
// anything is written. The topic must be one of Options.Topics.
func (b *Bus) PublishTx(tx *store.Tx, name string, msgs ...*message.Message) error {
	t := b.topic(name)
	if t == nil {
		return hub.E(hub.Internal, fmt.Sprintf("publishing to topic %q, which is not among the bus's topics", name))
	}
	if err := t.admit(); err != nil {
		return err
	}
	t.publish(tx, msgs)
	return nil
}

// publish appends messages without asking about the backlog.
func (t *topic) publish(tx *store.Tx, msgs []*message.Message) {
	rows := make([]store.MessageRow, len(msgs))
	at := hub.Micros(time.Now())
	for i, m := range msgs {
		rows[i] = store.MessageRow{
			Tenant: m.Metadata[bus.MetaTenant], ID: m.UUID, Key: m.Metadata[bus.MetaKey], At: at,
			Headers: bus.EncodeHeaders(m.Metadata), Payload: m.Payload,
		}
	}
	t.append(tx, rows)
}

func (t *topic) append(tx *store.Tx, rows []store.MessageRow) {
	for i := range rows {
		p := t.partition(rows[i].Key)
		rows[i].Pos = p.base + tx.Counter(p.counter, 1)
		tx.AppendMessage(&rows[i])
	}
	tx.AfterCommit(func() { t.committed(rows) })
}

// committed runs on the writer's goroutine, so it must be quick.
func (t *topic) committed(rows []store.MessageRow) {
	keep := len(*t.groups.Load()) > 0
	for i := range rows {
		t.partition(rows[i].Key).committed(&rows[i], keep)
	}
	t.published.Add(int64(len(rows)))
	t.wake()
}

// Publisher gives a Watermill publisher. Its Publish returns when the messages
// are durable; publishers at the same time share a transaction.
func (b *Bus) Publisher() message.Publisher { return &publisher{bus: b} }

type publisher struct {
	bus    *Bus
	closed atomic.Bool
}

// Publish stores msgs in one transaction. It waits as long as the context of the
// first of them allows.
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
	return p.bus.st.Do(ctx, func(tx *store.Tx) error {
		t.publish(tx, msgs)
		return nil
	})
}

// Close refuses further messages. Nothing is ever waiting to be sent.
func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}
