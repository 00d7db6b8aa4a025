package connectors

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func TestGate(t *testing.T) {
	now := time.Date(2025, 6, 14, 12, 0, 0, 0, time.UTC)
	theirs := now.Add(3 * time.Hour) // their clock is off, which must not matter
	date := theirs.Format(http.TimeFormat)
	unix := func(d time.Duration) string { return strconv.FormatInt(theirs.Add(d).Unix(), 10) }
	limits := func(remaining, reset, burst string) map[string]string {
		return map[string]string{"Date": date, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset, "X-RateLimit-Burst": burst}
	}
	tests := []struct {
		name         string
		status       int
		header       map[string]string
		pull, urgent time.Duration // how long each is kept off
	}{
		{"nothing said", 200, nil, 0, 0},
		{"plenty left", 200, limits("40", unix(time.Minute), "50"), 0, 0},
		{"only the reserve left", 200, limits("5", unix(time.Minute), "50"), time.Minute, 0},
		{"nothing left", 200, limits("0", unix(time.Minute), "50"), time.Minute, time.Minute},
		{"reset as seconds", 200, limits("0", "30", "50"), 30 * time.Second, 30 * time.Second},
		{"reset in the past", 200, limits("0", unix(-time.Minute), "50"), 0, 0},
		{"reset far away", 200, limits("0", unix(1000*time.Hour), "50"), time.Hour, time.Hour},
		{"reset is rubbish", 200, limits("0", "soon", "50"), 0, 0},
		{"429 with seconds", 429, map[string]string{"Retry-After": "90"}, 90 * time.Second, 90 * time.Second},
		{"503 with a date", 503, map[string]string{"Date": date, "Retry-After": theirs.Add(2 * time.Minute).Format(http.TimeFormat)}, 2 * time.Minute, 2 * time.Minute},
		{"429 without a time", 429, nil, 0, 0},
		{"429 for a year", 429, map[string]string{"Retry-After": "31536000"}, 24 * time.Hour, 24 * time.Hour},
		{"429 with a huge number", 429, map[string]string{"Retry-After": "99999999999999"}, 24 * time.Hour, 24 * time.Hour},
		{"negative", 429, map[string]string{"Retry-After": "-5"}, 0, 0},
		{"Retry-After on 200", 200, map[string]string{"Retry-After": "90"}, 0, 0},
	}
	for _, tt := range tests {
		for _, urgent := range []bool{false, true} {
			var g Gate
			h := http.Header{}
			for k, v := range tt.header {
				h.Set(k, v)
			}
			g.Note(now, tt.status, h)
			want := tt.pull
			if urgent {
				want = tt.urgent
			}
			err := g.Allow(now, urgent)
			if got := retryAfterOf(err); got != want || (want > 0) != (hub.KindOf(err) == hub.RateLimited) {
				t.Errorf("%s, urgent %v: kept off for %v (%v), want %v", tt.name, urgent, got, err, want)
			}
			if err := g.Allow(now.Add(want), urgent); err != nil {
				t.Errorf("%s, urgent %v: still kept off after %v: %v", tt.name, urgent, want, err)
			}
		}
	}
}

// TestGateTellsWhenToComeBack checks what a refused call is told.
func TestGateTellsWhenToComeBack(t *testing.T) {
	now := time.Date(2025, 6, 14, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name                    string
		status                  int
		after, remaining, reset string
		want                    time.Duration
	}{
		{"Retry-After alone", 429, "90", "", "", 90 * time.Second},
		{"a reset alone", 429, "", "0", "40", 40 * time.Second},
		{"both", 429, "90", "0", "40", 90 * time.Second},
		{"a reset though calls are left", 429, "", "3", "40", 0},
		{"a reset on 503", 503, "", "0", "40", 0},
		{"a reset on 200", 200, "", "0", "40", 0},
		{"neither", 429, "", "", "", 0},
	} {
		h := http.Header{}
		for name, v := range map[string]string{"Retry-After": tt.after, "X-RateLimit-Remaining": tt.remaining, "X-RateLimit-Reset": tt.reset} {
			if v != "" {
				h.Set(name, v)
			}
		}
		if got := new(Gate).Note(now, tt.status, h); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestGateCountsDown checks that calls between two answers are counted.
func TestGateCountsDown(t *testing.T) {
	now := time.Now()
	var g Gate
	g.Note(now, 200, http.Header{"X-Ratelimit-Remaining": {"3"}, "X-Ratelimit-Reset": {"60"}})
	for i := range 3 {
		if err := g.Allow(now, true); err != nil {
			t.Fatalf("call %d of 3: %v", i+1, err)
		}
	}
	if err := g.Allow(now, true); err == nil {
		t.Error("a fourth call was allowed")
	}
}
