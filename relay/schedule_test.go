package relay

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/test/report"
)

func TestDefaultSchedule(t *testing.T) {
	p := hub.RetryPolicy{Schedule: DefaultSchedule()}
	var total time.Duration
	n := 1
	for ; ; n++ {
		d, ok := wait(p, n, 0.5, 0)
		if !ok {
			break
		}
		total += d
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; n != 10 || total != want {
		t.Errorf("%d attempts in %v, want 10 in %v", n, total, want)
	}
}

func span(d time.Duration) hub.Duration { return hub.Duration(d) }

func TestBaseWait(t *testing.T) {
	list := []hub.Duration{span(time.Second), span(time.Minute)}
	grow := hub.RetryPolicy{Initial: span(time.Second), Factor: 3, Max: span(10 * time.Second), Attempts: 5}
	tests := []struct {
		name   string
		policy hub.RetryPolicy
		n      int
		want   time.Duration // 0: no further attempt
	}{
		{"first of a list", hub.RetryPolicy{Schedule: list}, 1, time.Second},
		{"last of a list", hub.RetryPolicy{Schedule: list}, 2, time.Minute},
		{"after a list", hub.RetryPolicy{Schedule: list}, 3, 0},
		{"list with fewer attempts", hub.RetryPolicy{Schedule: list, Attempts: 2}, 2, 0},
		{"one attempt", hub.RetryPolicy{Schedule: list, Attempts: 1}, 1, 0},
		{"growing, first", grow, 1, time.Second},
		{"growing, second", grow, 2, 3 * time.Second},
		{"growing, third", grow, 3, 9 * time.Second},
		{"growing, capped", grow, 4, 10 * time.Second},
		{"growing, over", grow, 5, 0},
		{"growing without factor", hub.RetryPolicy{Initial: span(time.Second)}, 3, 4 * time.Second},
		{"growing without attempts", hub.RetryPolicy{Initial: span(time.Second)}, 10, 0},
		{"growing beyond any number", hub.RetryPolicy{Initial: span(time.Hour), Factor: 100, Attempts: 1000}, 999, 24 * time.Hour},
		{"nothing", hub.RetryPolicy{}, 1, 0},
	}
	for _, tt := range tests {
		got, ok := wait(tt.policy, tt.n, 0.5, 0)
		if got != tt.want || ok != (tt.want > 0) {
			t.Errorf("%s: wait after attempt %d is %v, %v; want %v", tt.name, tt.n, got, ok, tt.want)
		}
	}
}

func TestPolicyOf(t *testing.T) {
	half, none := 0.5, 0.0
	def := hub.RetryPolicy{Schedule: DefaultSchedule(), Jitter: &half}
	own := &hub.RetryPolicy{Schedule: []hub.Duration{1}}
	step := &hub.RetryPolicy{Schedule: []hub.Duration{2}, Jitter: &none}
	tests := []struct {
		name   string
		d      hub.Delivery
		e      hub.Endpoint
		first  hub.Duration
		jitter float64
	}{
		{"the hub's", hub.Delivery{}, hub.Endpoint{}, span(5 * time.Second), 0.5},
		{"the endpoint's", hub.Delivery{}, hub.Endpoint{Retry: own}, 1, 0.5},
		{"the step's", hub.Delivery{Options: &hub.DeliveryOptions{Retry: step}}, hub.Endpoint{Retry: own}, 2, 0},
		{"options without retry", hub.Delivery{Options: &hub.DeliveryOptions{}}, hub.Endpoint{Retry: own}, 1, 0.5},
		{"only jitter", hub.Delivery{}, hub.Endpoint{Retry: &hub.RetryPolicy{Jitter: &none}}, span(5 * time.Second), 0},
	}
	for _, tt := range tests {
		p := policyOf(&tt.d, &tt.e, def)
		if p.Schedule[0] != tt.first || *p.Jitter != tt.jitter {
			t.Errorf("%s: first wait %v, jitter %v; want %v, %v", tt.name, p.Schedule[0], *p.Jitter, tt.first, tt.jitter)
		}
	}
	if p := policyOf(&hub.Delivery{}, &hub.Endpoint{Retry: &hub.RetryPolicy{Attempts: 3}}, def); p.Attempts != 3 || len(p.Schedule) != 9 {
		t.Errorf("only attempts: %+v, want the hub's schedule with 3 attempts", p)
	}
}

func TestWaitStaysInItsBand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(1, int64(30*24*time.Hour)).Draw(t, "base"))
		jitter := rapid.Float64Range(0, 1).Draw(t, "jitter")
		random := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		after := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "after"))
		p := hub.RetryPolicy{Schedule: []hub.Duration{span(base)}, Jitter: &jitter}
		plain, _ := wait(p, 1, random, 0)
		low, high := float64(base)*(1-jitter)-1, float64(base)*(1+jitter)+1
		if f := float64(plain); f < low || f > high {
			t.Fatalf("wait %v is outside of %v ± %v", plain, base, jitter)
		}
		asked, _ := wait(p, 1, random, after)
		if want := max(plain, min(after, MaxRetryAfter)); asked != want {
			t.Fatalf("asked for %v: %v, want %v", after, asked, want)
		}
	})
}

