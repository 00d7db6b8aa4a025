// Package relaytest is the kit that every target of the relay is tested with:
// each status code, no answer, cut and endless answers, redirects, refused
// addresses, nothing secret in errors and records, and the same delivery twice.
//
// It stands at the far side of a real socket and looks at nothing but requests
// and what Send returns. What a target's requests say is its own test's matter.
package relaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
)

// A Kit says what is special about a target. Every field but
// Throttled must be set.
type Kit struct {
	// New makes the target.
	New func(c *safehttp.Client) relay.Target
	// Endpoint makes an endpoint whose far side is at url.
	Endpoint func(url string) *hub.Endpoint
	// Delivery makes the delivery; each time the same.
	Delivery func() *hub.Delivery
	// Taken answers with a status with which the far side takes a delivery.
	Taken func(w http.ResponseWriter, status int)
	// Kind says what an answer with a status means; "" for taken.
	Kind func(status int) hub.Kind
	// Key finds in a request what the far side knows a repetition by.
	Key func(r *http.Request, body []byte) string
	// Secrets are the texts in the endpoint that nobody may see.
	Secrets []string
	// Throttled is how long the endpoint is left alone when the far side does not
	// say for how long; usually 0, which leaves it to the schedule.
	Throttled time.Duration
}

// Run tests a target.
func Run(t *testing.T, k Kit) {
	t.Run("every status", k.everyStatus)
	t.Run("retry after", k.retryAfter)
	t.Run("redirects are not followed", k.redirects)
	t.Run("no answer", k.noAnswer)
	t.Run("cut", k.cut)
	t.Run("not there", k.notThere)
	t.Run("endless answer", k.endless)
	t.Run("refused address", k.refused)
	t.Run("nothing secret", k.nothingSecret)
	t.Run("twice", k.twice)
	t.Run("record", k.complete)
	t.Run("overlap", k.overlap)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func (k *Kit) target() relay.Target {
	return k.New(safehttp.New(safehttp.Options{Allow: loopback, UserAgent: "Tocsin/test"}))
}

// far starts a far side.
func far(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // only then does the server see a closed connection
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// limit ends a send that would otherwise take as long as it likes.
const limit = 5 * time.Second

// send makes one attempt and checks what holds for each: it ends in time, it
// changes nothing, it shows no secret.
func (k *Kit) send(t *testing.T, target relay.Target, url string, limit time.Duration) (hub.Attempt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	e, d := k.Endpoint(url), k.Delivery()
	before := fmt.Sprintf("%+v %+v", *e, *d)
	start := time.Now()
	a, err := target.Send(ctx, e, d)
	if took := time.Since(start); took > limit+250*time.Millisecond {
		t.Errorf("took %v, %v longer than it may", took, took-limit)
	}
	if after := fmt.Sprintf("%+v %+v", *e, *d); after != before {
		t.Errorf("changed its endpoint or delivery from\n%s to\n%s", before, after)
	}
	if len(a.Body) > safehttp.KeptBody+1024 {
		t.Errorf("the record holds %d bytes of the answer", len(a.Body))
	}
	k.look(t, a, err)
	return a, err
}

// look finds secrets in all that leaves a target.
func (k *Kit) look(t *testing.T, a hub.Attempt, err error) {
	t.Helper()
	shown := fmt.Sprintf("%+v", a)
	for e := err; e != nil; e = errors.Unwrap(e) {
		shown += fmt.Sprintf("\n%v %+v", e, e)
	}
	for _, s := range k.Secrets {
		if strings.Contains(shown, s) {
			t.Errorf("the secret %q is in\n%s", s, shown)
		}
	}
}

func (k *Kit) everyStatus(t *testing.T) {
	target := k.target()
	for status := 200; status <= 599; status++ {
		want := k.Kind(status)
		srv := far(t, func(w http.ResponseWriter, r *http.Request) {
			if want == "" {
				k.Taken(w, status)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if status != http.StatusNoContent && status != http.StatusNotModified {
				io.WriteString(w, `{"error":"from the far side"}`)
			}
		})
		a, err := k.send(t, target, srv.URL, limit)
		if got := hub.KindOf(err); got != want {
			t.Errorf("%d gives %q (%v), want %q", status, got, err, want)
		}
		if a.Status != status {
			t.Errorf("%d is recorded as %d", status, a.Status)
		}
		var e *hub.Error
		if err != nil && (!errors.As(err, &e) || e.Msg == "") {
			t.Errorf("%d gives an error without a message for people: %v", status, err)
		}
		srv.Close()
	}
}

func (k *Kit) retryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"": k.Throttled, "7": 7 * time.Second, "soon": k.Throttled, "999999999": relay.MaxRetryAfter} {
		srv := far(t, func(w http.ResponseWriter, _ *http.Request) {
			if value != "" {
				w.Header().Set("Retry-After", value)
			}
			w.WriteHeader(http.StatusTooManyRequests)
		})
		_, err := k.send(t, k.target(), srv.URL, limit)
		var e *hub.Error
		if !errors.As(err, &e) || e.Kind != hub.Transient && e.Kind != hub.RateLimited || e.RetryAfter != want {
			t.Errorf("429 with Retry-After %q gives %#v, want to be tried again after %v", value, err, want)
		}
	}
}

func (k *Kit) redirects(t *testing.T) {
	var mu sync.Mutex
	reached := 0
	other := far(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		reached++
		mu.Unlock()
		k.Taken(w, http.StatusOK)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := far(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := k.send(t, k.target(), srv.URL, limit); err == nil {
			t.Errorf("%d counts as taken", status)
		}
	}
	if reached > 0 {
		t.Errorf("%d requests went where redirects lead", reached)
	}
}

// wantTransient checks that a failed exchange is tried again.
func wantTransient(t *testing.T, err error) {
	t.Helper()
	if kind := hub.KindOf(err); kind != hub.Transient {
		t.Errorf("gives %q (%v), want %q", kind, err, hub.Transient)
	}
}

func (k *Kit) noAnswer(t *testing.T) {
	srv := far(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	a, err := k.send(t, k.target(), srv.URL, 100*time.Millisecond)
	wantTransient(t, err)
	if a.Status != 0 || a.Digest == "" {
		t.Errorf("record %+v, want the digest of what was sent and no status", a)
	}
}

func (k *Kit) cut(t *testing.T) {
	for name, text := range map[string]string{
		"before the answer": "",
		"within its head":   "HTTP/1.1 200 OK\r\nContent-Ty",
		"with other words":  "421 mail only " + strings.Join(k.Secrets, " ") + "\r\n",
	} {
		srv := far(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, text)
			conn.Close()
		})
		t.Run(name, func(t *testing.T) {
			_, err := k.send(t, k.target(), srv.URL, limit)
			wantTransient(t, err)
		})
	}
}

func (k *Kit) notThere(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	_, err := k.send(t, k.target(), srv.URL, limit)
	wantTransient(t, err)
}

func (k *Kit) endless(t *testing.T) {
	for name, status := range map[string]int{"failure": 500, "success": 200} {
		for _, fast := range []bool{true, false} {
			srv := far(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				io.WriteString(w, strings.Repeat(" ", 1024))
				http.NewResponseController(w).Flush()
				for fast && r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
				<-r.Context().Done()
			})
			// Whether it is taken is the target's matter; it has to end.
			_, err := k.send(t, k.target(), srv.URL, 150*time.Millisecond)
			if status == 500 && err == nil {
				t.Errorf("an endless answer of %s counts as taken", name)
			}
		}
	}
}

