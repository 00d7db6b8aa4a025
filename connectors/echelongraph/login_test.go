package echelongraph

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
)

func TestSecondStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true, TokenLife: time.Minute}, "")
		if err := b.try(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(strings.Join(b.asked, ", "), "POST /v1/auth/login, POST /v1/auth/mfa, GET /v1/alerts") {
			t.Errorf("asked %v", b.asked)
		}
		// The pair is renewed without another code.
		time.Sleep(2 * time.Minute)
		if err := b.try(t.Context()); err != nil || b.asked[0] != "POST /v1/auth/refresh" {
			t.Errorf("asked %v, %v", b.asked, err)
		}
		// A new login within the same half minute has to wait for its code.
		b.sim.Refuse(true)
		b.sim.Refuse(false)
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.sim.Refuse(true)
		b.sim.Refuse(false)
		err := b.source.Test(t.Context())
		if hub.KindOf(err) != hub.RateLimited || retry(err) < time.Second || retry(err) > 30*time.Second {
			t.Errorf("the same code again: %v, retry after %v", err, retry(err))
		}
		time.Sleep(retry(err))
		if err := b.source.Test(t.Context()); err != nil {
			t.Errorf("with the next code: %v", err)
		}
		b.fine(t)
	})
}

func retry(err error) time.Duration {
	if e, ok := err.(*hub.Error); ok { //nolint:errorlint // as it is returned
		return e.RetryAfter
	}
	return 0
}

// TestCodeUsedBeforeARestart: a code that is refused is tried again later, three
// times; then a person is asked.
func TestCodeUsedBeforeARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.source = opened(t, config1, b.source.client, nil)
		err := b.source.Test(t.Context())
		if hub.KindOf(err) != hub.RateLimited {
			t.Fatalf("a code that was used before the restart: %v", err)
		}
		time.Sleep(retry(err))
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatalf("the next code: %v", err)
		}
		wrong := strings.Replace(config1, sim.DefaultSecret, "JBSWY3DPEHPK3PXP", 1)
		b.source = opened(t, wrong, b.source.client, nil)
		for i, want := range []hub.Kind{hub.RateLimited, hub.RateLimited, hub.Unauthorized, hub.Unauthorized} {
			time.Sleep(31 * time.Second)
			if err := b.source.Test(t.Context()); hub.KindOf(err) != want {
				t.Errorf("wrong secret, try %d: %v, want %s", i+1, err, want)
			}
		}
	})
}

func TestLoginRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		b.source.cfg.TOTPSecret = secret.Secret{}
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "totp_secret") {
			t.Errorf("without a secret: %v", err)
		}
		b.sim.Refuse(true)
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "email and password") {
			t.Errorf("refused: %v", err)
		}
		b.edit = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(404)
			return true
		}
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.NotFound || !strings.Contains(err.Error(), "paths") {
			t.Errorf("at another path: %v", err)
		}
	})
}

// TestLimitsAreApart: mutations that are used up do not stop reads.
func TestLimitsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{Plan: "free"}, "")
		id := b.sim.AddItem("alerts", sim.Item{}).ID
		n := 0
		for ; n < 200; n++ {
			if _, err := b.do(t, "update_alert", "k", `{"alert_id":"`+id+`","status":"acknowledged"}`); err != nil {
				if hub.KindOf(err) != hub.RateLimited {
					t.Fatal(err)
				}
				break
			}
		}
		if n < 90 || n > 100 {
			t.Errorf("%d mutations within a minute on the plan Free, want a little below 100", n)
		}
		if err := b.try(t.Context()); err != nil {
			t.Errorf("a pull with mutations used up: %v", err)
		}
		b.fine(t)
	})
}

// TestThrottledPullGoesOn: a sweep that needs more calls than the plan has goes
// on where it stopped.
func TestThrottledPullGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{Plan: "free"}, ", page_size: 1")
		for range 60 {
			b.sim.AddItem("alerts", sim.Item{Severity: "low"})
		}
		pulls := 0
		for err := b.try(t.Context()); err != nil; err = b.try(t.Context()) {
			if hub.KindOf(err) != hub.RateLimited || pulls > 20 {
				t.Fatal(err)
			}
			pulls++
			time.Sleep(retry(err))
		}
		if got := strings.Count(b.said("alert"), "open low open"); got != 60 || pulls == 0 {
			t.Errorf("%d alerts in %d pulls, want 60 in several", got, pulls+1)
		}
		b.fine(t)
	})
}
