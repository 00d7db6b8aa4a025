package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Handout is one handing out of a message: the message's context, which ends
// when the message is acknowledged, refused or taken back, and the [Delivery] in
// it. A context of the standard library would cost three times as much.
type Handout struct {
	context.Context // of the subscription, for its values

	mu    sync.Mutex // guards what follows
	done  chan struct{}
	ended bool
	err   error // why it is about to be refused
}

var (
	_ context.Context = (*Handout)(nil)
	_ Delivery        = (*Handout)(nil)
)

// Failed remembers why the message is about to be refused.
func (h *Handout) Failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// Failure gives what Failed was told.
func (h *Handout) Failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Deadline says that there is none: how long a handler may take is its own
// business, not that of who subscribed.
func (h *Handout) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the message is acknowledged, refused or taken back.
func (h *Handout) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done == nil {
		h.done = make(chan struct{})
		if h.ended {
			close(h.done)
		}
	}
	return h.done
}

// Err is set when Done is closed.
func (h *Handout) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return context.Canceled
	}
	return nil
}

// Value gives the handout itself, or a value of the subscription's context.
func (h *Handout) Value(key any) any {
	if _, ok := key.(DeliveryKey); ok {
		return Delivery(h)
	}
	return h.Context.Value(key)
}

// End says that the message is no longer handed out.
func (h *Handout) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.done != nil {
		close(h.done)
	}
}

// Backoff is the pause before delivery attempt+1 of a message that was refused
// because of err: twice the one before, and no less than err asks for.
func Backoff(attempt int, err error, least, most time.Duration) time.Duration {
	d := most
	if attempt < 32 {
		d = min(d, least<<(attempt-1))
	}
	var e *hub.Error
	if errors.As(err, &e) {
		d = max(d, min(e.RetryAfter, most))
	}
	return d
}

// A FIFO is a queue. The zero value is ready.
type FIFO[T any] struct {
	items []*T
	first int
}

// Push puts an item behind all others.
func (q *FIFO[T]) Push(it *T) { q.items = append(q.items, it) }

// Pop takes the first item, nil if there is none.
func (q *FIFO[T]) Pop() *T {
	if q.first == len(q.items) {
		return nil
	}
	it := q.items[q.first]
	q.items[q.first] = nil
	if q.first++; q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	} else if q.first >= 1024 && q.first > len(q.items)/2 {
		kept := copy(q.items, q.items[q.first:])
		clear(q.items[kept:])
		q.items, q.first = q.items[:kept], 0
	}
	return it
}

// Unshift puts an item before all others.
func (q *FIFO[T]) Unshift(it *T) {
	if q.first > 0 {
		q.first--
		q.items[q.first] = it
		return
	}
	q.items = append([]*T{it}, q.items...)
}
