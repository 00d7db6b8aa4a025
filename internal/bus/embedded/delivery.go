package embedded

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/internal/bus"
)

// A delivery is one handing out of an item. It is the context of its message,
// which ends when the message is acknowledged or refused; a context of the
// standard library would cost three times as much.
type delivery struct {
	context.Context // of the subscription, for its values
	item            *item
	msg             *message.Message

	mu    sync.Mutex // guards what follows
	done  chan struct{}
	ended bool
	err   error // why it is about to be refused
}

var (
	_ context.Context = (*delivery)(nil)
	_ bus.Delivery    = (*delivery)(nil)
)

func newDelivery(ctx context.Context, it *item) (*delivery, error) {
	row := it.row
	m := message.NewMessage(row.ID, row.Payload)
	if row.Tenant != "" {
		m.Metadata[bus.MetaTenant] = row.Tenant
	}
	if row.Key != "" {
		m.Metadata[bus.MetaKey] = row.Key
	}
	m.Metadata[bus.MetaPosition] = placeText(row.Pos)
	if it.attempts > 0 {
		m.Metadata[bus.MetaAttempt] = strconv.Itoa(it.attempts + 1)
	}
	if err := bus.DecodeHeaders(row.Headers, m.Metadata); err != nil {
		return nil, fmt.Errorf("read the headers of message %d: %w", row.Pos, err)
	}
	d := &delivery{Context: ctx, item: it, msg: m}
	m.SetContext(d)
	return d, nil
}

// placeText gives a place as text that sorts as places do.
func placeText(pos int64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[pos>>(60-4*i)&15]
	}
	return string(b[:])
}

// Failed remembers why the message is about to be refused.
func (d *delivery) Failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *delivery) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Deadline says that there is none: how long a handler may take is its own
// business, not that of who subscribed.
func (d *delivery) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the message is acknowledged, refused or taken back.
func (d *delivery) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.ended {
			close(d.done)
		}
	}
	return d.done
}

// Err is set when Done is closed.
func (d *delivery) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return context.Canceled
	}
	return nil
}

// Value gives the delivery itself, or a value of the subscription's context.
func (d *delivery) Value(key any) any {
	if _, ok := key.(bus.DeliveryKey); ok {
		return bus.Delivery(d)
	}
	return d.Context.Value(key)
}

func (d *delivery) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.done != nil {
		close(d.done)
	}
}
