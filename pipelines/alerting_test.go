package pipelines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/pipelines/rules"
)

// ruled has a harness work by alert rules only, which tell two channels.
func ruled(h *harness, all ...*hub.AlertRule) {
	h.Helper()
	channels := []*hub.Endpoint{
		{ID: "chn_1", Tenant: "default", Kind: hub.KindSlack, Name: "slack", Enabled: true},
		{ID: "chn_2", Tenant: "default", Kind: hub.KindPagerDuty, Name: "duty", Enabled: true},
		{ID: "chn_3", Tenant: "default", Kind: hub.KindEmail, Name: "subscribed", Enabled: true, Events: []string{"alert.*"}, Filter: `alert.asset_id == "both"`},
	}
	for _, r := range all {
		r.Tenant, r.Enabled = "default", true
		if r.ConditionType == "" {
			r.ConditionType, r.SeverityThreshold = hub.ConditionSeverity, hub.High
		}
		r.Name = string(r.ID)
	}
	alerting, err := rules.New(all, nil)
	if err != nil {
		h.Fatal(err)
	}
	routes, err := route.New(channels, nil)
	if err != nil {
		h.Fatal(err)
	}
	next := &pipelines.Rules{Routes: routes, Alerting: alerting, Playbooks: h.playbooks(nil), Endpoints: map[string]*hub.Endpoint{}, ByID: map[hub.EndpointID]*hub.Endpoint{}}
	for _, e := range channels {
		next.ByID[e.ID] = e
	}
	h.p.SetRules(next)
}

func (h *harness) ruleState(id hub.RuleID) hub.RuleState {
	h.Helper()
	s, err := view(h, func(r *store.Reader) (hub.RuleState, error) { return r.RuleState("default", id) })
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// tells gives what deliveries say: channel, action, asset and what was held back.
func (h *harness) tells() string {
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
		alert, err := view(h, func(r *store.Reader) (map[hub.AlertID]*hub.Alert, error) {
			return r.Alerts("default", []hub.AlertID{hub.AlertID(d.Subject)})
		})
		if err != nil || len(alert) != 1 {
			h.Fatal(err)
		}
		var p struct {
			Rule hub.RuleNote `json:"rule"`
		}
		if len(d.Params) > 0 {
			if err := json.Unmarshal(d.Params, &p); err != nil {
				h.Fatal(err)
			}
		}
		note := ""
		if p.Rule.HeldBack > 0 {
			note = fmt.Sprintf("+%d", p.Rule.HeldBack)
		}
		out = append(out, fmt.Sprintf("%s:%s:%s%s", d.Endpoint, d.Action, alert[hub.AlertID(d.Subject)].AssetID, note))
	}
	return strings.Join(out, " ")
}

// restart opens the store anew, with the same rules.
func (h *harness) restart() {
	h.Helper()
	r := h.p.Rules()
	if err := h.st.Close(); err != nil {
		h.Fatal(err)
	}
	h.open()
	h.p.SetRules(r)
}

// act does something with the alert of an asset.
func (h *harness) act(asset string, a dedup.Action) {
	h.Helper()
	for _, row := range h.alerts() {
		if row.AssetID != asset {
			continue
		}
		err := h.p.Change(h.Context(), func(c *pipelines.Change) error {
			_, _, err := c.Act(hub.System("default"), row.ID, a, 0)
			return err
		})
		if err != nil {
			h.Fatal(err)
		}
	}
}

func TestARuleTellsItsChannels(t *testing.T) {
	h := newHarness(t)
	ruled(h, &hub.AlertRule{ID: "rul_1", ChannelIDs: []hub.EndpointID{"chn_1", "chn_2", "chn_9"}})
	h.triage(finding("low", "low", h.now), finding("a", "high", h.now))
	h.want("deliveries", h.tells(), "chn_1:post:a chn_2:trigger:a")
	h.now = h.now.Add(time.Minute)
	h.triage(finding("a", "high", h.now)) // seen again: nothing new
	h.want("after a repeat", h.tells(), "chn_1:post:a chn_2:trigger:a")
	h.triage(finding("a", "critical", h.now.Add(time.Second))) // it got worse
	h.want("after it got worse", h.tells(), "chn_1:post:a chn_2:trigger:a chn_1:post:a chn_2:trigger:a")
	h.act("a", dedup.Action{Kind: dedup.Acknowledge})
	h.act("a", dedup.Action{Kind: dedup.Resolve})
	h.want("when it is over", h.tells(), "chn_1:post:a chn_2:trigger:a chn_1:post:a chn_2:trigger:a chn_1:post:a chn_2:acknowledge:a chn_1:post:a chn_2:resolve:a")
	s := h.ruleState("rul_1")
	if s.Fired != 2 || s.HeldBack != 0 || s.Pending != nil {
		t.Errorf("the rule is at %+v", s)
	}
	firings, err := view(h, func(r *store.Reader) ([]hub.RuleFiring, error) { return r.RuleFirings("default", h.alerts()[0].ID) })
	if err != nil || len(firings) != 0 {
		t.Errorf("after the end firings are %v, %v", firings, err)
	}
}

