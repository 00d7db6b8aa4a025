package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/access"
)

// fakeAccess knows one key a role: toc_live_<role>.
type fakeAccess struct{ Access }

func (fakeAccess) Authenticate(_ context.Context, bearer string) (hub.Principal, error) {
	role, found := strings.CutPrefix(bearer, "toc_live_")
	if !found || access.Granted(role) == nil {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the API key is not known")
	}
	return hub.Principal{Tenant: "default", Type: hub.ActorKey, ID: "key_" + role, Permissions: access.Granted(role)}, nil
}

// fakeFindings keeps what it accepts.
type fakeFindings struct {
	Findings
	got []*hub.Finding
	err error
}

func (f *fakeFindings) Accept(_ context.Context, _ hub.Principal, all []*hub.Finding, _ Idempotency) error {
	if f.err != nil {
		return f.err
	}
	for _, x := range all {
		x.ID = "fnd_1"
	}
	f.got = append(f.got, all...)
	return nil
}

// fakeAudit counts refusals.
type fakeAudit struct {
	Audit
	denied []string
}

func (a *fakeAudit) Denied(_ context.Context, p hub.Principal, permission string) {
	a.denied = append(a.denied, p.ID+" "+permission)
}

type fakeHealth struct{ Health }

func (fakeHealth) Ready(context.Context) map[string]string {
	return map[string]string{"store": "ok", "bus": "full"}
}

