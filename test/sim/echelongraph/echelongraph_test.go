package echelongraph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

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
	c.token = c.login()["access_token"]
	return c
}

func (c *caller) login() map[string]string {
	return c.fields("POST", "/v1/auth/login", `{"email":"`+DefaultEmail+`","password":"`+DefaultPassword+`"}`)
}

// fields gives the texts of an answer.
func (c *caller) fields(method, target, body string) map[string]string {
	var all map[string]any
	_ = json.Unmarshal(c.call(method, target, body).Body.Bytes(), &all)
	out := map[string]string{}
	for k, v := range all {
		out[k] = fmt.Sprint(v)
	}
	return out
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
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		violation                  bool
	}{
		{"alerts", "GET", "/v1/alerts?severity=high&status=open&page=1&limit=100", "", 200, false},
		{"limit 101", "GET", "/v1/alerts?limit=101", "", 400, true},
		{"page 0", "GET", "/v1/alerts?page=0", "", 400, true},
		{"page behind the end", "GET", "/v1/alerts?page=99", "", 200, false},
		{"unknown parameter", "GET", "/v1/alerts?since=1", "", 400, true},
		{"status of incidents", "GET", "/v1/alerts?status=closed", "", 400, true},
		{"detections", "GET", "/v1/detection/alerts", "", 200, false},
		{"rules", "GET", "/v1/detection/rules", "", 200, false},
		{"incidents", "GET", "/v1/incidents?status=closed", "", 200, false},
		{"vulnerabilities", "GET", "/v1/vulnerabilities?status=in_progress", "", 200, false},
		{"assets", "GET", "/v1/assets?type=bucket&region=eu-central-1&min_risk_score=50", "", 200, false},
		{"risk of 101", "GET", "/v1/assets?min_risk_score=101", "", 400, true},
		{"accounts", "GET", "/v1/accounts", "", 200, false},
		{"graph", "GET", "/v1/graph", "", 200, false},
		{"graph from a root", "GET", "/v1/graph?root=ast_web-1&depth=2", "", 200, false},
		{"graph too deep", "GET", "/v1/graph?depth=21", "", 400, true},
		{"blast radius", "GET", "/v1/graph/blast-radius?root=ast_web-1", "", 200, false},
		{"blast radius of nothing", "GET", "/v1/graph/blast-radius", "", 400, true},
		{"blast radius of no asset", "GET", "/v1/graph/blast-radius?root=x", "", 404, false},
		{"compliance", "GET", "/v1/compliance/scores", "", 200, false},
		{"risk", "GET", "/v1/risk/scores", "", 200, false},
		{"audit", "GET", "/v1/audit-logs?action=auth.login&user=x&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "", 200, false},
		{"audit from no time", "GET", "/v1/audit-logs?from=May", "", 400, true},
		{"register", "POST", "/v1/accounts", `{"provider":"gcp","account_id":"p"}`, 201, false},
		{"register again", "POST", "/v1/accounts", `{"provider":"aws","account_id":"123456789012"}`, 409, false},
		{"register at nobody", "POST", "/v1/accounts", `{"provider":"ibm","account_id":"p"}`, 422, true},
		{"rename", "PATCH", "/v1/accounts/acc_00000001", `{"name":"x","enabled":false}`, 200, false},
		{"remove", "DELETE", "/v1/accounts/acc_00000001", "", 204, false},
		{"remove nothing", "DELETE", "/v1/accounts/x", "", 404, false},
		{"incident", "POST", "/v1/incidents", `{"title":"x","severity":"high"}`, 201, false},
		{"incident without severity", "POST", "/v1/incidents", `{"title":"x"}`, 422, true},
		{"unknown field", "POST", "/v1/incidents", `{"title":"x","severity":"high","owner":"y"}`, 400, true},
		{"alert", "PATCH", "/v1/alerts/alr_1", `{"status":"acknowledged"}`, 200, false},
		{"alert of another status", "PATCH", "/v1/alerts/alr_1", `{"status":"closed"}`, 422, true},
		{"no such alert", "PATCH", "/v1/alerts/x", `{"status":"open"}`, 404, false},
		{"remediation", "GET", "/v1/vulnerabilities/vul_1/remediation", "", 200, false},
		{"remediation done", "PATCH", "/v1/vulnerabilities/vul_1/remediation", `{"status":"completed"}`, 200, false},
		{"remediation of no status", "PATCH", "/v1/vulnerabilities/vul_1/remediation", `{"status":"done"}`, 422, true},
		{"report", "POST", "/v1/reports", `{"type":"asset","format":"csv","from":"2026-01-01"}`, 202, false},
		{"report as text", "POST", "/v1/reports", `{"type":"asset","format":"txt"}`, 422, true},
		{"no such report", "GET", "/v1/reports/x", "", 404, false},
		{"webhook", "POST", "/v1/webhooks", `{"url":"https://x/y","events":["compliance.drift"]}`, 201, false},
		{"webhook for what is not sent", "POST", "/v1/webhooks", `{"url":"https://x/y","events":["compliance.score_changed"]}`, 422, true},
		{"users", "GET", "/v1/scim/v2/Users?startIndex=1&count=10", "", 200, false},
		{"user", "POST", "/v1/scim/v2/Users", `{"schemas":["` + userSchema + `"],"userName":"x","active":true}`, 201, false},
		{"user without schema", "POST", "/v1/scim/v2/Users", `{"userName":"x"}`, 400, true},
		{"group", "PUT", "/v1/scim/v2/Groups/grp_1", `{"schemas":["` + groupSchema + `"],"displayName":"A","members":[]}`, 200, false},
		{"unknown path", "GET", "/v1/secrets", "", 404, true},
		{"unknown method", "PUT", "/v1/alerts", "", 404, true},
		{"other version", "GET", "/alerts", "", 404, true},
	} {
		c := newCaller(t, Options{})
		c.sim.AddItem("alerts", Item{ID: "alr_1"})
		c.sim.AddItem("vulnerabilities", Item{ID: "vul_1"})
		w := c.call(tt.method, tt.target, tt.body)
		if w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
			t.Errorf("%s: status %d, violations %v; want %d, %v", tt.name, w.Code, c.sim.Violations(), tt.status, tt.violation)
		}
		if w.Code >= 400 && !strings.Contains(w.Body.String(), `"error":"`+words[tt.status]) {
			t.Errorf("%s: body %s", tt.name, w.Body)
		}
		for _, name := range []string{"Limit", "Remaining", "Reset"} {
			if w.Header().Get("X-RateLimit-"+name) == "" {
				t.Errorf("%s: no X-RateLimit-%s", tt.name, name)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{TokenLife: time.Minute})
		pair := c.login()
		for _, tt := range []struct {
			token     string
			status    int
			violation bool
		}{{pair["access_token"], 200, false}, {"", 401, true}, {"made-up", 401, false}, {pair["refresh_token"], 401, true}} {
			c.token = tt.token
			if w := c.call("GET", "/v1/alerts", ""); w.Code != tt.status || (len(c.sim.Violations()) > 0) != tt.violation {
				t.Errorf("token %q: %d, %v", tt.token, w.Code, c.sim.Violations())
			}
			c.call("POST", "/_sim/forget", "{}")
		}
		c.token = ""
		refresh := `{"refresh_token":"` + pair["refresh_token"] + `"}`
		next := c.fields("POST", "/v1/auth/refresh", refresh)
		if next["access_token"] == "" || c.call("POST", "/v1/auth/refresh", refresh).Code != 401 {
			t.Errorf("renewed to %v; the old one must be good once", next)
		}
		c.token = next["access_token"]
		time.Sleep(time.Minute)
		if w := c.call("GET", "/v1/alerts", ""); w.Code != 401 {
			t.Errorf("after expires_in: %d", w.Code)
		}
	})
}

