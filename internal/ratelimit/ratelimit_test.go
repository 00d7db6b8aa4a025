package ratelimit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBurstThenRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(100)
		starter, _ := Starter.Limit()
		start := time.Now()
		for i := range 15 {
			got := l.Allow("k", starter)
			want := Result{Allowed: true, Limit: starter, Remaining: 14 - i, Reset: start.Add(time.Duration(i+1) * time.Second)}
			if got != want {
				t.Fatalf("request %d: got %+v, want %+v", i+1, got, want)
			}
		}
		got := l.Allow("k", starter)
		want := Result{Limit: starter, Reset: start.Add(15 * time.Second), RetryAfter: time.Second}
		if got != want {
			t.Errorf("request 16: got %+v, want %+v", got, want)
		}
		if !l.Allow("other", starter).Allowed {
			t.Error("another key pays for the first")
		}
		time.Sleep(time.Second - 1)
		if got := l.Allow("k", starter); got.Allowed || got.RetryAfter != 1 {
			t.Errorf("one nanosecond early: %+v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := l.Allow("k", starter); !got.Allowed || got.Remaining != 0 {
			t.Errorf("after a second: %+v, want one more and no further", got)
		}
	})
}

func TestPlans(t *testing.T) {
	for plan, want := range map[Plan]Limit{
		Starter: {60, 15}, Professional: {300, 50}, Enterprise: {1200, 200}, Unlimited: {},
	} {
		if got, ok := plan.Limit(); got != want || !ok {
			t.Errorf("%s: got %v, %v; want %v", plan, got, ok, want)
		}
	}
	if _, ok := Plan("gold").Limit(); ok {
		t.Error("a plan that does not exist has a limit")
	}
}

func TestUnlimitedKeepsNothing(t *testing.T) {
	l := New(100)
	for i := range 1000 {
		if got := l.Allow(fmt.Sprint(i), Limit{}); !got.Allowed || got.Reset.IsZero() {
			t.Fatalf("got %+v", got)
		}
	}
	if l.Len() != 0 {
		t.Errorf("%d keys are kept for nothing", l.Len())
	}
}

func TestBurstBelowOneIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1)
		for _, want := range []bool{true, false} {
			if got := l.Allow("k", Limit{PerMinute: 1}); got.Allowed != want || got.Limit.Burst != 1 {
				t.Errorf("got %+v, want allowed %v", got, want)
			}
		}
	})
}

func TestLowerPlanKeepsWhatWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(100)
		enterprise, _ := Enterprise.Limit()
		for range 200 {
			l.Allow("k", enterprise) // ten seconds' worth
		}
		starter, _ := Starter.Limit()
		if got := l.Allow("k", starter); !got.Allowed || got.Remaining != 4 {
			t.Errorf("got %+v, want 15 − 10 − 1 left", got)
		}
	})
}

// bucket is the same rule told the other way: a bucket of tokens that fills with
// time. It shares no formula with the limiter.
type bucket struct {
	level, cost, capacity int64 // nanoseconds of allowance
	last                  time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.level = min(b.capacity, b.level+int64(now.Sub(b.last)))
	b.last = now
	if b.level < b.cost {
		return false
	}
	b.level -= b.cost
	return true
}

func TestLimiterIsABucketOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { // a bubble has no deadline to ask for
			limit := Limit{PerMinute: rapid.IntRange(30, 5000).Draw(t, "rate"), Burst: rapid.IntRange(1, 300).Draw(t, "burst")}
			l, keys := New(1000), []string{"a", "b", "c"}
			cost := limit.interval()
			model := map[string]*bucket{}
			for _, k := range keys {
				full := cost * int64(limit.Burst)
				model[k] = &bucket{full, cost, full, time.Now()}
			}
			for range rapid.IntRange(1, 200).Draw(t, "requests") {
				time.Sleep(time.Duration(rapid.Int64Range(0, 2*cost).Draw(t, "pause")))
				k := rapid.SampledFrom(keys).Draw(t, "key")
				got, b := l.Allow(k, limit), model[k]
				if want := b.take(time.Now()); got.Allowed != want {
					t.Fatalf("%s: allowed %v, want %v", k, got.Allowed, want)
				}
				checkResult(t, got, b)
			}
		})
	})
}

// checkResult compares what the caller is told with the bucket.
func checkResult(t *rapid.T, got Result, b *bucket) {
	if want := int(b.level / b.cost); got.Remaining != want {
		t.Fatalf("remaining %d, want %d", got.Remaining, want)
	}
	if want := time.Duration(b.capacity - b.level); got.Reset.Sub(b.last) != want {
		t.Fatalf("reset in %v, want %v", got.Reset.Sub(b.last), want)
	}
	if want := time.Duration(b.cost - b.level); !got.Allowed && got.RetryAfter != want {
		t.Fatalf("retry after %v, want %v", got.RetryAfter, want)
	}
	if got.Allowed && got.RetryAfter != 0 {
		t.Fatalf("allowed, yet retry after %v", got.RetryAfter)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 640
		l, limit := New(most), Limit{PerMinute: 1, Burst: 5}
		for range 5 {
			l.Allow("steady", limit)
		}
		for i := range 20 * most { // all active at once
			if !l.Allow(fmt.Sprint("flood", i), limit).Allowed {
				t.Fatalf("new key %d refused", i)
			}
		}
		if l.Len() > most {
			t.Errorf("%d keys kept, want at most %d", l.Len(), most)
		}
		// The key with most to lose is not the one that is forgotten.
		if l.Allow("steady", limit).Allowed {
			t.Error("a flood of new keys gave an exhausted one a new burst")
		}
	})
}

func TestSweepForgetsIdleKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, limit := New(100_000), Limit{PerMinute: 60, Burst: 1}
		for i := range 10_000 {
			l.Allow(fmt.Sprint(i), limit)
		}
		time.Sleep(sweepEvery)
		for i := range 1000 { // some in every shard
			l.Allow(fmt.Sprint("new", i), limit)
		}
		if l.Len() > 1000 {
			t.Errorf("%d keys kept, want the 1000 in use", l.Len())
		}
	})
}

func TestKeyIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, limit := New(100), Limit{PerMinute: 1, Burst: 1}
		buf := []byte("alice")
		l.Allow(unsafeString(buf), limit)
		copy(buf, "mallo")
		if l.Allow("alice", limit).Allowed {
			t.Error("the key changed with the caller's buffer")
		}
	})
}

func TestOverlappingCallersShareOneBurst(t *testing.T) {
	l, limit := New(100), Limit{PerMinute: 1, Burst: 100}
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if l.Allow("k", limit).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d of 400 allowed, want the burst of 100", allowed.Load())
	}
}

func BenchmarkAllow(b *testing.B) {
	l, limit := New(100_000), Limit{PerMinute: 1200, Burst: 200}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Allow("key_01J9", limit)
		}
	})
}

// unsafeString is how a web framework hands out text without copying it.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }
