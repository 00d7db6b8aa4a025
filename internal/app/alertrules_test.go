package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/tocsin/tocsin/hub"
)

const rulesPath = "/api/v1/alert-rules"

// receiver makes a channel at a receiver.
func (r *running) receiver(name, url string) hub.EndpointID {
	r.t.Helper()
	return r.channel(`{"name":"` + name + `","kind":"webhook","url":"` + url + `"}`).ID
}

func TestAlertRules(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, ""), withKey)
	ch := r.receiver("a", "http://127.0.0.1:9/x")
	body := `{"name":"High Risk Alert","condition_type":"risk_score_threshold","risk_score_min":80,"severity_threshold":"critical","cooldown_minutes":30,"max_alerts_per_hour":5,` +
		`"scenarios":["iam"],"schedule":{"timezone":"Europe/Berlin","windows":[{"days":["mon"],"from":"08:00","to":"18:00"}]},"channel_ids":["` + string(ch) + `"]}`
	status, one := r.do("POST", rulesPath, testKey, body, "Idempotency-Key", "k")
	_, two := r.do("POST", rulesPath, testKey, body, "Idempotency-Key", "k")
	if status != 201 {
		t.Fatalf("answered %d %s", status, one)
	}
	var made, again hub.AlertRule
	if json.Unmarshal([]byte(one), &made) != nil || json.Unmarshal([]byte(two), &again) != nil || made.ID != again.ID {
		t.Errorf("answered %s, then %s", one, two)
	}
	if !strings.HasPrefix(string(made.ID), "rul_") || made.MinSRS != 40 || !made.Enabled || *made.RiskScoreMin != 80 || made.CooldownMinutes != 30 || made.MaxAlertsPerHour != 5 || !slices.Equal(made.ChannelIDs, []hub.EndpointID{ch}) {
		t.Errorf("made as %s", one)
	}
	path := rulesPath + "/" + string(made.ID)
	least := call[hub.AlertRule](r, "POST", rulesPath, `{"name":"least"}`, 201)
	if least.ConditionType != hub.ConditionRisk || least.MinSRS != 40 {
		t.Errorf("the least is %+v", least)
	}
	changed := call[hub.AlertRule](r, "PATCH", path, `{"condition_type":"severity_threshold","cooldown_minutes":0,"schedule":{}}`, 200)
	if changed.Version != 2 || changed.Schedule != nil || changed.CooldownMinutes != 0 || *changed.RiskScoreMin != 80 {
		t.Errorf("changed to %+v", changed)
	}
	for _, want := range []bool{false, true} {
		if got := call[hub.AlertRule](r, "POST", path+"/toggle", "", 200); got.Enabled != want {
			t.Errorf("toggled to %v", got.Enabled)
		}
	}
	call[any](r, "DELETE", rulesPath+"/"+string(least.ID), "", 204)
	r.stop()
	r = start(t, load(t, dir, ""), nil)
	list := call[struct {
		Data []hub.AlertRule `json:"data"`
	}](r, "GET", rulesPath, "", 200)
	if len(list.Data) != 1 || list.Data[0].Version != 4 || list.Data[0].State == nil {
		t.Errorf("listed %+v", list.Data)
	}
	call[any](r, "DELETE", channelsPath+"/"+string(ch), "", 204)
	if got := call[hub.AlertRule](r, "GET", path, "", 200); len(got.ChannelIDs) != 0 {
		t.Errorf("a channel that is gone is in %v", got.ChannelIDs)
	}
	log := call[struct {
		Data []hub.AuditEntry `json:"data"`
	}](r, "GET", "/api/v1/audit/logs?resource_type=alert_rule", "", 200)
	var actions []string
	for _, e := range log.Data {
		actions = append(actions, strings.TrimPrefix(e.Action, "alert_rule."))
	}
	if diff := cmp.Diff([]string{"update", "delete", "update", "update", "update", "create", "create"}, actions); diff != "" {
		t.Errorf("audited (-want +got):\n%s", diff)
	}
}