// TestCodes checks the second step with RFC 6238's vectors, whose last six of
// eight digits these are.
func TestCodes(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 2000000000: "279037"} {
		if got := Code(DefaultSecret, at/codeEvery); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{MFA: true})
		step := func(code string) int {
			first := c.login()
			if first["mfa_required"] != "true" || first["access_token"] != "" {
				t.Fatalf("first step: %v", first)
			}
			return c.call("POST", "/v1/auth/mfa", `{"mfa_token":"`+first["mfa_token"]+`","code":"`+code+`"}`).Code
		}
		now := Code(DefaultSecret, time.Now().Unix()/codeEvery)
		if a, b, d := step("000000"), step(now), step(now); a != 401 || b != 200 || d != 401 {
			t.Errorf("a wrong code, a right one, the same again: %d %d %d, want 401 200 401", a, b, d)
		}
		time.Sleep(30 * time.Second)
		if got := step(Code(DefaultSecret, time.Now().Unix()/codeEvery)); got != 200 {
			t.Errorf("the next code: %d", got)
		}
	})
}

func TestPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{Plan: "free"})
		codes := map[int]int{}
		for range 105 {
			codes[c.call("GET", "/v1/alerts", "").Code]++
		}
		if codes[200] != 100 || codes[429] != 5 {
			t.Errorf("105 reads on the plan Free: %v", codes)
		}
		if w := c.call("PATCH", "/v1/alerts/x", `{"status":"open"}`); w.Code != 404 || w.Header().Get("X-RateLimit-Remaining") != "98" {
			t.Errorf("a mutation: %d, %s left", w.Code, w.Header().Get("X-RateLimit-Remaining"))
		}
		if len(c.sim.Violations()) == 0 {
			t.Error("calls before Retry-After was over are no violation")
		}
		time.Sleep(time.Minute)
		if w := c.call("GET", "/v1/alerts", ""); w.Code != 200 {
			t.Errorf("in the next minute: %d", w.Code)
		}
		c.sim.SetPlan("enterprise")
		for range 300 {
			if w := c.call("GET", "/v1/alerts", ""); w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "unlimited" {
				t.Fatalf("on the plan Enterprise: %d %v", w.Code, w.Header())
			}
		}
	})
}

