package pipelines

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// An item is one finding of a window on its way through triage.
type item struct {
	finding hub.Finding
	doc     []byte // as on the bus
	print   hub.Fingerprint
	key     [16]byte // delivery key
	profile dedup.Profile
	err     error // why it cannot be triaged at all
}

// Triage takes a window of messages of topic findings to their alerts and
// returns an error for each. All of them are done, or none for want of the
// store, or single ones are refused because they can never be read.
func (p *Pipeline) Triage(ctx context.Context, msgs []*message.Message) []error {
	items := make([]item, len(msgs))
	for i, m := range msgs {
		p.read(&items[i], m)
	}
	var results []hub.Triage
	err := p.opts.Store.Do(ctx, func(tx Tx) (err error) {
		results, err = p.triage(tx, items)
		return err
	})
	errs := make([]error, len(msgs))
	for i := range items {
		errs[i] = err
		if items[i].err != nil {
			errs[i] = items[i].err
		}
	}
	if err == nil {
		for _, r := range results {
			p.metrics.findings.WithLabelValues(string(r.Outcome)).Inc()
		}
		p.opts.Triaged(results)
	}
	return errs
}

// read does what needs no transaction.
func (p *Pipeline) read(it *item, m *message.Message) {
	it.doc = m.Payload
	if err := json.Unmarshal(m.Payload, &it.finding); err != nil {
		it.err = hub.Wrap(hub.Malformed, err, "the message holds no finding")
		return
	}
	it.profile = p.Rules().Profiles.For(it.finding.Source)
	if it.print.UnmarshalText([]byte(m.Metadata.Get(bus.MetaKey))) != nil {
		it.print = dedup.Fingerprint(it.profile, &it.finding)
	}
	it.key = dedup.DeliveryKey(&it.finding)
}

// triage runs the window in one transaction. The windows of one hub may overlap
// in time only if they share no fingerprint.
func (p *Pipeline) triage(tx Tx, items []item) ([]hub.Triage, error) {
	u := p.newUnit(tx)
	done, err := u.loadWindow(items)
	if err != nil {
		return nil, err
	}
	results := make([]hub.Triage, 0, len(items))
	for i := range items {
		it := &items[i]
		if it.err != nil {
			continue
		}
		t, known := done[it.finding.ID]
		if !known {
			if t, err = u.triageOne(it); err != nil {
				return nil, fmt.Errorf("triage %s: %w", it.finding.ID, err)
			}
			done[it.finding.ID] = t
			tx.AddFinding(&it.finding, t, it.doc)
		}
		results = append(results, t)
	}
	for _, s := range u.order {
		if err := u.settle(s); err != nil {
			return nil, err
		}
	}
	return results, u.finish()
}

// loadWindow reads what is known of the window's findings and fingerprints.
func (u *unit) loadWindow(items []item) (map[hub.FindingID]hub.Triage, error) {
	byTenant := map[hub.TenantID][]*item{}
	for i := range items {
		if items[i].err == nil {
			t := items[i].finding.Tenant
			byTenant[t] = append(byTenant[t], &items[i])
		}
	}
	done := map[hub.FindingID]hub.Triage{}
	for tenant, its := range byTenant {
		ids := make([]hub.FindingID, len(its))
		prints := make([]hub.Fingerprint, len(its))
		for i, it := range its {
			ids[i], prints[i] = it.finding.ID, it.print
		}
		found, err := u.tx.Triaged(tenant, ids)
		if err != nil {
			return nil, err
		}
		for id, t := range found {
			done[id] = t
		}
		if err := u.load(tenant, prints); err != nil {
			return nil, err
		}
	}
	return done, nil
}

func newAlertID() hub.AlertID { return hub.AlertID(ident.New(hub.PrefixAlert)) }

