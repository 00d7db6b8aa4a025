package dedup

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// An ActionKind is what somebody does with an alert.
type ActionKind string

// Kinds of action.
const (
	Acknowledge ActionKind = "acknowledge"
	Resolve     ActionKind = "resolve"
	Dismiss     ActionKind = "dismiss"
	Reopen      ActionKind = "reopen"
	Suppress    ActionKind = "suppress"
	Update      ActionKind = "update"
)

// An Action is done by a person or a playbook. The fields beside Kind may go
// with any kind, except Status, which is for an update; nil leaves a field.
type Action struct {
	Kind     ActionKind
	Status   *hub.AlertStatus
	Assignee *string // "" takes the assignee away
	Severity *hub.Severity
	Note     string
	Labels   map[string]*string // nil removes a label
	// Until is how long to suppress: nobody is told of anything before, and of
	// what changed then. Zero suppresses what does not end an acknowledgement,
	// for as long as nothing does.
	Until time.Time
}

// maxLabels bounds the labels of an alert, as it does those of a finding.
const maxLabels = 200

// Act does an action on an alert. One that is done already changes nothing and
// is no error: the decision then has no Action. The error is a *hub.Error.
func Act(prev State, alert *hub.Alert, act Action, by hub.Principal, now time.Time) (Decision, error) {
	if alert == nil {
		return Decision{}, hub.E(hub.NotFound, "there is no such alert")
	}
	if err := act.check(); err != nil {
		return Decision{}, err
	}
	s, a := prev.clone(), *alert
	if prev.isZero() {
		s.adopt(alert)
	}
	h := hand{state: &s, a: &a, by: by.Name(), now: hub.Truncate(now)}
	h.set(act)
	if act.Kind == Suppress {
		h.suppress(act.Until)
	}
	if len(a.Labels) > maxLabels {
		return Decision{}, invalid("/labels", fmt.Sprintf("the alert would have %d labels, at most %d are allowed", len(a.Labels), maxLabels))
	}
	if err := h.move(act.target()); err != nil {
		return Decision{}, err
	}
	return h.decide(alert, act.Note, prev), nil
}

// check finds what is wrong with the action whatever the alert.
func (act *Action) check() error {
	switch act.Kind {
	case Acknowledge, Resolve, Dismiss, Reopen, Suppress:
	case Update:
		if act.Status == nil && act.Assignee == nil && act.Severity == nil && act.Note == "" && len(act.Labels) == 0 {
			return hub.E(hub.Invalid, "nothing to update; give at least one of status, assignee, severity, note, labels")
		}
	default:
		return hub.E(hub.Invalid, fmt.Sprintf("action %q is not one of acknowledge, resolve, dismiss, reopen, suppress, update", act.Kind))
	}
	if act.Status != nil && statusOf(*act.Status) == unknown {
		return invalid("/status", fmt.Sprintf("%q is not one of open, investigating, resolved, dismissed", *act.Status))
	}
	if act.Severity != nil && !act.Severity.Valid() {
		return invalid("/severity", fmt.Sprintf("%q is not one of critical, high, medium, low, info", *act.Severity))
	}
	if _, empty := act.Labels[""]; empty {
		return invalid("/labels", "a label needs a name")
	}
	return nil
}

func invalid(pointer, detail string) error {
	return &hub.Error{Kind: hub.Invalid, Msg: pointer[1:] + ": " + detail, Fields: []hub.Field{{Pointer: pointer, Detail: detail}}}
}

// target gives the status that the action asks for, or unknown if none.
func (act *Action) target() status {
	switch act.Kind {
	case Acknowledge:
		return investigating
	case Resolve:
		return resolved
	case Dismiss:
		return dismissed
	case Reopen:
		return open
	}
	if act.Kind == Update && act.Status != nil {
		return statusOf(*act.Status)
	}
	return unknown
}

// A hand changes one alert.
type hand struct {
	state  *State
	a      *hub.Alert
	by     string
	now    time.Time
	action string // the timeline's word, "" while nothing is done
	event  hub.EventType
	reason string
}

func (h *hand) did(action string, event hub.EventType, reason string) {
	h.action, h.event, h.reason = action, event, reason
}

// set sets the fields beside status.
func (h *hand) set(act Action) {
	a := h.a
	if act.Assignee != nil && *act.Assignee != a.Assignee {
		a.Assignee = *act.Assignee
		h.did(ActionUpdated, hub.AlertUpdated, "changed by "+h.by)
	}
	if act.Severity != nil && *act.Severity != a.Severity {
		h.setSeverity(*act.Severity)
		h.did(ActionUpdated, hub.AlertUpdated, "changed by "+h.by)
	}
	if len(act.Labels) > 0 && h.setLabels(act.Labels) {
		h.did(ActionUpdated, hub.AlertUpdated, "changed by "+h.by)
	}
}