// TestPatchIsQuiet: what is as it should be already does not change.
func TestPatchIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		id := c.sim.AddItem("alerts", Item{}).ID
		for i, want := range []time.Duration{0, time.Minute, time.Minute} {
			status := []string{"open", "resolved", "resolved"}[i]
			c.call("PATCH", "/v1/alerts/"+id, `{"status":"`+status+`"}`)
			x := c.sim.Items("alerts")[0]
			if got := x.UpdatedAt.Sub(x.CreatedAt); got != want {
				t.Errorf("step %d: updated %v after its creation, want %v", i, got, want)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestBlastRadius(t *testing.T) {
	c := newCaller(t, Options{})
	var out struct {
		Total int
		Nodes []node
		Links []Link
	}
	if err := json.Unmarshal(c.call("GET", "/v1/graph/blast-radius?root=ast_web-1&depth=2", "").Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Total != 2 || len(out.Links) != 2 || out.Nodes[1].ID != "ast_orders-db" || *out.Nodes[1].Hops != 2 || len(out.Nodes[1].Path) != 3 {
		t.Errorf("got %+v", out)
	}
}

// TestSockets hears events over a connection, until its token ends.
func TestSockets(t *testing.T) {
	s := New(Options{Options: unkind.Options{Kind: true}})
	server := httptest.NewServer(s)
	defer server.Close()
	c := &caller{t: t, sim: s}
	token := c.login()["access_token"]
	if _, res, err := websocket.Dial(t.Context(), server.URL+"/v1/events", nil); err == nil || res.StatusCode != 401 {
		t.Errorf("without a token: %v", err)
	}
	conn, _, err := websocket.Dial(t.Context(), server.URL+"/v1/events", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	id := s.AddItem("alerts", Item{}).ID
	s.Change("alerts", id, "resolved", "")
	s.AddItem("incidents", Item{})
	s.SetCompliance("SOC 2", 50)
	s.Scan()
	for _, want := range []string{"alert.created", "alert.resolved", "incident.created", "compliance.score_changed", "scan.completed"} {
		_, body, err := conn.Read(t.Context())
		if err != nil || !strings.Contains(string(body), `"type":"`+want+`"`) {
			t.Fatalf("%s, %v; want %s", body, err, want)
		}
	}
	s.Expire()
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("after the token's end: %v", err)
	}
}

// TestWebhooks sends signed events, and again until they are taken.
func TestWebhooks(t *testing.T) {
	s := New(Options{Options: unkind.Options{Kind: true}})
	got := []string{}
	tries := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if tries++; tries == 1 {
			w.WriteHeader(500)
			return
		}
		if r.Header.Get("X-EchelonGraph-Signature") != Sign("s3cret", body) {
			t.Error("wrong signature")
		}
		var e struct{ Type string }
		_ = json.Unmarshal(body, &e)
		got = append(got, e.Type)
	}))
	defer receiver.Close()
	s.Subscribe(Hook{URL: receiver.URL, Secret: "s3cret", Events: []string{"alert.created", "compliance.drift"}})
	s.AddItem("alerts", Item{})
	s.AddItem("incidents", Item{})
	s.SetCompliance("SOC 2", 95)
	s.SetCompliance("SOC 2", 94)
	s.Flush(context.Background(), receiver.Client())
	if strings.Join(got, " ") != "alert.created compliance.drift" || s.GivenUp() != 0 {
		t.Errorf("got %v, %d given up", got, s.GivenUp())
	}
}

