package connectors

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// clerk gives tokens, and can be made to refuse.
type clerk struct {
	logins, renewals int
	fails            error // of renewals
	slow             time.Duration
}

func (c *clerk) login(context.Context) (Tokens, error) {
	time.Sleep(c.slow)
	c.logins++
	return c.tokens("login", c.logins), nil
}

func (c *clerk) renew(_ context.Context, old Tokens) (Tokens, error) {
	if c.fails != nil {
		return Tokens{}, c.fails
	}
	c.renewals++
	return c.tokens(old.Refresh.Reveal(), c.renewals), nil
}

func (*clerk) tokens(from string, n int) Tokens {
	return Tokens{
		Access: secret.New(fmt.Sprintf("access-%s-%d", from, n)), Refresh: secret.New(fmt.Sprintf("refresh%d", n)),
		Expires: time.Now().Add(10 * time.Minute),
	}
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clerk{slow: time.Second}
		s := NewSession(c.login, c.renew, secret.New("hunter2"))
		want := func(token string) {
			t.Helper()
			got, err := s.Token(t.Context())
			if err != nil || got.Reveal() != token {
				t.Fatalf("token %s, %v; want %s", got.Reveal(), err, token)
			}
		}
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { want("access-login-1") })
		}
		callers.Wait()
		time.Sleep(9 * time.Minute)
		want("access-login-1")
		time.Sleep(31 * time.Second) // a little before it expires
		want("access-refresh1-1")
		s.Reject(secret.New("access-login-1")) // an answer that came late
		want("access-refresh1-1")
		s.Reject(secret.New("access-refresh1-1"))
		want("access-refresh1-2")
		if c.logins != 1 || c.renewals != 2 {
			t.Errorf("%d logins and %d renewals, want 1 and 2", c.logins, c.renewals)
		}
		if got := s.Scrub("access-login-1 refresh1 access-refresh1-2 refresh2 hunter2 rest"); got != "*** *** *** *** *** rest" {
			t.Errorf("scrubbed to %q", got)
		}

		c.fails = hub.E(hub.Transient, "down")
		s.Reject(secret.New("access-refresh1-2"))
		if _, err := s.Token(t.Context()); hub.KindOf(err) != hub.Transient || c.logins != 1 {
			t.Errorf("while renewing is down: %v, %d logins; want it told, and no login", err, c.logins)
		}
		c.fails = hub.E(hub.Unauthorized, "reused")
		want("access-login-2")

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		s.Reject(secret.New("access-login-2"))
		c.slow = time.Hour
		go func() { _, _ = s.Token(t.Context()) }()
		synctest.Wait()
		if _, err := s.Token(gone); err == nil {
			t.Error("a caller that is gone waited for somebody else's login")
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestSessionOfAnAPI: a token that is refused is replaced, and the call made
// again, once; a login goes without one.
func TestSessionOfAnAPI(t *testing.T) {
	var got []string
	good := "access-login-2"
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization"))
		if r.URL.Path == "/list" && r.Header.Get("Authorization") != "Bearer "+good {
			w.WriteHeader(401)
			fmt.Fprint(w, "no "+r.Header.Get("Authorization"))
		}
	}))
	defer far.Close()
	base, _ := url.Parse(far.URL)
	a := &API{Vendor: "Vendor", Base: base, Client: far.Client()}
	c := &clerk{}
	a.Session = NewSession(func(ctx context.Context) (Tokens, error) {
		if _, err := a.Do(ctx, Call{Method: "POST", Path: "/login", Open: true}); err != nil {
			return Tokens{}, err
		}
		return c.login(ctx)
	}, nil)
	if _, err := a.Do(t.Context(), Call{Method: "GET", Path: "/list"}); err != nil {
		t.Error(err)
	}
	good = "none"
	_, err := a.Do(t.Context(), Call{Method: "GET", Path: "/list"})
	if hub.KindOf(err) != hub.Unauthorized || strings.Contains(err.Error(), "access-") {
		t.Errorf("refused twice: %v", err)
	}
	want := "/login , /list Bearer access-login-1, /login , /list Bearer access-login-2, /list Bearer access-login-2, /login , /list Bearer access-login-3"
	if strings.Join(got, ", ") != want {
		t.Errorf("calls: %s\nwant:  %s", strings.Join(got, ", "), want)
	}
}

func TestExplain(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
		fmt.Fprint(w, "no more scans today for "+token)
	}))
	defer far.Close()
	a := api(t, far.URL)
	a.Explain = func(c Call, status int, body []byte) *hub.Error {
		return hub.E(hub.RateLimited, fmt.Sprintf("%s %d: %s", c.Path, status, body))
	}
	_, err := a.Do(t.Context(), Call{Method: "GET", Path: "/scan"})
	if messageOf(err) != "/scan 429: no more scans today for ***" || retryAfterOf(err) != 7*time.Second {
		t.Errorf("%v, retry after %v", err, retryAfterOf(err))
	}
}
