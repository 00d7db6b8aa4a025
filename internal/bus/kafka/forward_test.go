package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/forward"
	"github.com/tocsin/tocsin/internal/bus/kafka"
)

// A table is an outbox of numbered messages.
type table struct {
	keys, each int

	mu   sync.Mutex // guards done
	done int64
}

func (x *table) Next(_ context.Context, after int64, limit int) (all []forward.Item, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := max(after, x.done); n < int64(x.keys*x.each) && len(all) < limit; n++ {
		key := fmt.Sprint("k", n%int64(x.keys))
		m := bus.NewMessage(fmt.Sprintf("%s-%d", key, n/int64(x.keys)), "default", key, []byte("x"))
		all = append(all, forward.Item{Position: n + 1, At: time.Now(), Topic: topic, Message: m})
	}
	return all, nil
}

func (x *table) Done(_ context.Context, position int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done = position
	return nil
}

func (x *table) finished() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.done
}

// What an outbox holds reaches the handlers in the order of its keys, though
// answers are lost, the wire is cut and the forwarder is replaced.
func TestForwardingFromAnOutbox(t *testing.T) {
	o := hubTopics(4)
	o.PublishTimeout = 500 * time.Millisecond
	w := newWire()
	bad := o
	bad.DialBy(w.dial)
	sender := openBus(t, bad)
	j := newJudge(t)
	j.consume(subscribe(t, openBus(t, o), kafka.Group{Name: "triage"}))

	box := &table{keys: 20, each: 500}
	f, err := forward.New(forward.Options{Window: 500, Poll: time.Millisecond, BackoffMax: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for turn := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { f.Forward(ctx, box, sender.Publisher()) })
		begin := box.finished()
		await(t, "some are published", func() bool { return box.finished() > begin+1000 })
		w.loseAnswers(apiProduce, 2)
		await(t, "some are published", func() bool { return box.finished() > begin+2000 })
		if turn == 1 {
			w.cut()
			await(t, "publishing fails", func() bool { n, age := f.Backlog(); return n > 0 && age > 700*time.Millisecond })
			w.mend()
			await(t, "some are published", func() bool { return box.finished() > begin+3000 })
		}
		if turn == 2 {
			await(t, "all are published", func() bool { return box.finished() == 10_000 })
		}
		cancel()
		done.Wait()
	}
	j.awaitAll(20, 500)
}
