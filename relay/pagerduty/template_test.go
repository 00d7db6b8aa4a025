package pagerduty_test

import (
	"net/http/httptest"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/pagerduty"
	sim "github.com/tocsin/tocsin/test/sim/pagerduty"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// The endpoint's own summary stands in place of the title, on one line; a step's
// wins; and what an alert rule held back is among the details.
func TestTemplateAndRule(t *testing.T) {
	side := sim.New(sim.Options{Options: unkind.Options{Kind: true}})
	srv := httptest.NewServer(side)
	defer srv.Close()
	target := pagerduty.New(pagerduty.Options{
		Client: client(),
		Template: func(_ *hub.Endpoint, name string, _ *hub.Delivery, ev *hub.Event) string {
			return name + "\nof " + ev.Subject
		},
	})
	const rule = `"rule":{"id":"rul_1","name":"critical","held_back":3,"since":"2026-03-01T12:00:00Z","why":"cooldown"}`
	for _, c := range []struct{ params, summary, rule string }{
		{"", "summary of alt_01", ""},
		{`{"summary":"a step's"}`, "a step's", ""},
		{`{"message":"notify's"}`, "notify's", ""},
		{`{` + rule + `}`, "summary of alt_01", `rule "critical": 3 more alerts since 2026-03-01 12:00 UTC held back by its cooldown`},
	} {
		if _, err := target.Send(t.Context(), endpoint(srv.URL), delivery(event(hub.AlertCreated), hub.ActionTrigger, c.params)); err != nil {
			t.Fatal(err)
		}
		all := side.Incidents()
		events := all[len(all)-1].Events
		got := events[len(events)-1]
		details, _ := got.Payload.CustomDetails.(map[string]any)
		rule, _ := details["alert_rule"].(string)
		if got.Payload.Summary != c.summary || rule != c.rule {
			t.Errorf("%s: summary %q with %q, want %q with %q", c.params, got.Payload.Summary, rule, c.summary, c.rule)
		}
	}
	if v := side.Violations(); len(v) > 0 {
		t.Errorf("PagerDuty found %v", v)
	}
}
