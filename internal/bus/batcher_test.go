package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

func numbered(i int) *message.Message {
	m := bus.NewMessage(fmt.Sprint(i), "default", "key", make([]byte, 100))
	m.Metadata[bus.MetaPosition] = fmt.Sprintf("%016x", i)
	return m
}

// handleAll gives messages to b from one goroutine each and returns their errors.
func handleAll(b *bus.Batcher, msgs []*message.Message) []error {
	errs := make([]error, len(msgs))
	var all sync.WaitGroup
	for i, m := range msgs {
		all.Go(func() { errs[i] = b.Handle(m) })
	}
	all.Wait()
	return errs
}

func TestBatcherGivesEachItsOwnError(t *testing.T) {
	var calls, overlap atomic.Int32
	b := bus.NewBatcher(bus.BatcherOptions{MaxSize: 16}, func(_ context.Context, msgs []*message.Message) []error {
		if overlap.Add(1) != 1 {
			t.Error("two calls overlap")
		}
		defer overlap.Add(-1)
		calls.Add(1)
		if len(msgs) > 16 {
			t.Errorf("a call got %d messages", len(msgs))
		}
		errs := make([]error, len(msgs))
		for i, m := range msgs {
			if i > 0 && msgs[i-1].Metadata[bus.MetaPosition] >= m.Metadata[bus.MetaPosition] {
				t.Errorf("%s came before %s", msgs[i-1].UUID, m.UUID)
			}
			errs[i] = errors.New(m.UUID)
		}
		return errs
	})
	defer b.Close()
	msgs := make([]*message.Message, 1000)
	for i := range msgs {
		msgs[i] = numbered(len(msgs) - i)
	}
	for i, err := range handleAll(b, msgs) {
		if err == nil || err.Error() != msgs[i].UUID {
			t.Errorf("message %s got the error %v", msgs[i].UUID, err)
		}
	}
	if n := calls.Load(); n > 500 {
		t.Errorf("1000 concurrent messages took %d calls", n)
	}
}

// While one call runs, the next batch gathers.
func TestBatcherGathersWhileACallRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		b := bus.NewBatcher(bus.BatcherOptions{}, func(_ context.Context, msgs []*message.Message) []error {
			sizes = append(sizes, len(msgs))
			time.Sleep(time.Millisecond)
			return nil
		})
		var all sync.WaitGroup
		all.Go(func() { _ = b.Handle(numbered(0)) })
		synctest.Wait()
		for i := range 100 {
			all.Go(func() { _ = b.Handle(numbered(i)) })
		}
		all.Wait()
		b.Close()
		if fmt.Sprint(sizes) != "[1 100]" {
			t.Errorf("the calls got %v messages, want [1 100]", sizes)
		}
	})
}

func TestBatcherFlushesWhenFullOrInTime(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  bus.BatcherOptions
		n     int
		after time.Duration
	}{
		{"by time", bus.BatcherOptions{MaxWait: time.Second, MaxBytes: 1 << 20}, 3, time.Second},
		{"by bytes", bus.BatcherOptions{MaxWait: time.Second, MaxBytes: 300}, 3, 0},
		{"by count", bus.BatcherOptions{MaxWait: time.Second, MaxSize: 3}, 3, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			b := bus.NewBatcher(c.opts, func(_ context.Context, msgs []*message.Message) []error {
				calls++
				if len(msgs) != c.n {
					t.Errorf("%s: a call got %d messages, want %d", c.name, len(msgs), c.n)
				}
				return nil
			})
			msgs := make([]*message.Message, c.n)
			for i := range msgs {
				msgs[i] = numbered(i)
			}
			handleAll(b, msgs)
			if got := time.Since(start); got != c.after {
				t.Errorf("%s: the batch went after %v, want %v", c.name, got, c.after)
			}
			b.Close()
		})
	}
}

func TestBatcherEndsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewBatcher(bus.BatcherOptions{MaxSize: 1}, func(ctx context.Context, msgs []*message.Message) []error {
			<-ctx.Done()
			return []error{hub.Wrap(hub.Transient, ctx.Err(), "stopped")}
		})
		var errs []error
		var all sync.WaitGroup
		all.Go(func() { errs = handleAll(b, []*message.Message{numbered(1), numbered(2), numbered(3)}) })
		synctest.Wait()
		b.Close()
		all.Wait()
		for _, err := range append(errs, b.Handle(numbered(4))) {
			if hub.KindOf(err) != hub.Transient {
				t.Errorf("a message got %v at the end, want a transient error", err)
			}
		}
	})
}

func TestBatcherSurvivesItsCall(t *testing.T) {
	for name, call := range map[string]bus.BatchFunc{
		"panic":            func(context.Context, []*message.Message) []error { panic("oh") },
		"too many errors":  func(context.Context, []*message.Message) []error { return make([]error, 7) },
		"too few, one bad": func(context.Context, []*message.Message) []error { return []error{} },
	} {
		b := bus.NewBatcher(bus.BatcherOptions{}, call)
		if err := b.Handle(numbered(1)); hub.KindOf(err) != hub.Internal {
			t.Errorf("%s gives %v, want an internal error", name, err)
		}
		b.Close()
	}
}

func TestBatcherLetsGoOfAMessageTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewBatcher(bus.BatcherOptions{MaxWait: time.Hour}, func(context.Context, []*message.Message) []error { return nil })
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		m := numbered(1)
		m.SetContext(ctx)
		cancel()
		if err := b.Handle(m); hub.KindOf(err) != hub.Transient {
			t.Errorf("got %v, want a transient error", err)
		}
	})
}

func BenchmarkBatcher(b *testing.B) {
	bt := bus.NewBatcher(bus.BatcherOptions{}, func(context.Context, []*message.Message) []error { return nil })
	defer bt.Close()
	b.SetParallelism(128)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := numbered(1)
		for pb.Next() {
			_ = bt.Handle(m)
		}
	})
}
