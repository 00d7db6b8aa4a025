package bus

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
)

// BatcherOptions say when a batch is full. Zero values have the defaults named.
type BatcherOptions struct {
	// MaxSize is how many messages a call gets at most; 256.
	MaxSize int
	// MaxBytes is from how many bytes of payload on a batch is full; no limit. A
	// batch holds at least one message, whatever its size.
	MaxBytes int
	// MaxWait is how long the first message of a batch waits for the batch to
	// fill. 0 takes what is there: while one call runs, the next batch gathers,
	// which is enough for calls that take some time. With a MaxWait, the window of
	// the subscriber should be larger than MaxSize, because a batch that cannot
	// fill always waits for MaxWait.
	MaxWait time.Duration
}

// A BatchFunc handles many messages at once and gives an error for each, or nil
// if all went well. Messages of a partition are in the order of the log.
type BatchFunc func(ctx context.Context, msgs []*message.Message) []error

// A Batcher gathers the messages that many handlers have at the same time and
// has them handled in one call. Calls do not overlap.
//
// It holds no more messages than there are handlers waiting, so the window of
// the subscriber is its bound.
type Batcher struct {
	call BatchFunc
	opts BatcherOptions

	mu     sync.Mutex // guards closed and queue, and the batches in it
	closed bool
	queue  []*batch // the last one takes messages

	kick   chan struct{} // tells the runner to look at the queue
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

type batch struct {
	msgs  []*message.Message
	bytes int
	since time.Time
	errs  []error       // by the order of msgs, when done is closed
	done  chan struct{} // closed when the call has ended
}

// NewBatcher starts a batcher in front of call.
func NewBatcher(opts BatcherOptions, call BatchFunc) *Batcher {
	if opts.MaxSize <= 0 {
		opts.MaxSize = 256
	}
	b := &Batcher{call: call, opts: opts, kick: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.done.Go(b.run)
	return b
}

// Close refuses what waits, ends the context of the call that runs and waits for
// it. Close the router or subscriber first.
func (b *Batcher) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.done.Wait()
}

// Handle has m handled with others and gives its own error. It is a handler for
// Watermill's router.
func (b *Batcher) Handle(m *message.Message) error {
	bt, i, err := b.join(m)
	if err != nil {
		return err
	}
	select {
	case <-bt.done:
		return bt.errs[i]
	case <-m.Context().Done():
		// The call may still happen; m will come again and find it done.
		return hub.Wrap(hub.Transient, m.Context().Err(), "the message was taken back before it was handled")
	}
}

var errBatcherClosed = hub.E(hub.Transient, "the hub is stopping; the message will come again")

func (b *Batcher) join(m *message.Message) (*batch, int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, 0, errBatcherClosed
	}
	if n := len(b.queue); n == 0 || b.full(b.queue[n-1]) {
		b.queue = append(b.queue, &batch{done: make(chan struct{}), since: b.clock()})
	}
	bt := b.queue[len(b.queue)-1]
	bt.msgs = append(bt.msgs, m)
	bt.bytes += len(m.Payload)
	select {
	case b.kick <- struct{}{}:
	default:
	}
	return bt, len(bt.msgs) - 1, nil
}

// clock is read only where it matters.
func (b *Batcher) clock() time.Time {
	if b.opts.MaxWait == 0 {
		return time.Time{}
	}
	return time.Now()
}

func (b *Batcher) full(bt *batch) bool {
	return len(bt.msgs) >= b.opts.MaxSize || b.opts.MaxBytes > 0 && bt.bytes >= b.opts.MaxBytes
}

func (b *Batcher) run() {
	for b.ctx.Err() == nil {
		bt, wait := b.next()
		if bt != nil {
			b.handle(bt)
			continue
		}
		b.wait(wait)
	}
	b.refuse()
}

// wait waits for a message, for the end, or for a time if one is given.
func (b *Batcher) wait(d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-b.kick:
	case <-timeout:
	case <-b.ctx.Done():
	}
}

// next takes the batch to be handled now, or tells how long to wait for it; 0 if
// there is nothing to wait for.
func (b *Batcher) next() (*batch, time.Duration) {
	b.settle()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return nil, 0
	}
	bt := b.queue[0]
	if b.opts.MaxWait > 0 && !b.full(bt) {
		if left := b.opts.MaxWait - time.Since(bt.since); left > 0 {
			return nil, left
		}
	}
	b.queue = slices.Delete(b.queue, 0, 1)
	return bt, 0
}

// settle lets handlers that are about to run submit their messages: right after
// a call, a whole window of new messages is on its way, and the first of them
// should not go alone.
func (b *Batcher) settle() {
	for before, rounds := 0, 0; rounds < 16; rounds++ {
		b.mu.Lock()
		n, full := 0, false
		if len(b.queue) > 0 {
			n, full = len(b.queue[0].msgs), b.full(b.queue[0])
		}
		b.mu.Unlock()
		if n == 0 || full || rounds > 0 && n == before {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// handle runs one batch, in the order of the log.
func (b *Batcher) handle(bt *batch) {
	order := make([]int, len(bt.msgs))
	places := make([]string, len(bt.msgs))
	for i, m := range bt.msgs {
		order[i], places[i] = i, m.Metadata[MetaPosition]
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(places[x], places[y]) })
	msgs := make([]*message.Message, len(order))
	for i, j := range order {
		msgs[i] = bt.msgs[j]
	}
	errs := b.protect(msgs)
	bt.errs = make([]error, len(order))
	for i, j := range order {
		bt.errs[j] = errs[i]
	}
	close(bt.done)
}

// protect runs the call and gives an error for each message, whatever happens.
func (b *Batcher) protect(msgs []*message.Message) (errs []error) {
	defer func() {
		if p := recover(); p != nil {
			errs = repeat(hub.Wrap(hub.Internal, fmt.Errorf("panic: %v", p), "the batch failed"), len(msgs))
		}
	}()
	errs = b.call(b.ctx, msgs)
	if errs == nil {
		return make([]error, len(msgs))
	}
	if len(errs) != len(msgs) {
		err := fmt.Errorf("%d errors for %d messages", len(errs), len(msgs))
		return repeat(hub.Wrap(hub.Internal, err, "the batch failed"), len(msgs))
	}
	return errs
}

func repeat(err error, n int) []error {
	all := make([]error, n)
	for i := range all {
		all[i] = err
	}
	return all
}

// refuse ends the wait of those whose batch will not run any more.
func (b *Batcher) refuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bt := range b.queue {
		bt.errs = repeat(errBatcherClosed, len(bt.msgs))
		close(bt.done)
	}
	b.queue = nil
}
