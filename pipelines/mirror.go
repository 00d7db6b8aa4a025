package pipelines

import (
	"github.com/tocsin/tocsin/hub"
)

// mirror records what source systems are to be told of a change that was made
// here: one delivery for each finding of theirs in the alert, in the transaction
// of the change.
//
// What a source tells is not made here. It is not passed on to others either,
// which know for themselves whether they see the problem, but for one thing:
// that somebody has taken the problem up. The source that tells so is left out.
func (u *unit) mirror(a *hub.Alert, ev *hub.Event, body []byte, c cause) error {
	if len(u.rules.Mirrors) == 0 || !mirrored(ev.Type, c) {
		return nil
	}
	names := make([]string, 0, len(a.Sources))
	for _, name := range a.Sources {
		_, there := u.rules.Mirrors[string(a.Tenant)+"/"+name]
		if there && (c.by.Type != hub.ActorSource || c.by.ID != name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	found, err := u.tx.SourceFindings(a.Tenant, a.ID, names)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Status == hub.FindingOpen || ev.Type == hub.AlertReopened {
			u.tell(u.rules.Mirrors[string(a.Tenant)+"/"+f.Source], f, ev, body)
		}
	}
	return nil
}

// mirrored reports whether sources may have to be told of a change.
func mirrored(change hub.EventType, c cause) bool {
	switch change {
	case hub.AlertAcknowledgedEvent:
		return true
	case hub.AlertResolvedEvent, hub.AlertDismissedEvent, hub.AlertReopened:
		return c.by.Type != hub.ActorSource
	}
	return false
}

// tell records the call of one source, if it has one. Calls about one finding
// keep their order: a late acknowledgement must not undo a resolve.
func (u *unit) tell(m Mirror, f hub.SourceFinding, ev *hub.Event, body []byte) {
	action, params := m.Action(ev.Type, f.SourceID)
	if action != "" {
		u.deliver(ev, body, m.Endpoint, action, hub.Delivery{Params: params, Key: "mirror " + f.SourceID})
	}
}
