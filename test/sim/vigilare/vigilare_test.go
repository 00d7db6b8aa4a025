package vigilare

import (
	"encoding/json"
	"fmt"
	"net/http"
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
	var out struct {
		IDToken string `json:"id_token"`
	}
	w := c.call("POST", "/auth/login", `{"email":"`+DefaultEmail+`","password":"`+DefaultPassword+`"}`)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.IDToken == "" {
		t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	c.token = out.IDToken
	return c
}

func (c *caller) call(method, target, body string) *httptest.ResponseRecorder {
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
func TestRules(t *testing.T) {
	const acc = "/accounts/" + DefaultAccount
	const rule = `{"name":"r","channels":[{"type":"email"}]}`
	long := strings.Repeat("x", 201)
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		violation                  bool
	}{
		{"me", "GET", "/me", "", 200, false},
		{"rename", "PATCH", "/me", `{"name":"Alice Smith"}`, 200, false},
		{"rename to nothing", "PATCH", "/me", `{"name":""}`, 400, true},
		{"rename at length", "PATCH", "/me", `{"name":"` + long + `"}`, 400, true},
		{"signup", "POST", "/auth/signup", `{"email":"x@y","password":"12345678","name":"X"}`, 201, false},
		{"signup again", "POST", "/auth/signup", `{"email":"` + DefaultEmail + `","password":"12345678","name":"X"}`, 409, false},
		{"short password", "POST", "/auth/signup", `{"email":"x@y","password":"1234567","name":"X"}`, 400, true},
		{"wrong password", "POST", "/auth/login", `{"email":"` + DefaultEmail + `","password":"wrong"}`, 401, false},
		{"no password", "POST", "/auth/login", `{"email":"x@y"}`, 400, true},
		{"accounts", "GET", "/accounts", "", 200, false},
		{"accounts with a parameter", "GET", "/accounts?limit=5", "", 400, true},
		{"connect", "POST", "/accounts", `{"aws_account_id":"222222222222","tags":["a"]}`, 201, false},
		{"connect again", "POST", "/accounts", `{"aws_account_id":"` + DefaultAccount + `"}`, 409, false},
		{"11 digits", "POST", "/accounts", `{"aws_account_id":"12345678901"}`, 400, true},
		{"long label", "POST", "/accounts", `{"aws_account_id":"222222222222","display_name":"` + long + `"}`, 400, true},
		{"unknown field", "POST", "/accounts", `{"aws_account_id":"222222222222","region":"x"}`, 400, true},
		{"account", "GET", acc, "", 200, false},
		{"no such account", "GET", "/accounts/999999999999", "", 404, false},
		{"verify", "POST", acc + "/verify", "", 200, false},
		{"verify with a body", "POST", acc + "/verify", `{"a":1}`, 400, true},
		{"signals", "GET", acc + "/signals?severity=HIGH&scenario=iam&since=2026-05-22T09:45:00%2B00:00&limit=200", "", 200, false},
		{"severity in small letters", "GET", acc + "/signals?severity=high", "", 400, true},
		{"limit 201", "GET", acc + "/signals?limit=201", "", 400, true},
		{"limit 0", "GET", "/alerts?limit=0", "", 400, true},
		{"since no time", "GET", acc + "/signals?since=yesterday", "", 400, true},
		{"made-up next_token", "GET", acc + "/signals?next_token=abc", "", 400, true},
		{"history", "GET", acc + "/score-history?days=7", "", 200, false},
		{"history of no days", "GET", acc + "/score-history?days=0", "", 400, true},
		{"checklist", "GET", acc + "/recovery-checklist", "", 200, false},
		{"scan", "POST", acc + "/scan", "", 202, false},
		{"panic", "POST", acc + "/panic", "", 200, false},
		{"export", "GET", acc + "/export", "", 200, false},
		{"disconnect", "DELETE", acc, "", 200, false},
		{"rules", "GET", "/alert-rules", "", 200, false},
		{"rule", "POST", "/alert-rules", rule, 201, false},
		{"rule without channels", "POST", "/alert-rules", `{"name":"r"}`, 400, true},
		{"rule with an empty list", "POST", "/alert-rules", `{"name":"r","channels":[]}`, 400, true},
		{"rule by fax", "POST", "/alert-rules", `{"name":"r","channels":[{"type":"fax"}]}`, 400, true},
		{"min_srs 101", "POST", "/alert-rules", `{"name":"r","channels":[{"type":"email"}],"min_srs":101}`, 400, true},
		{"no such rule", "PATCH", "/alert-rules/x", `{"enabled":false}`, 404, false},
		{"alerts", "GET", "/alerts", "", 200, false},
		{"no such alert", "POST", "/alerts/x/ack", "", 404, false},
		{"users", "GET", "/users", "", 200, false},
		{"invite", "POST", "/users/invite", `{"email":"x@y","name":"X"}`, 201, false},
		{"invite again", "POST", "/users/invite", `{"email":"bob@example.com","name":"Bob"}`, 409, false},
		{"invite an owner", "POST", "/users/invite", `{"email":"x@y","name":"X","role":"owner"}`, 400, true},
		{"no such user", "DELETE", "/users/x", "", 404, false},
		{"plans", "GET", "/billing/plans", "", 200, false},
		{"checkout", "POST", "/billing/checkout", `{"plan_id":"agency","success_url":"https://a","cancel_url":"https://b"}`, 200, false},
		{"checkout of no plan", "POST", "/billing/checkout", `{"plan_id":"gold","success_url":"https://a","cancel_url":"https://b"}`, 400, true},
		{"portal", "GET", "/billing/portal", "", 200, false},
		{"slack", "GET", "/integrations/slack/oauth-start", "", 200, false},
		{"unknown path", "GET", "/signals", "", 404, true},
		{"wrong method", "PUT", "/accounts", "", 405, true},
		{"two values", "POST", "/alert-rules", rule + rule, 400, true},
	} {
		c := newCaller(t, Options{})
		w := c.call(tt.method, tt.target, tt.body)
		if w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
			t.Errorf("%s: status %d, violations %v; want %d, %v", tt.name, w.Code, c.sim.Violations(), tt.status, tt.violation)
		}
		if w.Code >= 400 && !strings.Contains(w.Body.String(), `"error":"`+words[tt.status]) {
			t.Errorf("%s: body %s", tt.name, w.Body)
		}
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		good := c.token
		for _, tt := range []struct {
			token     string
			status    int
			violation bool
		}{{good, 200, false}, {"", 401, true}, {"made-up", 401, false}} {
			c.token = tt.token
			if w := c.call("GET", "/me", ""); w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
				t.Errorf("token %.10q: %d, %v", tt.token, w.Code, c.sim.Violations())
			}
			c.call("POST", "/_sim/forget", "{}")
		}
		var out struct {
			Access string `json:"access_token"`
		}
		if err := json.Unmarshal(c.call("POST", "/auth/login", `{"email":"`+DefaultEmail+`","password":"`+DefaultPassword+`"}`).Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		c.token = out.Access
		if w := c.call("GET", "/me", ""); w.Code != 401 || len(c.sim.Violations()) != 1 {
			t.Errorf("with the access_token: %d, %v; want 401 and a violation", w.Code, c.sim.Violations())
		}
		c.token = good
		time.Sleep(time.Hour + time.Second)
		if w := c.call("GET", "/me", ""); w.Code != 401 {
			t.Errorf("after expires_in: %d", w.Code)
		}
	})
}

