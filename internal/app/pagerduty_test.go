package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	sim "github.com/tocsin/tocsin/test/sim/pagerduty"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

const pdSecret = "pd-webhook-secret"

// A paged is a hub with PagerDuty at its side.
type paged struct {
	*running
	sim *sim.Sim
	url string // of its webhooks here
}

func startPaged(t *testing.T, more string) *paged {
	t.Helper()
	s := sim.New(sim.Options{Options: unkind.Options{Kind: true}, PerMinute: 100_000})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	cfg := fmt.Sprintf(`%sendpoints:
  - {name: pager, kind: pagerduty, routing_key: %s, api_url: '%s', events: ['alert.*'], ordering: key, webhook_secrets: [old-secret, %s]}
%s`, quick, sim.DefaultRoutingKey, srv.URL, pdSecret, strings.ReplaceAll(more, "SIM", srv.URL))
	r := start(t, load(t, t.TempDir(), cfg), withKey)
	return &paged{r, s, "http://" + r.Addr() + api.PagerDutyPath}
}

// open makes an alert and waits for its incident.
func (p *paged) open(asset string) *hub.Alert {
	p.t.Helper()
	tr := call[hub.Triage](p.running, "POST", "/api/v1/findings?wait=true", `{"type":"iam","asset_id":"`+asset+`","severity":"high","title":"Root login"}`, 200)
	a := p.alert(tr.Alert)
	p.incident(fmt.Sprintf("%s:g%d", a.ID, a.Generation), "triggered")
	return a
}

func (p *paged) alert(id hub.AlertID) *hub.Alert {
	p.t.Helper()
	return call[api.AlertView](p.running, "GET", "/api/v1/alerts/"+string(id), "", 200).Alert
}

