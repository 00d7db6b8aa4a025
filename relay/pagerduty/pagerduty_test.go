package pagerduty_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/pagerduty"
	"github.com/tocsin/tocsin/relay/relaytest"
	sim "github.com/tocsin/tocsin/test/sim/pagerduty"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func client() *safehttp.Client {
	return safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

func event(typ hub.EventType) *hub.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &hub.Event{
		SpecVersion: "1.0", ID: "msg_01", Type: typ, Subject: "alt_01", Time: at,
		Data: hub.EventData{Reason: "created", Alert: &hub.Alert{
			ID: "alt_01", Title: "Root account login", Type: "iam", Severity: hub.High, Status: hub.AlertOpen, AssetID: "srv_1",
			Asset: &hub.Asset{Account: "012345670123", Name: "web"}, Sources: []string{"cybervault"}, Count: 3, Generation: 2,
			Labels: map[string]string{"a": "b"}, Payload: jsontext.Value(`{"ip":"203.0.113.9"}`),
		}},
	}
}

func delivery(ev *hub.Event, action, params string) *hub.Delivery {
	body, err := json.Marshal(ev)
	if err != nil {
		panic(err)
	}
	d := &hub.Delivery{ID: "dlv_01", Kind: hub.KindPagerDuty, Action: action, EventID: ev.ID, EventType: ev.Type, Subject: ev.Subject, Body: body}
	if params != "" {
		d.Run, d.Params = "run_1", []byte(params)
	}
	return d
}

func endpoint(url string) *hub.Endpoint {
	return &hub.Endpoint{
		ID: "chn_1", Kind: hub.KindPagerDuty, Enabled: true, Config: map[string]string{"api_url": url},
		Secrets: hub.EndpointSecrets{Tokens: map[string]string{"routing_key": sim.DefaultRoutingKey}},
	}
}

func newTarget(c *safehttp.Client) relay.Target {
	return pagerduty.New(pagerduty.Options{Client: c, Link: func(s string) string { return "https://tocsin.example.com/alerts/" + s }})
}

func TestKit(t *testing.T) {
	relaytest.Run(t, relaytest.Kit{
		New: newTarget, Endpoint: endpoint, Secrets: []string{sim.DefaultRoutingKey}, Throttled: 30 * time.Second,
		Delivery: func() *hub.Delivery { return delivery(event(hub.AlertCreated), hub.ActionSend, "") },
		Taken: func(w http.ResponseWriter, status int) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, `{"status":"success","message":"Event processed","dedup_key":"alt_01:g2"}`)
		},
		Kind: func(status int) hub.Kind {
			switch {
			case status == 202:
				return ""
			case status == 429:
				return hub.RateLimited
			case status == 408 || status >= 500:
				return hub.Transient
			}
			return hub.Invalid
		},
		Key: func(_ *http.Request, body []byte) string {
			var e struct {
				Key string `json:"dedup_key"`
			}
			json.Unmarshal(body, &e)
			return e.Key
		},
	})
}

func simulated(t *testing.T) (*sim.Sim, string) {
	s := sim.New(sim.Options{Options: unkind.Options{Kind: true}, PerMinute: 10_000})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL
}

