package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A source answers at its vendor's paths, without a credential of ours and in
// its own words.
func TestVendorPaths(t *testing.T) {
	var got IngestRequest
	var path string
	s, _, _ := newServer(t, func(d *Deps) {
		d.Vendor = func(_ context.Context, p string, r IngestRequest) (VendorAnswer, error) {
			path, got = p, r
			if p == "/services/collector/none" {
				return VendorAnswer{}, hub.E(hub.NotFound, "no source serves this path")
			}
			return VendorAnswer{Status: 503, Type: "application/json", Body: []byte(`{"code":9}`), RetryAfter: 1500 * time.Millisecond}, nil
		}
	})
	a := do(t, s, "POST", "/services/collector/event?channel=c1", "", "{}", "Authorization", "Splunk abc")
	if a.status != 503 || a.body != `{"code":9}` || a.header.Get("Retry-After") != "2" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("answer %+v", a)
	}
	if path != "/services/collector/event" || got.Method != "POST" || got.Query["channel"][0] != "c1" || string(got.Body) != "{}" || got.Header["Authorization"][0] != "Splunk abc" {
		t.Errorf("%s: %+v", path, got)
	}
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/services/collector/health/", 503, "/services/collector/health"},
		{"POST", "/services/collector", 503, "/services/collector"},
		{"POST", "/services/collector/none", 404, "/services/collector/none"},
		{"POST", "/services/collectors", 404, ""},
		{"POST", "/services", 404, ""},
	} {
		path = ""
		if a := do(t, s, tt.method, tt.path, "", ""); a.status != tt.status || path != tt.want {
			t.Errorf("%s %s: status %d, served as %q; want %d, %q", tt.method, tt.path, a.status, path, tt.status, tt.want)
		}
	}
	if a := do(t, s, "POST", "/services/collector", "", strings.Repeat(" ", 1<<20+1)); a.status != 413 {
		t.Errorf("a large body: status %d", a.status)
	}
	none, _, _ := newServer(t, nil)
	if a := do(t, none, "POST", "/services/collector", "", "{}"); a.status != 404 {
		t.Errorf("without any source: status %d", a.status)
	}
}

// A packed body counts with its unpacked size.
func TestPackedBodies(t *testing.T) {
	s, f, _ := newServer(t, nil)
	for _, tt := range []struct {
		name, encoding, body string
		status               int
	}{
		{"gzip", "gzip", gzipped(t, finding), 202},
		{"gzip, in capitals", "GZIP", gzipped(t, finding), 202},
		{"plain", "identity", finding, 202},
		{"a bomb", "gzip", gzipped(t, strings.Repeat(" ", 100<<20)+finding), 413},
		{"cut", "gzip", gzipped(t, finding)[:40], 400},
		{"no gzip", "gzip", finding, 400},
		{"another", "br", finding, 415},
		{"twice", "gzip, gzip", finding, 415},
	} {
		if a := do(t, s, "POST", Base+"/findings", "ingest", tt.body, "Content-Encoding", tt.encoding); a.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, a.status, tt.status, a.body)
		}
	}
	if len(f.got) != 3 {
		t.Errorf("%d findings accepted, want 3", len(f.got))
	}
}
