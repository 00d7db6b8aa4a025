package edgetelemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	sim "github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestLoginAndRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{TokenLife: 5 * time.Minute}, "")
		b.pull(t)
		if b.asked[0] != "POST /auth/login" || b.count("POST /auth") != 1 {
			t.Errorf("first: %v", b.asked)
		}
		b.pull(t)
		if b.count("POST /auth") != 0 {
			t.Errorf("a good token: %v", b.asked)
		}
		time.Sleep(2*time.Minute + 40*time.Second) // 30 seconds before exp less a tenth of its life
		b.pull(t)
		if b.asked[0] != "POST /auth/refresh" || b.count("POST /auth") != 1 {
			t.Errorf("shortly before exp: %v", b.asked)
		}
		time.Sleep(10 * time.Minute)
		b.pull(t)
		if b.asked[0] != "POST /auth/login" || b.count("POST /auth") != 1 {
			t.Errorf("after exp: %v; a token that has ended is not worth a request", b.asked)
		}
	})
}

// TestTokenEndsInTheMiddle: the call is made again with a new token, and nothing
// is read twice.
func TestTokenEndsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.sim.Add(40)
		ended := false
		b.edit = func(_ http.ResponseWriter, r *http.Request) bool {
			if !ended && r.URL.Path == "/api/v1/incidents" {
				ended = true
				b.sim.Expire()
			}
			return false
		}
		b.pull(t)
		i := slices.IndexFunc(b.asked, func(a string) bool { return strings.HasPrefix(a, "GET /incidents?") })
		want := []string{"GET /incidents?limit=100", "POST /auth/refresh", "POST /auth/login", "GET /incidents?limit=100"}
		if fmt.Sprint(b.asked[i:i+4]) != fmt.Sprint(want) || b.count("GET /alerting/alerts?limit") != 3 {
			t.Errorf("asked %v, want %v", b.asked, want)
		}
	})
}

func TestSecondStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		b.pull(t)
		if b.asked[0] != "GET /health" || b.asked[1] != "POST /auth/login" || b.count("POST /auth") != 1 {
			t.Errorf("asked %v", b.asked)
		}
		// A login within the same half minute has to wait for its code.
		b.sim.Refuse(true)
		b.sim.Refuse(false)
		err := b.try(t.Context())
		if hub.KindOf(err) != hub.RateLimited || retry(err) < time.Second || retry(err) > 30*time.Second {
			t.Fatalf("the same code again: %v, retry after %v", err, retry(err))
		}
		time.Sleep(retry(err))
		if err := b.try(t.Context()); err != nil {
			t.Errorf("with the next code: %v", err)
		}
		b.fine(t)
	})
}

// TestCodeUsedBeforeARestart: a code that is refused is tried again later, three
// times; then a person is asked.
func TestCodeUsedBeforeARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		b.pull(t)
		b.source = opened(t, config1, b.client)
		err := b.try(t.Context())
		if hub.KindOf(err) != hub.RateLimited {
			t.Fatalf("a code that was used before the restart: %v", err)
		}
		time.Sleep(retry(err))
		if err := b.try(t.Context()); err != nil {
			t.Fatalf("the next code: %v", err)
		}
		b.source = opened(t, strings.Replace(config1, sim.DefaultSecret, "JBSWY3DPEHPK3PXP", 1), b.client)
		for i, want := range []hub.Kind{hub.RateLimited, hub.RateLimited, hub.Unauthorized, hub.Unauthorized} {
			time.Sleep(31 * time.Second)
			if err := b.try(t.Context()); hub.KindOf(err) != want {
				t.Errorf("wrong secret, try %d: %v, want %s", i+1, err, want)
			}
		}
		// Their words tell a wrong password: no code is spent on it.
		b.source = opened(t, strings.Replace(config1, sim.DefaultPassword, "not-the-password", 1), b.client)
		time.Sleep(31 * time.Second)
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "email, password and totp_secret") {
			t.Errorf("wrong password: %v", err)
		}
	})
}

// TestRefusalThatTellsNothing: the document's own words for 401 say neither that
// it is the code nor that it is the password.
func TestRefusalThatTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/auth/login" {
				return false
			}
			unkind.Answer(w, 401, map[string]any{"success": false, "data": nil, "error": "Unauthorized - Invalid or missing token"})
			return true
		}
		for i, want := range []hub.Kind{hub.RateLimited, hub.RateLimited, hub.Unauthorized} {
			time.Sleep(31 * time.Second)
			err := b.try(t.Context())
			if hub.KindOf(err) != want || want == hub.Unauthorized && !strings.Contains(err.Error(), "email, password and totp_secret") {
				t.Errorf("try %d: %v, want %s", i+1, err, want)
			}
		}
	})
}

// TestCodeByTheirClock: codes are made for the time that their clock shows.
func TestCodeByTheirClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := 7 * time.Minute
		b := newBench(t, sim.Options{}, "")
		b.sim = sim.New(sim.Options{MFA: true, Options: unkind.Options{Kind: true, Now: func() time.Time { return time.Now().Add(ahead) }}})
		b.source = opened(t, config1, b.client)
		if err := b.try(t.Context()); err != nil {
			t.Errorf("a clock that is 7 minutes ahead: %v", err)
		}
		// /health is nowhere: the first code is by our clock, and refused.
		b.sim = sim.New(sim.Options{MFA: true, Options: unkind.Options{Kind: true}})
		b.source = opened(t, config1, b.client)
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/health") {
				http.NotFound(w, r)
				return true
			}
			return false
		}
		if err := b.try(t.Context()); err != nil || b.asked[0] != "GET /health" || b.asked[1] != "GET /health" {
			t.Errorf("without /health: %v, asked %v", err, b.asked)
		}
	})
}

func TestLoginRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MFA: true}, "")
		b.source = opened(t, plain, b.client)
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "totp_secret") {
			t.Errorf("without a secret: %v", err)
		}
		b.sim.Refuse(true)
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "Invalid email or password") {
			t.Errorf("refused: %v", err)
		}
		for _, tt := range []struct {
			name, body, want string
			status           int
			kind             hub.Kind
		}{
			{"elsewhere", "", "base_url", 404, hub.NotFound},
			{"a page", "<html>", "base_url", 200, hub.Transient},
			{"no token", `{"success":true,"data":{}}`, "without a token", 200, hub.Transient},
			{"no object", `{"success":true,"data":5}`, "cannot be read", 200, hub.Transient},
			{"says that it failed", `{"success":false,"data":null,"error":"maintenance"}`, "maintenance", 200, hub.Invalid},
			{"sso", `{"success":false,"error":"Bad Gateway - SSO provider error"}`, "local user", 502, hub.Transient},
			{"not valid", `{"success":false,"error":"Validation Error"}`, "Validation Error", 422, hub.Invalid},
		} {
			time.Sleep(time.Minute)
			b.edit = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
				return true
			}
			if err := b.source.Test(t.Context()); hub.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want kind %s and %q", tt.name, err, tt.kind, tt.want)
			}
		}
	})
}

// TestRefreshInOtherWords: the document does not show what a refresh gives.
func TestRefreshInOtherWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []string{`{"success":true,"data":"fresh"}`, `{"success":true,"data":{"access_token":"fresh"}}`, `{"token":"fresh"}`} {
			b := newBench(t, sim.Options{}, "")
			s := b.source
			b.edit = func(w http.ResponseWriter, r *http.Request) bool {
				if got := r.Header.Get("Authorization"); r.URL.Path != "/api/v1/auth/refresh" || got != "Bearer old" {
					t.Errorf("asked %s with %q", r.URL.Path, got)
				}
				fmt.Fprint(w, answer)
				return true
			}
			old, err := grant{Token: secret.New("old")}.tokens()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.renew(t.Context(), old); err != nil || got.Access.Reveal() != "fresh" || !got.Expires.IsZero() {
				t.Errorf("%s: %v, %v", answer, got, err)
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	for token, want := range map[string]int64{
		"a.eyJleHAiOjE3OTUwMDAwMDB9.c": 1795000000, "a.eyJleHAiOjE3OTUwMDAwMDAuNX0.c": 1795000000, "opaque": 0, "a.!.c": 0, "a.e30.c": 0, "a.eyJleHAiOi0xfQ.c": 0,
	} {
		got := expiry(secret.New(token))
		if want == 0 && !got.IsZero() || want != 0 && got.Unix() != want {
			t.Errorf("%s: %v, want %d", token, got, want)
		}
	}
}

// TestTenAMinute: whatever happens, authentication is asked for less than ten
// times a minute.
func TestTenAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		logins := []time.Time{}
		b.edit = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/api/v1/auth/") {
				logins = append(logins, time.Now())
				panic(http.ErrAbortHandler) // no answer, and no headers
			}
			return false
		}
		for range 300 {
			err := b.try(t.Context())
			if k := hub.KindOf(err); k != hub.Transient && k != hub.RateLimited {
				t.Fatal(err)
			}
			time.Sleep(max(retry(err), time.Second))
		}
		for i := 10; i < len(logins); i++ {
			if gap := logins[i].Sub(logins[i-10]); gap < time.Minute {
				t.Fatalf("eleven requests within %v", gap)
			}
		}
		if len(logins) < 30 {
			t.Errorf("only %d requests", len(logins))
		}
	})
}

// TestLimitsAreApart: authentication that is used up does not stop reads, and a
// pull that is throttled goes on where it stopped.
func TestLimitsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{PerMinute: 20}, "")
		b.pull(t)
		for range 8 {
			_ = b.source.whoami(t.Context(), true)
		}
		if err := b.source.whoami(t.Context(), true); hub.KindOf(err) != hub.RateLimited || retry(err) <= 0 {
			t.Errorf("the ninth within a minute: %v", err)
		}
		b.sim.Add(200)
		pulls := 0
		err := b.try(t.Context())
		for ; err != nil && pulls < 20; err = b.try(t.Context()) {
			if hub.KindOf(err) != hub.RateLimited {
				t.Fatal(err)
			}
			pulls++
			time.Sleep(max(retry(err), time.Second))
		}
		if got := strings.Count(b.said("alert"), "open"); err != nil || got != len(b.sim.Alerts()) || pulls == 0 {
			t.Errorf("%d alerts in %d pulls, want %d in several; %v", got, pulls+1, len(b.sim.Alerts()), err)
		}
		b.fine(t)
	})
}
