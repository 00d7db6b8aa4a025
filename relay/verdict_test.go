package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
)

func TestConclude(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g := judge{policy: hub.RetryPolicy{Schedule: DefaultSchedule()}, random: func() float64 { return 0.5 }}
	tests := []struct {
		name    string
		made    int // attempts so far
		err     error
		state   hub.DeliveryState
		due     time.Duration
		fault   string
		verdict string
		disable string
	}{
		{"taken", 0, nil, hub.DeliverySucceeded, 0, "", VerdictSucceeded, ""},
		{"for now", 0, hub.E(hub.Transient, "status 500"), hub.DeliveryRetrying, 5 * time.Second, "", VerdictRetry, ""},
		{"throttled", 1, &hub.Error{Kind: hub.RateLimited, Msg: "status 429", RetryAfter: time.Hour}, hub.DeliveryRetrying, time.Hour, "", VerdictRetry, ""},
		{"asked for less", 1, &hub.Error{Kind: hub.Transient, RetryAfter: time.Second}, hub.DeliveryRetrying, 5 * time.Minute, "", VerdictRetry, ""},
		{"asked for too much", 1, &hub.Error{Kind: hub.Transient, RetryAfter: 99 * time.Hour}, hub.DeliveryRetrying, 24 * time.Hour, "", VerdictRetry, ""},
		{"exhausted", 9, hub.E(hub.Transient, "status 500"), hub.DeliveryDead, 0, FaultEndpoint, VerdictDead, ""},
		{"gone", 0, hub.E(hub.Gone, "410 Gone"), hub.DeliveryHeld, 0, "", VerdictHeld, "410 Gone"},
		{"final", 0, hub.E(hub.Invalid, "no"), hub.DeliveryDead, 0, FaultEndpoint, VerdictDead, ""},
		{"refused target", 0, fmt.Errorf("dial: %w", &safehttp.Refused{Reason: "loopback"}), hub.DeliveryDead, 0, FaultEndpoint, VerdictDead, ""},
		{"refused in a kind that is tried again", 0, hub.Wrap(hub.Transient, &safehttp.Refused{}, "x"), hub.DeliveryDead, 0, FaultEndpoint, VerdictDead, ""},
		{"ours", 0, hub.E(hub.Internal, "cannot encode"), hub.DeliveryDead, 0, FaultHub, VerdictDead, ""},
		{"no kind", 0, errors.New("secret"), hub.DeliveryDead, 0, FaultHub, VerdictDead, ""},
		{"bare time limit", 0, fmt.Errorf("x: %w", context.DeadlineExceeded), hub.DeliveryRetrying, 5 * time.Second, "", VerdictRetry, ""},
	}
	for _, tt := range tests {
		j := &Job{Delivery: hub.Delivery{ID: "dlv_1", Attempts: tt.made, State: hub.DeliveryDelivering}, Endpoint: &hub.Endpoint{Enabled: true}}
		o := g.conclude(j, hub.Attempt{Status: 7}, tt.err, now)
		d := o.Delivery
		var due time.Duration
		if !d.DueAt.IsZero() {
			due = d.DueAt.Sub(now)
		}
		if d.State != tt.state || due != tt.due || d.Fault != tt.fault || o.Disable != tt.disable {
			t.Errorf("%s: %s due in %v, fault %q, disable %q; want %s, %v, %q, %q", tt.name, d.State, due, d.Fault, o.Disable, tt.state, tt.due, tt.fault, tt.disable)
		}
		a := o.Attempt
		if a.Verdict != tt.verdict || a.Number != tt.made+1 || d.Attempts != tt.made+1 || a.Delivery != "dlv_1" || a.Error != d.Error || d.Status != 7 {
			t.Errorf("%s: attempt %+v of delivery %+v", tt.name, a, d)
		}
		if (tt.err != nil) != (d.Error != "") && tt.name != "asked for less" && tt.name != "asked for too much" {
			t.Errorf("%s: error is %q", tt.name, d.Error)
		}
		if d.Error == "secret" {
			t.Errorf("%s: shows an error that is not for people", tt.name)
		}
	}
}

func TestReleased(t *testing.T) {
	now := time.Now()
	j := &Job{Delivery: hub.Delivery{State: hub.DeliveryDelivering}}
	tried := &Job{Delivery: hub.Delivery{State: hub.DeliveryDelivering, Attempts: 2}}
	for name, tt := range map[string]struct {
		o    Outcome
		want bool
	}{
		"given back":             {release(j, now), true},
		"given back after tries": {release(tried, now), true},
		"held":                   {held(j, now), false},
		"dead":                   {dead(j, FaultHub, "x", now), false},
	} {
		if got := tt.o.Released(); got != tt.want {
			t.Errorf("%s: Released is %v", name, got)
		}
	}
	if s := release(tried, now).Delivery.State; s != hub.DeliveryRetrying {
		t.Errorf("a delivery that was tried before is given back as %s", s)
	}
}