func TestAlertRulesRefused(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	for _, c := range []struct{ body, pointer string }{
		{`{}`, "/name"},
		{`{"name":""}`, "/name"},
		{`{"name":"` + strings.Repeat("x", 201) + `"}`, "/name"},
		{`{"name":"a","colour":1}`, "/colour"},
		{`{"name":"a","condition_type":"mood"}`, "/condition_type"},
		{`{"name":"a","condition_type":"severity_threshold"}`, "/severity_threshold"},
		{`{"name":"a","condition_type":"expression"}`, "/expression"},
		{`{"name":"a","condition_type":"expression","expression":"alert."}`, "/expression"},
		{`{"name":"a","risk_score_min":101}`, "/risk_score_min"},
		{`{"name":"a","min_srs":-1}`, "/min_srs"},
		{`{"name":"a","cooldown_minutes":-1}`, "/cooldown_minutes"},
		{`{"name":"a","max_alerts_per_hour":1001}`, "/max_alerts_per_hour"},
		{`{"name":"a","channel_ids":["chn_none"]}`, "/channel_ids/0"},
		{`{"name":"a","schedule":{"timezone":"Mars/Base","windows":[{"from":"08:00","to":"18:00"}]}}`, "/schedule/timezone"},
		{`{"name":"a","schedule":{"timezone":"UTC"}}`, "/schedule/windows"},
	} {
		status, answer := r.do("POST", rulesPath, testKey, c.body)
		if status != 422 || !strings.Contains(answer, `"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s is answered %d %s, want 422 at %s", c.body, status, answer, c.pointer)
		}
	}
	if status, _ := r.do("POST", rulesPath, testKey, `{"name":"`+strings.Repeat("ä", 200)+`"}`); status != 201 {
		t.Errorf("a name of 200 characters is answered %d", status)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		if status, _ := r.do(method, rulesPath+"/rul_none", testKey, "{}"); status != 404 {
			t.Errorf("%s of a rule that is not there is answered %d", method, status)
		}
	}
	viewer := call[struct {
		Key string `json:"key"`
	}](r, "POST", "/api/v1/api-keys", `{"name":"v","role":"viewer"}`, 201).Key
	if status, _ := r.do("POST", rulesPath, viewer, `{"name":"a"}`); status != 403 {
		t.Errorf("a viewer is answered %d", status)
	}
}

// Cooldown and limit hold over a restart; what they held back is told of when a
// change lets it.
func TestRulesOverARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, quick), withKey)
	cool, capped := newFar(t, nil), newFar(t, nil)
	rule := call[hub.AlertRule](r, "POST", rulesPath, fmt.Sprintf(`{"name":"cool","condition_type":"severity_threshold","severity_threshold":"high","cooldown_minutes":60,"channel_ids":["%s"]}`, r.receiver("cool", cool.URL)), 201)
	limit := call[hub.AlertRule](r, "POST", rulesPath, fmt.Sprintf(`{"name":"capped","condition_type":"expression","expression":"alert.type == 'xss'","max_alerts_per_hour":3,"channel_ids":["%s"]}`, r.receiver("capped", capped.URL)), 201)
	r.findings("a", 2)
	state := func(id hub.RuleID) hub.RuleState {
		return *call[hub.AlertRule](r, "GET", rulesPath+"/"+string(id), "", 200).State
	}
	cool.eventually(t, "the first come", func() bool { return state(rule.ID).HeldBack == 1 && len(cool.taken()) == 1 && len(capped.taken()) == 2 })
	r.stop()
	r = start(t, load(t, dir, quick), nil)
	r.findings("b", 10)
	cool.eventually(t, "all are counted", func() bool {
		return state(rule.ID).HeldBack == 11 && state(limit.ID).HeldBack == 9 && len(capped.taken()) == 3
	})
	if n := len(cool.taken()); n != 1 {
		t.Errorf("%d messages within the cooldown", n)
	}
	if s := state(limit.ID); s.Fired != 3 || s.Pending.Count != 9 || s.Pending.Why != "hourly limit" || s.Recent != nil {
		t.Errorf("the capped rule is at %+v", s)
	}
	call[any](r, "PATCH", rulesPath+"/"+string(rule.ID), `{"cooldown_minutes":0}`, 200)
	cool.eventually(t, "it tells of what it held back", func() bool { return len(cool.taken()) == 2 })
	list := call[listed](r, "GET", "/api/v1/deliveries?kind=webhook&limit=1", "", 200)
	if !strings.Contains(string(list.Data[0].Params), `"held_back":10`) {
		t.Errorf("the message says %s", list.Data[0].Params)
	}
	call[any](r, "POST", rulesPath+"/"+string(rule.ID)+"/toggle", "", 200)
	r.findings("c", 1)
	capped.eventually(t, "the other rule counts", func() bool { return state(limit.ID).HeldBack == 10 })
	if n := len(cool.taken()); n != 2 {
		t.Errorf("%d messages of a rule that is off", n)
	}
}

// A rule opens an incident at PagerDuty and posts a mail, and both hear of the end.
func TestARuleTellsOfTheEnd(t *testing.T) {
	server, settings := mailServer(t, true)
	r := start(t, load(t, t.TempDir(), quick), withKey)
	f := newFar(t, nil)
	ch := r.channel(`{"name":"mail",` + settings + `}`)
	call[any](r, "POST", rulesPath, `{"name":"all highs","condition_type":"severity_threshold","severity_threshold":"high","channel_ids":["`+string(ch.ID)+`"]}`, 201)
	r.findings("web", 1)
	f.eventually(t, "it comes", func() bool { return len(server.Messages()) == 1 })
	id := call[struct {
		Data []hub.Alert `json:"data"`
	}](r, "GET", "/api/v1/alerts", "", 200).Data[0].ID
	call[any](r, "POST", "/api/v1/alerts/"+string(id)+"/resolve", "{}", 200)
	f.eventually(t, "the end comes", func() bool { return len(server.Messages()) == 2 })
	got := server.Messages()
	if !strings.Contains(got[0].Text, `rule "all highs"`) || got[1].InReplyTo != got[0].InReplyTo || !strings.Contains(got[1].Text, "Alert resolved") {
		t.Errorf("mails:\n%s\n%s", got[0].Text, got[1].Text)
	}
	for _, v := range server.Violations() {
		t.Errorf("the server found: %s", v)
	}
}
