package vigilare

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An alert is a rule of Vigilare's that fired.
type alert struct {
	ID             string   `json:"alert_id"`
	AccountID      string   `json:"aws_account_id"`
	RuleID         string   `json:"rule_id"`
	SRS            *float64 `json:"srs_at_trigger"`
	Scenarios      []string `json:"scenarios_triggered"`
	FiredAt        string   `json:"fired_at"`
	AcknowledgedAt string   `json:"acknowledged_at"`
}

// fired is what is remembered of an alert: enough to say that it is over.
type fired struct {
	Account   string    `json:"account"`
	Rule      string    `json:"rule"`
	SRS       *float64  `json:"srs,omitempty"`
	Scenarios []string  `json:"scenarios,omitempty"`
	Fired     time.Time `json:"at"`
	Acked     time.Time `json:"acked,omitzero"`
	Closed    bool      `json:"closed,omitempty"`
}

// A rule is what is used of an alert rule. Its channels hold keys of other
// systems, and are not even decoded.
type rule struct {
	ID     string   `json:"rule_id"`
	Name   string   `json:"name"`
	MinSRS *float64 `json:"min_srs"`
}

// acks holds the alerts that we acknowledged and have not met again, so that
// our own word does not come back as news.
type acks struct {
	mu  sync.Mutex // guards ids
	ids map[string]bool
}

const maxAcks = 10_000

func (a *acks) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil || len(a.ids) >= maxAcks {
		a.ids = map[string]bool{}
	}
	a.ids[id] = true
}

func (a *acks) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids[id]
}

