package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

func TestDeliversEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(5*time.Millisecond))
		q.takes = 3 * time.Millisecond
		a, b := q.endpoint("a"), q.endpoint("b")
		q.add(a, 1000)
		stop := start(t, q, f, nil)
		q.add(b, 1000)
		time.Sleep(10 * time.Second)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 2000 {
			t.Errorf("%v, want 2000 succeeded", q.states(nil))
		}
		if d, s := f.count(); d != 2000 || s != 2000 {
			t.Errorf("%d sends of %d deliveries, want each once", s, d)
		}
		if f.most > 16 {
			t.Errorf("%d sends at a time, want at most 16", f.most)
		}
		if q.batches > 1000 {
			t.Errorf("%d transactions for 2000 outcomes", q.batches)
		}
		stop()
	})
}

// What comes while the worker is idle is sent at once.
func TestWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(0))
		e := q.endpoint("a")
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(time.Hour)
		q.add(e, 1)
		synctest.Wait()
		if s := q.one().State; s != hub.DeliverySucceeded {
			t.Errorf("state is %s without any time passing", s)
		}
	})
}

func TestFollowsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error { return hub.E(hub.Transient, "status 500") })
		q.add(q.endpoint("a"), 1)
		begin := time.Now()
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(100 * time.Hour)
		want, at := []time.Duration{0}, time.Duration(0)
		for _, d := range relay.DefaultSchedule() {
			at += time.Duration(d)
			want = append(want, at)
		}
		got := f.times("dlv_000000")
		if len(got) != len(want) {
			t.Fatalf("%d attempts, want %d", len(got), len(want))
		}
		for i := range got {
			// Times are kept to the microsecond, and a timer is never early.
			if off := got[i].Sub(begin) - want[i]; off < 0 || off > 50*time.Millisecond {
				t.Errorf("attempt %d after %v, want %v", i+1, got[i].Sub(begin), want[i])
			}
		}
		if d := q.one(); d.State != hub.DeliveryDead || d.Fault != relay.FaultEndpoint || len(d.attempts) != 10 {
			t.Errorf("ends as %s, fault %q, %d attempts recorded", d.State, d.Fault, len(d.attempts))
		}
	})
}

func TestARestartNeitherRepeatsNorSkipsAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error { return hub.E(hub.Transient, "status 500") })
		q.add(q.endpoint("a"), 1)
		begin := time.Now()
		for range 200 {
			stop := start(t, q, f, nil)
			time.Sleep(30 * time.Minute)
			stop()
		}
		got, at := f.times("dlv_000000"), time.Duration(0)
		if len(got) != 10 {
			t.Fatalf("%d attempts, want 10", len(got))
		}
		for i, d := range relay.DefaultSchedule() {
			at += time.Duration(d)
			if off := got[i+1].Sub(begin) - at; off < 0 || off > time.Second {
				t.Errorf("attempt %d after %v, want %v", i+2, got[i+1].Sub(begin), at)
			}
		}
	})
}

func TestRetryAfterIsAFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error {
			return &hub.Error{Kind: hub.RateLimited, Msg: "status 429", RetryAfter: time.Minute}
		})
		q.add(q.endpoint("a"), 1)
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(59 * time.Second)
		if n := len(f.times("dlv_000000")); n != 1 {
			t.Errorf("%d attempts before Retry-After is over", n)
		}
		time.Sleep(2 * time.Second)
		if n := len(f.times("dlv_000000")); n != 2 {
			t.Errorf("%d attempts after it, want 2", n)
		}
	})
}

