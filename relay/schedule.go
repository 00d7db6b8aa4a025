package relay

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// MaxRetryAfter is the longest that a far side can put a delivery off.
const MaxRetryAfter = 24 * time.Hour

// DefaultJitter is by what part waits vary.
const DefaultJitter = 0.1

// DefaultSchedule gives the waits after the first try and each further one:
// ten attempts over three days, as Standard Webhooks proposes.
func DefaultSchedule() []hub.Duration {
	return []hub.Duration{
		hub.Duration(5 * time.Second), hub.Duration(5 * time.Minute), hub.Duration(30 * time.Minute),
		hub.Duration(2 * time.Hour), hub.Duration(5 * time.Hour), hub.Duration(10 * time.Hour),
		hub.Duration(14 * time.Hour), hub.Duration(20 * time.Hour), hub.Duration(24 * time.Hour),
	}
}

// policyOf picks the policy of a delivery: the step's, the endpoint's, or the
// hub's. What one leaves out comes from the hub's.
func policyOf(d *hub.Delivery, e *hub.Endpoint, def hub.RetryPolicy) hub.RetryPolicy {
	p := hub.RetryPolicy{}
	switch {
	case d.Options != nil && d.Options.Retry != nil:
		p = *d.Options.Retry
	case e.Retry != nil:
		p = *e.Retry
	}
	if p.Jitter == nil {
		p.Jitter = def.Jitter
	}
	if len(p.Schedule) == 0 && p.Initial <= 0 {
		p.Schedule, p.Initial, p.Factor, p.Max = def.Schedule, def.Initial, def.Factor, def.Max
		if p.Attempts == 0 {
			p.Attempts = def.Attempts
		}
	}
	return p
}

// Defaults of policies that grow.
const (
	defaultFactor   = 2
	defaultMax      = hub.Duration(24 * time.Hour)
	defaultAttempts = 10
)

// wait gives how long after attempt n, counted from 1, the next one is made;
// false if there is none. random is in [0, 1). after is what the far side asked
// for: it only ever lengthens the wait.
func wait(p hub.RetryPolicy, n int, random float64, after time.Duration) (time.Duration, bool) {
	base, ok := baseWait(p, n)
	if !ok {
		return 0, false
	}
	jitter := DefaultJitter
	if p.Jitter != nil {
		jitter = min(max(*p.Jitter, 0), 1)
	}
	d := time.Duration(float64(base) * (1 + jitter*(2*random-1)))
	return max(d, min(after, MaxRetryAfter)), true
}

func baseWait(p hub.RetryPolicy, n int) (hub.Duration, bool) {
	if p.Attempts > 0 && n >= p.Attempts {
		return 0, false
	}
	if len(p.Schedule) > 0 {
		if n > len(p.Schedule) {
			return 0, false
		}
		return p.Schedule[n-1], true
	}
	if p.Initial <= 0 || p.Attempts == 0 && n >= defaultAttempts {
		return 0, false
	}
	factor, limit := p.Factor, p.Max
	if factor < 1 {
		factor = defaultFactor
	}
	if limit <= 0 {
		limit = defaultMax
	}
	d := float64(p.Initial)
	for range n - 1 {
		if d *= factor; d >= float64(limit) { // also keeps d in range
			break
		}
	}
	return min(hub.Duration(d), limit), true
}

// RetryAfter reads a Retry-After header: seconds or a date. It gives 0 for one
// that is past or says nothing, and at most [MaxRetryAfter].
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter // a number too large to hold asks for the longest
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
