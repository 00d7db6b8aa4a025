package edgetelemetry

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A caller speaks to a kind simulator as a client would.
type caller struct {
	t     *testing.T
	sim   *Sim
	token string
}

func newCaller(t *testing.T, o Options) *caller {
	o.Options = unkind.Options{Kind: true}
	c := &caller{t: t, sim: New(o)}
	c.login("")
	return c
}

func (c *caller) login(code string) *httptest.ResponseRecorder {
	c.token = ""
	w := c.call("POST", "/auth/login", `{"email":"`+DefaultEmail+`","password":"`+DefaultPassword+`"`+code+`}`)
	var out struct{ Data struct{ Token string } }
	_ = json.Unmarshal(w.Body.Bytes(), &out)
	c.token = out.Data.Token
	return w
}

func (c *caller) call(method, target, body string) *httptest.ResponseRecorder {
	if !strings.HasPrefix(target, "/_sim") {
		target = "/api/v1" + target
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	c.sim.ServeHTTP(w, r)
	return w
}

// TestRules checks the status of each request, and whether it is a violation.
// @ stands for the ids of what is there from the start.
func TestRules(t *testing.T) {
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		violation                  bool
	}{
		{"login", "POST", "/auth/login", `{"email":"` + DefaultEmail + `","password":"` + DefaultPassword + `"}`, 200, false},
		{"wrong password", "POST", "/auth/login", `{"email":"` + DefaultEmail + `","password":"wrong-wrong"}`, 401, false},
		{"no password", "POST", "/auth/login", `{"email":"x@y"}`, 422, true},
		{"other field", "POST", "/auth/login", `{"email":"x@y","password":"p","code":"1"}`, 422, true},
		{"me", "GET", "/auth/me", "", 200, false},
		{"refresh", "POST", "/auth/refresh", "", 200, false},
		{"refresh with a body", "POST", "/auth/refresh", `{"token":"x"}`, 422, true},
		{"logout", "POST", "/auth/logout", "", 200, false},
		{"providers", "GET", "/auth/sso/providers", "", 200, false},
		{"sso login", "POST", "/auth/sso/login/@provider", "", 200, false},
		{"sso login at a broken one", "POST", "/auth/sso/login/@broken", "", 502, false},
		{"sso callback", "POST", "/auth/sso/callback/@provider", `{"code":"authorization-code-from-idp"}`, 200, false},
		{"sso callback with a wrong code", "POST", "/auth/sso/callback/@provider", `{"code":"x"}`, 401, false},
		{"mfa setup", "POST", "/auth/mfa/setup", "", 200, false},
		{"mfa enable before setup", "POST", "/auth/mfa/enable", `{"code":"123456"}`, 400, false},
		{"mfa disable", "POST", "/auth/mfa/disable", "", 200, false},
		{"users", "GET", "/users", "", 200, false},
		{"users with a parameter", "GET", "/users?limit=5", "", 422, true},
		{"user", "GET", "/users/@user", "", 200, false},
		{"no such user", "GET", "/users/x", "", 404, false},
		{"create user", "POST", "/users", `{"email":"x@y","password":"12345678","role":"analyst"}`, 201, false},
		{"create user again", "POST", "/users", `{"email":"dana@example.com","password":"12345678","role":"analyst"}`, 422, false},
		{"short password", "POST", "/users", `{"email":"x@y","password":"1234567","role":"analyst"}`, 422, true},
		{"no such role", "POST", "/users", `{"email":"x@y","password":"12345678","role":"king"}`, 422, false},
		{"delete user", "DELETE", "/users/@user", "", 200, false},
		{"give role", "POST", "/users/@user/roles", `{"role_id":"@admin"}`, 200, false},
		{"give role again", "POST", "/users/@user/roles", `{"role_id":"@analyst"}`, 400, false},
		{"take role", "DELETE", "/users/@user/roles/@analyst", "", 200, false},
		{"take role that is not there", "DELETE", "/users/@user/roles/@admin", "", 404, false},
		{"roles", "GET", "/roles", "", 200, false},
		{"role", "GET", "/roles/@analyst", "", 200, false},
		{"permissions", "GET", "/roles/@analyst/permissions", "", 200, false},
		{"create role", "POST", "/roles", `{"name":"security_engineer","description":"d"}`, 201, false},
		{"create role again", "POST", "/roles", `{"name":"analyst"}`, 422, false},
		{"role without a name", "POST", "/roles", `{}`, 422, true},
		{"delete role of the system", "DELETE", "/roles/@analyst", "", 400, false},
		{"grant", "POST", "/roles/@analyst/permissions", `{"permission_id":"@update"}`, 200, false},
		{"grant nothing", "POST", "/roles/@analyst/permissions", `{"permission_id":"x"}`, 404, false},
		{"rules", "GET", "/alerting/rules", "", 200, false},
		{"rule", "GET", "/alerting/rules/@rule", "", 200, false},
		{"create rule", "POST", "/alerting/rules", `{"name":"r","condition_type":"risk_score_threshold","condition_config":{},"risk_score_min":80,"severity_threshold":"critical","cooldown_minutes":30,"max_alerts_per_hour":5,"schedule_enabled":false,"schedule_config":{},"channel_ids":["@channel"]}`, 201, false},
		{"rule of no channel", "POST", "/alerting/rules", `{"name":"r","condition_type":"c","channel_ids":["x"]}`, 422, false},
		{"rule with risk 101", "POST", "/alerting/rules", `{"name":"r","condition_type":"c","risk_score_min":101}`, 422, true},
		{"toggle", "POST", "/alerting/rules/@rule/toggle", "", 200, false},
		{"delete rule", "DELETE", "/alerting/rules/@rule", "", 200, false},
		{"channels", "GET", "/alerting/channels", "", 200, false},
		{"create channel", "POST", "/alerting/channels", `{"name":"c","channel_type":"slack","config":{"webhook_url":"https://x"}}`, 201, false},
		{"channel without config", "POST", "/alerting/channels", `{"name":"c","channel_type":"slack"}`, 422, true},
		{"test channel", "POST", "/alerting/channels/@channel/test", "", 200, false},
		{"alerts", "GET", "/alerting/alerts?status=fired&limit=50", "", 200, false},
		{"alerts of no status", "GET", "/alerting/alerts?status=open", "", 422, true},
		{"alerts with an offset", "GET", "/alerting/alerts?offset=10", "", 422, true},
		{"alerts with limit 0", "GET", "/alerting/alerts?limit=0", "", 422, true},
		{"acknowledge", "POST", "/alerting/alerts/@alert/acknowledge", "", 200, false},
		{"resolve", "POST", "/alerting/alerts/@alert/resolve", "", 200, false},
		{"acknowledge what is resolved", "POST", "/alerting/alerts/@resolved/acknowledge", "", 400, false},
		{"acknowledge nothing", "POST", "/alerting/alerts/x/acknowledge", "", 404, false},
		{"audit", "GET", "/audit/logs?user_id=@user&action=login&resource_type=auth&start_time=2026-02-01T00:00:00Z&end_time=2099-02-01T00:00:00%2B01:00&limit=100&offset=0", "", 200, false},
		{"audit since yesterday", "GET", "/audit/logs?start_time=yesterday", "", 422, true},
		{"audit stats", "GET", "/audit/stats?start_time=2026-02-01T00:00:00Z", "", 200, false},
		{"audit export", "GET", "/audit/export?format=csv", "", 200, false},
		{"audit export without a format", "GET", "/audit/export", "", 422, true},
		{"metrics", "GET", "/dashboard/metrics", "", 200, false},
		{"summaries", "GET", "/dashboard/summaries", "", 200, false},
		{"summaries with a limit", "GET", "/dashboard/summaries?limit=5", "", 422, true},
		{"dashboard's incidents", "GET", "/dashboard/incidents", "", 200, false},
		{"incidents", "GET", "/incidents?status=open&limit=50", "", 200, false},
		{"incident", "GET", "/incidents/@incident", "", 200, false},
		{"no such incident", "GET", "/incidents/x", "", 404, false},
		{"nodes", "GET", "/graph/nodes", "", 200, false},
		{"edges", "GET", "/graph/edges", "", 200, false},
		{"blast radius", "GET", "/graph/blast-radius/@node", "", 200, false},
		{"blast radius of nothing", "GET", "/graph/blast-radius/x", "", 404, false},
		{"health", "GET", "/health", "", 200, false},
		{"ready", "GET", "/ready", "", 200, false},
		{"unknown path", "GET", "/alerts", "", 404, true},
		{"wrong method", "PUT", "/users", "", 404, true},
		{"two values", "POST", "/roles", `{"name":"a"}{"name":"b"}`, 422, true},
	} {
		c := newCaller(t, Options{})
		ids := strings.NewReplacer(
			"@provider", c.sim.providers[0].ID, "@broken", c.sim.providers[1].ID, "@user", c.sim.UserID("dana@example.com"), "@admin", c.sim.RoleID("admin"),
			"@analyst", c.sim.RoleID("analyst"), "@update", c.sim.PermissionID("alerts:update"), "@rule", c.sim.rules[0].ID, "@channel", c.sim.channels[0].ID,
			"@alert", c.sim.AddAlert(Alert{}).ID, "@resolved", c.sim.AddAlert(Alert{Status: "resolved"}).ID, "@incident", c.sim.AddIncident(Incident{}).ID,
			"@node", c.sim.nodes[0].ID,
		)
		w := c.call(tt.method, ids.Replace(tt.target), ids.Replace(tt.body))
		if w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
			t.Errorf("%s: status %d %s, violations %v; want %d, %v", tt.name, w.Code, w.Body, c.sim.Violations(), tt.status, tt.violation)
		}
		text := w.Body.String()
		switch {
		case tt.status >= 400 && !strings.HasPrefix(text, `{"data":null,"error":"`+words[tt.status]) || tt.status >= 400 && !strings.Contains(text, `"success":false`):
			t.Errorf("%s: body %s", tt.name, text)
		case tt.status < 400 && tt.name != "health" && tt.name != "ready" && !strings.HasSuffix(strings.TrimSpace(text), `"success":true}`):
			t.Errorf("%s: body %s", tt.name, text)
		}
	}
}

