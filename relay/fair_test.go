package relay_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// black is a target of which every endpoint named black… never answers.
func black() *far {
	return newFar(func(ctx context.Context, e *hub.Endpoint, _ *hub.Delivery) error {
		if e.ID[0] == 'b' {
			return hang(ctx)
		}
		return takes(5*time.Millisecond)(ctx, e, nil)
	})
}

// Half of fifty endpoints never answer, and each gets as much as the others.
func TestBlackHolesDoNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), black()
		q.takes = time.Millisecond
		var all []*hub.Endpoint
		for i := range 25 {
			all = append(all, q.endpoint(fmt.Sprintf("healthy%d", i)), q.endpoint(fmt.Sprintf("black%d", i)))
		}
		stop := start(t, q, f, nil)
		defer stop()
		for range 600 { // a minute
			for _, e := range all {
				q.add(e, 1)
			}
			time.Sleep(100 * time.Millisecond)
		}
		latencies := healthy(q)
		if len(latencies) == 0 {
			t.Fatal("no delivery to a healthy endpoint succeeded")
		}
		p99, worst := latencies[len(latencies)*99/100], latencies[len(latencies)-1]
		if len(latencies) < 25*599 || p99 > 250*time.Millisecond || worst > 6*time.Second {
			t.Errorf("%d deliveries to healthy endpoints succeeded, p99 %v, worst %v", len(latencies), p99, worst)
		}
		if f.most > 64 {
			t.Errorf("%d sends at a time, want at most 64", f.most)
		}
	})
}

// Two hundred that never answer, and as many that answer slowly, leave the slots to
// those that answer at once, also at the start.
func TestManyThatHangLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) error {
			switch e.ID[0] {
			case 'b':
				return hang(ctx)
			case 's':
				return takes(5*time.Second)(ctx, e, d)
			}
			return takes(5*time.Millisecond)(ctx, e, d)
		})
		q.takes = time.Millisecond
		var good []*hub.Endpoint
		for i := range 200 {
			q.add(q.endpoint(fmt.Sprintf("black%d", i)), 5)
			q.add(q.endpoint(fmt.Sprintf("slow%d", i)), 5)
			if i%10 == 0 {
				good = append(good, q.endpoint(fmt.Sprintf("healthy%d", i)))
			}
		}
		stop := start(t, q, f, nil)
		defer stop()
		for _, e := range good { // known from before
			q.add(e, 1)
		}
		time.Sleep(5 * time.Minute)
		before := len(healthy(q))
		for range 600 {
			for _, e := range good {
				q.add(e, 1)
			}
			time.Sleep(100 * time.Millisecond)
		}
		all := healthy(q)
		late := 0
		for _, d := range all {
			if d > 250*time.Millisecond {
				late++
			}
		}
		if before != len(good) || len(all) < 20*599 || late > len(all)/100+len(good) {
			t.Errorf("%d deliveries to healthy endpoints, %d of them took more than 250 ms; %d of the first %d came within five minutes", len(all), late, before, len(good))
		}
		if f.most > 64 {
			t.Errorf("%d sends at a time, want at most 64", f.most)
		}
	})
}

// healthy gives how long each delivery to a healthy endpoint took, in order.
func healthy(q *memory) (all []time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.rows {
		if r.Endpoint[0] == 'h' && r.State == hub.DeliverySucceeded {
			all = append(all, r.UpdatedAt.Sub(r.CreatedAt))
		}
	}
	slices.Sort(all)
	return all
}

// Long backlogs of endpoints that refuse at once lie before a new delivery
// to another.
func TestABacklogDoesNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		q.takes = time.Millisecond
		f := newFar(func(_ context.Context, e *hub.Endpoint, _ *hub.Delivery) error {
			if e.ID[0] == 'b' {
				return hub.E(hub.Transient, "connection refused")
			}
			return nil
		})
		for _, id := range []string{"bad0", "bad1", "bad2"} {
			q.add(q.endpoint(id), 2000)
		}
		h := q.endpoint("healthy")
		stop := start(t, q, f, nil)
		defer stop()
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			q.add(h, 1)
		}
		time.Sleep(time.Second)
		all := healthy(q)
		if len(all) != 50 {
			t.Errorf("%d of 50 succeeded", len(all))
		} else if all[49] > 100*time.Millisecond {
			t.Errorf("the slowest took %v, want at most 100ms", all[49])
		}
		if _, sends := f.count(); sends > 600 {
			t.Errorf("%d sends in 6 seconds, nearly all to endpoints that refuse", sends)
		}
	})
}

// An endpoint that comes back is served at full speed again.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		var up atomic.Bool
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error {
			if !up.Load() {
				return hub.E(hub.Transient, "status 503")
			}
			return nil
		})
		q.add(q.endpoint("a"), 2000)
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(3 * time.Second)
		up.Store(true)
		time.Sleep(10 * time.Second)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 2000 {
			t.Errorf("%v ten seconds after it came back, want 2000 succeeded", q.states(nil))
		}
	})
}

// silent is a queue that holds its backlog where NextDue does not see it, and
// that is slow to give it.
type silent struct {
	*memory
	slow time.Duration
}

func (q silent) Claim(ctx context.Context, limit int, lease time.Duration, rooms map[hub.EndpointID]int) ([]relay.Job, error) {
	time.Sleep(q.slow)
	return q.memory.Claim(ctx, limit, lease, rooms)
}

func (silent) NextDue(context.Context, map[hub.EndpointID]int) (time.Time, error) {
	return time.Time{}, nil
}

// A claim that room cut short is made up for without being told.
func TestABacklogIsWorkedOffWithoutHints(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			q := newMemory(t)
			f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error {
				time.Sleep(100 * time.Microsecond)
				return nil
			})
			q.add(q.endpoint("a"), 3000)
			slow := q.endpoint("b")
			slow.RateLimit = 50
			q.add(slow, 100)
			stop := start(t, silent{q, takes}, f, nil)
			defer stop()
			time.Sleep(10 * time.Second)
			if n := q.states(nil)[hub.DeliverySucceeded]; n != 3100 {
				t.Errorf("with a queue that takes %v: %v, want 3100 succeeded", takes, q.states(nil))
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(3*time.Millisecond))
		q.takes = 2 * time.Millisecond
		e := q.endpoint("a")
		e.RateLimit = 100
		q.add(e, 6500)
		stop := start(t, q, f, nil)
		time.Sleep(60 * time.Second)
		stop()
		var at []time.Time
		for _, s := range f.sent {
			at = append(at, s...)
		}
		slices.SortFunc(at, time.Time.Compare)
		if len(at) < 5940 || len(at) > 6060 {
			t.Errorf("%d sends in a minute, want 6000 ± 1 %%", len(at))
		}
		for i := 101; i < len(at); i++ {
			if d := at[i].Sub(at[i-101]); d < time.Second {
				t.Fatalf("102 sends in %v", d)
			}
		}
	})
}

// One slow endpoint, alone, with one slot: it still gets through.
func TestASingleSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(3*time.Second))
		q.add(q.endpoint("a"), 10)
		stop := start(t, q, f, func(o *relay.Options) { o.Slots = 1 })
		defer stop()
		time.Sleep(time.Minute)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 10 {
			t.Errorf("%v, want 10 succeeded", q.states(nil))
		}
	})
}
