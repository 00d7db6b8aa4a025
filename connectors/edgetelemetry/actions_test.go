package edgetelemetry

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/edgetelemetry"
)

func TestSample(t *testing.T) {
	source, err := Kind().Open(connectortest.Settings(sample))
	if err != nil {
		t.Fatal(err)
	}
	_, pulls := source.(connectors.Puller)
	_, describes := source.(connectors.Describer)
	_, acts := source.(connectors.Actor)
	_, mirrors := source.(connectors.Mirror)
	_, tests := source.(connectors.Tester)
	_, reports := source.(connectors.Reporter)
	if !pulls || !describes || !acts || !mirrors || !tests || !reports {
		t.Errorf("%T lacks a capability", source)
	}
}

func TestConfigFaults(t *testing.T) {
	const good = "base_url: https://x/api/v1, email: a@b, password: p"
	for _, tt := range []struct{ text, want string }{
		{"{}", "base_url"},
		{"{}", "email"},
		{"{base_url: x.example, email: a, password: p}", "base_url"},
		{"{base_url: 'https://u:pass@x', email: a, password: p}", "base_url"},
		{"{" + good + ", totp_secret: '0189'}", "totp_secret"},
		{"{" + good + ", audit_actions: ['[']}", "audit_actions"},
		{"{" + good + ", min_risk_score: 101}", "min_risk_score"},
		{"{" + good + ", inventory_interval: 1s}", "inventory_interval"},
		{"{" + good + ", max_results: 99}", "max_results"},
		{"{" + good + ", max_tracked: -1}", "max_tracked"},
		{"{" + good + ", pasword: p}", "pasword"},
	} {
		_, err := Open(connectortest.Settings(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v, want an error about %s", tt.text, err, tt.want)
		}
	}
}

// TestReadmeNamesEveryAction keeps the README's table and its count true.
func TestReadmeNamesEveryAction(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(?:edgetelemetry\\.)?([a-z_]+)`").FindAllSubmatch(b, -1) {
		named[string(m[1])] = true
	}
	specs := (&Source{}).Actions()
	for _, spec := range specs {
		if name := strings.TrimPrefix(spec.Name, "edgetelemetry."); !named[name] {
			t.Errorf("the README does not name %s", spec.Name)
		}
	}
	if want := fmt.Sprintf("| does | %d actions", len(specs)); !strings.Contains(string(b), want) {
		t.Errorf("the README does not say %q", want)
	}
}

// TestActions does everything twice: a repeat makes nothing more.
func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		alert, incident := b.sim.AddAlert(sim.Alert{}).ID, b.sim.AddIncident(sim.Incident{}).ID
		rule, channel, node := b.sim.Rules()[0].ID, b.sim.Channels()[0].ID, b.sim.Nodes()[0].ID
		dana, admin, analyst := b.sim.UserID("dana@example.com"), b.sim.RoleID("admin"), b.sim.RoleID("analyst")
		b.sim.AddSummary(sim.Summary{AgentID: "agent-7"})
		const newRule = `{"name":"Critical Risk Alert","condition_type":"risk_score_threshold","condition_config":{},"risk_score_min":80,"severity_threshold":"critical","cooldown_minutes":30,"max_alerts_per_hour":5,"schedule_enabled":false,"schedule_config":{},"channel_ids":["%s"]}`
		const ok = "it is so already"
		for _, step := range []struct{ action, params, want, again string }{
			{"acknowledge", `{"alert_id":"` + alert + `"}`, `"status":"acknowledged"`, ok},
			{"resolve", `{"alert_id":"` + alert + `"}`, `"status":"resolved"`, ok},
			{"blast_radius", `{"node_id":"` + node + `"}`, `"total":3`, `"total":3`},
			{"get_incident", `{"incident_id":"` + incident + `"}`, `"alert_ids":[]`, `"affected_nodes"`},
			{"search_alerts", `{"status":"resolved","limit":5}`, alert, alert},
			{"search_incidents", `{"status":"open"}`, incident, incident},
			{"dashboard_incidents", `{}`, incident, incident},
			{"dashboard_summaries", `{}`, "agent-7", "agent-7"},
			{"dashboard_metrics", `{}`, `"active_agents":1`, `"active_agents":1`},
			{"get_alert_rule", `{"rule_id":"` + rule + `"}`, "High Risk Alert", "High Risk Alert"},
			{"create_alert_rule", fmt.Sprintf(newRule, channel), "Critical Risk Alert", "Critical Risk Alert"},
			{"set_alert_rule_active", `{"rule_id":"` + rule + `","active":false}`, `"is_active":false`, ok},
			{"set_alert_rule_active", `{"rule_id":"` + rule + `","active":true}`, `"is_active":true`, ok},
			{"delete_alert_rule", `{"rule_id":"` + rule + `"}`, "null", ok},
			{"create_alert_channel", `{"name":"Ops","channel_type":"slack","config":{"webhook_url":"https://hooks.example/x"}}`, `"name":"Ops"`, `"name":"Ops"`},
			{"list_alert_channels", `{}`, `"channel_type":"slack"`, `"channel_type":"slack"`},
			{"test_alert_channel", `{"channel_id":"` + channel + `"}`, "sent", "sent"},
			{"search_audit", `{"action":"resolve_alert","start_time":"2000-01-01T00:00:00Z","limit":5,"offset":0}`, alert, alert},
			{"audit_stats", `{"end_time":"2099-01-01T00:00:00Z"}`, `"total_count"`, `"total_count"`},
			{"export_audit", `{"format":"csv"}`, `"truncated":false`, `resolve_alert`},
			{"export_audit", `{"format":"json"}`, `"format":"json"`, `resolve_alert`},
			{"list_users", `{}`, "dana@example.com", "dana@example.com"},
			{"get_user", `{"user_id":"` + dana + `"}`, "dana@example.com", "dana@example.com"},
			{"create_user", `{"email":"Frank@example.com","password":"long-enough","role":"analyst"}`, "Frank@example.com", "Frank@example.com"},
			{"assign_role", `{"user_id":"` + dana + `","role_id":"` + admin + `"}`, `"admin"`, ok},
			{"remove_role", `{"user_id":"` + dana + `","role_id":"` + admin + `"}`, "null", ok},
			{"delete_user", `{"user_id":"` + dana + `"}`, "null", ok},
			{"list_roles", `{}`, "analyst", "analyst"},
			{"get_role", `{"role_id":"` + analyst + `"}`, `"permissions"`, `"permissions"`},
			{"list_role_permissions", `{"role_id":"` + analyst + `"}`, `"resource":"alerts"`, `"resource":"alerts"`},
			{"create_role", `{"name":"security_engineer","description":"d"}`, "security_engineer", "security_engineer"},
			{"add_permission", `{"role_id":"` + analyst + `","permission_id":"` + b.sim.PermissionID("alerts:update") + `"}`, `"action":"update"`, ok},
			{"delete_role", `{"role_id":"none"}`, ok, ok},
			{"list_sso_providers", `{}`, "Azure AD", "Azure AD"},
		} {
			for i, want := range []string{step.want, step.again} {
				got, err := b.do(t, step.action, step.params)
				if err != nil || !strings.Contains(got, want) || strings.Contains(got, "webhook_url") {
					t.Errorf("%s, time %d: %s, %v; want %s and no key of a channel", step.action, i+1, got, err, want)
				}
			}
		}
		if r, c, u, o := len(b.sim.Rules()), len(b.sim.Channels()), len(b.sim.Users()), b.sim.Roles(); r != 1 || c != 2 || u != 2 || o != 3 {
			t.Errorf("%d rules, %d channels, %d users and %d roles there, want 1, 2, 2 and 3", r, c, u, o)
		}
		b.fine(t)
	})
}

// TestAnswerLost: a rule is not turned back by the repeat of a call whose answer
// got lost.
func TestAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		rule := b.sim.Rules()[0].ID
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, "/api/v1/auth/") {
				return false
			}
			b.edit = nil
			b.sim.ServeHTTP(w, r)
			panic(http.ErrAbortHandler)
		}
		if _, err := b.do(t, "set_alert_rule_active", `{"rule_id":"`+rule+`","active":false}`); hub.KindOf(err) != hub.Transient {
			t.Fatalf("a lost answer: %v", err)
		}
		got, err := b.do(t, "set_alert_rule_active", `{"rule_id":"`+rule+`","active":false}`)
		if err != nil || b.sim.Rules()[0].Active {
			t.Errorf("the repeat: %s, %v; the rule is active: %v", got, err, b.sim.Rules()[0].Active)
		}
	})
}

func TestExportIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for range 4000 {
			b.sim.AddEntry(sim.Entry{Action: "view \"x\",\nand more"})
		}
		for _, format := range []string{"csv", "json"} {
			got, err := b.do(t, "export_audit", `{"format":"`+format+`"}`)
			if err != nil || !strings.Contains(got, `"truncated":true`) || !strings.Contains(got, `"entries":400`) || len(got) > 2*maxExport {
				t.Errorf("%s: %d bytes, %v: %.200s", format, len(got), err, got)
			}
		}
		for _, whole := range []string{`a,"b`, "[1,"} {
			if _, err := exported(map[byte]string{'a': "csv", '[': "json"}[whole[0]], []byte(fmt.Sprintf("%q", whole))); hub.KindOf(err) != hub.Transient {
				t.Errorf("%s: %v", whole, err)
			}
		}
	})
}