func newServer(t *testing.T, change func(*Deps)) (*Server, *fakeFindings, *fakeAudit) {
	t.Helper()
	reg := prometheus.NewRegistry()
	f, a := &fakeFindings{}, &fakeAudit{}
	d := Deps{
		Access: fakeAccess{}, Findings: f, Audit: a, Health: fakeHealth{}, Version: "test", BodyLimit: 1 << 20,
		Plan: "unlimited", IngestPlan: "unlimited", Gatherer: reg, Registry: reg, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&d)
	}
	return New(d), f, a
}

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, s *Server, method, path, role, body string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if role != "" {
		r.Header.Set("Authorization", "Bearer toc_live_"+role)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.App().Test(r, -1)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

const finding = `{"type":"xss","asset_id":"web-1","severity":"high"}`

// Every error has the form of the contract, §2, whoever finds the fault: our
// code, Fiber, or huma.
func TestErrorsHaveOneForm(t *testing.T) {
	s, f, _ := newServer(t, nil)
	full := &hub.Error{Kind: hub.Transient, Msg: "the hub cannot store anything", RetryAfter: 1500e6}
	for _, c := range []struct {
		name, method, path, role, body string
		header                         []string
		accept                         error
		status                         int
		detail, pointer                string
	}{
		{name: "no credential", method: "POST", path: Base + "/findings", body: finding, status: 401, detail: "Authorization: Bearer"},
		{name: "wrong credential", method: "GET", path: Base + "/alerts", role: "nobody", status: 401, detail: "not known"},
		{name: "other scheme", method: "GET", path: Base + "/alerts", header: []string{"Authorization", "Basic eA=="}, status: 401, detail: "must be: Bearer"},
		{name: "no permission", method: "POST", path: Base + "/findings", role: "viewer", body: finding, status: 403, detail: "findings:create"},
		{name: "no permission, huma", method: "GET", path: Base + "/alerts", role: "ingest", status: 403, detail: "alerts:read"},
		{name: "not JSON", method: "POST", path: Base + "/findings", role: "ingest", body: "{", status: 400, detail: "not valid JSON"},
		{name: "no finding", method: "POST", path: Base + "/findings", role: "ingest", body: `{"type":"xss","asset_id":"a","severity":"bad"}`, status: 422, detail: `"bad" is not one of`, pointer: "/severity"},
		{name: "form", method: "POST", path: Base + "/findings", role: "ingest", body: finding, header: []string{"Content-Type", "text/xml"}, status: 415, detail: "text/xml"},
		{name: "too large", method: "POST", path: Base + "/findings", role: "ingest", body: strings.Repeat(" ", 1<<20) + finding, status: 413, detail: "larger than"},
		{name: "store down", method: "POST", path: Base + "/findings", role: "ingest", body: finding, accept: full, status: 503, detail: "cannot store"},
		{name: "bug", method: "POST", path: Base + "/findings", role: "ingest", body: finding, accept: io.ErrUnexpectedEOF, status: 500, detail: "internal error"},
		{name: "all bad", method: "POST", path: Base + "/findings/batch", role: "ingest", body: "[{},7]", status: 422, detail: "no finding of the batch", pointer: "/0/type"},
		{name: "batch no array", method: "POST", path: Base + "/findings/batch", role: "ingest", body: finding, status: 422, detail: "array"},
		{name: "no route", method: "GET", path: Base + "/nothing", role: "owner", status: 404, detail: "nothing at"},
		{name: "no method", method: "DELETE", path: Base + "/alerts", role: "owner", status: 405, detail: "allowed: GET"},
		{name: "bad limit", method: "GET", path: Base + "/alerts?limit=0", role: "owner", status: 400, detail: "limit"},
		{name: "bad filter", method: "GET", path: Base + "/alerts?severity=bad", role: "owner", status: 400, detail: "severity"},
		{name: "bad time", method: "GET", path: Base + "/alerts?since=yesterday", role: "owner", status: 400, detail: "since"},
		{name: "unknown field", method: "POST", path: Base + "/webhooks", role: "owner", body: `{"url":"https://a.example","evil":1}`, status: 422, detail: "evil", pointer: "/evil"},
		{name: "wrong type", method: "POST", path: Base + "/webhooks", role: "owner", body: `{"url":7}`, status: 422, detail: "url", pointer: "/url"},
		{name: "no url", method: "POST", path: Base + "/webhooks", role: "owner", body: `{}`, status: 422, detail: "url is required", pointer: "/url"},
		{name: "control body not JSON", method: "POST", path: Base + "/webhooks", role: "owner", body: `{`, status: 400, detail: ""},
		{name: "other case", method: "PATCH", path: Base + "/alerts/alt_1", role: "owner", body: `{"severity":"low","SEVERITY":"x"}`, status: 422, detail: "SEVERITY", pointer: "/SEVERITY"},
		{name: "If-Match", method: "PATCH", path: Base + "/alerts/alt_1", role: "owner", body: `{}`, header: []string{"If-Match", "new"}, status: 400, detail: "If-Match"},
		{name: "both ids and filter", method: "POST", path: Base + "/alerts/bulk", role: "owner", body: `{"action":"resolve"}`, status: 422, detail: "either ids or filter", pointer: "/ids"},
	} {
		f.err = c.accept
		a := do(t, s, c.method, c.path, c.role, c.body, c.header...)
		var p Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Errorf("%s: %d %q: %v", c.name, a.status, a.body, err)
			continue
		}
		path, _, _ := strings.Cut(c.path, "?")
		if a.status != c.status || p.Status != c.status || !strings.Contains(p.Detail, c.detail) || p.Error_ != p.Detail || p.Title == "" || p.Type == "" || p.Instance != path {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, a.status, a.body, c.status, c.detail)
		}
		if c.pointer != "" && (len(p.Errors) == 0 || !slices.ContainsFunc(p.Errors, func(f hub.Field) bool { return f.Pointer == c.pointer })) {
			t.Errorf("%s: got errors %v, want one at %s", c.name, p.Errors, c.pointer)
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: Content-Type is %q", c.name, got)
		}
		for _, h := range []string{"X-Request-Id", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Ratelimit-Burst"} {
			if a.header.Get(h) == "" {
				t.Errorf("%s: no %s", c.name, h)
			}
		}
		if c.status == 503 && a.header.Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After is %q, want 1.5 s rounded up", c.name, a.header.Get("Retry-After"))
		}
	}
}