// Of very many waits after each attempt of the default schedule, none lies outside
// of ±10 % of its step, and they are spread over all of that. What a far side asks
// for is the least wait of each, up to its ceiling.
func TestWaitsOfTheDefaultSchedule(t *testing.T) {
	rep := report.Of(t, 3)
	n := report.Size(1000, 10_000)
	rnd := rand.New(rand.NewPCG(3, 5))
	p := policyOf(&hub.Delivery{}, &hub.Endpoint{}, hub.RetryPolicy{Schedule: DefaultSchedule()})
	var shares []string
	for step, base := range DefaultSchedule() {
		low, high := math.Inf(1), math.Inf(-1)
		for range n {
			d, again := wait(p, step+1, rnd.Float64(), 0)
			share := float64(d) / float64(base)
			low, high = min(low, share), max(high, share)
			after := time.Duration(rnd.Int64N(int64(30 * time.Hour)))
			asked, _ := wait(p, step+1, rnd.Float64(), after)
			if floor := min(after, MaxRetryAfter); !again || asked < floor || asked > max(floor, time.Duration(base)*11/10) {
				t.Fatalf("step %d, asked for %v: %v, want at least that and no more than the step allows", step+1, after, asked)
			}
		}
		shares = append(shares, fmt.Sprintf("%.3f–%.3f", low, high))
		if low < 0.9 || high > 1.1 || low > 0.91 || high < 1.09 {
			t.Errorf("waits after attempt %d are %.4f to %.4f of %v, want 0.9 to 1.1", step+1, low, high, time.Duration(base))
		}
	}
	rep.Figure("samples_a_step", n)
	rep.Figure("waits_by_step_as_shares", shares)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{" 120 ", 2 * time.Minute},
		{"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour},
		{"99999999999999999999999999", 24 * time.Hour},
		{"-5", 0},
		{"1.5", 0},
		{"soon", 0},
		{"5s", 0},
		{"Sun, 01 Mar 2026 12:05:00 GMT", 5 * time.Minute},
		{"Sunday, 01-Mar-26 12:05:00 GMT", 5 * time.Minute},
		{"Sun Mar  1 12:05:00 2026", 5 * time.Minute},
		{"Sun, 01 Mar 2026 11:00:00 GMT", 0},
		{"Wed, 01 Apr 2026 12:00:00 GMT", 24 * time.Hour},
		{"Sun, 31 Feb 2026 12:00:00 GMT", 0},
	}
	for _, tt := range tests {
		if got := RetryAfter(tt.value, now); got != tt.want {
			t.Errorf("RetryAfter(%q) is %v, want %v", tt.value, got, tt.want)
		}
	}
}