// TestPermissions walks every path that takes a permission with a user that has
// all others.
func TestPermissions(t *testing.T) {
	all := []string{}
	for _, r := range resources {
		for _, a := range r.actions {
			all = append(all, r.name+":"+a)
		}
	}
	for pattern, rt := range New(Options{}).guarded() {
		if rt.permission == "" {
			continue
		}
		method, target, _ := strings.Cut(pattern, " ")
		target = strings.NewReplacer("{id}", "x", "{role}", "y").Replace(target)
		for _, has := range []bool{false, true} {
			c := newCaller(t, Options{})
			may := []string{}
			for _, p := range all {
				if p != rt.permission || has {
					may = append(may, p)
				}
			}
			c.sim.Permit(may...)
			w := c.call(method, target, "")
			if (w.Code == 403) == has {
				t.Errorf("%s with %s %v: %d", pattern, rt.permission, has, w.Code)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{TokenLife: time.Minute})
		good := c.token
		for _, tt := range []struct {
			token     string
			status    int
			violation bool
		}{{good, 200, false}, {"", 401, true}, {"made-up", 401, false}} {
			c.token = tt.token
			if w := c.call("GET", "/users", ""); w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
				t.Errorf("token %.10q: %d, %v", tt.token, w.Code, c.sim.Violations())
			}
			c.call("POST", "/_sim/forget", "{}")
		}
		c.token = good
		var out struct{ Data struct{ Token string } }
		if err := json.Unmarshal(c.call("POST", "/auth/refresh", "").Body.Bytes(), &out); err != nil || out.Data.Token == "" || out.Data.Token == good {
			t.Fatalf("refresh: %+v, %v", out, err)
		}
		if w := c.call("GET", "/users", ""); w.Code != 401 {
			t.Errorf("the old token after a refresh: %d", w.Code)
		}
		c.token = out.Data.Token
		time.Sleep(time.Minute + time.Second)
		if a, b := c.call("GET", "/users", "").Code, c.call("POST", "/auth/refresh", "").Code; a != 401 || b != 401 {
			t.Errorf("after exp: %d, refresh %d", a, b)
		}
	})
}

func TestSecondStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{MFA: true})
		if c.token != "" {
			t.Fatal("a token without the second step")
		}
		if w := c.login(""); w.Code != 200 || !strings.Contains(w.Body.String(), `"requires_mfa":true`) {
			t.Errorf("without a code: %d %s", w.Code, w.Body)
		}
		code := Code(DefaultSecret, time.Now().Unix()/30)
		if w := c.login(`,"mfa_code":"000000"`); w.Code != 401 {
			t.Errorf("a wrong code: %d", w.Code)
		}
		if w := c.login(`,"mfa_code":"` + code + `"`); w.Code != 200 || c.token == "" {
			t.Errorf("the right code: %d", w.Code)
		}
		if w := c.login(`,"mfa_code":"` + code + `"`); w.Code != 401 || !strings.Contains(w.Body.String(), "MFA") {
			t.Errorf("the same code again: %d %s", w.Code, w.Body)
		}
		for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 20000000000: "353130"} { // RFC 6238, appendix B
			if got := Code(DefaultSecret, at/30); got != want {
				t.Errorf("code at %d: %s, want %s", at, got, want)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{PerMinute: 5})
		codes := ""
		for range 11 {
			codes += fmt.Sprint(c.call("GET", "/auth/me", "").Code, " ")
		}
		if codes != strings.Repeat("200 ", 9)+"429 429 " || len(c.sim.Violations()) != 1 { // a login was before
			t.Errorf("authentication: %s; %v", codes, c.sim.Violations())
		}
		w := c.call("GET", "/users", "")
		if h := w.Header(); w.Code != 200 || h.Get("X-RateLimit-Limit") != "5" || h.Get("X-RateLimit-Remaining") != "4" || h.Get("X-RateLimit-Reset") != fmt.Sprint(time.Now().Add(time.Minute).Unix()) {
			t.Errorf("others are apart: %d %v", w.Code, w.Header())
		}
		for range 4 {
			c.call("GET", "/users", "")
		}
		if w := c.call("GET", "/users", ""); w.Code != 429 || w.Header().Get("X-RateLimit-Remaining") != "0" || w.Header().Get("Retry-After") != "" {
			t.Errorf("the sixth: %d %v", w.Code, w.Header())
		}
		time.Sleep(time.Minute)
		if w := c.call("GET", "/users", ""); w.Code != 200 {
			t.Errorf("a minute later: %d", w.Code)
		}
	})
}

