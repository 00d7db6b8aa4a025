// Package rules decides which alert rules an event meets, and whether a rule may
// tell its channels now: not while it cools down, not above its hourly limit, not
// outside of its schedule. What it may not tell is held back and counted in its
// state, and told of in one message when it may again.
//
// It is pure: the caller keeps the state, in the same transaction as what follows
// from a decision.
package rules

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// A Rule is an alert rule, ready to be asked.
type Rule struct {
	*hub.AlertRule
	program  *expr.Program // of an expression
	schedule *schedule     // nil: always
}

// A Fault is told of an expression that failed while it was evaluated; the rule
// is not met then.
type Fault func(r *hub.AlertRule, ev *hub.Event, err error)

// A Table holds the rules. It never changes and is safe for concurrent use.
type Table struct {
	byTenant map[hub.TenantID][]*Rule // those that are enabled
	byID     map[hub.RuleID]*Rule     // all
	fault    Fault
}

// New makes the table of rules; fault may be nil. A rule that is wrong is left
// out and named in the error; the table is usable all the same.
func New(all []*hub.AlertRule, fault Fault) (*Table, error) {
	t := &Table{byTenant: map[hub.TenantID][]*Rule{}, byID: map[hub.RuleID]*Rule{}, fault: fault}
	var fields []hub.Field
	for _, r := range all {
		rule, wrong := compile(r)
		if len(wrong) > 0 {
			for _, f := range wrong {
				fields = append(fields, hub.Field{Pointer: "/" + string(r.ID) + f.Pointer, Detail: f.Detail})
			}
			continue
		}
		t.byID[r.ID] = rule
		if r.Enabled {
			t.byTenant[r.Tenant] = append(t.byTenant[r.Tenant], rule)
		}
	}
	if len(fields) > 0 {
		return t, &hub.Error{Kind: hub.Invalid, Msg: "some alert rules cannot be used: " + fields[0].Pointer + ": " + fields[0].Detail, Fields: fields}
	}
	return t, nil
}

// Of gives the enabled rules of a tenant. A nil table has none.
func (t *Table) Of(tenant hub.TenantID) []*Rule {
	if t == nil {
		return nil
	}
	return t.byTenant[tenant]
}

// Rule gives a rule by its id, nil if there is none.
func (t *Table) Rule(id hub.RuleID) *Rule {
	if t == nil {
		return nil
	}
	return t.byID[id]
}

// Meets reports whether the alert of v's event is one that r tells of. One that
// somebody works on, or that is over, is not.
func (t *Table) Meets(r *Rule, v *expr.Vars) bool {
	a := v.Event.Data.Alert
	if a == nil || a.Status != hub.AlertOpen {
		return false
	}
	switch r.ConditionType {
	case hub.ConditionSeverity:
		return a.Severity.Rank() >= r.SeverityThreshold.Rank()
	case hub.ConditionScenario:
		return len(r.Scenarios) == 0 || scenario(r.Scenarios, a)
	case hub.ConditionExpression:
		ok, err := r.program.Test(v)
		if err != nil && t.fault != nil {
			t.fault(r.AlertRule, v.Event, err)
		}
		return ok
	}
	if r.RiskScoreMin != nil && a.RiskScore != nil && *a.RiskScore >= *r.RiskScoreMin {
		return true
	}
	srs, ok := Score(a)
	return ok && srs < r.MinSRS
}

// scenario reports whether an alert is of one of the scenarios: by its type or by
// the label that its source gave it.
func scenario(all []string, a *hub.Alert) bool {
	for _, s := range all {
		if strings.EqualFold(s, a.Type) {
			return true
		}
		for name, value := range a.Labels {
			if (name == "scenario" || strings.HasSuffix(name, "_scenario")) && strings.EqualFold(s, value) {
				return true
			}
		}
	}
	return false
}