// One that grows severe later is told of then, one that gets an event anyway gets
// it once, and two rules tell a channel once.
func TestRulesTellOnce(t *testing.T) {
	h := newHarness(t)
	ruled(h, &hub.AlertRule{ID: "rul_1", ChannelIDs: []hub.EndpointID{"chn_1", "chn_3"}}, &hub.AlertRule{ID: "rul_2", ChannelIDs: []hub.EndpointID{"chn_1"}})
	h.triage(finding("both", "high", h.now))
	h.want("deliveries", h.tells(), "chn_3:post:both chn_1:post:both")
	h.triage(finding("later", "low", h.now))
	h.triage(finding("later", "high", h.now.Add(time.Second)))
	h.want("one that got severe", h.tells(), "chn_3:post:both chn_1:post:both chn_1:post:later chn_3:post:later")
	h.act("both", dedup.Action{Kind: dedup.Resolve})
	h.want("the end", h.tells(), "chn_3:post:both chn_1:post:both chn_1:post:later chn_3:post:later chn_3:post:both chn_1:post:both")
}

// A cooldown and an hourly limit outlive restarts; what they held back is told of
// in one message when it is time.
func TestCooldownAndLimitOverARestart(t *testing.T) {
	h := newHarness(t)
	ruled(h, &hub.AlertRule{ID: "rul_1", CooldownMinutes: 10, MaxAlertsPerHour: 2, ChannelIDs: []hub.EndpointID{"chn_1"}})
	begin := h.now
	h.triage(finding("a", "high", h.now))
	h.now = begin.Add(time.Minute)
	h.triage(finding("b", "high", h.now), finding("c", "critical", h.now))
	h.triage(finding("b", "high", h.now.Add(time.Second)))
	h.restart()
	h.now = begin.Add(2 * time.Minute)
	h.triage(finding("d", "high", h.now))
	h.want("deliveries", h.tells(), "chn_1:post:a")
	s := h.ruleState("rul_1")
	if s.Pending == nil || s.Pending.Count != 3 || s.HeldBack != 3 || !s.Pending.Due.Equal(begin.Add(10*time.Minute)) || s.Pending.Why != rules.WhyCooldown {
		t.Fatalf("the rule is at %+v with %+v", s, s.Pending)
	}
	h.now = begin.Add(9 * time.Minute)
	if next := h.resume(); !next.Equal(begin.Add(10 * time.Minute)) {
		t.Errorf("the loop looks again at %v", next)
	}
	h.want("before it is time", h.tells(), "chn_1:post:a")
	h.restart()
	h.now = begin.Add(10 * time.Minute)
	h.resume()
	h.want("when it is time", h.tells(), "chn_1:post:a chn_1:post:c+2")
	h.now = begin.Add(25 * time.Minute)
	h.triage(finding("e", "high", h.now))
	h.resume()
	h.want("above the limit of an hour", h.tells(), "chn_1:post:a chn_1:post:c+2")
	h.act("e", dedup.Action{Kind: dedup.Resolve})
	h.now = begin.Add(time.Hour)
	h.resume()
	h.want("what is over by then is not told of", h.tells(), "chn_1:post:a chn_1:post:c+2")
	h.triage(finding("f", "high", h.now))
	h.want("but said with the next", h.tells(), "chn_1:post:a chn_1:post:c+2 chn_1:post:f+1")
	if s := h.ruleState("rul_1"); s.Fired != 3 || s.HeldBack != 4 || s.Pending != nil {
		t.Errorf("the rule is at %+v", s)
	}
}