func TestPostFinding(t *testing.T) {
	s, f, _ := newServer(t, nil)
	a := do(t, s, "POST", Base+"/findings", "ingest", finding)
	if a.status != 202 || a.body != `{"id":"fnd_1","status":"accepted"}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if len(f.got) != 1 || string(f.got[0].Raw) != finding {
		t.Errorf("accepted %+v", f.got)
	}
	a = do(t, s, "POST", Base+"/findings/batch", "ingest", finding+"\n{\n"+finding, "Content-Type", "application/x-ndjson")
	if a.status != 202 || !strings.HasPrefix(a.body, `{"accepted":2,"ids":["fnd_1","fnd_1"],"rejected":[{"index":1,`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestRateLimit(t *testing.T) {
	s, _, _ := newServer(t, func(d *Deps) { d.IngestPlan = "starter" })
	for i := range 16 {
		a := do(t, s, "POST", Base+"/findings", "ingest", finding)
		want := 202
		if i == 15 {
			want = 429
		}
		if a.status != want || a.header.Get("X-Ratelimit-Limit") != "60" || a.header.Get("X-Ratelimit-Burst") != "15" {
			t.Errorf("request %d: got %d with limit %s burst %s, want %d", i, a.status, a.header.Get("X-Ratelimit-Limit"), a.header.Get("X-Ratelimit-Burst"), want)
		}
		if i == 15 && a.header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if a := do(t, s, "GET", Base+"/alerts?limit=0", "owner", ""); a.status != 400 {
		t.Errorf("the control plane counts with ingest: got %d", a.status)
	}
}

// Every operation names a permission that exists, and refuses everybody without
// it, in writing.
func TestEveryRouteNeedsItsPermission(t *testing.T) {
	s, _, audit := newServer(t, nil)
	all := access.Permissions()
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]any{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			_ = op
			o := item.Get
			switch method {
			case "POST":
				o = item.Post
			case "PATCH":
				o = item.Patch
			case "DELETE":
				o = item.Delete
			}
			if o == nil || path == Base+"/ingest/{source}" || path == PagerDutyPath || isSlack(path) || isVendor(path) { // the sender's own signature counts
				continue
			}
			need, _ := o.Metadata[permission].(string)
			if need == "" {
				need = "findings:create"
			}
			if !slices.Contains(all, need) {
				t.Errorf("%s %s needs %q, which is no permission", method, path, need)
			}
			for _, role := range access.Roles[1:] {
				if slices.Contains(access.Granted(role), need) {
					continue
				}
				audit.denied = nil
				a := do(t, s, method, strings.NewReplacer("{id}", "x", "{name}", "x").Replace(path), role, "")
				if a.status != 403 || len(audit.denied) != 1 {
					t.Errorf("%s %s as %s: got %d %s and %d audit entries, want 403 and one", method, path, role, a.status, a.body, len(audit.denied))
				}
			}
		}
	}
}

func TestHealth(t *testing.T) {
	s, _, _ := newServer(t, nil)
	if a := do(t, s, "GET", "/health", "", ""); a.status != 200 || a.body != `{"status":"ok","version":"test"}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/ready", "", ""); a.status != 503 || !strings.Contains(a.body, `"bus":"full"`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/docs", "", ""); a.status != 200 || !strings.Contains(a.body, "/api/v1/alerts/{id}") || strings.Contains(a.body, "<script") {
		t.Errorf("got %d %.200s", a.status, a.body)
	}
	if a := do(t, s, "GET", "/metrics", "", ""); a.status != 200 || !strings.Contains(a.body, "tocsin_http_requests_total") {
		t.Errorf("got %d %.200s", a.status, a.body)
	}
	if a := do(t, s, "GET", Base+"/openapi.json", "", ""); a.status != 200 || !strings.Contains(a.body, `"openapi":"3.1`) || !strings.Contains(a.body, Base+"/findings/batch") {
		t.Errorf("got %d %.200s", a.status, a.body)
	}
}
