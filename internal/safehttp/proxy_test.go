package safehttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/internal/safehttp"
)

// A forward is a proxy that notes what it is asked to connect to, and connects to
// target whatever that is.
type forward struct {
	target string
	status int
	mu     sync.Mutex
	asked  []string // method, address, credentials
}

func (f *forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	f.mu.Unlock()
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	out, err := net.Dial("tcp", f.target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	go io.Copy(out, in)
	io.Copy(in, out)
}

func through(t *testing.T, f *forward, user *url.Userinfo, o safehttp.Options) (*safehttp.Client, *url.URL) {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	o.Proxy = u
	c := safehttp.New(o)
	t.Cleanup(c.CloseIdle)
	return c, u
}

// The proxy is told the address that was judged, never a name, and everything
// that is refused without a proxy is refused with one before it is asked.
func TestThroughAProxy(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	defer srv.Close()
	f := &forward{target: strings.TrimPrefix(srv.URL, "http://")}
	c, _ := through(t, f, url.UserPassword("me", "secret"), safehttp.Options{Resolver: resolver()})
	for range 2 { // the connection is kept
		res, err := c.HTTP().Get("http://public.example/x")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := safehttp.ReadBody(res)
		if string(body) != "public.example" {
			t.Errorf("the target was asked as %q", body)
		}
	}
	if got, want := strings.Join(f.asked, "; "), "CONNECT 8.8.8.8:80 Basic bWU6c2VjcmV0"; got != want {
		t.Errorf("the proxy was asked %q, want %q", got, want)
	}
	for _, tt := range targets {
		if tt.reason == "" {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, strings.NewReader("{}"))
		if err != nil {
			continue
		}
		res, err := c.HTTP().Do(req)
		if err == nil {
			res.Body.Close()
		}
		if got := reasonOf(err); got != tt.reason {
			t.Errorf("a request to %q through a proxy gives %q (%v), want %q", tt.url, got, err, tt.reason)
		}
	}
	if len(f.asked) != 1 {
		t.Errorf("the proxy was asked for refused targets: %q", f.asked)
	}
}

func TestABadProxyIsBlamed(t *testing.T) {
	f := &forward{status: http.StatusForbidden}
	c, u := through(t, f, url.UserPassword("me", "s3cret"), safehttp.Options{Resolver: resolver()})
	blamed := func(c *safehttp.Client, want string) {
		t.Helper()
		_, err := c.HTTP().Get("http://public.example/x")
		var p *safehttp.ProxyError
		if !errors.As(err, &p) || safehttp.Explain(err) != want || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, explained %q; want the proxy blamed: %q", err, safehttp.Explain(err), want)
		}
	}
	blamed(c, "the hub's proxy answered 403 Forbidden")
	gone := *u
	gone.Host = "127.0.0.1:1"
	blamed(safehttp.New(safehttp.Options{Resolver: resolver(), Proxy: &gone}), "the hub's proxy cannot be used")
	f.status, f.target = 0, "127.0.0.1:1"
	blamed(c, "the hub's proxy answered 502 Bad Gateway")
}

// A proxy that takes connections and says nothing is given up in time.
func TestASilentProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := safehttp.New(safehttp.Options{Resolver: resolver(), Proxy: &url.URL{Scheme: "http", Host: l.Addr().String()}})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://public.example/", nil)
	start := time.Now()
	_, err = c.HTTP().Do(req)
	if err == nil || time.Since(start) > 2*time.Second {
		t.Errorf("gives %v after %v", err, time.Since(start))
	}
}

// What the environment says about proxies is not heard. net/http reads it once in
// a process, so it is another one that looks.
func TestTheEnvironmentsProxyIsIgnored(t *testing.T) {
	if target := os.Getenv("SAFEHTTP_TARGET"); target != "" {
		c := safehttp.New(safehttp.Options{
			Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Resolver: &names{answers: map[string][][]netip.Addr{"target.example": {addrs("127.0.0.1")}}},
		})
		res, err := c.HTTP().Get(target)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusTeapot {
			t.Errorf("status %d, want that of the target", res.StatusCode)
		}
		return
	}
	f := &forward{status: http.StatusBadGateway}
	proxy := httptest.NewServer(f)
	defer proxy.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer srv.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheEnvironmentsProxyIsIgnored$")
	// Not by its address: net/http would not use a proxy for this machine anyway.
	cmd.Env = append(os.Environ(), "SAFEHTTP_TARGET="+strings.Replace(srv.URL, "127.0.0.1", "target.example", 1), "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL,
		"HTTPS_PROXY="+proxy.URL, "ALL_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if len(f.asked) != 0 {
		t.Errorf("the proxy of the environment was asked %q", f.asked)
	}
}