// TestLists checks limits, order and the audit log's offset.
func TestLists(t *testing.T) {
	count := func(w *httptest.ResponseRecorder) (n int, first string) {
		var out struct{ Data []struct{ ID string } }
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if len(out.Data) > 0 {
			first = out.Data[0].ID
		}
		return len(out.Data), first
	}
	c := newCaller(t, Options{MaxLimit: 150, Summaries: 3})
	last := ""
	for range 200 {
		last = c.sim.AddAlert(Alert{}).ID
		c.sim.AddSummary(Summary{})
		c.sim.AddEntry(Entry{Action: "x"})
	}
	for target, want := range map[string]int{
		"/alerting/alerts": 100, "/alerting/alerts?limit=7": 7, "/alerting/alerts?limit=170": 150, "/alerting/alerts?status=resolved": 0,
		"/dashboard/summaries": 3, "/audit/logs?action=x": 100, "/audit/logs?action=x&offset=190": 10, "/audit/logs?action=x&offset=500": 0,
		"/audit/logs?end_time=2000-01-01T00:00:00Z": 0,
	} {
		if n, _ := count(c.call("GET", target, "")); n != want {
			t.Errorf("%s: %d, want %d", target, n, want)
		}
	}
	if _, first := count(c.call("GET", "/alerting/alerts?limit=1", "")); first != last {
		t.Errorf("the newest alert is %s, want %s first", last, first)
	}
}

func TestBlastRadius(t *testing.T) {
	c := newCaller(t, Options{})
	n := c.sim.Nodes()
	c.sim.Connect(n[3].ID, n[0].ID, "back") // a circle
	w := c.call("GET", "/graph/blast-radius/"+n[0].ID, "")
	if !strings.Contains(w.Body.String(), `"total":3`) || !strings.Contains(w.Body.String(), `"depth":3`) {
		t.Errorf("%s", w.Body)
	}
}

func TestSteering(t *testing.T) {
	c := newCaller(t, Options{})
	alert, node := c.sim.AddAlert(Alert{}).ID, c.sim.Nodes()[0].ID
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/_sim/items", `{"count":40}`, 200},
		{"POST", "/_sim/alerts", `{"severity":"low"}`, 200},
		{"POST", "/_sim/incidents", `{"severity":"low"}`, 200},
		{"POST", "/_sim/summaries", `{"anomaly_count":2}`, 200},
		{"POST", "/_sim/audit", `{"action":"delete_user"}`, 200},
		{"POST", "/_sim/change", `{"id":"` + alert + `","status":"resolved"}`, 200},
		{"POST", "/_sim/change", `{"list":"incidents","id":"none","status":"resolved"}`, 404},
		{"GET", "/_sim/alerts", "", 200},
		{"GET", "/_sim/incidents", "", 200},
		{"GET", "/_sim/audit", "", 200},
		{"POST", "/_sim/edges", `{"source":"a","target":"b","type":"t"}`, 200},
		{"DELETE", "/_sim/nodes?id=" + node, "", 200},
		{"PUT", "/_sim/permit", `{"permissions":["alerts:read"]}`, 200},
		{"PUT", "/_sim/login", `{"refused":true}`, 200},
		{"POST", "/_sim/expire", `{}`, 200},
		{"GET", "/_sim/violations", "", 200},
		{"GET", "/_sim/nothing", "", 404},
		{"PUT", "/_sim/permit", `{"permit":[]}`, 400},
	} {
		if w := c.call(tt.method, tt.path, tt.body); w.Code != tt.status {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status)
		}
	}
	if w := c.call("GET", "/users", ""); w.Code != 401 {
		t.Errorf("after logins were refused: %d", w.Code)
	}
}
