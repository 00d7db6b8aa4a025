package cybervault

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func kind(o Options) *Sim {
	o.Kind = true
	return New(o)
}

func call(s *Sim, method, target, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+DefaultToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// TestRules checks the status of each request, and whether it is a violation.
func TestRules(t *testing.T) {
	const finding = `{"type":"xss","asset_id":"a","severity":"low","payload":{"a":1}}`
	tests := []struct {
		name, method, target, body string
		edit                       func(*http.Request)
		status                     int
		violation                  bool
	}{
		{"status", "GET", "/v2/status", "", nil, 200, false},
		{"alerts", "GET", "/v2/alerts", "", nil, 200, false},
		{"all parameters", "GET", "/v2/alerts?severity=high&status=open&limit=200", "", nil, 200, false},
		{"limit 0", "GET", "/v2/alerts?limit=0", "", nil, 400, true},
		{"limit 201", "GET", "/v2/alerts?limit=201", "", nil, 400, true},
		{"limit word", "GET", "/v2/alerts?limit=all", "", nil, 400, true},
		{"severity info", "GET", "/v2/alerts?severity=info", "", nil, 400, true},
		{"status closed", "GET", "/v2/alerts?status=closed", "", nil, 400, true},
		{"unknown parameter", "GET", "/v2/alerts?since=1", "", nil, 400, true},
		{"parameter twice", "GET", "/v2/alerts?status=open&status=resolved", "", nil, 400, true},
		{"made-up cursor", "GET", "/v2/alerts?after=abc", "", nil, 400, true},
		{"the document's cursor", "GET", "/v2/alerts?after=eyJwYWdlIjoyLCJ0aW1lc3RhbXAiOjE3MTgzNDU2MzF9", "", nil, 400, true},
		{"no token", "GET", "/v2/status", "", func(r *http.Request) { r.Header.Del("Authorization") }, 401, true},
		{"basic auth", "GET", "/v2/status", "", header("Authorization", "Basic eDp5"), 401, true},
		{"other token", "GET", "/v2/status", "", header("Authorization", "Bearer cv_live_other"), 401, false},
		{"unknown path", "GET", "/v2/assets", "", nil, 404, true},
		{"version 1", "GET", "/v1/alerts", "", nil, 404, true},
		{"wrong method", "DELETE", "/v2/alerts", "", nil, 405, true},
		{"finding", "POST", "/v2/findings", finding, nil, 202, false},
		{"finding as text", "POST", "/v2/findings", finding, header("Content-Type", "text/plain"), 415, true},
		{"unknown field", "POST", "/v2/findings", `{"type":"xss","asset_id":"a","severity":"low","title":"x"}`, nil, 400, true},
		{"two values", "POST", "/v2/findings", finding + finding, nil, 400, true},
		{"type not to be submitted", "POST", "/v2/findings", `{"type":"sql_injection","asset_id":"a","severity":"low"}`, nil, 422, true},
		{"no asset", "POST", "/v2/findings", `{"type":"xss","severity":"low"}`, nil, 422, true},
		{"severity info", "POST", "/v2/findings", `{"type":"xss","asset_id":"a","severity":"info"}`, nil, 422, true},
		{"payload no object", "POST", "/v2/findings", `{"type":"xss","asset_id":"a","severity":"low","payload":[1]}`, nil, 422, true},
		{"batch", "POST", "/v2/alerts", "[" + finding + "]", nil, 201, false},
		{"empty batch", "POST", "/v2/alerts", "[]", nil, 422, true},
		{"batch with a bad one", "POST", "/v2/alerts", "[" + finding + `,{"type":"xss"}]`, nil, 422, true},
	}
	for _, tt := range tests {
		s := kind(Options{})
		w := call(s, tt.method, tt.target, tt.body, tt.edit)
		if w.Code != tt.status || (len(s.Violations()) > 0) != tt.violation {
			t.Errorf("%s: status %d, violations %v; want %d, %v", tt.name, w.Code, s.Violations(), tt.status, tt.violation)
		}
		for _, name := range []string{"Limit", "Remaining", "Reset", "Burst"} {
			if w.Header().Get("X-RateLimit-"+name) == "" {
				t.Errorf("%s: no X-RateLimit-%s", tt.name, name)
			}
		}
		if w.Code >= 400 && !strings.Contains(w.Body.String(), `"error":"`+http.StatusText(tt.status)) {
			t.Errorf("%s: body %s", tt.name, w.Body)
		}
	}
}

func TestPages(t *testing.T) {
	s := kind(Options{})
	s.Add(25)
	var ids []string
	after := ""
	for n := 0; ; n++ {
		w := call(s, "GET", "/v2/alerts?limit=10"+after, "", nil)
		var p struct {
			Data       []Alert
			NextCursor *string `json:"next_cursor"`
			HasMore    bool    `json:"has_more"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || (p.NextCursor != nil) != p.HasMore || p.HasMore != (n < 2) {
			t.Fatalf("page %d: %s, %v", n, w.Body, err)
		}
		for _, a := range p.Data {
			ids = append(ids, a.ID)
		}
		if !p.HasMore {
			break
		}
		after = "&after=" + *p.NextCursor
	}
	if len(ids) != 25 {
		t.Errorf("%d alerts on the pages, want 25", len(ids))
	}
	// A cursor is good for its own query only.
	if w := call(s, "GET", "/v2/alerts?limit=11"+after, "", nil); w.Code != 400 {
		t.Errorf("a cursor with another limit: %d", w.Code)
	}
}

// TestPagesShift shows that the simulator is as bad as the real thing may be:
// an alert that leaves the list while somebody pages hides another.
func TestPagesShift(t *testing.T) {
	s := kind(Options{})
	s.Add(4)
	first := call(s, "GET", "/v2/alerts?status=open&limit=2", "", nil)
	var p page
	if err := json.Unmarshal(first.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	s.Change(p.Data[0].ID, "resolved", "")
	second := call(s, "GET", "/v2/alerts?status=open&limit=2&after="+*p.NextCursor, "", nil)
	if err := json.Unmarshal(second.Body.Bytes(), &p); err != nil || len(p.Data) != 1 {
		t.Errorf("second page after a change: %s", second.Body)
	}
}

// TestTiers uses up each tier's burst, and waits as told.
func TestTiers(t *testing.T) {
	for name, want := range map[string]tier{"starter": {60, 15}, "professional": {300, 50}, "enterprise": {1200, 200}} {
		now := time.Unix(1_700_000_000, 0)
		s := kind(Options{Tier: name, Options: unkind.Options{Now: func() time.Time { return now }}})
		var w *httptest.ResponseRecorder
		for i := range want.burst {
			if w = call(s, "GET", "/v2/status", "", nil); w.Code != 200 {
				t.Fatalf("%s: request %d of the burst got %d", name, i, w.Code)
			}
		}
		h := w.Header()
		got := fmt.Sprint(h.Get("X-RateLimit-Limit"), " ", h.Get("X-RateLimit-Burst"), " ", h.Get("X-RateLimit-Remaining"))
		if got != fmt.Sprint(want.perMinute, " ", want.burst, " 0") {
			t.Errorf("%s: headers %s", name, got)
		}
		if w = call(s, "GET", "/v2/status", "", nil); w.Code != 429 || w.Header().Get("Retry-After") != "1" || len(s.Violations()) > 0 {
			t.Errorf("%s: after the burst %d, Retry-After %q, %v", name, w.Code, w.Header().Get("Retry-After"), s.Violations())
		}
		if w = call(s, "GET", "/v2/status", "", nil); w.Code != 429 || len(s.Violations()) != 1 {
			t.Errorf("%s: too early %d, %v", name, w.Code, s.Violations())
		}
		now = now.Add(2 * time.Second)
		if w = call(s, "GET", "/v2/status", "", nil); w.Code != 200 || len(s.Violations()) != 1 {
			t.Errorf("%s: in time %d, %v", name, w.Code, s.Violations())
		}
		if w = call(s, "GET", "/v2/status", "", header("Authorization", "Bearer other")); w.Code != 401 {
			t.Errorf("%s: another key %d, want its own limit", name, w.Code)
		}
	}
}

func TestRedirect(t *testing.T) {
	s := kind(Options{})
	s.Redirect("http://eu-1.example")
	if w := call(s, "GET", "http://api.example/v2/alerts?limit=1", "", nil); w.Code != 301 || w.Header().Get("Location") != "http://eu-1.example/v2/alerts?limit=1" {
		t.Errorf("global address: %d to %s", w.Code, w.Header().Get("Location"))
	}
	if w := call(s, "GET", "http://eu-1.example/v2/alerts?limit=1", "", nil); w.Code != 200 {
		t.Errorf("region: %d", w.Code)
	}
}

// TestWebhooks sends to a receiver that fails at first, with repeats and
// disorder, and checks that each event gets there, signed.
func TestWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		s.Set(unkind.Knobs{Repeat: 0.3, Reorder: 0.3})
		s.Subscribe(Subscription{URL: "http://hub.example/in", Secret: "s3cret", Events: []string{"alert.created", "alert.resolved", "compliance.failed"}})
		to := &hub{failures: 5, ids: map[string]int{}}
		ids := s.Add(20)
		s.Change(ids[0], "resolved", "")
		s.Change(ids[1], "dismissed", "") // tells nothing
		s.Send("compliance.failed", map[string]string{"asset_id": "a"})
		s.Send("asset.vulnerable", map[string]string{"asset_id": "a"}) // not subscribed
		s.Flush(t.Context(), &http.Client{Transport: to})
		if len(to.ids) != 22 || to.wrong > 0 || s.GivenUp() > 0 {
			t.Errorf("%d events arrived, %d unsigned, %d given up; want 22, 0, 0", len(to.ids), to.wrong, s.GivenUp())
		}
		if to.total == 22 {
			t.Error("nothing was repeated")
		}
	})
}

// A hub receives webhooks.
type hub struct {
	mu           sync.Mutex
	failures     int
	ids          map[string]int
	total, wrong int
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	res := &http.Response{StatusCode: 202, Body: http.NoBody, Request: r, Header: http.Header{}}
	if h.failures > 0 {
		h.failures--
		res.StatusCode = 500
		return res, nil
	}
	var e struct{ ID string }
	if json.Unmarshal(body, &e) != nil || r.Header.Get("X-CV-Signature") != Sign("s3cret", body) {
		h.wrong++
	}
	h.ids[e.ID]++
	h.total++
	return res, nil
}

func TestSteering(t *testing.T) {
	s := kind(Options{})
	steps := []struct{ method, path, body, want string }{
		{"POST", "/_sim/alerts", `{"count":2}`, `"ids"`},
		{"POST", "/_sim/alerts", `{"alert":{"id":"alt_x","severity":"low","type":"xss","asset_id":"a"}}`, "alt_x"},
		{"POST", "/_sim/change", `{"id":"alt_x","status":"resolved"}`, "resolved"},
		{"POST", "/_sim/change", `{"id":"alt_y"}`, "no such alert"},
		{"GET", "/_sim/alerts", "", `"alt_x","severity":"low","type":"xss","asset_id":"a"`},
		{"PUT", "/_sim/status", `{"threat_level":9}`, `"threat_level":9`},
		{"GET", "/v2/status", "", `"threat_level":9,"active_alerts":2`},
		{"PUT", "/_sim/token", `{"revoked":true}`, "true"},
		{"GET", "/v2/status", "", "Unauthorized"},
		{"GET", "/_sim/submitted", "", "[]"},
		{"GET", "/_sim/nonsense", "", "no such"},
	}
	for _, step := range steps {
		if got := call(s, step.method, step.path, step.body, nil).Body.String(); !strings.Contains(got, step.want) {
			t.Errorf("%s %s %s: %s, want %s in it", step.method, step.path, step.body, got, step.want)
		}
	}
}