// alerts reads one page of alerts.
func (w *pull) alerts(ctx context.Context) error {
	query := url.Values{"limit": {pageLimit}}
	if w.Token != "" {
		query.Set("next_token", w.Token)
	}
	var out struct {
		Alerts []jsontext.Value `json:"alerts"`
		Next   string           `json:"next_token"`
	}
	answer, err := w.source.get(ctx, "/alerts", query, &out)
	if w.refusedToken(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w.now = answer.At.Add(tick)
	var last time.Time
	for i, raw := range out.Alerts {
		var a alert
		if json.Unmarshal(raw, &a) != nil || a.ID == "" {
			w.page.Refuse(i, raw, "an alert without a usable id")
			continue
		}
		at := inbound.ParseTime(a.FiredAt)
		w.Unsorted = w.Unsorted || !last.IsZero() && at.After(last)
		last = at
		if err := w.alert(ctx, a, raw); err != nil {
			return err
		}
	}
	if out.Next != "" && out.Next == w.Token {
		return hub.E(hub.Transient, "Vigilare gives the same page of alerts again and again")
	}
	w.Token = out.Next
	if out.Next == "" || !w.Unsorted && len(out.Alerts) > 0 && last.Before(w.floor()) {
		w.Fired, w.Token = true, ""
	}
	return w.hand(false)
}

// floor is how old the alerts are behind which nothing can be of use. Ones that
// nobody has acknowledged for longer than the history are looked for once in a
// while only.
func (w *pull) floor() time.Time {
	floor, back := w.Horizon, w.Started.Add(-time.Duration(w.source.cfg.History))
	for _, f := range w.Alerts {
		if f.Acked.IsZero() && !f.Closed && f.Fired.Before(floor) && (w.Deep || f.Fired.After(back)) {
			floor = f.Fired
		}
	}
	return floor
}

// alert compares an alert with what is remembered of it.
func (w *pull) alert(ctx context.Context, a alert, raw jsontext.Value) error {
	at, acked := inbound.ParseTime(a.FiredAt), inbound.ParseTime(a.AcknowledgedAt)
	if at.IsZero() {
		at = w.now
	}
	known := w.Alerts[a.ID]
	switch {
	case known == nil && at.Before(w.Horizon):
		return nil // of an earlier sweep, or too old
	case known == nil:
		known = &fired{Account: a.AccountID, Rule: a.RuleID, SRS: a.SRS, Scenarios: a.Scenarios, Fired: at, Acked: acked}
	case known.Closed || acked.IsZero() || acked.Equal(known.Acked):
		return nil
	default:
		next := *known
		next.Acked = acked
		known = &next
		if w.source.acked.has(a.ID) {
			w.Alerts[a.ID] = known
			return nil
		}
	}
	f, err := w.alertFinding(ctx, a.ID, known)
	if err != nil {
		return err
	}
	f.Raw = raw
	steps, err := w.checklist(ctx, known.Account)
	if err != nil {
		return err
	}
	attach(&f, steps)
	w.Alerts[a.ID] = known
	w.page.Findings = append(w.page.Findings, f)
	return nil
}

// settle ends alerts whose cause is over: the score is back, if it was the
// cause, and no signal of their scenarios is open. Vigilare itself never says so.
func (w *pull) settle(ctx context.Context) error {
	for id, f := range w.Alerts {
		m := w.Watched[f.Account]
		if f.Closed || m == nil || !m.Known || !m.Score.Known {
			continue
		}
		limit, err := w.limit(ctx, f.Rule)
		if err != nil {
			return err
		}
		byScore := f.SRS != nil && *f.SRS < limit
		busy := slices.ContainsFunc(f.Scenarios, func(s string) bool { return slices.Contains(m.Busy, s) })
		if busy || byScore && m.Score.SRS < limit || !byScore && len(f.Scenarios) == 0 {
			continue
		}
		over := *f
		over.Closed = true
		finding, err := w.alertFinding(ctx, id, &over)
		if err != nil {
			return err
		}
		w.Alerts[id] = &over
		w.page.Findings = append(w.page.Findings, finding)
	}
	return nil
}

// rule gives an alert rule; the rules are asked for once a pull.
func (w *pull) rule(ctx context.Context, id string) (rule, error) {
	if w.rules == nil {
		var out struct {
			Rules []rule `json:"rules"`
		}
		if _, err := w.source.get(ctx, "/alert-rules", nil, &out); ignoreMissing(err) != nil {
			return rule{}, err
		}
		w.rules = map[string]rule{}
		for _, r := range out.Rules {
			w.rules[r.ID] = r
		}
	}
	return w.rules[id], nil
}

func (w *pull) limit(ctx context.Context, id string) (float64, error) {
	r, err := w.rule(ctx, id)
	if err != nil || r.MinSRS == nil {
		return float64(w.source.cfg.MinSRS), err
	}
	return *r.MinSRS, nil
}

// alertFinding maps an alert as it is remembered.
func (w *pull) alertFinding(ctx context.Context, id string, f *fired) (hub.Finding, error) {
	r, err := w.rule(ctx, f.Rule)
	if err != nil {
		return hub.Finding{}, err
	}
	a, known := w.accounts[f.Account]
	if !known {
		a = account{ID: f.Account}
	}
	out := f.finding(id, a, r)
	if f.Closed {
		out.ObservedAt, out.SourceSequence = w.now, 3
	}
	return out, nil
}

// finding maps an alert of an account and a rule.
func (f *fired) finding(id string, a account, r rule) hub.Finding {
	out := hub.Finding{
		SourceID: inbound.Key("alert", id), Type: "policy", AssetID: a.ID, Asset: a.asset(), Severity: hub.High, Status: hub.FindingOpen,
		Title: "Alert rule fired for " + a.name(), ObservedAt: f.Fired, SourceSequence: 1, AcknowledgedAt: f.Acked,
		Labels: map[string]string{
			"vigilare_alert_id": id, "vigilare_rule_id": f.Rule, "vigilare_rule": r.Name, "aws_account": a.ID,
			"vigilare_scenarios": strings.Join(f.Scenarios, ", "),
		},
		Payload: inbound.Object(map[string]any{"rule_id": f.Rule, "scenarios_triggered": f.Scenarios}),
	}
	if out.AssetID == "" {
		out.AssetID = "unknown"
	}
	if len(f.Scenarios) > 0 {
		out.Type = kindOf(f.Scenarios[0])
	}
	if r.Name != "" {
		out.Title = "Alert rule \"" + r.Name + "\" fired for " + a.name()
	}
	if f.SRS != nil {
		out.RiskScore = risk(*f.SRS)
		out.Labels["vigilare_srs"] = strconv.FormatFloat(*f.SRS, 'f', -1, 64)
		if *f.SRS < 20 {
			out.Severity = hub.Critical
		}
	}
	if !f.Acked.IsZero() {
		out.ObservedAt, out.SourceSequence = f.Acked, 2
	}
	if f.Closed {
		out.Status = hub.FindingResolved
	}
	remembered, err := json.Marshal(f)
	if err == nil {
		out.Raw = remembered
	}
	inbound.Tidy(&out)
	return out
}
