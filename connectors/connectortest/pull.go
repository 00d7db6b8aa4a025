package connectortest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/connectors"
)

// throughTrouble lives through two rough days and compares at the end.
func throughTrouble(t *testing.T, c Case) {
	for seed := range uint64(3) {
		b := newBench(t, c, seed, nil)
		r := rand.New(rand.NewPCG(seed, 2))
		b.far.Add(c.Items)
		b.store.Fail(r, 0.05)
		b.start()
		for round := range 40 {
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Minute))))
			b.disturb(r, round)
		}
		b.far.Token(true)
		b.far.Kind(true)
		b.store.Fail(nil, 0)
		b.settle(24 * time.Hour)
		if twice := b.store.twice(c.Seen); twice != "" {
			t.Errorf("seed %d: %s", seed, twice)
		}
		b.checkViolations()
		b.halt()
	}
}

// disturb does one thing to the far side or to the connector.
func (b *bench) disturb(r *rand.Rand, round int) {
	b.far.Token(round%20 != 13) // bad for one round in twenty
	switch r.IntN(4) {
	case 0:
		b.far.Add(1 + r.IntN(20))
	case 1:
		b.restart()
	default:
		for range 1 + r.IntN(30) {
			b.far.Change(r)
			time.Sleep(time.Duration(r.IntN(3)) * time.Second) // while somebody pages
		}
	}
}

// restart takes a moment, because a new process knows nothing of what the far
// side said about its limits.
func (b *bench) restart() {
	b.halt()
	time.Sleep(5 * time.Second)
	b.start()
}

// prompt changes things between two pulls: the next one tells all of it.
func prompt(t *testing.T, c Case) {
	b := newBench(t, c, 2, nil)
	r := rand.New(rand.NewPCG(2, 2))
	b.far.Kind(true)
	b.far.Add(c.Items)
	b.start()
	b.settle(24 * time.Hour)
	for round := range 20 {
		b.rest()
		b.far.Add(r.IntN(10))
		for range 1 + r.IntN(20) {
			b.far.Change(r)
		}
		before := b.loop.State().LastSuccess
		if err := b.loop.Sync(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Hour); !b.loop.State().LastSuccess.After(before) && time.Now().Before(deadline); {
			time.Sleep(time.Second)
		}
		if late := b.store.difference(b.far.State(), c.Seen); late != "" {
			t.Fatalf("round %d, after a whole pull: %s", round, late)
		}
	}
	b.checkViolations()
}

// rest waits, a little longer than for the next second, until no pull runs.
func (b *bench) rest() {
	time.Sleep(1500 * time.Millisecond)
	for b.loop.State().Phase != connectors.PhaseWaiting {
		time.Sleep(time.Second)
	}
}

// quiet restarts a connector whose source has not changed: nothing is made.
func quiet(t *testing.T, c Case) {
	b := newBench(t, c, 1, nil)
	b.far.Kind(true)
	b.far.Add(c.Items)
	b.start()
	b.settle(24 * time.Hour)
	before := b.store.Len()
	for range 3 {
		b.halt()
		b.start()
		time.Sleep(10 * time.Minute)
	}
	if s := b.loop.State(); s.LastSuccess.Before(time.Now().Add(-10 * time.Minute)) {
		t.Fatalf("no pull succeeded after the restart: %+v", s)
	}
	if after := b.store.Len(); after != before {
		t.Errorf("a source without change made %d findings more", after-before)
	}
	b.checkViolations()
}

// backsOff lets every call fail for an hour: the calls become fewer, and what
// came meanwhile arrives afterwards.
func backsOff(t *testing.T, c Case) {
	var down atomic.Bool
	var calls atomic.Int64
	b := newBench(t, c, 1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			if down.Load() {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	b.far.Kind(true)
	down.Store(true)
	b.far.Add(3)
	b.start()
	time.Sleep(time.Hour)
	// Doubling from a second to five minutes gives about 20 pulls an hour.
	if n := calls.Load(); n < 5 || n > 80 {
		t.Errorf("a source that was down for an hour got %d calls, want 5 to 80", n)
	}
	if s := b.loop.State(); s.LastError == nil || s.LastError.Advice == "" || s.Failures < 5 {
		t.Errorf("a failing connector says %+v; want an error with advice and the failures", s)
	}
	down.Store(false)
	b.settle(time.Hour)
	if s := b.loop.State(); s.LastError != nil || s.Failures != 0 {
		t.Errorf("a connector that works again says %+v", s)
	}
}

// keepsRetryAfter answers 429 once and wants silence until the time is over,
// whatever people press.
func keepsRetryAfter(t *testing.T, c Case) {
	const wait = 10 * time.Minute
	var until atomic.Int64
	var early atomic.Int64
	b := newBench(t, c, 1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			now := time.Now()
			if until.CompareAndSwap(0, now.Add(wait).UnixNano()) {
				w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return
			}
			if now.UnixNano() < until.Load() {
				early.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	b.far.Kind(true)
	b.far.Add(3)
	b.start()
	for range 8 {
		time.Sleep(time.Minute)
		if err := b.loop.Sync(); err != nil {
			t.Fatalf("sync: %v", err)
		}
	}
	b.loop.Pause()
	b.loop.Resume()
	time.Sleep(time.Minute)
	if n := early.Load(); n > 0 {
		t.Errorf("%d calls came before Retry-After was over", n)
	}
	b.settle(time.Hour)
}

// showsNoSecret answers with every kind of refusal, and repeats in it what it
// was sent.
func showsNoSecret(t *testing.T, c Case) {
	statuses := []int{200, 302, 400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 502, 503}
	var n atomic.Int64
	b := newBench(t, c, 1, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := statuses[int(n.Add(1))%len(statuses)]
			w.Header().Set("Location", "http://elsewhere.example/?t="+r.Header.Get("Authorization"))
			w.WriteHeader(status)
			fmt.Fprintf(w, "%v %v", r.Header, r.URL)
			if status == 418 {
				panic(http.ErrAbortHandler)
			}
		})
	})
	b.start()
	for range 30 {
		time.Sleep(10 * time.Minute)
		b.log.WriteString(b.shown())
		_ = b.loop.Sync()
	}
	if n.Load() < int64(len(statuses)) {
		t.Errorf("only %d calls were made", n.Load())
	}
}

// endsAtOnce stops a connector whose far side does not answer.
func endsAtOnce(t *testing.T, c Case) {
	asked := make(chan struct{}, 1)
	b := newBench(t, c, 1, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case asked <- struct{}{}:
			default:
			}
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the caller has left
			<-r.Context().Done()
		})
	})
	b.start()
	<-asked
	start := time.Now()
	b.halt()
	if took := time.Since(start); took > time.Second {
		t.Errorf("a call that hangs held the end up for %v", took)
	}
}
