// Package ratelimit says how many requests a caller may still make.
//
// The rule is GCRA, the leaky bucket told as a time: a key may make Burst
// requests at once, and gets one more every 1/PerMinute minutes. All that is
// kept for a key is one number, the moment at which its allowance is whole
// again; a key whose moment has passed is as good as one never seen, so it can
// be forgotten. Counts are of this process only.
package ratelimit

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// A Limit is what one key may do. The zero Limit allows everything.
type Limit struct {
	PerMinute int // requests a minute in the long run; 0 for no limit
	Burst     int // requests at once; less than 1 is 1
}

// Unlimited reports whether l allows everything.
func (l Limit) Unlimited() bool { return l.PerMinute <= 0 }

// interval is how long one request costs, rounded up so that a minute never
// holds more than PerMinute of them beside the burst.
func (l Limit) interval() int64 {
	n := int64(l.PerMinute)
	return (int64(time.Minute) + n - 1) / n
}

// A Result is the answer for one request, with what response headers tell.
type Result struct {
	Allowed   bool
	Limit     Limit
	Remaining int       // requests that would be allowed right now; 0 if not limited
	Reset     time.Time // when the whole burst is there again
	// RetryAfter is how long until the next request is allowed, 0 if Allowed.
	// A request made exactly then is allowed unless another of the key came first.
	RetryAfter time.Duration
}

const (
	shards = 64
	// sweepEvery is how often a shard in use forgets the keys that are whole again.
	sweepEvery = time.Minute
	// sweepFull is how often it may look for such keys because it is full; a
	// flood of new keys would otherwise make every request pay for a sweep.
	sweepFull = time.Second
	// sample is among how many keys the victim is chosen when a full shard holds
	// none that is whole again.
	sample = 8
)

// A Limiter keeps count for any number of keys. Its methods may be called by
// any number of goroutines; two keys seldom wait for each other.
type Limiter struct {
	start time.Time // times are kept as nanoseconds since then, which no clock change moves
	seed  maphash.Seed
	most  int // keys a shard holds
	shard [shards]shard
}

type shard struct {
	mu sync.Mutex // guards the rest
	// whole is, for a key, when its allowance is whole again.
	whole  map[string]int64
	sweepT int64 // last sweep
	_      [40]byte
}

// New makes a limiter that remembers about maxKeys keys, each some 100 bytes.
// When more are active at the same time, the one nearest to a whole allowance
// among a few is forgotten: it gets at most one burst too many.
func New(maxKeys int) *Limiter {
	return &Limiter{
		start: time.Now(), seed: maphash.MakeSeed(),
		most: max(1, (maxKeys+shards-1)/shards),
	}
}

// Allow counts one request of key against l and says whether it may go on. A
// refused request costs nothing. Key is copied if it is kept. The same key may
// come with another limit than before; what it has used up stays used up.
func (r *Limiter) Allow(key string, l Limit) Result {
	now := time.Now()
	if l.Unlimited() {
		return Result{Allowed: true, Limit: l, Reset: now}
	}
	l.Burst = max(1, l.Burst)
	cost := l.interval()
	t := int64(now.Sub(r.start))

	s := &r.shard[maphash.String(r.seed, key)%shards]
	s.mu.Lock()
	whole, known := s.whole[key]
	before := max(whole, t)
	// The allowance that is missing after this request may not exceed the burst.
	over := before + cost - t - cost*int64(l.Burst)
	if over <= 0 {
		s.put(key, before+cost, t, known, r.most)
	}
	s.mu.Unlock()

	if over > 0 {
		return Result{Limit: l, Reset: now.Add(time.Duration(before - t)), RetryAfter: time.Duration(over)}
	}
	return Result{
		Allowed: true, Limit: l,
		Remaining: int(-over / cost),
		Reset:     now.Add(time.Duration(before + cost - t)),
	}
}

// Len gives the number of keys that are remembered.
func (r *Limiter) Len() int {
	n := 0
	for i := range r.shard {
		s := &r.shard[i]
		s.mu.Lock()
		n += len(s.whole)
		s.mu.Unlock()
	}
	return n
}

// put records the moment for key; s.mu is held.
func (s *shard) put(key string, whole, now int64, known bool, most int) {
	if known {
		s.whole[key] = whole
		return
	}
	if s.whole == nil {
		s.whole = map[string]int64{}
	}
	age := time.Duration(now - s.sweepT)
	if age >= sweepEvery || len(s.whole) >= most && age >= sweepFull {
		s.sweep(now)
	}
	if len(s.whole) >= most {
		s.evict()
	}
	// The caller's key may lie in a buffer that is used again.
	s.whole[strings.Clone(key)] = whole
}

// sweep forgets every key that is whole again.
func (s *shard) sweep(now int64) {
	s.sweepT = now
	for key, whole := range s.whole {
		if whole <= now {
			delete(s.whole, key)
		}
	}
}

// evict forgets, of a few keys, the one that has least to lose. A map's order
// is random enough for that.
func (s *shard) evict() {
	victim, earliest, n := "", int64(0), 0
	for key, whole := range s.whole {
		if n == 0 || whole < earliest {
			victim, earliest = key, whole
		}
		if n++; n == sample {
			break
		}
	}
	delete(s.whole, victim)
}
