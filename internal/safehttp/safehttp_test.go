package safehttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/internal/safehttp"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func local(o safehttp.Options) *safehttp.Client {
	o.Allow = loopback
	return safehttp.New(o)
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		res, err := local(safehttp.Options{}).HTTP().Post(srv.URL, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status || reached.Load() != 0 {
			t.Errorf("%d: status %d, %d requests at the other host", status, res.StatusCode, reached.Load())
		}
	}
}

func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	res, err := local(safehttp.Options{}).HTTP().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestNothingIsInflated(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("Accept-Encoding is %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	res, err := local(safehttp.Options{}).HTTP().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := safehttp.ReadBody(res)
	if want := bomb.Bytes()[:min(bomb.Len(), safehttp.KeptBody)]; !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the %d sent", len(got), len(want))
	}
}

// hostile are far sides that never finish. Each must end at the deadline.
var hostile = map[string]http.HandlerFunc{
	"silent": func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server see a closed connection
		<-r.Context().Done()
	},
	"drips its head": func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		drip(conn, "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 10000))
	},
	"drips its body": func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
		drip(conn, strings.Repeat("a", 10000))
	},
}

func drip(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestOneDeadlineForAll(t *testing.T) {
	const limit = 150 * time.Millisecond
	for name, h := range hostile {
		srv := serve(t, h)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader("{}"))
		start := time.Now()
		res, err := local(safehttp.Options{}).RoundTrip(req)
		if err == nil {
			_, err = safehttp.ReadBody(res)
		}
		if took := time.Since(start); took > limit+250*time.Millisecond {
			t.Errorf("%s: took %v", name, took)
		}
		if got := safehttp.Explain(err); got != "there was no complete answer in time" {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
	}
}

func TestHeadIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"large head": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 1024) + "\r\n",
		"flood of 1xx": strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("a", 1000)+"\r\n\r\n", 1024) +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			io.WriteString(conn, text)
		})
		_, err := local(safehttp.Options{}).HTTP().Get(srv.URL)
		if got := safehttp.Explain(err); got != "the head of the answer is too large" {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	res, err := local(safehttp.Options{}).HTTP().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := safehttp.ReadBody(res)
	if err != nil || len(got) != safehttp.KeptBody {
		t.Errorf("got %d bytes and %v, want %d", len(got), err, safehttp.KeptBody)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var opened atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(make([]byte, safehttp.KeptBody)) // exactly as much as is kept
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := local(safehttp.Options{})
	for range 20 {
		post(t, c, srv.URL)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("20 requests opened %d connections, want 1", n)
	}
}

func post(t testing.TB, c *safehttp.Client, url string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := safehttp.ReadBody(res); err != nil {
		t.Fatal(err)
	}
}

func TestUserAgent(t *testing.T) {
	var got string
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.UserAgent() })
	post(t, local(safehttp.Options{UserAgent: "Tocsin/1"}), srv.URL)
	if got != "Tocsin/1" {
		t.Errorf("User-Agent is %q", got)
	}
}

func TestExplain(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	nonsense := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		io.WriteString(conn, "220 s3cret ready\r\n")
		conn.Close()
	})
	tests := []struct{ url, want string }{
		{closed.URL, "the connection was refused"},
		{tls.URL, "the certificate is not accepted: its authority is not known here"},
		{strings.Replace(plain.URL, "http:", "https:", 1), "the far side does not speak TLS; check whether the URL should start with http://"},
		{cut.URL, "the connection was cut"},
		{nonsense.URL, "the answer is not HTTP"},
		{"http://nowhere.example/", "the name of the host does not resolve"},
	}
	for _, tt := range tests {
		_, err := local(safehttp.Options{Resolver: &names{}}).HTTP().Get(tt.url + "/s3cret?token=s3cret")
		if got := safehttp.Explain(err); got != tt.want {
			t.Errorf("%s: %q (%v), want %q", tt.url, got, err, tt.want)
		}
	}
	if got := safehttp.Explain(fmt.Errorf("x: %w", errors.New("s3cret"))); strings.Contains(got, "s3cret") {
		t.Errorf("Explain repeats %q", got)
	}
}

func BenchmarkPost(b *testing.B) {
	srv := serve(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(204)
	})
	c := local(safehttp.Options{})
	b.ReportAllocs()
	for b.Loop() {
		post(b, c, srv.URL)
	}
}
