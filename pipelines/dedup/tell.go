package dedup

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// summaryEvery is how often a flapping alert is told of.
const summaryEvery = 30 * time.Minute

// tell finishes a decision: it holds the event back while the problem flaps, and
// remembers what the outside is told.
func (t *turn) tell(d *Decision) {
	s := &t.state
	t.noteTaken()
	if d.Event != "" && d.Action != ActionAcknowledged { // that was done by people, as what Act does
		t.hold(d)
	}
	if d.Event != "" {
		s.tell(d)
	}
	d.State = *s
}

// hold puts a summary in place of the event of a flapping problem, or nothing.
// A severity above the one people know of is told at once, unless somebody
// suppressed the alert.
func (t *turn) hold(d *Decision) {
	s, a, now := &t.state, d.Alert, hub.Micros(t.now)
	switch {
	case s.quiet != untilChange && now < s.quiet:
		s.keep(d, s.quiet, "; held while suppressed")
	case !t.after.flapping() || a.Severity.Rank() > int(s.told.sev):
		if s.held > 0 {
			d.Event = s.next(a)
		}
	case s.held == 0 && !d.Notify, s.summarized != 0 && now < s.summarized+summaryEvery.Microseconds():
		s.keep(d, s.summarized+summaryEvery.Microseconds(), "; held while it flaps")
	default:
		s.held++
		d.Event, d.Notify, d.mergeable = s.next(a), true, false
		d.Reason = summary(t.after.flaps())
		s.summarized = now
	}
}

// keep holds back the event of d. What people would not be told of anew needs no
// telling later.
func (s *State) keep(d *Decision, until int64, why string) {
	if d.Notify {
		s.held++
		s.due = until
	}
	d.Event, d.Notify = "", false
	d.Reason += why
}

func summary(flaps int) string {
	return fmt.Sprintf("flapping: opened or closed %d times in the last %d observations; told of every %d minutes", flaps, flapSpan, summaryEvery/time.Minute)
}

// next gives the event that takes the outside from what it was told to a.
func (s *State) next(a *hub.Alert) hub.EventType {
	was, is := s.told.status, statusOf(a.Status)
	switch {
	case was == unknown:
		return hub.AlertCreated
	case is == resolved && was != resolved:
		return hub.AlertResolvedEvent
	case is == dismissed && was != dismissed:
		return hub.AlertDismissedEvent
	case !is.closed() && was.closed():
		return hub.AlertReopened
	}
	return hub.AlertUpdated
}

// tell remembers what the event of d tells. A generation that passed without one
// is among its changes, so that keys made of the generation can be moved.
func (s *State) tell(d *Decision) {
	a := d.Alert
	if was := s.told; was.status != unknown {
		change(&d.Changes, "generation", was.gen, a.Generation)
		if s.held > 0 {
			change(&d.Changes, "status", was.status.text(), a.Status)
			change(&d.Changes, "severity", severity(was.sev), a.Severity)
		}
	}
	s.told = told{statusOf(a.Status), uint8(a.Severity.Rank()), a.Generation}
	s.held, s.due = 0, 0
}

// SummaryDue tells when [Summarize] is to be called if nothing comes before,
// because changes of a flapping or suppressed alert are held back. Zero means
// never.
func (s *State) SummaryDue() time.Time {
	if s.held == 0 {
		return time.Time{}
	}
	return hub.FromMicros(s.due)
}

// Summarize tells of the changes that were held back while the problem flapped
// or was suppressed. It reports false if nothing is due.
func Summarize(prev State, alert *hub.Alert, now time.Time) (Decision, bool) {
	due := prev.SummaryDue()
	if alert == nil || due.IsZero() || now.Before(due) {
		return Decision{State: prev}, false
	}
	s, a := prev.clone(), *alert
	a.Version++
	a.UpdatedAt = hub.Truncate(now)
	d := Decision{Alert: &a, Action: ActionSummarized, Event: s.next(&a), Notify: true}
	if d.Reason = fmt.Sprintf("%d changes were held back", s.held); s.held == 1 {
		d.Reason = "a change was held back"
	}
	if l := s.now(); l.flapping() {
		d.Reason = summary(l.flaps())
		s.summarized = hub.Micros(a.UpdatedAt)
	}
	s.tell(&d)
	d.State = s
	return d, true
}

// diff gives what people may want to know of the difference between two
// versions of an alert. Payload and details are too big to be told twice.
func diff(old, a *hub.Alert) hub.Changes {
	var c hub.Changes
	change(&c, "status", old.Status, a.Status)
	change(&c, "severity", old.Severity, a.Severity)
	change(&c, "count", old.Count, a.Count)
	change(&c, "generation", old.Generation, a.Generation)
	change(&c, "title", old.Title, a.Title)
	change(&c, "description", old.Description, a.Description)
	change(&c, "assignee", old.Assignee, a.Assignee)
	change(&c, "acknowledged_by", old.AcknowledgedBy, a.AcknowledgedBy)
	changeTime(&c, "first_seen", old.FirstSeen, a.FirstSeen)
	changeTime(&c, "last_seen", old.LastSeen, a.LastSeen)
	changeTime(&c, "acknowledged_at", old.AcknowledgedAt, a.AcknowledgedAt)
	changeTime(&c, "resolved_at", old.ResolvedAt, a.ResolvedAt)
	if was, is := score(old), score(a); was != is {
		set(&c, "risk_score", was, is)
	}
	if !slices.Equal(old.Sources, a.Sources) {
		set(&c, "sources", old.Sources, a.Sources)
	}
	if !maps.Equal(old.Labels, a.Labels) {
		set(&c, "labels", old.Labels, a.Labels)
	}
	return c
}

// score gives the risk score as JSON has it: null if there is none.
func score(a *hub.Alert) any {
	if a.RiskScore == nil {
		return nil
	}
	return *a.RiskScore
}

func change[T comparable](c *hub.Changes, field string, was, is T) {
	if was != is {
		set(c, field, was, is)
	}
}

func changeTime(c *hub.Changes, field string, was, is time.Time) {
	if !was.Equal(is) {
		set(c, field, orNull(was), orNull(is))
	}
}

// orNull gives a time as JSON has it: null if there is none.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func set(c *hub.Changes, field string, was, is any) {
	if *c == nil {
		*c = make(hub.Changes, 4)
	}
	(*c)[field] = [2]any{was, is}
}
