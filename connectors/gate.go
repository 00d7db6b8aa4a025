package connectors

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Gate keeps one credential within its vendor's rate limits, by what the
// vendor said last: Retry-After on 429 and 503, and X-RateLimit-Remaining with
// -Reset on everything. It never waits; it says when to come back.
//
// The last tenth of the allowance is left to calls that somebody waits for
// (playbook actions, tests); pulls turn back there. The zero value is open.
type Gate struct {
	mu        sync.Mutex // guards all below
	closed    time.Time  // no call before this: the vendor said so
	remaining int        // calls left until reset
	reserve   int        // of which pulls leave this many
	reset     time.Time  // zero: the vendor told nothing
}

const (
	// maxRetryAfter bounds what a vendor can make us wait (contract §4).
	maxRetryAfter = 24 * time.Hour
	// maxReset bounds X-RateLimit-Reset, whose unit vendors disagree on.
	maxReset = time.Hour
	// epochFrom tells a Reset in Unix seconds from one in seconds to wait.
	epochFrom = 100_000_000
)

// Allow says whether a call may be made now; if not, the error is of kind
// RateLimited and says when. urgent calls may use the reserve.
func (g *Gate) Allow(now time.Time, urgent bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.closed) {
		return throttled(g.closed.Sub(now))
	}
	left := g.remaining
	if !urgent {
		left -= g.reserve
	}
	if left <= 0 && now.Before(g.reset) {
		return throttled(g.reset.Sub(now))
	}
	if now.Before(g.reset) {
		g.remaining-- // until the answer tells better
	}
	return nil
}

func throttled(wait time.Duration) error {
	err := hub.E(hub.RateLimited, "the source system's rate limit is used up; the connector goes on by itself")
	err.RetryAfter = wait
	return err
}

// Note takes in what an answer said about limits and gives how long the vendor
// asks us to stay away, 0 if it does not.
func (g *Gate) Note(now time.Time, status int, h http.Header) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	told := g.noteRemaining(now, h)
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	wait := retryAfter(now, h)
	if wait == 0 && status == http.StatusTooManyRequests && told && g.remaining == 0 {
		wait = max(g.reset.Sub(now), 0) // some vendors tell it in this way only
	}
	if until := now.Add(wait); wait > 0 && until.After(g.closed) {
		g.closed = until
	}
	return wait
}

// noteRemaining takes in how many calls are left until when; false if that is not told.
func (g *Gate) noteRemaining(now time.Time, h http.Header) bool {
	remaining, err1 := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	reset, err2 := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if err1 != nil || err2 != nil || remaining < 0 || reset < 0 {
		return false
	}
	wait := time.Duration(min(reset, epochFrom)) * time.Second
	if reset >= epochFrom {
		wait = time.Unix(reset, 0).Sub(serverTime(now, h))
	}
	g.remaining = remaining
	g.reset = now.Add(min(max(wait, 0), maxReset))
	g.reserve = allowance(h) / 10
	return true
}

// allowance is how many calls can be made at once: the burst if the vendor
// tells one, else the limit.
func allowance(h http.Header) int {
	for _, name := range []string{"X-RateLimit-Burst", "X-RateLimit-Limit"} {
		if n, err := strconv.Atoi(h.Get(name)); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// retryAfter reads Retry-After as seconds or as a date, 0 if there is none.
func retryAfter(now time.Time, h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil {
		return min(max(time.Duration(min(seconds, 1<<20))*time.Second, 0), maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(serverTime(now, h)), 0), maxRetryAfter)
	}
	return 0
}

// serverTime is the vendor's clock at its answer: the times it names are its
// own, and ours may differ.
func serverTime(now time.Time, h http.Header) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}