// resume does what the loop of waiting runs does, and tells when it is to be done
// again.
func (h *harness) resume() time.Time {
	h.Helper()
	next, err := h.p.Resume(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return next
}

func TestScheduleHoldsAndSkips(t *testing.T) {
	hours := func(outside string) *hub.RuleSchedule {
		return &hub.RuleSchedule{Windows: []hub.RuleWindow{{From: "08:00", To: "18:00"}}, Outside: outside}
	}
	h := newHarness(t) // at 03:04:05
	ruled(h, &hub.AlertRule{ID: "rul_1", Schedule: hours(""), ChannelIDs: []hub.EndpointID{"chn_1"}}, &hub.AlertRule{ID: "rul_2", Schedule: hours("skip"), ChannelIDs: []hub.EndpointID{"chn_2"}})
	h.triage(finding("a", "high", h.now), finding("b", "high", h.now))
	h.want("at night", h.tells(), "")
	h.now = time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)
	h.resume()
	h.want("in the morning", h.tells(), "chn_1:post:a+1")
	h.triage(finding("c", "high", h.now))
	h.want("by day", h.tells(), "chn_1:post:a+1 chn_1:post:c chn_2:trigger:c+2")
}

// However many alerts come in one window, the limit holds, nobody is forgotten,
// and the audit log says so.
func TestAStorm(t *testing.T) {
	h := newHarness(t)
	ruled(h, &hub.AlertRule{ID: "rul_1", MaxAlertsPerHour: 3, ChannelIDs: []hub.EndpointID{"chn_1"}})
	for range 4 {
		var all []*hub.Finding
		for i := range 100 {
			all = append(all, finding(fmt.Sprintf("web-%d-%d", len(h.alerts()), i), "high", h.now))
		}
		h.triage(all...)
	}
	if got := strings.Count(h.tells(), "chn_1"); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
	if s := h.ruleState("rul_1"); s.Fired != 3 || s.HeldBack != 397 || s.Pending.Count != 397 {
		t.Errorf("the rule is at %+v", s)
	}
	h.now = h.now.Add(time.Hour)
	h.resume()
	if got := h.tells(); !strings.HasSuffix(got, "+396") {
		t.Errorf("an hour later the message says %s", got[strings.LastIndex(got, " "):])
	}
}

// A rule that is switched off meanwhile tells nothing.
func TestARuleSwitchedOff(t *testing.T) {
	h := newHarness(t)
	r := &hub.AlertRule{ID: "rul_1", CooldownMinutes: 10, ChannelIDs: []hub.EndpointID{"chn_1"}}
	ruled(h, r)
	h.triage(finding("a", "high", h.now), finding("b", "high", h.now))
	off := *r
	ruled(h, &off)
	off.Enabled = false
	alerting, err := rules.New([]*hub.AlertRule{&off}, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := *h.p.Rules()
	next.Alerting = alerting
	h.p.SetRules(&next)
	h.now = h.now.Add(time.Hour)
	h.triage(finding("c", "high", h.now))
	if at := h.resume(); !at.IsZero() {
		t.Errorf("it is due again at %v", at)
	}
	h.want("deliveries", h.tells(), "chn_1:post:a")
	if s := h.ruleState("rul_1"); s.Pending == nil || s.Pending.Count != 1 {
		t.Errorf("the rule is at %+v", s)
	}
}

// BenchmarkRules tells what alert rules cost a finding: without, with one that is
// not met, and with one that is met and holds nearly all back.
func BenchmarkRules(b *testing.B) {
	for name, all := range map[string][]*hub.AlertRule{
		"none":    nil,
		"not met": {{ID: "rul_1", ConditionType: hub.ConditionExpression, Expression: `alert.type == "iam"`, ChannelIDs: []hub.EndpointID{"chn_1"}}},
		"met":     {{ID: "rul_1", MaxAlertsPerHour: 3, ChannelIDs: []hub.EndpointID{"chn_1"}}},
	} {
		b.Run(name, func(b *testing.B) {
			h := newHarness(b)
			ruled(h, all...)
			const window = 256
			msgs, n := make([]*message.Message, window), 0
			for b.Loop() {
				for i := range msgs {
					n++
					f := finding(fmt.Sprint("web-", n), "high", h.now)
					doc, err := json.Marshal(f)
					if err != nil {
						b.Fatal(err)
					}
					msgs[i] = bus.NewMessage(string(f.ID), "default", dedup.Fingerprint(dedup.Profile{}, f).String(), doc)
				}
				for _, err := range h.p.Triage(b.Context(), msgs) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*window), "µs/finding")
		})
	}
}