func (h *hand) setSeverity(sev hub.Severity) {
	s, l := h.state, h.state.now()
	s.override, s.overrode = uint8(sev.Rank()), l.sev
	h.a.Severity = sev
	s.calmed = s.override
}

// setLabels reports whether anything changed.
func (h *hand) setLabels(labels map[string]*string) bool {
	all := maps.Clone(h.a.Labels)
	if all == nil {
		all = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if v := labels[name]; v != nil {
			all[name] = *v
		} else {
			delete(all, name)
		}
		h.state.own(name)
	}
	if maps.Equal(all, h.a.Labels) {
		return false
	}
	h.a.Labels = all
	return true
}

// own remembers that a label is set by hand.
func (s *State) own(label string) {
	if i, there := slices.BinarySearch(s.labels, label); !there && len(s.labels) < keepLabels {
		s.labels = slices.Insert(s.labels, i, label)
	}
}

// suppress keeps the alert quiet.
func (h *hand) suppress(until time.Time) {
	s, quiet, how := h.state, int64(untilChange), " until it changes"
	if !until.IsZero() {
		quiet, how = hub.Micros(until), " until "+stamp(until)
	}
	if quiet == s.quiet || quiet <= hub.Micros(h.now) {
		return
	}
	s.quiet, s.calmed = quiet, uint8(h.a.Severity.Rank())
	h.did(ActionSuppressed, "", "suppressed by "+h.by+how)
}

// move changes the status.
func (h *hand) move(to status) error {
	from := statusOf(h.a.Status)
	if to == unknown || to == from {
		return nil
	}
	switch to {
	case investigating:
		if from.closed() {
			return hub.E(hub.Conflict, fmt.Sprintf("the alert is %s; reopen it before acknowledging it", h.a.Status))
		}
		h.a.AcknowledgedAt, h.a.AcknowledgedBy = h.now, h.by
		h.state.calmed = uint8(h.a.Severity.Rank())
		h.did(ActionAcknowledged, hub.AlertAcknowledgedEvent, "acknowledged by "+h.by)
	case resolved:
		h.happen(kindHandClose)
		h.a.ResolvedAt = h.now
		h.did(ActionResolved, hub.AlertResolvedEvent, "resolved by "+h.by)
	case dismissed:
		h.state.calmed = uint8(h.a.Severity.Rank())
		h.did(ActionDismissed, hub.AlertDismissedEvent, "dismissed by "+h.by)
	case open:
		h.open(from)
	}
	h.a.Status = to.text()
	return nil
}

// open reopens a closed alert, or takes an acknowledgement back.
func (h *hand) open(from status) {
	h.a.AcknowledgedAt, h.a.AcknowledgedBy = time.Time{}, ""
	h.state.acked = max(h.state.acked, hub.Micros(h.now)) // what sources told of before is taken back too
	if from == investigating {
		h.did(ActionUnacknowledged, hub.AlertUpdated, "acknowledgement taken back by "+h.by)
		return
	}
	if l := h.state.now(); l.status == open {
		h.state.lives++ // dismissed: its sources never resolved
	} else {
		h.happen(kindHandOpen)
	}
	l := h.state.now()
	h.state.quiet = 0
	h.a.ResolvedAt = time.Time{}
	h.a.Generation = l.gen + h.state.lives
	h.a.Severity = h.state.severity(l.sev)
	h.did(ActionReopened, hub.AlertReopened, "reopened by "+h.by)
}

// happen puts something done by hand after everything that was observed.
func (h *hand) happen(k kind) {
	s := h.state
	at := max(hub.Micros(h.now), s.last().at)
	s.insert(observation{moment: moment{at: at, sequence: math.MaxInt64}, kind: k, source: byHand}, true)
	s.thin()
}

// decide makes the decision of what was done.
func (h *hand) decide(old *hub.Alert, note string, prev State) Decision {
	if h.action == "" && note == "" {
		return Decision{State: prev}
	}
	if h.action == "" {
		h.did(ActionNoted, "", "noted by "+h.by)
	}
	a := h.a
	a.Version++
	a.UpdatedAt = h.now
	d := Decision{Alert: a, Action: h.action, Event: h.event, Reason: h.reason, Note: note, Changes: diff(old, a)}
	if d.Notify = a.Status != old.Status; h.event != "" {
		h.state.tell(&d)
	}
	d.State = *h.state
	return d
}