func TestSteering(t *testing.T) {
	c := newCaller(t, Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/_sim/items", `{"count":3}`, 201},
		{"POST", "/_sim/items", `{"list":"incidents","item":{"id":"inc_1","severity":"low"}}`, 201},
		{"GET", "/_sim/items?list=incidents", "", 200},
		{"POST", "/_sim/change", `{"list":"incidents","id":"inc_1","status":"closed"}`, 200},
		{"POST", "/_sim/change", `{"list":"incidents","id":"none","status":"closed"}`, 404},
		{"POST", "/_sim/compliance", `{"framework":"SOC 2","score":50}`, 200},
		{"POST", "/_sim/risk", `{"category":"data","score":90}`, 200},
		{"POST", "/_sim/audit", `{"action":"data.exported"}`, 200},
		{"POST", "/_sim/assets", `{"asset":{"id":"ast_x","name":"x"}}`, 200},
		{"POST", "/_sim/assets", `{"remove":"ast_x"}`, 200},
		{"POST", "/_sim/links", `{"source":"a","target":"b","type":"c"}`, 200},
		{"POST", "/_sim/scan", `{}`, 200},
		{"POST", "/_sim/drop", `{}`, 200},
		{"POST", "/_sim/webhooks", `{"url":"http://x","secret":"s"}`, 200},
		{"PUT", "/_sim/plan", `{"plan":"free"}`, 200},
		{"GET", "/_sim/counts", "", 200},
		{"GET", "/_sim/violations", "", 200},
		{"PUT", "/_sim/login", `{"refused":true}`, 200},
		{"POST", "/_sim/expire", `{}`, 200},
		{"GET", "/_sim/nothing", "", 404},
		{"PUT", "/_sim/plan", `{"plna":"free"}`, 400},
	} {
		if w := c.call(tt.method, tt.path, tt.body); w.Code != tt.status {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status)
		}
	}
	if w := c.call("GET", "/v1/alerts", ""); w.Code != 401 {
		t.Errorf("after logins were refused: %d", w.Code)
	}
}
