package echelongraph

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
)

func TestSample(t *testing.T) {
	source, err := Kind().Open(connectortest.Settings(sample))
	if err != nil {
		t.Fatal(err)
	}
	_, pulls := source.(connectors.Puller)
	_, listens := source.(connectors.Listener)
	_, receives := source.(connectors.Receiver)
	_, acts := source.(connectors.Actor)
	_, mirrors := source.(connectors.Mirror)
	_, tests := source.(connectors.Tester)
	_, reports := source.(connectors.Reporter)
	if !pulls || !listens || !receives || !acts || !mirrors || !tests || !reports {
		t.Errorf("%T lacks a capability", source)
	}
	quiet, err := Open(connectortest.Settings(strings.TrimSuffix(config1, "}") + ", events: false}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, listens := quiet.(connectors.Listener); listens {
		t.Error("listens although events are turned off")
	}
}

func TestConfigFaults(t *testing.T) {
	const good = "base_url: https://x/v1, email: a@b, password: p"
	for _, tt := range []struct{ text, want string }{
		{"{}", "base_url"},
		{"{}", "email"},
		{"{base_url: x.example, email: a, password: p}", "base_url"},
		{"{base_url: 'https://u:pass@x', email: a, password: p}", "base_url"},
		{"{" + good + ", totp_secret: '0189'}", "totp_secret"},
		{"{" + good + ", paths: {alarms: /a}}", "alarms"},
		{"{" + good + ", paths: {alerts: a}}", "paths.alerts"},
		{"{" + good + ", paths: {login: '-'}}", "paths.login"},
		{"{" + good + ", page_size: 101}", "page_size"},
		{"{" + good + ", audit_actions: ['[']}", "audit_actions"},
		{"{" + good + ", max_risk_score: 101}", "max_risk_score"},
		{"{" + good + ", blast_depth: 21}", "blast_depth"},
		{"{" + good + ", max_tracked: -1}", "max_tracked"},
		{"{" + good + ", pasword: p}", "pasword"},
	} {
		_, err := Open(connectortest.Settings(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v, want an error about %s", tt.text, err, tt.want)
		}
	}
}

// TestActions does everything twice: a repeat makes nothing more.
func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		alert := b.sim.AddItem("alerts", sim.Item{}).ID
		vul := b.sim.AddItem("vulnerabilities", sim.Item{}).ID
		for _, step := range []struct{ action, params, want, again string }{
			{"create_incident", `{"title":"Root login","severity":"high","description":"see \"x\"","alert_ids":["` + alert + `"]}`, `[tocsin k]`, `[tocsin k]`},
			{"update_alert", `{"alert_id":"` + alert + `","status":"acknowledged"}`, `"status":"acknowledged"`, `"status":"acknowledged"`},
			{"get_remediation", `{"vulnerability_id":"` + vul + `"}`, `"status":"not_started"`, `"status":"not_started"`},
			{"update_remediation", `{"vulnerability_id":"` + vul + `","status":"in_progress","note":"on it"}`, `"progress":50`, `"progress":50`},
			{"register_account", `{"provider":"gcp","account_id":"proj-1","name":"P"}`, `"status":"pending"`, `"status":"pending"`},
			{"create_report", `{"type":"executive","format":"pdf","from":"2026-05-01","to":"2026-05-31"}`, `"status":"pending"`, `"status":"pending"`},
			{"register_webhook", `{"url":"https://hub.example/api/v1/ingest/echelongraph","events":["alert.created"],"secret":"s"}`, `"id":"whk_`, `"id":"whk_`},
			{"blast_radius", `{"root":"ast_web-1","depth":2}`, `"total":2`, `"total":2`},
			{"search_assets", `{"type":"database","min_risk_score":10,"limit":5}`, `"total":1`, `"total":1`},
			{"search_audit", `{"action":"config.account_registered","from":"2000-01-01T00:00:00Z"}`, `"total":1`, `"total":1`},
			{"detection_rules", `{}`, `"Impossible travel"`, `"Impossible travel"`},
			{"create_user", `{"user_name":"frank@example.com","display_name":"Frank"}`, `"userName":"frank@example.com"`, `"userName":"frank@example.com"`},
			{"set_group_members", `{"group_id":"grp_1","display_name":"Analysts","user_ids":["usr_2"]}`, `"members":[{"value":"usr_2"}]`, `"members":[{"value":"usr_2"}]`},
		} {
			for i, want := range []string{step.want, step.again} {
				got, err := b.do(t, step.action, "k", step.params)
				if err != nil || !strings.Contains(got, want) {
					t.Errorf("%s, time %d: %s, %v; want %s", step.action, i+1, got, err, want)
				}
			}
		}
		incidents := b.sim.Items("incidents")
		if len(incidents) != 1 || len(b.sim.Users()) != 3 {
			t.Fatalf("%d incidents and %d users there, want 1 and 3", len(incidents), len(b.sim.Users()))
		}
		if got, err := b.do(t, "update_incident", "k", `{"incident_id":"`+incidents[0].ID+`","status":"investigating","severity":"critical"}`); err != nil || !strings.Contains(got, `"critical"`) {
			t.Errorf("update incident: %s, %v", got, err)
		}
		if _, err := b.do(t, "create_incident", "other", `{"title":"Another","severity":"low"}`); err != nil || len(b.sim.Items("incidents")) != 2 {
			t.Errorf("another key: %v, %d incidents", err, len(b.sim.Items("incidents")))
		}
		for _, action := range []string{"remove_account", "remove_webhook"} {
			id := map[string]string{"remove_account": `{"id":"acc_00000001"}`, "remove_webhook": `{"webhook_id":"none"}`}[action]
			for range 2 {
				if _, err := b.do(t, action, "k", id); err != nil {
					t.Errorf("%s: %v", action, err)
				}
			}
		}
		b.fine(t)
	})
}

func TestActionsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for _, tt := range []struct{ action, params string }{
			{"create_incident", `{"title":"x","severity":"urgent"}`},
			{"create_incident", `{"severity":"low"}`},
			{"update_alert", `{"alert_id":"../users","status":"open"}`},
			{"update_alert", `{"alert_id":"a","status":"gone"}`},
			{"create_report", `{"type":"executive","format":"doc"}`},
			{"create_report", `{"type":"executive","format":"pdf","from":"May"}`},
			{"register_account", `{"provider":"ibm","account_id":"1"}`},
			{"blast_radius", `{}`},
			{"nonsense", `{}`},
			{"update_alert", `[]`},
		} {
			if _, err := b.do(t, tt.action, "k", tt.params); hub.KindOf(err) != hub.Invalid && hub.KindOf(err) != hub.Malformed {
				t.Errorf("%s %s: %v, want it refused", tt.action, tt.params, err)
			}
		}
		if len(b.asked) > 0 {
			t.Errorf("calls were made for them: %v", b.asked)
		}
		if _, err := b.do(t, "update_alert", "k", `{"alert_id":"none","status":"open"}`); hub.KindOf(err) != hub.NotFound {
			t.Errorf("no such alert: %v", err)
		}
		b.fine(t)
	})
}

// TestNoEcho: what is changed here does not come back as news, neither by pull
// nor by event; what somebody changes there afterwards does.
func TestNoEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		id := b.sim.AddItem("alerts", sim.Item{}).ID
		b.pull(t)
		b.said("")
		for _, change := range []hub.EventType{hub.AlertAcknowledgedEvent, hub.AlertResolvedEvent, hub.AlertReopened, hub.AlertDismissedEvent} {
			action, params := b.source.Mirror(change, "alert|"+id)
			if _, err := b.source.Do(t.Context(), action, "k", params); err != nil {
				t.Fatalf("%s: %v", change, err)
			}
			x := b.sim.Items("alerts")[0]
			event := string(sim.Event("e", "alert.resolved", x.UpdatedAt, x))
			batch, err := b.source.Receive(t.Context(), connectors.Request{Header: header(event), Body: []byte(event)})
			if change == hub.AlertResolvedEvent && (err != nil || len(batch.Findings) > 0) {
				t.Errorf("%s: its event told %+v, %v", change, batch, err)
			}
			b.pull(t)
			if got := b.said("alert"); got != "" {
				t.Errorf("%s came back: %s", change, got)
			}
		}
		b.sim.Change("alerts", id, "open", "critical")
		b.pull(t)
		if got := b.said("alert"); got != "open critical open" {
			t.Errorf("changed there: %q", got)
		}
		if _, err := b.do(t, "create_incident", "k9", `{"title":"Ours","severity":"high"}`); err != nil {
			t.Fatal(err)
		}
		b.pull(t)
		if got := b.said("incident"); got != "" {
			t.Errorf("our incident came back: %s", got)
		}
		b.sim.Change("incidents", b.sim.Items("incidents")[0].ID, "investigating", "")
		b.pull(t)
		if got := b.said("incident"); got != "investigating high open" {
			t.Errorf("our incident, taken up there: %q", got)
		}
		for _, id := range []string{"vulnerability|v", "compliance|SOC 2", "alert|../x", "alert|", "x"} {
			if action, _ := b.source.Mirror(hub.AlertResolvedEvent, id); action != "" {
				t.Errorf("%s is mirrored by %s", id, action)
			}
		}
	})
}
