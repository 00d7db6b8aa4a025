package pipelines_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/playbook"
	"github.com/tocsin/tocsin/pipelines/route"
)

// A harness is a pipeline over a real store, with findings handed to it
// directly.
type harness struct {
	testing.TB
	path string
	st   *store.Store
	p    *pipelines.Pipeline
	now  time.Time
	woke int
	log  []hub.AuditEntry // in the order of the transactions
}

// The harness is a relay that takes nothing in memory, so that every delivery is
// seen in the store.
func (h *harness) Admit(e *hub.Endpoint, d *hub.Delivery, _ int, now time.Time) bool {
	if d.State, d.DueAt = hub.DeliveryPending, now; !e.Enabled {
		d.State, d.DueAt = hub.DeliveryHeld, time.Time{}
	}
	return false
}

func (h *harness) Doubt([]*hub.Delivery) {}
func (h *harness) Handoff([]*hub.Delivery) {
	h.Error("a delivery was handed over though it was not admitted")
}
func (h *harness) Stored() { h.woke++ }

type tx struct {
	*store.Tx
	h *harness
}

func (t tx) Audit(e hub.AuditEntry) { t.h.log = append(t.h.log, e) }

func (tx) Publish(string, ...*message.Message) error { return nil }

type txStore struct {
	*store.Store
	h *harness
}

func (s txStore) Do(ctx context.Context, fn func(pipelines.Tx) error) error {
	return s.Store.Do(ctx, func(t *store.Tx) error { return fn(tx{t, s.h}) })
}

func newHarness(t testing.TB, books ...string) *harness {
	h := &harness{TB: t, path: filepath.Join(t.TempDir(), "db"), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	h.open(books...)
	t.Cleanup(func() { h.st.Close() })
	return h
}

func (h *harness) open(books ...string) {
	h.Helper()
	e, err := sqlite.Open(h.Context(), sqlite.Options{Path: h.path})
	if err != nil {
		h.Fatal(err)
	}
	if h.st, err = store.Open(h.Context(), e, store.Options{}); err != nil {
		h.Fatal(err)
	}
	endpoints := []*hub.Endpoint{
		{ID: "whk_1", Tenant: "default", Kind: hub.KindWebhook, Name: "soar-webhook", Enabled: true, Events: []string{"*"}},
		{ID: "whk_2", Tenant: "default", Kind: hub.KindWebhook, Name: "off", Enabled: false, Events: []string{"alert.created"}},
		{ID: "chn_1", Tenant: "default", Kind: hub.KindSlack, Name: "soc-slack", Enabled: true},
		{ID: "chn_2", Tenant: "default", Kind: hub.KindEmail, Name: "soc-mail", Enabled: true},
		{ID: "chn_3", Tenant: "default", Kind: hub.KindPagerDuty, Name: "soc-pagerduty", Enabled: true},
	}
	table, err := route.New(endpoints, nil)
	if err != nil {
		h.Fatal(err)
	}
	rules := &pipelines.Rules{Routes: table, Playbooks: h.playbooks(books), Endpoints: map[string]*hub.Endpoint{}}
	for _, e := range endpoints {
		rules.Endpoints["default/"+e.Name] = e
	}
	h.p = pipelines.New(pipelines.Options{
		Store: txStore{h.st, h}, Source: "https://hub.example", Relay: h, Triaged: func([]hub.Triage) {},
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return h.now },
	}, rules)
}

func (h *harness) playbooks(texts []string) *playbook.Set {
	var all []*playbook.Playbook
	for _, text := range texts {
		p, problems := playbook.Parse("test.yaml", []byte(text), playbook.Builtin())
		if err := problems.Err(); err != nil {
			h.Fatal(err)
		}
		all = append(all, p)
	}
	set, err := playbook.NewSet(all, playbook.Builtin(), nil)
	if err != nil {
		h.Fatal(err)
	}
	return set
}

func finding(asset, severity string, at time.Time) *hub.Finding {
	return &hub.Finding{
		ID: hub.FindingID(ident.New("fnd_")), Tenant: "default", Type: "xss", AssetID: asset, Severity: hub.Severity(severity),
		Source: "scanner", Status: hub.FindingOpen, ObservedAt: at, ObservedGiven: true, ReceivedAt: at,
	}
}

// triage takes findings through in one window and gives the outcomes.
func (h *harness) triage(all ...*hub.Finding) []string {
	h.Helper()
	var msgs []*message.Message
	for _, f := range all {
		doc, err := json.Marshal(f)
		if err != nil {
			h.Fatal(err)
		}
		msgs = append(msgs, bus.NewMessage(string(f.ID), "default", dedup.Fingerprint(dedup.Profile{}, f).String(), doc))
	}
	for _, err := range h.p.Triage(h.Context(), msgs) {
		if err != nil {
			h.Fatal(err)
		}
	}
	var outcomes []string
	for _, f := range all {
		row, err := view(h, func(r *store.Reader) (store.FindingRow, error) { return r.Finding("default", f.ID) })
		if err != nil {
			h.Fatal(err)
		}
		outcomes = append(outcomes, string(row.Triage.Outcome))
	}
	return outcomes
}

