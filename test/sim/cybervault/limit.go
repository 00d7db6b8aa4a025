package cybervault

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// A tier is a row of the document's table of rate limits.
type tier struct{ perMinute, burst int }

var tiers = map[string]tier{
	"starter":      {60, 15},
	"professional": {300, 50},
	"enterprise":   {1200, 200},
}

// A bucket holds what one API key may still send: it refills at the tier's
// rate and never holds more than the burst.
type bucket struct {
	tokens float64
	at     time.Time
}

// A state is what the headers of one response tell.
type state struct {
	remaining int
	reset     time.Time     // the whole burst is free again
	wait      time.Duration // until the next request is allowed; 0 if this one was
}

// take takes one token from the key's bucket, if there is one.
func (s *Sim) take(key string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, rate := s.Now(), float64(s.tier.perMinute)/60
	b := s.buckets[key]
	if b == nil {
		b = &bucket{tokens: float64(s.tier.burst), at: now}
		s.buckets[key] = b
	}
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*rate, float64(s.tier.burst))
	b.at = now
	var st state
	if b.tokens >= 1 {
		b.tokens--
	} else {
		st.wait = time.Duration((1 - b.tokens) / rate * float64(time.Second))
	}
	st.remaining = int(b.tokens)
	st.reset = now.Add(time.Duration((float64(s.tier.burst) - b.tokens) / rate * float64(time.Second)))
	return st
}

func (s *Sim) headers(w http.ResponseWriter, st state) {
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(s.tier.perMinute))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(st.remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(int64(math.Ceil(float64(st.reset.UnixNano())/1e9)), 10))
	h.Set("X-RateLimit-Burst", strconv.Itoa(s.tier.burst))
	// The server's own clock, which need not be the machine's.
	h.Set("Date", s.Now().UTC().Format(http.TimeFormat))
}
