package vigilare

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/vigilare"
)

func TestSample(t *testing.T) {
	s := connectortest.Settings(sample)
	source, err := Kind().Open(s)
	if err != nil {
		t.Fatal(err)
	}
	_, pulls := source.(connectors.Puller)
	_, acts := source.(connectors.Actor)
	_, mirrors := source.(connectors.Mirror)
	_, tests := source.(connectors.Tester)
	_, reports := source.(connectors.Reporter)
	if !pulls || !acts || !mirrors || !tests || !reports {
		t.Errorf("%T lacks a capability", source)
	}
}

func TestConfigFaults(t *testing.T) {
	const good = "email: a@b, password: p"
	for _, tt := range []struct{ text, want string }{
		{"{}", "email"},
		{"{}", "password"},
		{"{" + good + ", base_url: vigilare.cloud}", "base_url"},
		{"{" + good + ", base_url: 'https://u:pass@x'}", "base_url"},
		{"{" + good + ", min_srs: 101}", "min_srs"},
		{"{" + good + ", identity: both}", "identity"},
		{"{" + good + ", rescan: 1m}", "rescan"},
		{"{" + good + ", max_tracked: -1}", "max_tracked"},
		{"{" + good + ", pasword: p}", "pasword"},
	} {
		_, err := Open(connectortest.Settings(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v, want an error about %s", tt.text, err, tt.want)
		}
	}
}

func (b *bench) do(t *testing.T, action, params string) (string, error) {
	t.Helper()
	for _, spec := range b.source.Actions() {
		if spec.Name == "vigilare."+action {
			if err := spec.Check(jsontext.Value(params)); err != nil {
				return "", err
			}
		}
	}
	v, err := b.source.Do(t.Context(), "vigilare."+action, "key", jsontext.Value(params))
	return string(v), err
}

// TestActions does everything twice: a repeat makes nothing more.
func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		bob := b.sim.Users()[1].ID
		const rule = `{"name":"Low","channels":[{"type":"email","to":"a@example.com"}],"min_srs":30,"scenarios":["iam"]}`
		for _, step := range []struct{ action, params, want, again string }{
			{"connect_account", `{"aws_account_id":"222222222222","display_name":"Next","tags":["a"]}`, `"external_id"`, `"status":"PENDING"`},
			{"verify_account", `{"account_id":"222222222222"}`, `"status":"ACTIVE"`, `"status":"ACTIVE"`},
			{"scan", `{"account_id":"222222222222"}`, `"execution_arn"`, `"execution_arn"`},
			{"panic_package", `{"account_id":"222222222222"}`, `"download_url"`, `"download_url"`},
			{"export_findings", `{"account_id":"222222222222"}`, `"rows":0`, `"rows":0`},
			{"create_alert_rule", rule, `"rule_id"`, `"rule_id"`},
			{"invite_user", `{"email":"dave@example.com","name":"Dave","role":"viewer"}`, `"message":"Invitation sent`, `"email":"dave@example.com"`},
			{"set_user_role", `{"user_id":"` + bob + `","role":"member"}`, `"role":"member"`, `"role":"member"`},
			{"remove_user", `{"user_id":"` + bob + `"}`, "", "it is not there"},
			{"update_profile", `{"name":"Hub"}`, `"name":"Hub"`, `"name":"Hub"`},
			{"disconnect_account", `{"account_id":"222222222222"}`, "Account disconnected", "Account disconnected"},
		} {
			for i, want := range []string{step.want, step.again} {
				got, err := b.do(t, step.action, step.params)
				if err != nil || !strings.Contains(got, want) {
					t.Errorf("%s, time %d: %s, %v; want %s", step.action, i+1, got, err, want)
				}
			}
		}
		if r, u := len(b.sim.Rules()), len(b.sim.Users()); r != 2 || u != 3 {
			t.Errorf("%d rules and %d users there, want 2 and 3", r, u)
		}
		id := b.sim.Rules()[1].ID
		if got, err := b.do(t, "update_alert_rule", `{"rule_id":"`+id+`","enabled":false}`); err != nil || !strings.Contains(got, `"enabled":false`) {
			t.Errorf("update rule: %s, %v", got, err)
		}
		for range 2 {
			if _, err := b.do(t, "delete_alert_rule", `{"rule_id":"`+id+`"}`); err != nil {
				t.Errorf("delete rule: %v", err)
			}
		}
		for _, v := range b.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}