// triageOne decides about one finding. What follows from the decision is carried
// out by settle, which waits for more of the same.
func (u *unit) triageOne(it *item) (hub.Triage, error) {
	s, f := u.slots[it.print], &it.finding
	repeated, err := u.sighted(s, it)
	if err != nil {
		return hub.Triage{}, err
	}
	decide := func() dedup.Decision {
		return dedup.Decide(it.profile, s.state, s.alert, f, repeated, newAlertID, u.now)
	}
	d := decide()
	if d.Action == "" {
		return u.take(s, &d, f) // a duplicate: what waits goes on waiting
	}
	if merged, ok := s.merge(&d); ok {
		d = merged
	} else if s.pending != nil {
		if err := u.settle(s); err != nil {
			return hub.Triage{}, err
		}
		d = decide() // playbooks may have changed the alert
	}
	return u.take(s, &d, f)
}

// turned reports whether f, from a sender that gives no event times, says the
// opposite of what holds: then it is news although the same body came before,
// such as a problem that opens again after its resolve. Taking it for a repeat
// would lose it.
func (s *slot) turned(f *hub.Finding) bool {
	return s.alert != nil && (s.alert.Status == hub.AlertResolved) == (f.Status == hub.FindingOpen)
}

// merge makes one decision of the waiting one and d, if they can be one.
func (s *slot) merge(d *dedup.Decision) (dedup.Decision, bool) {
	if s.pending == nil {
		return dedup.Decision{}, false
	}
	return dedup.Merge(*s.pending, *d)
}

// take makes d the waiting decision of s.
func (u *unit) take(s *slot, d *dedup.Decision, f *hub.Finding) (hub.Triage, error) {
	s.state, s.touched = d.State, true
	if d.Alert != nil {
		d.Alert.Fingerprint = s.identity.Fingerprint // as the message was keyed, whatever the profile says by now
		if err := u.replace(s, d.Alert); err != nil {
			return hub.Triage{}, err
		}
	}
	t := hub.Triage{Finding: f.ID, Outcome: d.Outcome}
	if s.alert != nil {
		t.Alert = s.alert.ID
	}
	if d.Action == "" {
		u.auditFinding(f, t)
		return t, nil
	}
	s.pending, s.source, s.findings = d, f.Source, append(s.findings, f.ID)
	return t, nil
}

// auditFinding writes of a finding that changes no alert, such as a duplicate.
func (u *unit) auditFinding(f *hub.Finding, t hub.Triage) {
	by := hub.Principal{Tenant: f.Tenant, Type: hub.ActorSource, ID: f.Source}
	e := hub.Audited(by, "finding."+string(t.Outcome), "finding", string(f.ID))
	e.Details = new(hub.Details).Str("alert", string(t.Alert)).Value()
	u.tx.Audit(e)
}

// sighted reports whether the finding's delivery was seen before, and remembers
// that it is seen now.
func (u *unit) sighted(s *slot, it *item) (bool, error) {
	at := hub.Micros(it.finding.ReceivedAt)
	if !s.known && s.identity.Origin == "" {
		s.identity.Origin, s.identity.First, s.identity.FirstAt = string(newAlertID()), it.key, it.finding.ReceivedAt
		return false, nil
	}
	seen := int64(0)
	if s.identity.First == it.key {
		seen = hub.Micros(s.identity.FirstAt)
	} else {
		var err error
		if seen, err = u.tx.Sighted(s.identity.Origin, it.key); err != nil {
			return false, err
		}
	}
	if seen != 0 && (!dedup.Repeatable(&it.finding) || time.Duration(at-seen)*time.Microsecond < dedup.RepeatWindow && !s.turned(&it.finding)) {
		return true, nil
	}
	return false, u.tx.AddSighting(it.finding.Tenant, s.identity.Origin, it.key, at)
}

// settle carries out the waiting decision of s: all repeats of one problem in a
// window become one change and one event.
func (u *unit) settle(s *slot) error {
	if s.pending == nil {
		return nil
	}
	d, found := s.pending, s.findings
	s.pending, s.findings = nil, nil
	by := hub.Principal{Tenant: s.identity.Tenant, Type: hub.ActorSource, ID: s.source}
	return u.change(s, d, cause{by: by, findings: found})
}
