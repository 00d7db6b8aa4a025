package pipelines

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/pipelines/rules"
)

// A ruleState is the state of an alert rule in a unit: read once, stored once.
type ruleState struct {
	rule  *rules.Rule
	state hub.RuleState
	held  int64 // in this unit
	dirty bool
}

// alert has the tenant's alert rules tell of ev, but for the endpoints that got it
// already. It costs nothing where there are no rules.
func (u *unit) alert(ev *hub.Event, body []byte, got already) error {
	all := u.rules.Alerting.Of(ev.Tenant)
	if len(all) == 0 || ev.Data.Alert == nil {
		return nil
	}
	switch ev.Type {
	case hub.AlertCreated, hub.AlertUpdated, hub.AlertReopened:
		return u.meet(all, ev, body, got)
	case hub.AlertAcknowledgedEvent, hub.AlertResolvedEvent, hub.AlertDismissedEvent:
		return u.follow(ev, body, got)
	}
	return nil
}

// meet looks which rules the alert meets. A rule tells of an alert once in its
// life, and again only if it gets worse.
func (u *unit) meet(all []*rules.Rule, ev *hub.Event, body []byte, got already) error {
	vars := expr.Vars{Event: ev, Now: ev.Time}
	var before []hub.RuleFiring
	asked := ev.Type == hub.AlertCreated // nobody told of it before
	for _, r := range all {
		if !u.rules.Alerting.Meets(r, &vars) {
			continue
		}
		if !asked {
			var err error
			if before, err = u.tx.RuleFirings(ev.Tenant, ev.Data.Alert.ID); err != nil {
				return err
			}
			asked = true
		}
		if err := u.decide(r, firingOf(before, r.ID), ev, body, got); err != nil {
			return err
		}
	}
	return nil
}

func firingOf(all []hub.RuleFiring, id hub.RuleID) *hub.RuleFiring {
	for i := range all {
		if all[i].Rule == id {
			return &all[i]
		}
	}
	return nil
}

// decide has a rule that is met tell of the alert, or hold it back.
func (u *unit) decide(r *rules.Rule, before *hub.RuleFiring, ev *hub.Event, body []byte, got already) error {
	s, err := u.ruleState(r)
	if err != nil {
		return err
	}
	a := ev.Data.Alert
	if before != nil && before.Generation == a.Generation && before.Severity >= a.Severity.Rank() {
		return nil // told of, or held back and counted
	}
	ok, due, why := r.May(&s.state, u.now)
	f := hub.RuleFiring{Rule: r.ID, Tenant: ev.Tenant, Alert: a.ID, Generation: a.Generation, Severity: a.Severity.Rank(), Told: ok, At: u.now}
	switch waits := before != nil && !before.Told && before.Generation == a.Generation && s.state.Pending != nil && before.At.After(s.state.Told); {
	case ok:
		u.fire(r, s, ev, body, got)
	case waits: // it is among those held back, and got worse
		rules.Worsen(s.state.Pending, a, ev.Sequence)
	default:
		if r.Hold(&s.state, a, ev.Sequence, u.now, due, why) {
			u.tx.AfterCommit(u.p.wakeRuns)
		}
		s.held++
	}
	s.dirty = true
	if before == nil {
		u.tx.AddRuleFiring(&f)
		return nil
	}
	f.Told = f.Told || before.Told && before.Generation == a.Generation // its channels know of it
	return u.tx.PutRuleFiring(&f)
}

// fire makes the deliveries of a rule that tells of ev.
func (u *unit) fire(r *rules.Rule, s *ruleState, ev *hub.Event, body []byte, got already) {
	note := r.Fire(&s.state, u.now)
	params, err := json.Marshal(struct {
		Rule *hub.RuleNote `json:"rule"`
	}{note})
	if err != nil {
		panic("pipelines: encode a note: " + err.Error()) // the type is ours
	}
	u.notify(r, ev, body, got, params)
	e := hub.Audited(hub.System(ev.Tenant), "alert_rule.fire", "alert_rule", string(r.ID))
	e.Details = new(hub.Details).Str("alert", ev.Subject).Strs("channels", channelIDs(r)).Str("event", string(ev.ID)).Int("held_back", note.HeldBack).Str("name", r.Name).Value()
	u.tx.Audit(e)
}

func channelIDs(r *rules.Rule) []string {
	ids := make([]string, len(r.ChannelIDs))
	for i, id := range r.ChannelIDs {
		ids[i] = string(id)
	}
	return ids
}

// notify adds a delivery for each channel of a rule that has not got the event.
// Elasticsearch gets every event anyway.
func (u *unit) notify(r *rules.Rule, ev *hub.Event, body []byte, got already, params []byte) {
	for _, id := range r.ChannelIDs {
		e := u.rules.ByID[id]
		if e == nil || e.Tenant != ev.Tenant || e.Kind == hub.KindElastic || u.has(got, ev, id) {
			continue
		}
		u.told = append(u.told, told{ev.ID, id})
		u.deliver(ev, body, e, subscriptionAction(e.Kind, ev.Type), hub.Delivery{Params: params})
	}
}

// told says that an endpoint gets an event because of a rule.
type told struct {
	event    hub.EventID
	endpoint hub.EndpointID
}

// already are the endpoints that get an event anyway, and the one that it came
// from.
type already struct {
	got  []*hub.Endpoint
	from hub.EndpointID
}

