package pipelines

import (
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// A unit is the work of one transaction: the identities and alerts it has
// loaded, and what it has changed of them. It lives inside one call of the
// function given to Store.Do, so it is made afresh if that runs again.
type unit struct {
	p     *Pipeline
	rules *Rules
	tx    Tx
	now   time.Time
	slots map[hub.Fingerprint]*slot
	order []*slot // as they were loaded
	sent  bool    // deliveries were added that the relay must look for

	fresh []*hub.Delivery // added under a lease of the relay's

	states map[hub.RuleID]*ruleState // of alert rules that were met; nil: none
	told   []told                    // deliveries because of rules

	// For the metrics, once it is durable.
	events []string
	steps  []string
}

// A slot is one fingerprint in a unit.
type slot struct {
	identity hub.Identity
	state    dedup.State
	known    bool // the identity is stored
	touched  bool // its state must be stored

	alert  *hub.Alert // as it is now; nil if there is none
	stored *hub.Alert // as the database has it; nil if it does not
	doc    []byte     // the encoding of alert; nil if it is not known

	// Repeats of an open problem that wait to become one change; see unit.settle.
	pending  *dedup.Decision
	findings []hub.FindingID // those of pending
	source   string          // of the newest of them
}

func (p *Pipeline) newUnit(tx Tx) *unit {
	return &unit{p: p, rules: p.Rules(), tx: tx, now: p.now(), slots: map[hub.Fingerprint]*slot{}}
}

// load reads the identities that are not loaded yet, with their alerts.
func (u *unit) load(tenant hub.TenantID, prints []hub.Fingerprint) error {
	missing := prints[:0:0]
	for _, f := range prints {
		if u.slots[f] == nil {
			s := &slot{identity: hub.Identity{Tenant: tenant, Fingerprint: f}}
			u.slots[f], u.order = s, append(u.order, s)
			missing = append(missing, f)
		}
	}
	found, err := u.tx.Identities(tenant, missing)
	if err != nil || len(found) == 0 {
		return err
	}
	ids := make([]hub.AlertID, 0, len(found))
	for _, id := range found {
		if id.Alert != "" {
			ids = append(ids, id.Alert)
		}
	}
	alerts, err := u.tx.Alerts(tenant, ids)
	if err != nil {
		return err
	}
	for f, id := range found {
		if err := u.slots[f].fill(id, alerts[id.Alert]); err != nil {
			return err
		}
	}
	return nil
}

func (s *slot) fill(id hub.Identity, a *hub.Alert) error {
	s.identity, s.known, s.alert, s.stored = id, true, a, a
	return s.state.UnmarshalBinary(id.State)
}

// A cause says who changed an alert and through what.
type cause struct {
	by       hub.Principal
	findings []hub.FindingID
	depth    int // how many playbooks lie between this change and the outside
}

// change carries out a decision that was taken about the alert of s: the one
// flow that every change of an alert goes through.
func (u *unit) change(s *slot, d *dedup.Decision, c cause) error {
	u.record(s.alert, d, c)
	if d.Event == "" {
		return nil
	}
	ev, body := u.event(s, d, c)
	if err := u.publish(ev, body); err != nil {
		return err
	}
	got := u.route(ev, body, c.by.At)
	if err := u.alert(ev, body, already{got, c.by.At}); err != nil {
		return err
	}
	if err := u.mirror(s.alert, ev, body, c); err != nil {
		return err
	}
	return u.start(s, ev, body)
}

// replace makes a the alert of s. One that is left behind, because the problem
// came again long after, is stored first.
func (u *unit) replace(s *slot, a *hub.Alert) error {
	if s.alert != nil && s.alert.ID != a.ID {
		if err := u.storeAlert(s); err != nil {
			return err
		}
		s.stored = nil
	}
	s.alert, s.doc = a, nil
	return nil
}

// record writes the change into the alert's timeline and the audit log.
func (u *unit) record(a *hub.Alert, d *dedup.Decision, c cause) {
	u.tx.AddChange(a.Tenant, &hub.Change{
		Alert: a.ID, Version: a.Version, At: u.now, Actor: c.by.Name(), Action: d.Action, Reason: d.Reason,
		Note: d.Note, Changes: d.Changes, Findings: c.findings,
	})
	e := hub.Audited(c.by, "alert."+d.Action, "alert", string(a.ID))
	var det hub.Details
	det.Strs("findings", firstIDs(c.findings)).Int("findings_count", int64(len(c.findings))).
		Int("generation", a.Generation).Str("note", d.Note).Str("reason", d.Reason).
		Str("severity", string(a.Severity)).Str("status", string(a.Status)).Int("version", a.Version)
	e.Details = det.Value()
	u.tx.Audit(e)
}

// firstIDs gives the ids as strings, no more than an audit entry should hold.
func firstIDs(all []hub.FindingID) []string {
	ids := make([]string, min(len(all), 100))
	for i := range ids {
		ids[i] = string(all[i])
	}
	return ids
}

// route adds a delivery for each endpoint that wants the event, but for the one
// that it came from, and tells which want it.
func (u *unit) route(ev *hub.Event, body []byte, from hub.EndpointID) []*hub.Endpoint {
	got := u.rules.Routes.Match(ev)
	for _, e := range got {
		if e.Kind == hub.KindElastic || e.Tenant != ev.Tenant || e.ID == from {
			continue // the sink of Elasticsearch reads the topic itself
		}
		u.deliver(ev, body, e, subscriptionAction(e.Kind, ev.Type), hub.Delivery{})
	}
	return got
}

// subscriptionAction tells what an event asks of an endpoint that subscribes to
// it, without a playbook saying so.
func subscriptionAction(kind string, t hub.EventType) string {
	switch {
	case kind == hub.KindWebhook:
		return hub.ActionSend
	case kind != hub.KindPagerDuty:
		return hub.ActionPost
	case t == hub.AlertAcknowledgedEvent:
		return hub.ActionAcknowledge
	case t == hub.AlertResolvedEvent || t == hub.AlertDismissedEvent:
		return hub.ActionResolve
	}
	return hub.ActionTrigger
}

// deliver adds a delivery of ev, encoded as body, to e. d holds what a playbook
// step adds to it.
func (u *unit) deliver(ev *hub.Event, body []byte, e *hub.Endpoint, action string, d hub.Delivery) {
	d.ID, d.Tenant = u.tx.NewDeliveryID(), ev.Tenant
	d.Endpoint, d.Kind, d.Action = e.ID, e.Kind, action
	d.EventID, d.EventType, d.Sequence, d.Subject = ev.ID, ev.Type, ev.Sequence, ev.Subject
	d.CreatedAt, d.UpdatedAt = u.now, u.now
	if u.p.opts.Relay.Admit(e, &d, len(u.fresh), u.now) {
		d.Body = body
		u.fresh = append(u.fresh, &d)
	} else {
		u.sent = true
	}
	u.tx.AddDelivery(&d)
}

// finish stores the alerts and identities that changed.
func (u *unit) finish() error {
	for _, s := range u.order {
		if !s.touched {
			continue
		}
		if err := u.storeAlert(s); err != nil {
			return err
		}
		if err := u.storeIdentity(s); err != nil {
			return err
		}
	}
	if err := u.storeRules(); err != nil {
		return err
	}
	u.tx.AfterCommit(func() {
		u.p.metrics.count(u)
		if len(u.fresh) > 0 {
			u.p.opts.Relay.Handoff(u.fresh)
		}
		if u.sent {
			u.p.opts.Relay.Stored()
		}
	})
	if len(u.fresh) > 0 {
		u.tx.AfterFailure(func() { u.p.opts.Relay.Doubt(u.fresh) })
	}
	return nil
}

func (u *unit) storeAlert(s *slot) error {
	if s.alert == nil || s.alert == s.stored {
		return nil
	}
	if s.doc == nil {
		s.doc = encode(s.alert)
	}
	if err := u.tx.PutAlert(s.alert, s.stored, s.doc); err != nil {
		return err
	}
	s.stored = s.alert
	return nil
}

func (u *unit) storeIdentity(s *slot) error {
	if s.alert != nil {
		s.identity.Alert = s.alert.ID
	}
	s.identity.State = s.state.AppendBinary(nil)
	if s.identity.DueAt = s.state.SummaryDue(); !s.identity.DueAt.IsZero() {
		u.tx.AfterCommit(u.p.wakeRuns)
	}
	if err := u.tx.PutIdentity(s.identity, !s.known); err != nil {
		return err
	}
	s.known, s.touched = true, false
	return nil
}