func view[T any](h *harness, f func(r *store.Reader) (T, error)) (out T, err error) {
	err = h.st.View(h.Context(), func(r *store.Reader) error {
		out, err = f(r)
		return err
	})
	return out, err
}

func (h *harness) alerts() []store.AlertRow {
	h.Helper()
	rows, err := view(h, func(r *store.Reader) ([]store.AlertRow, error) {
		return r.ListAlerts("default", &hub.AlertFilter{}, 0, 0, 1000)
	})
	if err != nil {
		h.Fatal(err)
	}
	return rows
}

// deliveries gives "endpoint action type state" of each delivery, oldest first.
func (h *harness) deliveries() []string {
	h.Helper()
	all, err := view(h, func(r *store.Reader) ([]hub.Delivery, error) {
		return r.ListDeliveries("default", &store.DeliveryFilter{}, "", 0, 1000)
	})
	if err != nil {
		h.Fatal(err)
	}
	var out []string
	for i := len(all) - 1; i >= 0; i-- {
		d := all[i]
		out = append(out, fmt.Sprintf("%s %s %s %s", d.Endpoint, d.Action, d.EventType, d.State))
	}
	return out
}

func (h *harness) want(what string, got any, want string) {
	h.Helper()
	if s := strings.Trim(fmt.Sprint(got), "[]"); s != want {
		h.Errorf("%s:\ngot  %s\nwant %s", what, s, want)
	}
}

func TestAFindingBecomesAnAlertAndGoesOut(t *testing.T) {
	h := newHarness(t)
	h.want("outcome", h.triage(finding("web-1", "high", h.now)), "created")
	a := h.alerts()
	if len(a) != 1 || a[0].Severity != hub.High || a[0].Count != 1 || a[0].Version != 1 {
		t.Fatalf("alerts: %+v", a)
	}
	h.want("deliveries", strings.Join(h.deliveries(), ", "), "whk_1 send alert.created pending, whk_2 send alert.created held")
	if h.woke == 0 {
		t.Error("the relay was not woken")
	}
	timeline, err := view(h, func(r *store.Reader) ([]hub.Change, error) { return r.Timeline("default", a[0].ID) })
	if err != nil || len(timeline) != 1 || timeline[0].Action != "created" || timeline[0].Actor != "source:scanner" || len(timeline[0].Findings) != 1 {
		t.Errorf("timeline %+v, error %v", timeline, err)
	}
}

func TestAMessageThatComesAgainChangesNothing(t *testing.T) {
	h := newHarness(t)
	f := finding("web-1", "high", h.now)
	h.triage(f)
	h.triage(f, f)
	if a := h.alerts(); len(a) != 1 || a[0].Count != 1 || a[0].Duplicates != 0 {
		t.Errorf("alerts: %+v", a[0].Alert)
	}
	h.want("deliveries", len(h.deliveries()), "2")
}

// A storm of repeats in one window is one change and one event, and counts all.
func TestAStormIsOneEvent(t *testing.T) {
	h := newHarness(t)
	var storm []*hub.Finding
	for i := range 200 {
		storm = append(storm, finding("web-1", "high", h.now.Add(time.Duration(i)*time.Second)))
	}
	h.now = h.now.Add(time.Hour)
	outcomes := h.triage(storm...)
	if outcomes[0] != "created" || outcomes[199] != "merged" {
		t.Errorf("outcomes %v", outcomes)
	}
	a := h.alerts()
	if len(a) != 1 || a[0].Count != 200 || a[0].Version != 2 {
		t.Errorf("alert: %+v", a[0].Alert)
	}
	h.want("deliveries", strings.Join(h.deliveries(), ", "),
		"whk_1 send alert.created pending, whk_2 send alert.created held, whk_1 send alert.updated pending")
}

func TestARepeatedDeliveryIsADuplicate(t *testing.T) {
	h := newHarness(t)
	again := func(f *hub.Finding) *hub.Finding {
		c := *f
		c.ID = hub.FindingID(ident.New("fnd_"))
		return &c
	}
	first, second := finding("web-1", "high", h.now), finding("web-1", "high", h.now.Add(time.Second))
	h.want("outcomes", h.triage(first, second, again(first), again(second)), "created merged duplicate duplicate")
	h.want("outcomes later", h.triage(again(second), again(first)), "duplicate duplicate")
	if a := h.alerts(); a[0].Count != 2 || a[0].Duplicates != 4 {
		t.Errorf("alert: %+v", a[0].Alert)
	}
}

// A sender without event times whose problem opens again sends the same body
// again; that is no repeat.
func TestTheSameBodyReopens(t *testing.T) {
	h := newHarness(t)
	send := func(status hub.FindingStatus) string {
		h.now = h.now.Add(time.Minute)
		f := finding("web-1", "high", h.now)
		f.ObservedGiven, f.Status = false, status
		return h.triage(f)[0]
	}
	got := []string{send("open"), send("open"), send("resolved"), send("resolved"), send("open"), send("open")}
	h.want("outcomes", got, "created duplicate resolved duplicate reopened duplicate")
	if a := h.alerts()[0]; a.Generation != 2 || a.Status != hub.AlertOpen {
		t.Errorf("alert: %+v", a.Alert)
	}
}