func TestTriggerAcknowledgeResolve(t *testing.T) {
	s, url := simulated(t)
	target := newTarget(client())
	for _, step := range []struct {
		typ    hub.EventType
		action string
		status string
	}{
		{hub.AlertCreated, hub.ActionSend, "triggered"},
		{hub.AlertCreated, hub.ActionTrigger, "triggered"}, // the same incident
		{hub.AlertAcknowledgedEvent, hub.ActionSend, "acknowledged"},
		{hub.AlertResolvedEvent, hub.ActionSend, "resolved"},
	} {
		if a, err := target.Send(t.Context(), endpoint(url), delivery(event(step.typ), step.action, "")); err != nil || a.Status != 202 {
			t.Fatalf("%s %s: status %d, %v; violations %v", step.typ, step.action, a.Status, err, s.Violations())
		}
		all := s.Incidents()
		if len(all) != 1 || all[0].Status != step.status || all[0].DedupKey != "alt_01:g2" {
			t.Errorf("after %s: %+v, want one incident, %s", step.typ, all, step.status)
		}
	}
	inc := s.Incidents()[0]
	if inc.Severity != "error" || inc.Summary != "Root account login" || inc.Source != "srv_1" {
		t.Errorf("incident is %s %q of %s", inc.Severity, inc.Summary, inc.Source)
	}
	p := inc.Events[0].Payload
	if p.Group != "012345670123" || p.Class != "iam" || p.Component != "web" || inc.Events[0].Links[0]["href"] != "https://tocsin.example.com/alerts/alt_01" {
		t.Errorf("payload is %+v, links %v", p, inc.Events[0].Links)
	}
	details, _ := p.CustomDetails.(map[string]any)
	payload, _ := details["payload"].(map[string]any)
	if details["alert_id"] != "alt_01" || payload["ip"] != "203.0.113.9" {
		t.Errorf("details are %v", details)
	}
	ev := event(hub.AlertReopened)
	ev.Data.Alert.Generation = 3
	if _, err := target.Send(t.Context(), endpoint(url), delivery(ev, hub.ActionSend, "")); err != nil || len(s.Incidents()) != 2 {
		t.Errorf("reopened: %v, %d incidents, want a second one", err, len(s.Incidents()))
	}
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestWhatEachEventDoes(t *testing.T) {
	worse := hub.Changes{"severity": {"high", "critical"}}
	tests := []struct {
		name    string
		typ     hub.EventType
		action  string
		status  hub.AlertStatus
		changes hub.Changes
		want    string // action at PagerDuty
	}{
		{"created", hub.AlertCreated, hub.ActionSend, hub.AlertOpen, nil, "trigger"},
		{"reopened", hub.AlertReopened, hub.ActionSend, hub.AlertOpen, nil, "trigger"},
		{"merged", hub.AlertUpdated, hub.ActionSend, hub.AlertOpen, nil, ""},
		{"worse", hub.AlertUpdated, hub.ActionSend, hub.AlertOpen, worse, "trigger"},
		{"worse but resolved", hub.AlertUpdated, hub.ActionSend, hub.AlertResolved, worse, ""},
		{"unacknowledged", hub.AlertUpdated, hub.ActionSend, hub.AlertOpen, hub.Changes{"status": {hub.AlertInvestigating, hub.AlertOpen}}, "trigger"},
		{"acknowledged", hub.AlertAcknowledgedEvent, hub.ActionSend, hub.AlertInvestigating, nil, "acknowledge"},
		{"resolved", hub.AlertResolvedEvent, hub.ActionSend, hub.AlertResolved, nil, "resolve"},
		{"dismissed", hub.AlertDismissedEvent, hub.ActionSend, hub.AlertDismissed, nil, "resolve"},
		{"step triggers", hub.AlertUpdated, hub.ActionTrigger, hub.AlertOpen, nil, "trigger"},
		{"step acknowledges", hub.AlertCreated, hub.ActionAcknowledge, hub.AlertOpen, nil, "acknowledge"},
		{"step resolves", hub.AlertCreated, hub.ActionResolve, hub.AlertOpen, nil, "resolve"},
		{"notify", hub.AlertUpdated, hub.ActionPost, hub.AlertOpen, nil, "trigger"},
		{"scan", hub.ScanCompleted, hub.ActionSend, "", nil, ""},
		{"lockdown", hub.ThreatLockdown, hub.ActionSend, "", nil, "trigger"},
		{"endpoint disabled", hub.EndpointDisabled, hub.ActionSend, "", nil, "trigger"},
		{"endpoint recovered", hub.EndpointRecovered, hub.ActionSend, "", nil, "resolve"},
	}
	for _, tt := range tests {
		var got struct {
			Action string `json:"event_action"`
			Key    string `json:"dedup_key"`
		}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			json.UnmarshalRead(r.Body, &got)
			w.WriteHeader(http.StatusAccepted)
		}))
		ev := event(tt.typ)
		ev.Data.Alert.Status, ev.Data.Changes = tt.status, tt.changes
		if tt.status == "" {
			ev.Data.Alert = nil
		}
		_, err := newTarget(client()).Send(t.Context(), endpoint(srv.URL), delivery(ev, tt.action, ""))
		srv.Close()
		if err != nil || got.Action != tt.want || (got.Key == "") != (tt.want == "") {
			t.Errorf("%s: %q with key %q (%v), want %q", tt.name, got.Action, got.Key, err, tt.want)
		}
	}
}

