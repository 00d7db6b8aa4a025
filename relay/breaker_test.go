package relay_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/test/report"
)

// A door is a target that can be shut; it notes who came when.
type door struct {
	shut atomic.Bool
	mu   sync.Mutex
	in   []hub.DeliveryID // taken, in order
	all  []time.Time      // of every attempt
}

func (d *door) send(_ context.Context, _ *hub.Endpoint, x *hub.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, time.Now())
	if d.shut.Load() {
		return hub.E(hub.Transient, "status 503")
	}
	d.in = append(d.in, x.ID)
	return nil
}

func (d *door) attempts(since time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.all {
		if !at.Before(since) {
			n++
		}
	}
	return n
}

// Ten hours down with new events all the time: the breaker opens by its rule, a
// probe at a time finds the endpoint, everything is held meanwhile and drains in
// order, and each change is told once.
func TestALongOutage(t *testing.T) {
	rep := report.Of(t, 9)
	synctest.Test(t, func(t *testing.T) {
		q, d := newMemory(t), new(door)
		e := q.endpoint("a")
		d.shut.Store(true)
		q.add(e, 3000)
		stop := start(t, q, newFar(d.send), nil)
		defer stop()
		time.Sleep(10 * time.Minute)
		if n := q.states(e); n[hub.DeliveryHeld] < 2990 || q.endpoints["a"].Breaker == nil {
			t.Fatalf("ten minutes down gave %v, breaker %+v; want all held and an open breaker", n, q.endpoints["a"].Breaker)
		}
		if n := d.attempts(time.Time{}); n > 30 {
			t.Errorf("%d attempts in ten minutes, want the few that open the breaker and the probes", n)
		}
		begin := time.Now()
		for range 590 {
			q.add(e, 10)
			time.Sleep(time.Minute)
		}
		probes := d.attempts(begin)
		if probes < 100 || probes > 145 {
			t.Errorf("%d probes in 590 minutes, want one each 5 minutes ± 10 %%", probes)
		}
		least, full := time.Hour, false
		d.mu.Lock()
		for i := len(d.all) - probes; i < len(d.all); i++ {
			gap := d.all[i].Sub(d.all[i-1])
			if full = full || gap >= 270*time.Second; full { // the steps have grown to their longest
				least = min(least, gap)
			}
		}
		d.mu.Unlock()
		if least < 270*time.Second {
			t.Errorf("two probes are %v apart, want one a step", least)
		}
		d.shut.Store(false)
		time.Sleep(30 * time.Minute)
		if n := q.states(e); n[hub.DeliverySucceeded] != len(q.rows) {
			t.Errorf("half an hour after it is up: %v, want all succeeded", n)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if !slices.IsSortedFunc(d.in, func(a, b hub.DeliveryID) int { return cmp.Compare(a, b) }) {
			t.Error("what was held came out of order")
		}
		var told []string
		for _, n := range q.news {
			told = append(told, n.what)
		}
		if got := strings.Join(told, " "); got != "opened closed" {
			t.Errorf("told %q", got)
		}
		rep.Figure("virtual_hours_down", 10)
		rep.Figure("events_held", len(q.rows))
		rep.Figure("probes_in_590_minutes", probes)
		rep.Figure("least_time_between_probes_s", least.Seconds())
		rep.Figure("told", told)
	})
}

// Probes neither use up a delivery's schedule nor kill it.
func TestProbesDoNotUseUpTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, d := newMemory(t), new(door)
		e := q.endpoint("a")
		e.Retry = &hub.RetryPolicy{Schedule: []hub.Duration{hub.Duration(time.Minute)}} // two attempts
		d.shut.Store(true)
		q.add(e, 40)
		stop := start(t, q, newFar(d.send), nil)
		defer stop()
		time.Sleep(5 * time.Hour)
		n := q.states(e)
		if n[hub.DeliveryDead] > 10 || n[hub.DeliveryHeld] < 30 {
			t.Errorf("after five hours: %v, want at most what failed before the breaker opened dead", n)
		}
		q.mu.Lock()
		probed := 0
		for _, r := range q.rows {
			probed = max(probed, len(r.attempts))
			if len(r.attempts) > 2 && r.Attempts-r.Base > 2 {
				t.Errorf("%s: %d attempts count of %d", r.ID, r.Attempts-r.Base, r.Attempts)
			}
		}
		q.mu.Unlock()
		if probed < 40 {
			t.Errorf("no delivery was probed more than %d times", probed)
		}
	})
}