func TestExportIsCSV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "iam", Severity: "LOW", Title: "a \"b\",\nc"})
		b.sim.Add(3000)
		got, err := b.do(t, "export_findings", `{"account_id":"`+sim.DefaultAccount+`"}`)
		if err != nil || !strings.Contains(got, `"rows":3001`) || !strings.Contains(got, `"truncated":true`) || len(got) > maxExport*3/2 {
			t.Errorf("%d bytes, %v: %.200s", len(got), err, got)
		}
		b.sim.SetPlan("solo")
		if _, err := b.do(t, "export_findings", `{"account_id":"`+sim.DefaultAccount+`"}`); hub.KindOf(err) != hub.Forbidden || !strings.Contains(err.Error(), "plan") {
			t.Errorf("on the plan Solo: %v", err)
		}
	})
}

// TestActionsRefused: mistakes are told before the call, and their refusals in
// words that help.
func TestActionsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		for _, tt := range []struct{ action, params string }{
			{"scan", `{"account_id":"12"}`},
			{"scan", `{"account_id":"../../users"}`},
			{"scan", `{}`},
			{"scan", `{"account_id":5}`},
			{"connect_account", `{"aws_account_id":"x"}`},
			{"connect_account", `{"aws_account_id":"222222222222","display_name":"` + strings.Repeat("ä", 201) + `"}`},
			{"create_alert_rule", `{"name":"","channels":[{"type":"email"}]}`},
			{"create_alert_rule", `{"name":"a","channels":[]}`},
			{"create_alert_rule", `{"name":"a","channels":[{"type":"fax"}]}`},
			{"create_alert_rule", `{"name":"a","channels":[{"type":"email"}],"min_srs":101}`},
			{"invite_user", `{"email":"x","name":"y"}`},
			{"invite_user", `{"email":"x@y","name":"y","role":"owner"}`},
			{"acknowledge", `{"alert_id":""}`},
			{"acknowledge", `{"alert_id":"a","more":1}`},
			{"nonsense", `{}`},
		} {
			if _, err := b.do(t, tt.action, tt.params); hub.KindOf(err) != hub.Invalid {
				t.Errorf("%s %s: %v, want it refused", tt.action, tt.params, err)
			}
		}
		if n := len(b.asked); n > 0 {
			t.Errorf("%d calls were made for them: %v", n, b.asked)
		}

		b.sim.PutAccount(sim.Account{ID: "222222222222", Status: "PENDING"})
		b.sim.SetAssumable("222222222222", false)
		b.sim.SetPlan("solo")
		owner := b.sim.Users()[0].ID
		for _, tt := range []struct {
			action, params, want string
			kind                 hub.Kind
		}{
			{"verify_account", `{"account_id":"222222222222"}`, "Terraform", hub.Invalid},
			{"connect_account", `{"aws_account_id":"333333333333"}`, "plan limit exceeded", hub.Forbidden},
			{"set_user_role", `{"user_id":"` + owner + `","role":"viewer"}`, "owner role", hub.Forbidden},
			{"scan", `{"account_id":"999999999999"}`, "no such thing", hub.NotFound},
			{"acknowledge", `{"alert_id":"01J"}`, "no such thing", hub.NotFound},
		} {
			if _, err := b.do(t, tt.action, tt.params); hub.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want kind %s and %q", tt.action, err, tt.kind, tt.want)
			}
		}
		for range 4 {
			if _, err := b.do(t, "scan", `{"account_id":"`+sim.DefaultAccount+`"}`); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.do(t, "scan", `{"account_id":"`+sim.DefaultAccount+`"}`); hub.KindOf(err) != hub.RateLimited {
			t.Errorf("the fifth scan within an hour on Solo: %v", err)
		}
		for _, v := range b.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		if b.source.Report() != nil {
			t.Error("a report before the first call")
		}
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"plan":"team"`, `"role":"owner"`, `"status":"active"`} {
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
