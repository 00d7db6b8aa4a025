package relay_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// flood is a queue that always has more.
type flood struct {
	e    *hub.Endpoint
	wake chan struct{}
	done chan int
}

func (q *flood) Wake() <-chan struct{} { return q.wake }

func (q *flood) NextDue(context.Context, map[hub.EndpointID]int) (time.Time, error) {
	return time.Time{}, nil
}

func (q *flood) Claim(_ context.Context, limit int, _ time.Duration, rooms map[hub.EndpointID]int) ([]relay.Job, error) {
	if room, limited := rooms[q.e.ID]; limited {
		limit = min(limit, room)
	}
	jobs := make([]relay.Job, limit)
	for i := range jobs {
		jobs[i] = relay.Job{Delivery: hub.Delivery{ID: "dlv_1", Endpoint: q.e.ID, Kind: q.e.Kind}, Endpoint: q.e}
	}
	return jobs, nil
}

func (q *flood) Record(_ context.Context, o []relay.Outcome) error {
	q.done <- len(o)
	return nil
}

type instant struct{}

func (instant) Send(context.Context, *hub.Endpoint, *hub.Delivery) (hub.Attempt, error) {
	return hub.Attempt{Status: 204}, nil
}

// BenchmarkWorker is what the worker itself costs for a delivery.
func BenchmarkWorker(b *testing.B) {
	q := &flood{e: &hub.Endpoint{ID: "a", Kind: "test", Enabled: true}, wake: make(chan struct{}, 1), done: make(chan int)}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	w := relay.New(relay.Options{Queue: q, Targets: map[string]relay.Target{"test": instant{}}, Registry: prometheus.NewRegistry()})
	b.ReportAllocs()
	b.ResetTimer()
	go func() { defer close(ended); w.Run(ctx) }()
	for n := 0; n < b.N; {
		n += <-q.done
	}
	b.StopTimer()
	cancel()
	for open := true; open; {
		select {
		case <-q.done:
		case <-ended:
			open = false
		}
	}
}