// Every event type makes an event that PagerDuty takes.
func TestEveryEventIsTaken(t *testing.T) {
	s, url := simulated(t)
	for _, typ := range hub.EventTypes {
		for _, params := range []string{"", `{"summary":"` + strings.Repeat("é", 2000) + `","severity":"warning","details":{"runbook":"x"}}`, `{"message":"m"}`} {
			for _, withAlert := range []bool{true, false} {
				ev := event(typ)
				if !withAlert {
					ev.Data.Alert = nil
				} else {
					ev.Data.Alert.AssetID, ev.Data.Alert.Title = "", ""
				}
				if _, err := newTarget(client()).Send(t.Context(), endpoint(url), delivery(ev, hub.ActionPost, params)); err != nil {
					t.Errorf("%s %.20s: %v", typ, params, err)
				}
			}
		}
	}
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestTheStepsOwnWordsWin(t *testing.T) {
	s, url := simulated(t)
	d := delivery(event(hub.AlertCreated), hub.ActionTrigger, `{"summary":"own","severity":"critical","details":{"runbook":"r1","status":"mine"}}`)
	if _, err := newTarget(client()).Send(t.Context(), endpoint(url), d); err != nil {
		t.Fatal(err)
	}
	p := s.Incidents()[0].Events[0].Payload
	details, _ := p.CustomDetails.(map[string]any)
	if p.Summary != "own" || p.Severity != "critical" || details["runbook"] != "r1" || details["status"] != "mine" || details["alert_id"] != "alt_01" {
		t.Errorf("payload is %+v", p)
	}
}

// The largest details go first, the others stay, and it says so.
func TestTooLarge(t *testing.T) {
	s, url := simulated(t)
	ev := event(hub.AlertCreated)
	ev.Data.Alert.Payload = jsontext.Value(`{"html":"` + strings.Repeat("<", 200_000) + `"}`) // six bytes each, as go-pagerduty writes it
	ev.Data.Alert.Description = strings.Repeat("d", 400_000)
	if _, err := newTarget(client()).Send(t.Context(), endpoint(url), delivery(ev, hub.ActionSend, "")); err != nil {
		t.Fatalf("%v; violations %v", err, s.Violations())
	}
	details, _ := s.Incidents()[0].Events[0].Payload.CustomDetails.(map[string]any)
	note, _ := details["left_out"].(string)
	if details["payload"] != nil || details["description"] == nil || !strings.Contains(note, "payload") || strings.Contains(note, "description") {
		t.Errorf("left out: %q; want the payload alone", note)
	}
}

func TestTheServersWordsAreKept(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"status":"invalid event","message":"Event object is invalid","errors":["'payload.summary' is missing or blank"]}`)
	}))
	defer srv.Close()
	_, err := newTarget(client()).Send(t.Context(), endpoint(srv.URL), delivery(event(hub.AlertCreated), hub.ActionSend, ""))
	if want := "PagerDuty refused the event: Event object is invalid: 'payload.summary' is missing or blank"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSettings(t *testing.T) {
	for name, key := range map[string]string{"none": "", "short": "abc"} {
		e := endpoint("http://127.0.0.1:1")
		e.Secrets.Tokens["routing_key"] = key
		if _, err := newTarget(client()).Send(t.Context(), e, delivery(event(hub.AlertCreated), hub.ActionSend, "")); hub.KindOf(err) != hub.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	s, url := simulated(t)
	for _, suffix := range []string{"", "/", "/v2/enqueue"} {
		if _, err := newTarget(client()).Send(t.Context(), endpoint(url+suffix), delivery(event(hub.AlertCreated), hub.ActionSend, "")); err != nil {
			t.Errorf("api_url with %q: %v", suffix, err)
		}
	}
	e := endpoint(url)
	e.Secrets.Tokens["routing_key"] = strings.Repeat("0", 32)
	if _, err := newTarget(client()).Send(t.Context(), e, delivery(event(hub.AlertCreated), hub.ActionSend, "")); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "Invalid routing key") {
		t.Errorf("an unknown key gives %v", err)
	}
	_ = s
}

// An event that tells of a generation that passed closes its incident and opens
// that of the new one.
func TestAPassedGenerationIsClosed(t *testing.T) {
	s, url := simulated(t)
	target := newTarget(client())
	send := func(ev *hub.Event) {
		t.Helper()
		if _, err := target.Send(t.Context(), endpoint(url), delivery(ev, hub.ActionTrigger, "")); err != nil {
			t.Fatal(err)
		}
	}
	send(event(hub.AlertCreated))
	ev := event(hub.AlertUpdated)
	ev.Data.Alert.Generation = 4
	ev.Data.Changes = hub.Changes{"generation": {int64(2), int64(4)}}
	send(ev)
	got := map[string]string{}
	for _, i := range s.Incidents() {
		got[i.DedupKey] = i.Status
	}
	if got["alt_01:g2"] != "resolved" || got["alt_01:g4"] != "triggered" || len(got) != 2 {
		t.Errorf("incidents %v; want g2 resolved and g4 triggered", got)
	}
}

// Thousands of details are made to fit without trying each of them.
func TestManyDetailsFitQuickly(t *testing.T) {
	s, url := simulated(t)
	details := map[string]any{}
	for i := range 20_000 {
		details[fmt.Sprintf("detail_%05d", i)] = strings.Repeat("x", 60)
	}
	params, err := json.Marshal(map[string]any{"details": details})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := newTarget(client()).Send(ctx, endpoint(url), delivery(event(hub.AlertCreated), hub.ActionTrigger, string(params))); err != nil || len(s.Violations()) > 0 {
		t.Errorf("%v; violations %v", err, s.Violations())
	}
}

// Links and images of a step are sent as PagerDuty takes them; what it would refuse
// the whole event for is left out.
func TestLinksAndImages(t *testing.T) {
	s, url := simulated(t)
	ev := event(hub.AlertCreated)
	ev.Data.Alert.Labels = map[string]string{"runbook": "https://wiki.example/rb", "reference": "not a link", "url": "https://wiki.example/rb"}
	params := `{"component":"auth","group":"g","class":"c",
		"links":[{"href":"https://a.example","text":"A"},{"href":"javascript:alert(1)"},{"href":""},{"href":"https://a.example"}],
		"images":[{"src":"https://a.example/i.png","href":"nowhere","alt":"x"},{"src":"http://a.example/i.png"},{"src":""}]}`
	if _, err := newTarget(client()).Send(t.Context(), endpoint(url), delivery(ev, hub.ActionTrigger, params)); err != nil {
		t.Fatalf("%v; violations %v", err, s.Violations())
	}
	e := s.Incidents()[0].Events[0]
	var hrefs []any
	for _, l := range e.Links {
		hrefs = append(hrefs, l["href"])
	}
	if got, want := fmt.Sprint(hrefs), "[https://tocsin.example.com/alerts/alt_01 https://a.example https://wiki.example/rb]"; got != want {
		t.Errorf("links %s, want %s", got, want)
	}
	if len(e.Images) != 1 || e.Images[0]["src"] != "https://a.example/i.png" || e.Images[0]["href"] != nil || e.Images[0]["alt"] != "x" {
		t.Errorf("images %v", e.Images)
	}
	if p := e.Payload; p.Component != "auth" || p.Group != "g" || p.Class != "c" {
		t.Errorf("payload %+v", p)
	}
}

// An acknowledgement that ended closes the incident, which PagerDuty keeps quiet,
// and opens another.
func TestAnEndedAcknowledgementPagesAgain(t *testing.T) {
	s, url := simulated(t)
	target := newTarget(client())
	send := func(ev *hub.Event) {
		t.Helper()
		if _, err := target.Send(t.Context(), endpoint(url), delivery(ev, hub.ActionSend, "")); err != nil {
			t.Fatal(err)
		}
	}
	send(event(hub.AlertCreated))
	send(event(hub.AlertAcknowledgedEvent))
	ev := event(hub.AlertUpdated)
	ev.Data.Alert.Severity = hub.Critical
	ev.Data.Changes = hub.Changes{"status": {hub.AlertInvestigating, hub.AlertOpen}, "severity": {hub.High, hub.Critical}}
	send(ev)
	all := s.Incidents()
	if len(all) != 2 || all[0].Status != "resolved" || all[1].Status != "triggered" || all[1].Severity != "critical" || all[1].DedupKey != "alt_01:g2" {
		t.Errorf("incidents %+v; want one resolved and a critical one open", all)
	}
}

// An endpoint that knows an incident by another key is sent that.
func TestTheEndpointsOwnKey(t *testing.T) {
	s, url := simulated(t)
	target := pagerduty.New(pagerduty.Options{Client: client(), KeyAt: func(_ context.Context, e *hub.Endpoint, key string) (string, error) {
		return strings.Replace(key, ":g3", ":g2", 1), nil
	}})
	ev := event(hub.AlertCreated)
	if _, err := target.Send(t.Context(), endpoint(url), delivery(ev, hub.ActionSend, "")); err != nil {
		t.Fatal(err)
	}
	ev = event(hub.AlertUpdated)
	ev.Data.Alert.Generation = 3
	ev.Data.Changes = hub.Changes{"generation": {int64(2), int64(3)}, "severity": {hub.High, hub.Critical}}
	if _, err := target.Send(t.Context(), endpoint(url), delivery(ev, hub.ActionSend, "")); err != nil {
		t.Fatal(err)
	}
	if all := s.Incidents(); len(all) != 1 || all[0].Status != "triggered" || all[0].Triggers != 2 {
		t.Errorf("incidents %+v; want one, triggered twice", all)
	}
}
