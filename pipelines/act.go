package pipelines

import (
	"context"
	"fmt"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// A Change is a transaction in which people change alerts.
type Change struct{ u *unit }

// Change runs fn in a transaction and carries out what follows from it: events,
// playbooks, deliveries. fn may run more than once.
func (p *Pipeline) Change(ctx context.Context, fn func(c *Change) error) error {
	return p.opts.Store.Do(ctx, func(tx Tx) error {
		u := p.newUnit(tx)
		if err := fn(&Change{u}); err != nil {
			return err
		}
		return u.finish()
	})
}

// Tx gives the transaction, for what else belongs into it.
func (c *Change) Tx() Tx { return c.u.tx }

// Act does an action on an alert in the name of by. It reports whether anything
// changed; an action that was done already changes nothing. ifMatch, when not 0,
// is the version that the alert must have.
func (c *Change) Act(by hub.Principal, id hub.AlertID, a dedup.Action, ifMatch int64) (*hub.Alert, bool, error) {
	s, err := c.u.loadAlert(by.Tenant, id)
	if err != nil {
		return nil, false, err
	}
	if ifMatch != 0 && s.alert.Version != ifMatch {
		return nil, false, hub.E(hub.Precondition, fmt.Sprintf("the alert is at version %d, not %d; read it again", s.alert.Version, ifMatch))
	}
	changed, err := c.u.act(s, a, cause{by: by})
	return s.alert, changed, err
}

// loadAlert gives the slot of an alert. An alert that is not the current one of
// its fingerprint any more cannot be acted on, because a newer one stands for
// the problem.
func (u *unit) loadAlert(t hub.TenantID, id hub.AlertID) (*slot, error) {
	found, err := u.tx.Alerts(t, []hub.AlertID{id})
	if err != nil {
		return nil, err
	}
	a := found[id]
	if a == nil {
		return nil, hub.E(hub.NotFound, fmt.Sprintf("there is no alert %q", id))
	}
	if err := u.load(t, []hub.Fingerprint{a.Fingerprint}); err != nil {
		return nil, err
	}
	s := u.slots[a.Fingerprint]
	if s.alert == nil || s.alert.ID != id {
		return nil, hub.E(hub.Conflict, fmt.Sprintf("the problem came back after this alert was closed; act on its newer alert %s", s.identity.Alert))
	}
	return s, nil
}

// act decides about an action and carries the decision out.
func (u *unit) act(s *slot, a dedup.Action, c cause) (bool, error) {
	d, err := dedup.Act(s.state, s.alert, a, c.by, u.now)
	if err != nil || d.Action == "" {
		return false, err
	}
	return u.decided(s, &d, c)
}

// decided takes a decision that is not part of a window and carries it out.
func (u *unit) decided(s *slot, d *dedup.Decision, c cause) (bool, error) {
	s.state, s.touched = d.State, true
	if err := u.replace(s, d.Alert); err != nil {
		return false, err
	}
	return true, u.change(s, d, c)
}