// TestActionsRefused: mistakes are told before the call, and their refusals in
// words that help.
func TestActionsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for _, tt := range []struct{ action, params string }{
			{"acknowledge", `{}`},
			{"acknowledge", `{"alert_id":"../../users"}`},
			{"acknowledge", `{"alert_id":"a","more":1}`},
			{"acknowledge", `{"alert_id":""}`},
			{"search_alerts", `{"status":"open"}`},
			{"search_alerts", `{"limit":0}`},
			{"search_alerts", `{"limit":1.5}`},
			{"search_audit", `{"start_time":"yesterday"}`},
			{"export_audit", `{"format":"xml"}`},
			{"create_alert_rule", `{"name":" ","condition_type":"c"}`},
			{"create_alert_rule", `{"name":"r","condition_type":"c","risk_score_min":101}`},
			{"create_alert_rule", `{"name":"r","condition_type":"c","severity_threshold":"info"}`},
			{"create_user", `{"email":"x","password":"long-enough","role":"analyst"}`},
			{"create_user", `{"email":"x@y","password":"short","role":"analyst"}`},
			{"set_alert_rule_active", `{"rule_id":"r","active":"yes"}`},
			{"nonsense", `{}`},
		} {
			if _, err := b.do(t, tt.action, tt.params); hub.KindOf(err) != hub.Invalid && hub.KindOf(err) != hub.Malformed {
				t.Errorf("%s %s: %v, want it refused", tt.action, tt.params, err)
			}
		}
		if len(b.asked) > 0 {
			t.Errorf("calls were made for them: %v", b.asked)
		}
		alert := b.sim.AddAlert(sim.Alert{}).ID
		for _, tt := range []struct {
			action, params, want string
			kind                 hub.Kind
		}{
			{"acknowledge", `{"alert_id":"none"}`, "nothing at /alerting/alerts/none/acknowledge", hub.NotFound},
			{"blast_radius", `{"node_id":"none"}`, "Not Found", hub.NotFound},
			{"create_user", `{"email":"x@y","password":"long-enough","role":"king"}`, "Validation Error: role is none", hub.Invalid},
			{"delete_role", `{"role_id":"` + b.sim.RoleID("admin") + `"}`, "Bad Request", hub.Invalid},
		} {
			if _, err := b.do(t, tt.action, tt.params); hub.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want kind %s and %q", tt.action, err, tt.kind, tt.want)
			}
		}
		b.sim.Permit("alerts:read")
		for action, tt := range map[string]struct{ params, want string }{
			"acknowledge":           {`{"alert_id":"` + alert + `"}`, "alerts:update"},
			"get_incident":          {`{"incident_id":"i"}`, "incidents:read"},
			"test_alert_channel":    {`{"channel_id":"c"}`, "alert_channels:update"},
			"create_alert_channel":  {`{"name":"n","channel_type":"t","config":{"a":1}}`, "alert_channels:create"},
			"set_alert_rule_active": {`{"rule_id":"r","active":true}`, "alert_rules:read"},
			"create_alert_rule":     {`{"name":"n","condition_type":"c"}`, "alert_rules:create"},
			"delete_alert_rule":     {`{"rule_id":"r"}`, "alert_rules:delete"},
			"create_role":           {`{"name":"n"}`, "roles:create"},
			"add_permission":        {`{"role_id":"r","permission_id":"p"}`, "roles:update"},
			"create_user":           {`{"email":"x@y","password":"long-enough","role":"r"}`, "users:create"},
			"assign_role":           {`{"user_id":"u","role_id":"r"}`, "users:update"},
			"remove_role":           {`{"user_id":"u","role_id":"r"}`, "users:update"},
			"delete_user":           {`{"user_id":"u"}`, "users:delete"},
			"search_audit":          {`{}`, "audit_logs:read"},
			"dashboard_metrics":     {`{}`, "summaries:read"},
		} {
			if _, err := b.do(t, action, tt.params); hub.KindOf(err) != hub.Forbidden || !strings.Contains(err.Error(), "by the document "+tt.want+";") {
				t.Errorf("%s: %v, want the permission %s", action, err, tt.want)
			}
		}
		b.fine(t)
	})
}