func (k *Kit) refused(t *testing.T) {
	srv := far(t, func(http.ResponseWriter, *http.Request) { t.Error("a request reached a refused address") })
	_, err := k.send(t, k.New(safehttp.New(safehttp.Options{})), srv.URL, limit)
	var refused *safehttp.Refused
	if !errors.As(err, &refused) || refused.Reason != "loopback" {
		t.Errorf("gives %v, want a refusal because of loopback", err)
	}
}

// nothingSecret has the far side tell all it was told.
func (k *Kit) nothingSecret(t *testing.T) {
	for _, status := range []int{200, 302, 400, 401, 403, 404, 410, 429, 500} {
		srv := far(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			for name, values := range r.Header {
				w.Header()["Echo-"+name] = values
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"ok":false,"error":%q,"message":%q,"errors":[%q]}`, r.Header, body, strings.Join(k.Secrets, " "))
		})
		k.send(t, k.target(), srv.URL, limit) // it looks
	}
}

func (k *Kit) twice(t *testing.T) {
	var mu sync.Mutex
	keys := map[string]int{}
	srv := far(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys[k.Key(r, body)]++
		mu.Unlock()
		k.Taken(w, http.StatusOK)
	})
	for range 2 {
		if _, err := k.send(t, k.target(), srv.URL, limit); k.Kind(200) == "" && err != nil {
			t.Errorf("gives %v", err)
		}
	}
	if len(keys) != 1 || keys[""] > 0 {
		t.Errorf("the far side saw the keys %v, want one key twice", keys)
	}
}

// complete checks what the record of a good attempt holds.
func (k *Kit) complete(t *testing.T) {
	status := 200
	for k.Kind(status) != "" {
		status++
	}
	srv := far(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Far", "side")
		k.Taken(w, status)
	})
	a, err := k.send(t, k.target(), srv.URL, limit)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case a.Status != status:
		t.Errorf("status is %d, want %d", a.Status, status)
	case a.Address != strings.TrimPrefix(srv.URL, "http://"):
		t.Errorf("address is %q, want that of %s", a.Address, srv.URL)
	case !strings.HasPrefix(a.Digest, "sha-256=") || len(a.Digest) != len("sha-256=")+64:
		t.Errorf("digest is %q", a.Digest)
	case len(a.Request) == 0 || a.Response["X-Far"] != "side":
		t.Errorf("headers are %v and %v", a.Request, a.Response)
	}
}

func (k *Kit) overlap(t *testing.T) {
	status := 200
	for k.Kind(status) != "" {
		status++
	}
	srv := far(t, func(w http.ResponseWriter, _ *http.Request) { k.Taken(w, status) })
	target := k.target()
	var all sync.WaitGroup
	var mu sync.Mutex
	digests := map[string]int{}
	for range 8 {
		all.Go(func() {
			a, err := target.Send(t.Context(), k.Endpoint(srv.URL), k.Delivery())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			digests[a.Digest]++
			mu.Unlock()
		})
	}
	all.Wait()
	if digests[""] > 0 || len(digests) == 0 {
		t.Errorf("digests of overlapping sends: %v", maps.Collect(maps.All(digests)))
	}
}