// Four of five fail: no ten in a row, but the breaker opens all the same; with one
// of five it never does.
func TestTheShareOfFailuresOpens(t *testing.T) {
	for _, tt := range []struct {
		name string
		good func(n int64) bool
		want bool
	}{
		{"four of five fail", func(n int64) bool { return n%5 == 0 }, true},
		{"one of five fails", func(n int64) bool { return n%5 != 0 }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newMemory(t)
			var n atomic.Int64
			f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error {
				if !tt.good(n.Add(1)) {
					return hub.E(hub.Transient, "status 500")
				}
				return nil
			})
			q.add(q.endpoint("a"), 2000)
			stop := start(t, q, f, nil)
			defer stop()
			time.Sleep(10 * time.Minute)
			if opened := len(q.news) > 0; opened != tt.want {
				t.Errorf("%s: %v, opened %v", tt.name, q.states(nil), opened)
			}
		})
	}
}

// Who answers 429 with Retry-After is there: that opens nothing.
func TestThrottlingOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error {
			return &hub.Error{Kind: hub.RateLimited, Msg: "status 429", RetryAfter: time.Second}
		})
		e := q.endpoint("a")
		e.Retry = &hub.RetryPolicy{Initial: hub.Duration(time.Second), Factor: 1, Attempts: 50}
		q.add(e, 5)
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(20 * time.Minute)
		if len(q.news) > 0 {
			t.Errorf("told %v", q.news)
		}
	})
}

// A probe waits for as long as the far side asked for.
func TestAProbeRespectsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, d := newMemory(t), new(door)
		d.shut.Store(true)
		f := newFar(func(ctx context.Context, e *hub.Endpoint, x *hub.Delivery) error {
			if err := d.send(ctx, e, x); err == nil || !x.Probe {
				return err
			}
			return &hub.Error{Kind: hub.Transient, Msg: "status 503", RetryAfter: 2 * time.Hour}
		})
		q.add(q.endpoint("a"), 100)
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(10 * time.Minute)
		begin := time.Now()
		time.Sleep(100 * time.Minute)
		if n := d.attempts(begin); n != 0 {
			t.Errorf("%d attempts while the far side wants to be left alone", n)
		}
		time.Sleep(30 * time.Minute)
		if n := d.attempts(begin); n != 1 {
			t.Errorf("%d attempts after that, want one probe", n)
		}
	})
}

// With the breaker open, others go on as if nothing were.
func TestAnOpenBreakerIsNobodyElsesMatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(_ context.Context, e *hub.Endpoint, _ *hub.Delivery) error {
			if e.ID[0] == 'b' {
				return hub.E(hub.Transient, "connection refused")
			}
			return nil
		})
		for i := range 20 {
			q.add(q.endpoint(fmt.Sprintf("bad%d", i)), 100)
		}
		h := q.endpoint("healthy")
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(10 * time.Minute)
		for range 100 {
			q.add(h, 10)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		all := healthy(q)
		if len(all) != 1000 || all[990] > 20*time.Millisecond {
			t.Errorf("%d of 1000 succeeded, 99 %% within %v", len(all), all[len(all)*99/100])
		}
	})
}

func TestTheReceiversWish(t *testing.T) {
	for _, tt := range []struct {
		control string
		err     error
		state   hub.DeliveryState
		enabled bool
	}{
		{hub.ControlDisable, nil, hub.DeliverySucceeded, false},
		{hub.ControlDisable, hub.E(hub.Transient, "status 500"), hub.DeliveryHeld, false},
		{hub.ControlAbort, nil, hub.DeliverySucceeded, true},
		{hub.ControlAbort, hub.E(hub.Transient, "status 500"), hub.DeliveryDead, true},
		{"", hub.E(hub.Transient, "status 500"), hub.DeliveryRetrying, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			q, f := newMemory(t), newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error { return tt.err })
			f.control = tt.control
			q.add(q.endpoint("a"), 1)
			stop := start(t, q, f, nil)
			defer stop()
			synctest.Wait()
			d, e := q.one(), q.endpoints["a"]
			if d.State != tt.state || e.Enabled != tt.enabled || len(d.attempts) != 1 || d.attempts[0].Control != tt.control {
				t.Errorf("%q with %v: %s, endpoint enabled %v, attempts %+v", tt.control, tt.err, d.State, e.Enabled, d.attempts)
			}
			if tt.state == hub.DeliveryDead && d.Fault != relay.FaultEndpoint {
				t.Errorf("fault is %q", d.Fault)
			}
		})
	}
}

// A worker that lost its lease records nothing over what its heir did.
func TestAnOutcomeCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(takes(time.Second))
		q.add(q.endpoint("a"), 1)
		stop := start(t, q, f, nil)
		time.Sleep(500 * time.Millisecond)
		q.mu.Lock() // another one has it by now, and is done with it
		q.rows["dlv_000000"].Lease, q.rows["dlv_000000"].State = "", hub.DeliverySucceeded
		q.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if d := q.one(); d.State != hub.DeliverySucceeded || len(d.attempts) != 0 || q.stale != 1 {
			t.Errorf("%s with %d attempts, %d stale outcomes; want it left as it was", d.State, len(d.attempts), q.stale)
		}
	})
}