// TestMirror: what is done with an alert here is done there once, and does not
// come back as news; what somebody does there afterwards does.
func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		id := b.sim.AddAlert(sim.Alert{}).ID
		b.pull(t)
		b.said("")
		for _, step := range []struct {
			change hub.EventType
			status string
		}{{hub.AlertAcknowledgedEvent, "acknowledged"}, {hub.AlertResolvedEvent, "resolved"}, {hub.AlertDismissedEvent, "resolved"}} {
			action, params := b.source.Mirror(step.change, "alert|"+id)
			for range 2 { // the worker repeats what it has no answer to
				if _, err := b.source.Do(t.Context(), action, "k", params); err != nil {
					t.Fatalf("%s: %v", step.change, err)
				}
			}
			if got := b.sim.Alerts()[0].Status; got != step.status {
				t.Errorf("%s: it is %s there", step.change, got)
			}
			b.pull(t)
			if got := b.said("alert"); got != "" {
				t.Errorf("%s came back: %s", step.change, got)
			}
		}
		b.sim.SetAlert(id, "fired", "critical")
		b.pull(t)
		if got := b.said("alert"); got != "fired critical open" {
			t.Errorf("opened again there: %q", got)
		}
		// Acknowledged here and resolved there before the next pull: that is news.
		action, params := b.source.Mirror(hub.AlertAcknowledgedEvent, "alert|"+id)
		if _, err := b.source.Do(t.Context(), action, "k", params); err != nil {
			t.Fatal(err)
		}
		b.sim.SetAlert(id, "resolved", "")
		b.pull(t)
		if got := b.said("alert"); got != "resolved critical resolved" {
			t.Errorf("resolved there: %q", got)
		}
		// Already resolved there: acknowledging it here is no failure.
		if _, err := b.source.Do(t.Context(), action, "k", params); err != nil {
			t.Errorf("acknowledge what is resolved there: %v", err)
		}
		// A mark is used once: the same status by somebody there is news again.
		other := b.sim.AddAlert(sim.Alert{}).ID
		b.pull(t)
		if _, err := b.do(t, "acknowledge", `{"alert_id":"`+other+`"}`); err != nil {
			t.Fatal(err)
		}
		b.pull(t)
		b.sim.SetAlert(other, "fired", "")
		b.pull(t)
		b.said("")
		b.sim.SetAlert(other, "acknowledged", "")
		b.pull(t)
		if got := b.said("alert"); got != "acknowledged high open" {
			t.Errorf("acknowledged by somebody there: %q", got)
		}
		// So it is where nothing was left to do.
		if _, err := b.do(t, "acknowledge", `{"alert_id":"`+other+`"}`); err != nil {
			t.Fatal(err)
		}
		b.sim.SetAlert(other, "fired", "")
		b.pull(t)
		b.said("")
		b.sim.SetAlert(other, "acknowledged", "")
		b.pull(t)
		if got := b.said("alert"); got != "acknowledged high open" {
			t.Errorf("acknowledged again by somebody there: %q", got)
		}
		for _, id := range []string{"incident|i", "summary|s", "audit|e", "alert|../x", "alert|", "x"} {
			if action, _ := b.source.Mirror(hub.AlertResolvedEvent, id); action != "" {
				t.Errorf("%s is mirrored by %s", id, action)
			}
		}
		if action, _ := b.source.Mirror(hub.AlertReopened, "alert|a"); action != "" {
			t.Errorf("reopened is mirrored by %s", action)
		}
		b.fine(t)
	})
}

// TestMirrorThatIsRefused leaves no mark behind: the same change by somebody
// there is told.
func TestMirrorThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.sim.Permit("alerts:read")
		id := b.sim.AddAlert(sim.Alert{}).ID
		b.pull(t)
		b.said("")
		if _, err := b.do(t, "acknowledge", `{"alert_id":"`+id+`"}`); hub.KindOf(err) != hub.Forbidden {
			t.Fatal(err)
		}
		b.sim.SetAlert(id, "acknowledged", "")
		b.pull(t)
		if got := b.said("alert"); got != "acknowledged high open" {
			t.Errorf("by somebody there: %q", got)
		}
	})
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		if b.source.Report() != nil {
			t.Error("a report before the first call")
		}
		time.Sleep(time.Second)
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"email":"` + sim.DefaultEmail, `"roles":["admin"]`, `"mfa_enabled":false`} {
			if !strings.Contains(string(b.source.Report()), want) {
				t.Errorf("report %s lacks %s", b.source.Report(), want)
			}
		}
	})
}

func TestNoClientIsAMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("opened without a client")
		}
	}()
	s := connectortest.Settings(config1)
	s.Client = (*http.Client)(nil)
	_, _ = Open(s)
}