// What one delivery is told in a Retry-After holds for all of its endpoint, and
// for no other.
func TestRetryAfterPausesTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		begin, early, others := time.Now(), 0, 0
		var mu sync.Mutex
		f := newFar(func(_ context.Context, e *hub.Endpoint, _ *hub.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Name == "b" {
				others++
				return nil
			}
			early++
			if time.Since(begin) < time.Minute {
				return &hub.Error{Kind: hub.RateLimited, Msg: "status 429", RetryAfter: time.Minute}
			}
			return nil
		})
		a, b := q.endpoint("a"), q.endpoint("b")
		a.Name, b.Name = "a", "b"
		q.add(a, 50)
		q.add(b, 50)
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(59 * time.Second)
		mu.Lock()
		if early > 2 || others != 50 { // a second send may have been under way
			t.Errorf("%d sends before Retry-After is over, and %d to the other endpoint; want at most 2, and 50", early, others)
		}
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if early < 51 {
			t.Errorf("%d sends in all, want all 50 again", early)
		}
	})
}

// Several workers on one queue: while a lease holds, nobody else sends.
func TestNoDoubleSendWhileALeaseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(20*time.Millisecond))
		e := q.endpoint("a")
		q.add(e, 500)
		var stops []func()
		for range 4 {
			stops = append(stops, start(t, q, f, nil))
		}
		time.Sleep(5 * time.Minute)
		if d, s := f.count(); d != 500 || s != 500 {
			t.Errorf("%d sends of %d deliveries, want 500 of 500", s, d)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// dying is the queue of a process that dies while it sends: it claims once and
// records nothing.
type dying struct {
	*memory
	claims *int
}

func (d dying) Claim(ctx context.Context, limit int, lease time.Duration, rooms map[hub.EndpointID]int) ([]relay.Job, error) {
	if *d.claims++; *d.claims > 1 {
		return nil, errors.New("dead")
	}
	return d.memory.Claim(ctx, limit, lease, rooms)
}

func (dying) Record(context.Context, []relay.Outcome) error { return errors.New("dead") }

func TestACrashRepeatsAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(time.Millisecond))
		for i := range 10 {
			q.add(q.endpoint(fmt.Sprint(i)), 1)
		}
		kill := start(t, dying{q, new(int)}, f, nil)
		synctest.Wait()
		time.Sleep(time.Second)
		stop := start(t, q, f, nil)
		time.Sleep(5 * time.Minute)
		if _, s := f.count(); s != 10 {
			t.Errorf("%d sends before the lease ended, want 10", s)
		}
		time.Sleep(2 * time.Minute)
		if d, s := f.count(); d != 10 || s != 20 || q.states(nil)[hub.DeliverySucceeded] != 10 {
			t.Errorf("%d sends of %d deliveries, %v; want each sent again once, and succeeded", s, d, q.states(nil))
		}
		stop()
		kill()
	})
}

// early is a queue whose leases began long before it gave them.
type early struct{ *memory }

func (q early) Claim(ctx context.Context, limit int, _ time.Duration, rooms map[hub.EndpointID]int) ([]relay.Job, error) {
	return q.memory.Claim(ctx, limit, 15*time.Second, rooms)
}

func TestNothingIsSentThatCannotEndWithinItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(time.Millisecond))
		q.add(q.endpoint("a"), 1)
		stop := start(t, early{q}, f, nil)
		time.Sleep(time.Second)
		if n, _ := f.count(); n != 0 {
			t.Error("sent, though an attempt of 15 s does not fit into what is left of the lease")
		}
		stop()
		stop = start(t, q, f, nil)
		time.Sleep(time.Minute)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 1 {
			t.Errorf("%v after the lease, want 1 succeeded", q.states(nil))
		}
		stop()
	})
}

func TestOutcomesOutliveAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(time.Millisecond))
		q.add(q.endpoint("a"), 100)
		q.fail, q.failures = hub.E(hub.Transient, "disk full"), 8
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(5 * time.Minute)
		if d, s := f.count(); d != 100 || s != 100 || q.states(nil)[hub.DeliverySucceeded] != 100 {
			t.Errorf("%d sends of %d deliveries, %v; want 100 each once", s, d, q.states(nil))
		}
	})
}

func TestADeletedDeliveryDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(time.Millisecond))
		q.takes = 10 * time.Millisecond // so that outcomes are recorded together
		q.add(q.endpoint("a"), 50)
		q.deleted["dlv_000007"] = true
		stop := start(t, q, f, nil)
		defer stop()
		time.Sleep(time.Minute)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 49 {
			t.Errorf("%v, want 49 succeeded", q.states(nil))
		}
	})
}

// slowly is a queue that takes long to record.
type slowly struct{ *memory }

func (q slowly) Record(ctx context.Context, outcomes []relay.Outcome) error {
	time.Sleep(time.Second)
	return q.memory.Record(ctx, outcomes)
}

func TestGoneSwitchesOffAndHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(context.Context, *hub.Endpoint, *hub.Delivery) error { return hub.E(hub.Gone, "410 Gone") })
		e := q.endpoint("a")
		q.add(e, 2000)
		stop := start(t, slowly{q}, f, nil)
		defer stop()
		time.Sleep(time.Minute)
		if _, s := f.count(); s != 1 {
			t.Errorf("%d sends to an endpoint that is gone, want the one that found it out", s)
		}
		if n := q.states(nil)[hub.DeliveryHeld]; n != 2000 || q.endpoints["a"].Disabled != "410 Gone" {
			t.Errorf("%v, disabled %q; want 2000 held", q.states(nil), q.endpoints["a"].Disabled)
		}
		q.endpoint("a") // switched on again
		f.do = takes(0)
		q.mu.Lock()
		for _, r := range q.rows {
			r.State, r.DueAt = hub.DeliveryPending, time.Now()
			q.order = append(q.order, r)
		}
		q.mu.Unlock()
		q.wake <- struct{}{}
		time.Sleep(time.Minute)
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 2000 {
			t.Errorf("%v after it was switched on, want 2000 succeeded", q.states(nil))
		}
	})
}

func TestWithoutAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(0))
		off := q.endpoint("off")
		off.Enabled = false
		unknown := q.endpoint("unknown")
		unknown.Kind = "carrier pigeon"
		q.add(off, 3)
		q.add(unknown, 2)
		q.add(&hub.Endpoint{ID: "deleted", Kind: "test"}, 1)
		stop := start(t, q, f, nil)
		defer stop()
		synctest.Wait()
		if d, _ := f.count(); d != 0 {
			t.Errorf("%d deliveries were sent", d)
		}
		if n := q.states(off)[hub.DeliveryHeld]; n != 3 {
			t.Errorf("of an endpoint that is off: %v, want 3 held", q.states(off))
		}
		for id, fault := range map[hub.DeliveryID]string{"dlv_000003": relay.FaultHub, "dlv_000005": relay.FaultEndpoint} {
			if d := q.rows[id]; d.State != hub.DeliveryDead || d.Fault != fault || d.Error == "" {
				t.Errorf("%s is %s, fault %q, error %q; want dead, fault %s", id, d.State, d.Fault, d.Error, fault)
			}
		}
	})
}

func TestAPanicStaysWithItsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(_ context.Context, _ *hub.Endpoint, d *hub.Delivery) error {
			if d.ID == "dlv_000000" {
				panic("s3cret")
			}
			return nil
		})
		q.add(q.endpoint("a"), 2)
		stop := start(t, q, f, nil)
		defer stop()
		synctest.Wait()
		if d := q.one(); d.State != hub.DeliveryDead || d.Fault != relay.FaultHub || len(d.attempts) != 1 {
			t.Errorf("%s, fault %q; want dead by the hub's fault", d.State, d.Fault)
		}
		if n := q.states(nil)[hub.DeliverySucceeded]; n != 1 {
			t.Errorf("%v, want the other one succeeded", q.states(nil))
		}
	})
}

