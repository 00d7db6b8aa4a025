package connectors

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

const token = "tok_5Jd8sK2lQ0"

func api(t *testing.T, base string, hosts ...string) *API {
	t.Helper()
	u, err := url.Parse(base + "/v2")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &API{Vendor: "Vendor", Base: u, Hosts: hosts, Token: secret.New(token), Client: &http.Client{Transport: transport}}
}

// TestRedirects checks where a call ends up, and that no other host sees the
// credential.
func TestRedirects(t *testing.T) {
	var seen atomic.Value // what the other host was sent
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, `"other `+r.URL.Path+`"`)
	}))
	defer other.Close()
	var to string
	var status int
	var asked atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/v2/here" {
			fmt.Fprint(w, `"here"`)
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}))
	defer front.Close()
	host := strings.TrimPrefix(other.URL, "http://")

	tests := []struct {
		name, method string
		status       int
		to           string
		hosts        []string
		want         string
		kind         hub.Kind
	}{
		{"within the host", "GET", 302, "/v2/here", nil, `"here"`, ""},
		{"to an allowed host", "GET", 301, other.URL + "/v2/list", []string{host}, `"other /v2/list"`, ""},
		{"to another host", "GET", 301, other.URL + "/v2/list", nil, "", hub.Forbidden},
		{"to another port of ours", "GET", 301, "http://127.0.0.1:1/v2/list", nil, "", hub.Forbidden},
		{"with a user in it", "GET", 301, strings.Replace(other.URL, "//", "//a:b@", 1) + "/v2/list", []string{host}, "", hub.Forbidden},
		{"to a file", "GET", 301, "file:///etc/passwd", nil, "", hub.Forbidden},
		{"of a write", "POST", 307, other.URL + "/v2/list", []string{host}, "", hub.Invalid},
		{"without a place", "GET", 302, "", nil, "", hub.Transient},
		{"in a circle", "GET", 302, "/v2/list", nil, "", hub.Transient},
	}
	for _, tt := range tests {
		to, status = tt.to, tt.status
		seen.Store("")
		a := api(t, front.URL, tt.hosts...)
		got, err := a.Do(t.Context(), Call{Method: tt.method, Path: "/list"})
		if hub.KindOf(err) != tt.kind || string(got.Body) != tt.want {
			t.Errorf("%s: %s, %v; want %s, kind %q", tt.name, got.Body, err, tt.want, tt.kind)
		}
		if allowed := len(tt.hosts) > 0 && tt.kind == ""; (seen.Load() != "") != allowed {
			t.Errorf("%s: the other host was sent %q", tt.name, seen.Load())
		}
	}

	// A permanent redirect is remembered, so that a write gets there too.
	to, status = other.URL+"/v2/list", http.StatusMovedPermanently
	a := api(t, front.URL, host)
	for i, method := range []string{"GET", "GET", "POST"} {
		before := asked.Load()
		if _, err := a.Do(t.Context(), Call{Method: method, Path: "/list"}); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		if i > 0 && asked.Load() != before {
			t.Errorf("call %d asked the first host again", i)
		}
	}
	other.Close() // the region fails: the base URL is asked again
	if _, err := a.Do(t.Context(), Call{Method: "GET", Path: "/list"}); hub.KindOf(err) != hub.Transient {
		t.Errorf("with the region down: %v, want a transient error", err)
	}
	before := asked.Load()
	_, _ = a.Do(t.Context(), Call{Method: "GET", Path: "/here"})
	if asked.Load() == before {
		t.Error("after the region failed, the base URL was not asked")
	}
}

// TestStatuses checks the kind of error for every status, and that a vendor's
// echo of the credential does not get into it.
func TestStatuses(t *testing.T) {
	var status int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(status)
		fmt.Fprintf(w, "echo %s\n%s", r.Header.Get("Authorization"), strings.Repeat("long ", 1000))
	}))
	defer s.Close()
	want := map[int]hub.Kind{
		200: "", 201: "", 202: "", 300: hub.Transient, 304: hub.Transient, 400: hub.Invalid, 401: hub.Unauthorized, 402: hub.Invalid, 403: hub.Forbidden,
		404: hub.NotFound, 405: hub.Invalid, 408: hub.Transient, 409: hub.Invalid, 410: hub.Invalid, 413: hub.Invalid, 415: hub.Invalid, 422: hub.Invalid,
		425: hub.Transient, 429: hub.RateLimited, 500: hub.Transient, 501: hub.Transient, 502: hub.Transient, 503: hub.Transient, 504: hub.Transient,
	}
	for status = range want {
		_, err := api(t, s.URL).Do(t.Context(), Call{Method: "GET", Path: "/x"})
		if got := hub.KindOf(err); got != want[status] {
			t.Errorf("status %d gives %q (%v), want %q", status, got, err, want[status])
		}
		if err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 1000) {
			t.Errorf("status %d: error is long or tells the token: %v", status, err)
		}
	}
}