const escalate = `
name: escalate
on: [alert.created]
when: alert.severity == "high"
steps:
  - id: raise
    uses: alert.set
    with: {severity: critical, note: it is a web server}
  - id: wait
    uses: delay
    with: {for: 10m}
  - id: tell
    uses: slack.post
    with: {channel: soc-slack, message: "still there: ${{ alert.title }}"}
`

// A playbook changes the alert, waits over a restart, and goes on once.
func TestAPlaybookGoesOnAfterARestart(t *testing.T) {
	h := newHarness(t, escalate)
	h.triage(finding("web-1", "high", h.now))
	if a := h.alerts(); a[0].Severity != hub.Critical || a[0].Version != 2 {
		t.Fatalf("alert: %+v", a[0].Alert)
	}
	before := h.deliveries()
	h.want("deliveries", strings.Join(before, ", "), "whk_1 send alert.created pending, whk_2 send alert.created held, whk_1 send alert.updated pending")

	if err := h.st.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(strings.Replace(escalate, "still there", "changed meanwhile", 1))
	h.now = h.now.Add(11 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.p.RunWaiting(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); len(h.deliveries()) == len(before); {
		if time.Now().After(deadline) {
			t.Fatal("the run did not go on")
		}
	}
	cancel()
	<-done
	all, err := view(h, func(r *store.Reader) ([]hub.Delivery, error) {
		return r.ListDeliveries("default", &store.DeliveryFilter{Kind: []string{hub.KindSlack}}, "", 0, 10)
	})
	if err != nil || len(all) != 1 || !strings.Contains(string(all[0].Params), "still there: ") || all[0].Step != "tell" {
		t.Errorf("deliveries %+v, error %v", all, err)
	}
}

func TestPeopleActOnAlerts(t *testing.T) {
	h := newHarness(t)
	h.triage(finding("web-1", "medium", h.now))
	id := h.alerts()[0].ID
	user := hub.Principal{Tenant: "default", Type: hub.ActorUser, ID: "usr_1"}
	act := func(kind dedup.ActionKind, ifMatch int64) (a *hub.Alert, changed bool, err error) {
		err = h.p.Change(t.Context(), func(c *pipelines.Change) (err error) {
			a, changed, err = c.Act(user, id, dedup.Action{Kind: kind}, ifMatch)
			return err
		})
		return a, changed, err
	}
	if a, changed, err := act(dedup.Acknowledge, 1); err != nil || !changed || a.Status != hub.AlertInvestigating || a.AcknowledgedBy != "usr_1" {
		t.Errorf("acknowledge: %+v, %v, %v", a, changed, err)
	}
	if _, changed, err := act(dedup.Acknowledge, 0); err != nil || changed {
		t.Errorf("a second acknowledge: %v, %v", changed, err)
	}
	if _, _, err := act(dedup.Resolve, 1); hub.KindOf(err) != hub.Precondition {
		t.Errorf("an old version: %v", err)
	}
	sent := len(h.deliveries())
	h.now = h.now.Add(time.Minute)
	h.want("a repeat", h.triage(finding("web-1", "medium", h.now)), "merged")
	if n := len(h.deliveries()); n != sent {
		t.Errorf("a repeat after an acknowledgement made %d deliveries", n-sent)
	}
	h.now = h.now.Add(time.Minute)
	h.triage(finding("web-1", "critical", h.now))
	if a := h.alerts()[0]; a.Status != hub.AlertOpen || len(h.deliveries()) != sent+1 {
		t.Errorf("a higher severity left the alert %s with %d new deliveries", a.Status, len(h.deliveries())-sent)
	}
}

const page = `
name: page
on: [alert.created]
when: alert.severity == "high"
steps:
  - id: tag
    uses: webhook.send
    with: {webhook: soar-webhook}
`

// BenchmarkTriage is one new problem an iteration, in windows of 256, with one
// playbook and the deliveries of one subscription and one step.
func BenchmarkTriage(b *testing.B) {
	h := newHarness(b, page)
	i := 0
	for b.Loop() {
		if i%256 == 0 {
			b.StopTimer()
			var msgs []*message.Message
			for j := range 256 {
				f := finding(fmt.Sprintf("web-%d", i+j), "high", h.now)
				f.Title, f.SourceID = "SQL injection in the login form", fmt.Sprint(i+j)
				f.Payload = []byte(`{"parameter":"user","evidence":"' OR 1=1 --","request":{"method":"POST","path":"/login"}}`)
				doc, _ := json.Marshal(f)
				msgs = append(msgs, bus.NewMessage(string(f.ID), "default", dedup.Fingerprint(dedup.Profile{}, f).String(), doc))
			}
			b.StartTimer()
			for _, err := range h.p.Triage(b.Context(), msgs) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		i++
	}
}