// incident waits until the incident of a key has a status.
func (p *paged) incident(key, status string) {
	p.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for time.Now().Before(end) {
		for _, i := range p.sim.Incidents() {
			if i.DedupKey == key && i.Status == status {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.t.Fatalf("the incident of %s did not become %s: %+v", key, status, p.sim.Incidents())
}

// fire has PagerDuty tell of something and gives the answer's status.
func (p *paged) fire(h sim.Hook) int {
	p.t.Helper()
	h.URL = p.url
	if h.Secret == "" {
		h.Secret = pdSecret
	}
	status, err := p.sim.Fire(p.t.Context(), http.DefaultClient, h)
	if err != nil {
		p.t.Fatal(err)
	}
	return status
}

// events counts what the incidents were sent.
func (p *paged) events() (n int) {
	for _, i := range p.sim.Incidents() {
		n += len(i.Events)
	}
	return n + len(p.sim.Dropped())
}

func (p *paged) audited(action string) (n int) {
	p.t.Helper()
	err := p.st.View(p.t.Context(), func(r *store.Reader) error {
		head, err := r.AuditHead(hub.DefaultTenant)
		if err != nil {
			return err
		}
		return r.AuditEntries(hub.DefaultTenant, 0, head.Size, func(e hub.SealedEntry) bool {
			if strings.Contains(string(e.Bytes), `"action":"`+action+`"`) && strings.Contains(string(e.Bytes), "pagerduty") {
				n++
			}
			return true
		})
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// What is done at PagerDuty is done here, by whom it was done there, and does not
// go back.
func TestPagerDutyComesBack(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	key := string(a.ID) + ":g1"
	for i, step := range []struct {
		event  string
		agent  string
		status hub.AlertStatus
		by     string
	}{
		{"incident.acknowledged", "user", hub.AlertInvestigating, "Ada Lovelace (PagerDuty)"},
		{"incident.unacknowledged", "service", hub.AlertOpen, ""},
		{"incident.acknowledged", "nobody", hub.AlertInvestigating, "PagerDuty"},
		{"incident.resolved", "user", hub.AlertResolved, "PagerDuty"},
	} {
		if status := p.fire(sim.Hook{DedupKey: key, Event: step.event, Agent: step.agent}); status != 200 {
			t.Fatalf("%s is answered %d", step.event, status)
		}
		got := p.alert(a.ID)
		if got.Status != step.status || got.AcknowledgedBy != step.by || got.Version != int64(i+2) {
			t.Errorf("after %s: %s by %q at version %d, want %s by %q at %d", step.event, got.Status, got.AcknowledgedBy, got.Version, step.status, step.by, i+2)
		}
	}
	view := call[api.AlertView](p.running, "GET", "/api/v1/alerts/"+string(a.ID), "", 200)
	if c := view.Timeline[1]; c.Actor != "Ada Lovelace (PagerDuty)" || !strings.Contains(c.Note, "incident Q") {
		t.Errorf("the timeline says %+v", c)
	}
	if got := p.audited("alert.acknowledged"); got != 2 {
		t.Errorf("%d acknowledgements in the audit log, want 2", got)
	}
	if got := p.audited("pagerduty.webhook"); got != 4 {
		t.Errorf("%d webhooks in the audit log, want 4", got)
	}
	p.open("srv-2") // had anything gone back, it would be there before this one
	if got := p.events(); got != 2 {
		t.Errorf("PagerDuty was sent %d events, want the two triggers", got)
	}
}

// Somebody else's endpoint is told what was done at PagerDuty.
func TestPagerDutyIsTellingOthers(t *testing.T) {
	f := newFar(t, nil)
	p := startPaged(t, "")
	call[hookView](p.running, "POST", "/api/v1/webhooks", `{"url":"`+f.URL+`","events":["alert.acknowledged"]}`, 201)
	a := p.open("srv-1")
	p.fire(sim.Hook{DedupKey: string(a.ID) + ":g1", Event: "incident.acknowledged"})
	f.eventually(t, "the webhook is told", func() bool { return len(f.taken()) == 1 })
	if e := f.got[0]; e.Data.Actor != "Ada Lovelace (PagerDuty)" || e.Data.Alert.Status != hub.AlertInvestigating {
		t.Errorf("it was told %s by %s", e.Data.Alert.Status, e.Data.Actor)
	}
}

// A webhook that comes again does nothing again, whatever was done meanwhile.
func TestPagerDutyRepeats(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	h := sim.Hook{DedupKey: string(a.ID) + ":g1", Event: "incident.acknowledged", ID: "01EVENT"}
	p.fire(h)
	p.fire(sim.Hook{DedupKey: h.DedupKey, Event: "incident.annotated", Note: "looking into it", ID: "01NOTE"})
	call[hub.Alert](p.running, "POST", "/api/v1/alerts/"+string(a.ID)+"/reopen", `{}`, 200)
	before := p.alert(a.ID)
	for range 3 {
		if status := p.fire(h); status != 200 {
			t.Errorf("a repetition is answered %d", status)
		}
		p.fire(sim.Hook{DedupKey: h.DedupKey, Event: "incident.annotated", Note: "looking into it", ID: "01NOTE"})
	}
	if after := p.alert(a.ID); after.Status != hub.AlertOpen || after.Version != before.Version {
		t.Errorf("repetitions made it %s at version %d, want open at %d", after.Status, after.Version, before.Version)
	}
}

func TestPagerDutySignatures(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	h := sim.Hook{DedupKey: string(a.ID) + ":g1", Event: "incident.acknowledged"}
	for _, c := range []struct {
		secret string
		others []string
		want   int
	}{
		{"wrong", nil, 401},
		{"wrong", []string{"also wrong"}, 401},
		{pdSecret, []string{"new one"}, 200}, // PagerDuty changes its secret
		{"old-secret", nil, 200},
		{"new one", []string{"old-secret"}, 200},
	} {
		h.Secret, h.Others = c.secret, c.others
		if got := p.fire(h); got != c.want {
			t.Errorf("signed with %s and %v: %d, want %d", c.secret, c.others, got, c.want)
		}
		if c.want == 401 && p.alert(a.ID).Status != hub.AlertOpen {
			t.Error("an unsigned webhook acknowledged")
		}
	}
	body := `{"event":{"id":"x","event_type":"pagey.ping","data":{"message":"Hello","type":"ping"}}}`
	good := sim.Sign(pdSecret, []byte(body))
	for _, c := range []struct {
		name, body, signature string
		want                  int
	}{
		{"ping", body, good, 200},
		{"body changed", strings.Replace(body, "Hello", "hello", 1), good, 401},
		{"no signature", body, "", 401},
		{"only a prefix", body, "v1=", 401},
		{"another version", body, strings.Replace(good, "v1", "v2", 1), 401},
		{"upper case and spaces", body, " v1=" + strings.ToUpper(good[3:]) + " , v1=00", 200},
		{"no webhook", `{"a":1}`, sim.Sign(pdSecret, []byte(`{"a":1}`)), 400},
		{"no JSON", `{`, sim.Sign(pdSecret, []byte(`{`)), 400},
		{"too large", strings.Repeat("x", 513<<10), good, 413},
		{"of a service", `{"event":{"id":"y","event_type":"service.updated","data":{"teams":[]}}}`, sim.Sign(pdSecret, []byte(`{"event":{"id":"y","event_type":"service.updated","data":{"teams":[]}}}`)), 200},
	} {
		status, answer := p.do("POST", api.PagerDutyPath, "", c.body, "X-PagerDuty-Signature", c.signature)
		if status != c.want || strings.Contains(answer, pdSecret) {
			t.Errorf("%s: %d %s, want %d", c.name, status, answer, c.want)
		}
	}
}

// Some webhooks carry no key: then the incident's id tells, once it is known.
func TestPagerDutyWithoutKey(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	key := string(a.ID) + ":g1"
	p.fire(sim.Hook{DedupKey: key, Event: "incident.acknowledged", NoKey: true})
	if got := p.alert(a.ID).Status; got != hub.AlertOpen {
		t.Errorf("an incident that is not known made the alert %s", got)
	}
	p.fire(sim.Hook{DedupKey: key, Event: "incident.triggered", Agent: "integration"})
	for _, h := range []sim.Hook{
		{Event: "incident.annotated", Note: "looking into it"},
		{Event: "incident.priority_updated", Priority: "P1"},
		{Event: "incident.reassigned", Assignees: []string{"Grace Hopper", "Ada Lovelace"}, NoKey: true},
		{Event: "incident.acknowledged", NoKey: true},
		{Event: "incident.responder.added"},
	} {
		h.DedupKey = key
		if status := p.fire(h); status != 200 {
			t.Errorf("%s is answered %d", h.Event, status)
		}
	}
	v := call[api.AlertView](p.running, "GET", "/api/v1/alerts/"+string(a.ID), "", 200)
	var notes []string
	for _, c := range v.Timeline {
		notes = append(notes, c.Action+" "+c.Note)
	}
	text := strings.Join(notes, "\n")
	if v.Status != hub.AlertInvestigating || v.Assignee != "Grace Hopper, Ada Lovelace" ||
		!strings.Contains(text, "noted looking into it") || !strings.Contains(text, "priority P1") {
		t.Errorf("%s, assigned to %q:\n%s", v.Status, v.Assignee, text)
	}
}

// What an incident of an earlier life is told does not touch the next life, and
// what the hub itself caused comes back without effect.
func TestPagerDutyStaleAndOwn(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	path := "/api/v1/alerts/" + string(a.ID)
	call[hub.Alert](p.running, "POST", path+"/resolve", `{}`, 200)
	p.incident(string(a.ID)+":g1", "resolved")
	call[hub.Alert](p.running, "POST", path+"/reopen", `{}`, 200)
	p.incident(string(a.ID)+":g2", "triggered")
	p.fire(sim.Hook{DedupKey: string(a.ID) + ":g1", Event: "incident.resolved"})
	p.fire(sim.Hook{DedupKey: string(a.ID) + ":g2", Event: "incident.acknowledged", Agent: "integration"})
	if got := p.alert(a.ID); got.Status != hub.AlertOpen {
		t.Errorf("the alert is %s, want open", got.Status)
	}
	p.fire(sim.Hook{DedupKey: string(a.ID) + ":g2", Event: "incident.resolved"})
	if got := p.alert(a.ID); got.Status != hub.AlertResolved {
		t.Errorf("the alert is %s, want resolved", got.Status)
	}
}

// An incident that is reopened at PagerDuty goes on standing for its alert, in its
// new life too.
func TestPagerDutyReopens(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	key := string(a.ID) + ":g1"
	p.fire(sim.Hook{DedupKey: key, Event: "incident.resolved"})
	p.fire(sim.Hook{DedupKey: key, Event: "incident.reopened"})
	if got := p.alert(a.ID); got.Status != hub.AlertOpen || got.Generation != 2 {
		t.Fatalf("the alert is %s at generation %d, want open at 2", got.Status, got.Generation)
	}
	p.fire(sim.Hook{DedupKey: key, Event: "incident.acknowledged"})
	if got := p.alert(a.ID); got.Status != hub.AlertInvestigating {
		t.Errorf("the alert is %s, want investigating", got.Status)
	}
	call[hub.Alert](p.running, "POST", "/api/v1/alerts/"+string(a.ID)+"/resolve", `{}`, 200)
	p.incident(key, "resolved") // under the key that PagerDuty has
	if all := p.sim.Incidents(); len(all) != 1 {
		t.Errorf("%d incidents, want one", len(all))
	}
}

// An acknowledgement that ends here is a new incident there, because PagerDuty
// keeps an acknowledged one quiet.
func TestPagerDutyPagesAgain(t *testing.T) {
	p := startPaged(t, "")
	a := p.open("srv-1")
	key := string(a.ID) + ":g1"
	p.fire(sim.Hook{DedupKey: key, Event: "incident.acknowledged"})
	call[hub.Triage](p.running, "POST", "/api/v1/findings?wait=true", `{"type":"iam","asset_id":"srv-1","severity":"critical","title":"Root login"}`, 200)
	if got := p.alert(a.ID); got.Status != hub.AlertOpen {
		t.Fatalf("the alert is %s, want open: it got worse", got.Status)
	}
	p.incident(key, "triggered")
	all := p.sim.Incidents()
	if len(all) != 2 || all[0].Status != "resolved" || all[1].Severity != "critical" {
		t.Errorf("incidents %+v; want the first resolved and a second, critical one", all)
	}
}

// Several endpoints may share a subscription.
func TestPagerDutySharedSubscription(t *testing.T) {
	p := startPaged(t, `  - {name: zweite, kind: pagerduty, routing_key: 00000000000000000000000000000000, api_url: 'SIM', events: [endpoint.disabled], webhook_secrets: [`+pdSecret+`]}
`)
	a := p.open("srv-1")
	p.fire(sim.Hook{DedupKey: string(a.ID) + ":g1", Event: "incident.acknowledged"})
	if got := p.alert(a.ID); got.Status != hub.AlertInvestigating {
		t.Errorf("the alert is %s", got.Status)
	}
}