// Score gives the security risk score of the account that an alert is about, of
// 0 (worst) to 100: the label srs, or one that ends in _srs and is no limit, or
// srs in the payload.
func Score(a *hub.Alert) (float64, bool) {
	for name, value := range a.Labels {
		if name == "srs" || strings.HasSuffix(name, "_srs") && !strings.HasSuffix(name, "min_srs") {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				return v, true
			}
		}
	}
	var p struct {
		SRS *float64 `json:"srs"`
	}
	if len(a.Payload) == 0 || a.Payload.Kind() != '{' || json.Unmarshal(a.Payload, &p) != nil || p.SRS == nil {
		return 0, false
	}
	return *p.SRS, true
}

// Reasons why a rule does not tell now.
const (
	WhyCooldown = "cooldown"
	WhyLimit    = "hourly limit"
	WhySchedule = "schedule"
)

// May reports whether r may tell its channels at a time. If not, it gives why and
// when it may at the earliest; zero for an alert that is only counted.
func (r *Rule) May(s *hub.RuleState, now time.Time) (ok bool, due time.Time, why string) {
	due = now
	if cool := s.LastFired.Add(time.Duration(r.CooldownMinutes) * time.Minute); r.CooldownMinutes > 0 && !s.LastFired.IsZero() && cool.After(due) {
		due, why = cool, WhyCooldown
	}
	if n := r.MaxAlertsPerHour; n > 0 && len(s.Recent) >= n {
		// The hour that has room again begins when the oldest of the last n is out of it.
		if free := hub.FromMicros(s.Recent[len(s.Recent)-n]).Add(time.Hour); free.After(due) {
			due, why = free, WhyLimit
		}
	}
	if r.schedule == nil {
		return why == "", hub.Truncate(due), why
	}
	if !r.schedule.open(now) && r.Schedule.Outside == hub.OutsideSkip {
		return false, time.Time{}, WhySchedule
	}
	if opens := r.schedule.opens(due); opens.After(due) {
		due = opens
		if why == "" {
			why = WhySchedule
		}
	}
	return why == "", hub.Truncate(due), why
}

// Fire notes in s that r told its channels, and gives what to say of what it had
// held back.
func (r *Rule) Fire(s *hub.RuleState, now time.Time) *hub.RuleNote {
	note := &hub.RuleNote{ID: r.ID, Name: r.Name}
	if p := s.Pending; p != nil {
		note.HeldBack, note.Since, note.Why = p.Count, p.Since, p.Why
		s.Pending, s.Told = nil, now
	}
	s.Fired++
	s.LastFired = now
	s.Recent = append(s.Recent, hub.Micros(now))
	if n := len(s.Recent) - r.MaxAlertsPerHour; n > 0 {
		s.Recent = append([]int64(nil), s.Recent[n:]...)
	}
	return note
}

// mostWorst is how many of the alerts that are held back are remembered to tell
// of. All are counted.
const mostWorst = 8

// Hold notes in s that r holds an alert back. It reports whether the time when it
// tells of it is news.
func (r *Rule) Hold(s *hub.RuleState, a *hub.Alert, sequence int64, now, due time.Time, why string) bool {
	s.HeldBack++
	fresh := s.Pending == nil || s.Pending.Due.IsZero() && !due.IsZero()
	if s.Pending == nil {
		s.Pending = &hub.RulePending{Since: now, Why: why}
	}
	if fresh {
		s.Pending.Due = due
	}
	s.Pending.Count++
	Worsen(s.Pending, a, sequence)
	return fresh && !due.IsZero()
}

// Worsen puts an alert among the worst that are held back, if it is one of them.
func Worsen(p *hub.RulePending, a *hub.Alert, sequence int64) {
	all := append([]hub.RuleAlert(nil), p.Worst...)
	for i := range all {
		if all[i].Alert == a.ID {
			all = append(all[:i], all[i+1:]...)
			break
		}
	}
	at := 0
	for at < len(all) && all[at].Severity.Rank() >= a.Severity.Rank() {
		at++
	}
	if at >= mostWorst {
		return
	}
	all = append(all, hub.RuleAlert{})
	copy(all[at+1:], all[at:])
	all[at] = hub.RuleAlert{Alert: a.ID, Severity: a.Severity, Sequence: sequence}
	p.Worst = all[:min(len(all), mostWorst)]
}
