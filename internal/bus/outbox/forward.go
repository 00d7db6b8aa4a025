package outbox

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// Forward gives messages to the bus in their order, until ctx ends. There must
// be one at a time over a store; fence is called in each transaction that notes
// progress, and refuses it if another hub forwards by now.
func (o *Outbox) Forward(ctx context.Context, pub message.Publisher, fence func(tx *store.Tx) error) {
	f := &forwarding{Outbox: o, pub: pub, fence: fence}
	for ctx.Err() == nil {
		n, err := f.once(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			o.failed.Inc()
			o.opts.Log.Warn("messages wait in the outbox", "error", err)
			f.pause(ctx)
		case n == 0:
			f.idle(ctx)
		default:
			f.wait = 0
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = f.clear(end) // what is not noted is forwarded again, with the same ids
}

// A forwarding is one hub's turn at forwarding.
type forwarding struct {
	*Outbox
	pub   message.Publisher
	fence func(tx *store.Tx) error

	begun   bool
	at      int64     // everything up to here was forwarded
	cleared int64     // and up to here that was noted
	since   time.Time // when it was noted
	wait    time.Duration
}

// once forwards one batch and tells how many messages that were.
func (f *forwarding) once(ctx context.Context) (int, error) {
	var rows []*store.MessageRow
	err := f.st.View(ctx, func(r *store.Reader) (err error) {
		rows = rows[:0]
		if !f.begun {
			if f.at, err = f.done(r); err != nil {
				return err
			}
			f.begun, f.cleared = true, f.at
		}
		return r.Messages(f.at, store.Position(f.topic.No, 1, 0), f.opts.Batch, func(m *store.MessageRow) bool {
			rows = append(rows, m)
			return true
		})
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	if err := f.publish(ctx, rows); err != nil {
		return 0, err
	}
	f.at = rows[len(rows)-1].Pos
	f.forwarded.Add(float64(len(rows)))
	if time.Since(f.since) >= f.opts.Clear {
		err = f.clear(ctx)
	}
	return len(rows), err
}

// publish gives the rows to the bus, those of one topic at once. Order is kept
// within a topic.
func (f *forwarding) publish(ctx context.Context, rows []*store.MessageRow) error {
	var topics []string
	byTopic := map[string][]*message.Message{}
	for _, row := range rows {
		topic, m, err := open(row)
		if err != nil {
			f.opts.Log.Error("a message in the outbox cannot be read; it is left out", "id", row.ID, "error", err)
			continue
		}
		if byTopic[topic] == nil {
			topics = append(topics, topic)
		}
		byTopic[topic] = append(byTopic[topic], m)
	}
	for _, topic := range topics {
		msgs := byTopic[topic]
		msgs[0].SetContext(ctx)
		err := f.pub.Publish(topic, msgs...)
		if hub.KindOf(err) == hub.TooLarge {
			err = f.publishApart(ctx, topic, msgs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publishApart gives messages to the bus of which one is larger than it takes. That
// one is left out, or nothing would ever be forwarded again; what is too large is
// refused before it gets here, where anybody can be told.
func (f *forwarding) publishApart(ctx context.Context, topic string, msgs []*message.Message) error {
	for _, m := range msgs {
		m.SetContext(ctx)
		err := f.pub.Publish(topic, m)
		if hub.KindOf(err) == hub.TooLarge {
			f.opts.Log.Error("a message in the outbox is larger than the bus takes; it is left out", "id", m.UUID, "topic", topic, "error", err)
			f.refused.Inc()
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clear notes how far forwarding has come and removes what lies before.
func (f *forwarding) clear(ctx context.Context) error {
	f.since = time.Now()
	if f.at == f.cleared {
		return nil
	}
	err := f.st.Do(ctx, func(tx *store.Tx) error {
		if err := f.fence(tx); err != nil {
			return err
		}
		if _, err := tx.DeleteMessages(f.base, f.at, hub.Never(), 1<<30); err != nil {
			return err
		}
		return tx.PutConsumer(store.ConsumerRow{Topic: f.topic.No, Group: forwarder, Pos: f.at, At: tx.Now()})
	})
	if err == nil {
		f.cleared = f.at
	}
	return err
}

// idle waits for messages of this hub, or for a while for those of others.
func (f *forwarding) idle(ctx context.Context) {
	if time.Since(f.since) >= f.opts.Clear {
		_ = f.clear(ctx) // tried again with the next batch
	}
	t := time.NewTimer(f.opts.Poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-f.wake:
	case <-t.C:
	}
}

// pause waits before a refused batch is tried again.
func (f *forwarding) pause(ctx context.Context) {
	f.wait = min(max(2*f.wait, f.opts.BackoffMin), f.opts.BackoffMax)
	t := time.NewTimer(f.wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