// has reports whether an endpoint gets the event already.
func (u *unit) has(got already, ev *hub.Event, id hub.EndpointID) bool {
	if id == got.from {
		return true
	}
	for _, e := range got.got {
		if e.ID == id {
			return true
		}
	}
	for i := len(u.told) - 1; i >= 0 && u.told[i].event == ev.ID; i-- {
		if u.told[i].endpoint == id {
			return true
		}
	}
	return false
}

// follow tells those who were told of an alert that somebody works on it or that
// it is over. That is no alert: neither cooldown nor limit hold it back, or what
// was opened elsewhere would stay open.
func (u *unit) follow(ev *hub.Event, body []byte, got already) error {
	all, err := u.tx.RuleFirings(ev.Tenant, ev.Data.Alert.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	for _, f := range all {
		if r := u.rules.Alerting.Rule(f.Rule); r != nil && f.Told {
			params, err := json.Marshal(struct {
				Rule hub.RuleNote `json:"rule"`
			}{hub.RuleNote{ID: r.ID, Name: r.Name}})
			if err != nil {
				return err
			}
			u.notify(r, ev, body, got, params)
		}
	}
	if ev.Type == hub.AlertAcknowledgedEvent {
		return nil
	}
	return u.tx.DeleteRuleFirings(ev.Tenant, ev.Data.Alert.ID)
}

// ruleState reads the state of a rule, once in a unit.
func (u *unit) ruleState(r *rules.Rule) (*ruleState, error) {
	if s := u.states[r.ID]; s != nil {
		return s, nil
	}
	state, err := u.tx.RuleState(r.Tenant, r.ID)
	if err != nil {
		return nil, err
	}
	if u.states == nil {
		u.states = map[hub.RuleID]*ruleState{}
	}
	s := &ruleState{rule: r, state: state}
	u.states[r.ID] = s
	return s, nil
}

// storeRules stores the states of the rules that changed.
func (u *unit) storeRules() error {
	for id, s := range u.states {
		if !s.dirty {
			continue
		}
		if s.held > 0 {
			e := hub.Audited(hub.System(s.rule.Tenant), "alert_rule.hold", "alert_rule", string(id))
			det := new(hub.Details).Int("alerts", s.held).Str("name", s.rule.Name)
			if p := s.state.Pending; p != nil {
				det.Str("why", p.Why)
			}
			e.Details = det.Value()
			u.tx.Audit(e)
		}
		if err := u.tx.PutRuleState(s.rule.Tenant, id, &s.state); err != nil {
			return err
		}
		s.dirty, s.held = false, 0
	}
	return nil
}

// tellHeld has rules tell of what they held back, where it is time, and gives when
// it will be next.
func (p *Pipeline) tellHeld(tx Tx) (time.Time, error) {
	due, err := tx.DueRules(p.now(), runsAtOnce)
	if err != nil {
		return time.Time{}, err
	}
	for i := range due {
		u := p.newUnit(tx)
		if err := u.release(due[i].Tenant, due[i].ID); err != nil {
			return time.Time{}, err
		}
		if err := u.finish(); err != nil {
			return time.Time{}, err
		}
	}
	return tx.NextRuleDue()
}

// release has one rule tell of the worst that it held back and that is still open.
func (u *unit) release(t hub.TenantID, id hub.RuleID) error {
	r := u.rules.Alerting.Rule(id)
	if r == nil || !r.Enabled { // switched off: it tells when it is on again and fires
		state, err := u.tx.RuleState(t, id)
		if err != nil || state.Pending == nil {
			return err
		}
		state.Pending.Due = time.Time{}
		return u.tx.PutRuleState(t, id, &state)
	}
	s, err := u.ruleState(r)
	if err != nil || s.state.Pending == nil {
		return err
	}
	s.dirty = true
	ok, next, _ := r.May(&s.state, u.now)
	if !ok {
		s.state.Pending.Due = next
		return nil
	}
	ev, body, err := u.worst(t, s.state.Pending)
	if err != nil || ev == nil { // all that it knows of is over: that is said with the next message
		s.state.Pending.Due = time.Time{}
		return err
	}
	s.state.Pending.Count-- // the one that the message is about
	u.fire(r, s, ev, body, already{})
	a := ev.Data.Alert
	return u.tx.PutRuleFiring(&hub.RuleFiring{Rule: id, Tenant: t, Alert: a.ID, Generation: a.Generation, Severity: a.Severity.Rank(), Told: true, At: u.now})
}

// worst gives the event of the worst alert held back that is still open. Where
// more are held back than are known by name, one of those may be open.
func (u *unit) worst(t hub.TenantID, p *hub.RulePending) (*hub.Event, []byte, error) {
	ids, sequences := make([]hub.AlertID, len(p.Worst)), make([]int64, len(p.Worst))
	for i, w := range p.Worst {
		ids[i], sequences[i] = w.Alert, w.Sequence
	}
	if len(ids) == 0 {
		return nil, nil, nil
	}
	alerts, err := u.tx.Alerts(t, ids)
	if err != nil {
		return nil, nil, err
	}
	bodies, err := u.tx.EventBodies(t, sequences)
	if err != nil {
		return nil, nil, err
	}
	for _, onlyOpen := range []bool{true, false} {
		for _, w := range p.Worst {
			a, body := alerts[w.Alert], bodies[w.Sequence]
			if a == nil || body == nil || onlyOpen && a.Status != hub.AlertOpen {
				continue
			}
			ev := new(hub.Event)
			if err := json.Unmarshal(body, ev); err != nil || ev.Data.Alert == nil {
				continue // it cannot be told of any more
			}
			return ev, body, nil
		}
		if p.Count <= int64(len(p.Worst)) {
			break
		}
	}
	return nil, nil, nil
}