// TestPages reads all signals in pages, while another comes in between.
func TestPages(t *testing.T) {
	c := newCaller(t, Options{})
	c.sim.Add(25)
	seen := map[string]int{}
	next := ""
	for n := 0; ; n++ {
		w := c.call("GET", "/accounts/"+DefaultAccount+"/signals?limit=10"+next, "")
		var p struct {
			Signals []Signal
			Count   int
			Next    *string `json:"next_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Count != len(p.Signals) {
			t.Fatalf("page %d: %s, %v", n, w.Body, err)
		}
		for _, g := range p.Signals {
			seen[g.ID]++
		}
		if p.Next == nil {
			break
		}
		if n == 0 {
			c.sim.AddSignal(DefaultAccount, Signal{Scenario: "iam", Severity: "LOW", DetectedAt: c.sim.Now().Add(time.Second)})
		}
		next = "&next_token=" + *p.Next
	}
	if len(seen) != 25 {
		t.Errorf("%d signals seen, want the 25 of the start: the new one is before the first page", len(seen))
	}
	if w := c.call("GET", "/alerts?limit=1"+next, ""); w.Code != 400 {
		t.Errorf("a next_token of another list: %d", w.Code)
	}
}

func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		role                 string
		invite, role2, delet int
	}{{"owner", 201, 200, 204}, {"admin", 201, 403, 204}, {"member", 403, 403, 403}, {"viewer", 403, 403, 403}} {
		c := newCaller(t, Options{})
		c.sim.SetRole(tt.role)
		bob := "/users/" + c.sim.Users()[1].ID
		got := []int{
			c.call("POST", "/users/invite", `{"email":"x@y","name":"X"}`).Code,
			c.call("PATCH", bob, `{"role":"viewer"}`).Code, c.call("DELETE", bob, "").Code,
		}
		if want := []int{tt.invite, tt.role2, tt.delet}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", tt.role, got, want)
		}
	}
	c := newCaller(t, Options{})
	self := "/users/" + c.sim.Users()[0].ID
	if a, b := c.call("DELETE", self, "").Code, c.call("PATCH", self, `{"role":"admin"}`).Code; a != 403 || b != 403 {
		t.Errorf("the owner removed or demoted: %d %d, want 403", a, b)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{Plan: "solo", PerMinute: 20})
		if w := c.call("POST", "/accounts", `{"aws_account_id":"222222222222"}`); w.Code != 403 {
			t.Errorf("a second account on Solo: %d", w.Code)
		}
		if w := c.call("GET", "/accounts/"+DefaultAccount+"/export", ""); w.Code != 403 {
			t.Errorf("export on Solo: %d", w.Code)
		}
		codes := ""
		for range 5 {
			codes += fmt.Sprint(c.call("POST", "/accounts/"+DefaultAccount+"/scan", "").Code, " ")
		}
		if codes != "202 202 202 202 429 " {
			t.Errorf("five scans: %s", codes)
		}
		limited := 0
		for range 20 {
			if w := c.call("GET", "/me", ""); w.Code == 429 {
				limited++
				if w.Header().Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
			}
		}
		if limited != 8 || len(c.sim.Violations()) == 0 { // a login and seven calls were before
			t.Errorf("%d of 20 limited, want 8; violations %v, want some", limited, c.sim.Violations())
		}
		time.Sleep(time.Minute)
		if w := c.call("GET", "/me", ""); w.Code != 200 {
			t.Errorf("a minute later: %d", w.Code)
		}
	})
}

// TestRulesFire checks when alerts come into being.
func TestRulesFire(t *testing.T) {
	c := newCaller(t, Options{})
	fired := func(want int) {
		t.Helper()
		if got := len(c.sim.Alerts()); got != want {
			t.Errorf("%d alerts, want %d", got, want)
		}
	}
	c.sim.AddSignal(DefaultAccount, Signal{Scenario: "network", Severity: "LOW"})
	fired(0)
	c.sim.AddSignal(DefaultAccount, Signal{Scenario: "iam", Severity: "LOW"})
	fired(1)
	c.sim.AddSignal(DefaultAccount, Signal{Scenario: "iam", Severity: "LOW"})
	fired(1)
	if w := c.call("POST", "/alerts/"+c.sim.Alerts()[0].ID+"/ack", ""); w.Code != http.StatusOK {
		t.Errorf("ack: %d", w.Code)
	}
	c.sim.AddSignal(DefaultAccount, Signal{Scenario: "iam", Severity: "LOW"})
	fired(2)
	c.sim.SetScore(DefaultAccount, 50)
	fired(2)
	c.sim.SetScore(DefaultAccount, 49)
	fired(3)
	c.sim.SetScore(DefaultAccount, 48)
	fired(3)
}

func TestSteering(t *testing.T) {
	c := newCaller(t, Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/_sim/accounts", `{"account":{"aws_account_id":"222222222222","status":"ACTIVE"}}`, 200},
		{"POST", "/_sim/signals", `{"count":3}`, 201},
		{"POST", "/_sim/signals", `{"signal":{"signal_id":"s1","scenario":"iam","severity":"LOW"}}`, 201},
		{"POST", "/_sim/resolve", `{"signal_id":"s1"}`, 200},
		{"POST", "/_sim/change", `{"signal_id":"s1","severity":"HIGH"}`, 200},
		{"POST", "/_sim/change", `{"signal_id":"none","severity":"HIGH"}`, 404},
		{"POST", "/_sim/score", `{"srs":10}`, 200},
		{"POST", "/_sim/score", `{"srs":10,"date":"2026-01-01"}`, 200},
		{"GET", "/_sim/alerts", "", 200},
		{"GET", "/_sim/signals", "", 200},
		{"POST", "/_sim/ack", `{"alert_id":"none"}`, 404},
		{"PUT", "/_sim/plan", `{"plan":"solo"}`, 200},
		{"PUT", "/_sim/role", `{"role":"viewer"}`, 200},
		{"PUT", "/_sim/assumable", `{"account_id":"222222222222","assumable":false}`, 200},
		{"PUT", "/_sim/login", `{"refused":true}`, 200},
		{"POST", "/_sim/expire", `{}`, 200},
		{"GET", "/_sim/violations", "", 200},
		{"GET", "/_sim/nothing", "", 404},
		{"PUT", "/_sim/plan", `{"plna":"solo"}`, 400},
	} {
		if w := c.call(tt.method, tt.path, tt.body); w.Code != tt.status {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status)
		}
	}
	if w := c.call("GET", "/me", ""); w.Code != 401 {
		t.Errorf("after logins were refused: %d", w.Code)
	}
}