func TestTimeLimits(t *testing.T) {
	tests := []struct {
		name           string
		step, endpoint time.Duration
		want           time.Duration
	}{
		{"the hub's", 0, 0, 15 * time.Second},
		{"the endpoint's", 0, 7 * time.Second, 7 * time.Second},
		{"the step's", 3 * time.Second, 7 * time.Second, 3 * time.Second},
		{"never beyond the lease", 0, time.Hour, 6*time.Minute - 10*time.Second},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			q := newMemory(t)
			f := newFar(func(ctx context.Context, _ *hub.Endpoint, _ *hub.Delivery) error { return hang(ctx) })
			e := q.endpoint("a")
			e.Timeout = hub.Duration(tt.endpoint)
			q.add(e, 1)
			q.rows["dlv_000000"].Options = &hub.DeliveryOptions{Timeout: hub.Duration(tt.step)}
			stop := start(t, q, f, nil)
			defer stop()
			time.Sleep(tt.want + time.Second)
			d := q.one()
			if len(d.attempts) != 1 || time.Duration(d.attempts[0].Duration) != tt.want {
				t.Errorf("%s: attempts %+v, want one of %v", tt.name, d.attempts, tt.want)
			}
		})
	}
}

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(500*time.Millisecond))
		e := q.endpoint("a")
		q.add(e, 100)
		stop := start(t, q, f, nil)
		synctest.Wait()
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stop took %v, want half a second", took)
		}
		d, _ := f.count()
		s := q.states(nil)
		if d == 0 || s[hub.DeliverySucceeded] != d || s[hub.DeliveryPending] != 100-d {
			t.Errorf("%d were sent, states %v; want those succeeded and the others pending", d, s)
		}
		if next, _ := q.NextDue(t.Context(), nil); next.After(time.Now()) {
			t.Errorf("what was given back is due in %v, want now", time.Until(next))
		}
	})
}

func TestStopCutsOffWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(ctx context.Context, _ *hub.Endpoint, _ *hub.Delivery) error { return hang(ctx) })
		q.add(q.endpoint("a"), 1)
		stop := start(t, q, f, func(o *relay.Options) { o.Timeout = time.Minute })
		synctest.Wait()
		begin := time.Now()
		stop()
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("stop took %v, want 10s", took)
		}
		if d := q.one(); d.State != hub.DeliveryPending || d.Attempts != 0 || len(d.attempts) != 0 {
			t.Errorf("%s with %d attempts; want it given back uncounted", d.State, d.Attempts)
		}
	})
}

// stuck is a queue that does not answer.
type stuck struct{ *memory }

func (stuck) Record(ctx context.Context, _ []relay.Outcome) error { <-ctx.Done(); return ctx.Err() }

func TestStopEndsThoughTheStoreIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, f := newMemory(t), newFar(takes(time.Millisecond))
		q.add(q.endpoint("a"), 10)
		stop := start(t, stuck{q}, f, nil)
		time.Sleep(time.Second)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > 16*time.Second {
			t.Errorf("stop took %v", took)
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(t)
		f := newFar(func(_ context.Context, _ *hub.Endpoint, d *hub.Delivery) error {
			if d.ID == "dlv_000000" {
				return hub.E(hub.Invalid, "no")
			}
			return nil
		})
		q.add(q.endpoint("a"), 3)
		reg := prometheus.NewPedanticRegistry()
		stop := start(t, q, f, func(o *relay.Options) { o.Registry = reg })
		synctest.Wait()
		stop()
		got := gathered(t, reg)
		for name, want := range map[string]float64{
			"tocsin_relay_deliveries_total test succeeded": 2,
			"tocsin_relay_deliveries_total test dead":      1,
			"tocsin_relay_attempts_total test succeeded":   2,
			"tocsin_relay_attempts_total test dead":        1,
			"tocsin_relay_in_flight":                       0,
			"tocsin_relay_delivery_seconds test":           2,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
			}
		}
	})
}

func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range all {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
