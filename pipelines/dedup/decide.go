package dedup

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Decide takes one finding to its alert. prev and alert are what is known of the
// finding's fingerprint; alert is nil if there is none. repeated tells that the
// delivery was seen before. newAlertID is called if an alert is to be made.
func Decide(p Profile, prev State, alert *hub.Alert, f *hub.Finding, repeated bool, newAlertID func() hub.AlertID, now time.Time) Decision {
	now = hub.Truncate(now)
	if repeated {
		return duplicate(prev, alert)
	}
	t := turn{profile: &p, f: f, alert: alert, now: now}
	t.state = prev.clone()
	if alert != nil && prev.isZero() {
		t.state.adopt(alert)
	}
	t.observe()
	switch {
	case t.alert != nil:
		return t.update()
	case t.after.status != unknown:
		return t.create(newAlertID())
	}
	return t.tombstone()
}

// duplicate counts a delivery that was seen before, and does nothing else.
func duplicate(prev State, alert *hub.Alert) Decision {
	d := Decision{Outcome: hub.OutcomeDuplicate, State: prev}
	if alert != nil {
		a := *alert
		a.Duplicates++
		d.Alert = &a
	}
	return d
}

// A turn is one finding being decided about.
type turn struct {
	profile *Profile
	state   State
	alert   *hub.Alert // as it was; nil if there is none
	over    *hub.Alert // the one before, if the problem came back too late to reopen it
	f       *hub.Finding
	now     time.Time

	o     observation
	at    time.Time // its event time
	skew  string    // that the event time was clamped
	fresh bool      // no observation of its source is newer
	shown bool      // its texts are the newest
	mine  bool      // it is of the time of this alert and not of one before

	newAsset, newEvidence bool
	before, after         life
}

// observe puts the finding in its place among the others.
func (t *turn) observe() {
	s := &t.state
	var c content
	t.o, c, t.skew = s.observe(t.profile, t.f, t.now)
	t.at = hub.FromMicros(t.o.at)
	last, known := s.newest(t.o.source)
	t.fresh = !known || t.o.compare(last) >= 0
	t.before = s.now()
	if t.isOver() {
		t.over, t.alert = t.alert, nil
		s.renew(t.o.moment)
		t.before = life{}
	}
	t.mine = t.o.compare(s.began) >= 0
	t.shown = t.o.kind.opens() && t.mine && s.newestOpen(&t.o)
	t.newAsset, t.newEvidence = s.learn(c)
	s.insert(t.o, t.fresh)
	t.after = s.now()
	s.thin()
}

// isOver tells whether the problem has come back so late that it needs a new
// alert.
func (t *turn) isOver() bool {
	s := &t.state
	if t.alert == nil || !t.o.kind.opens() || t.before.status != resolved {
		return false
	}
	if t.o.kind == kindTaken && s.hushed(t.o.source) {
		return false // it came to be known of before somebody closed it
	}
	if s.held > 0 && !s.told.status.closed() {
		return false // nobody knows yet that it was resolved
	}
	return t.o.at-t.before.closed > t.profile.window().Microseconds()
}

// renew forgets what belongs to the alert that is over, but for what its sources
// said last.
func (s *State) renew(began moment) {
	for _, o := range s.history {
		s.sum(o)
	}
	for i := range s.sources {
		if s.sources[i].state == supports { // closed by hand
			s.sources[i].state = denies
		}
		s.sources[i].hushed = false
	}
	*s = State{sources: s.sources, horizon: s.horizon, began: began, acked: s.acked}
}

// adopt makes up what an alert without a state would have had.
func (s *State) adopt(a *hub.Alert) {
	s.base = life{status: open, sev: uint8(a.Severity.Rank()), gen: max(a.Generation, 1)}
	s.horizon = moment{at: max(hub.Micros(a.LastSeen), hub.Micros(a.ResolvedAt), 1)}
	if a.Status == hub.AlertResolved {
		s.base.status = resolved
		s.base.ended, s.base.closed = hub.Micros(a.ResolvedAt), hub.Micros(a.ResolvedAt)
	}
	s.told = told{statusOf(a.Status), s.base.sev, s.base.gen}
	s.calmed = s.base.sev
}

// tombstone remembers a finding that makes no alert: a resolve before its open.
func (t *turn) tombstone() Decision {
	t.state.early++
	d := Decision{Outcome: hub.OutcomeResolved, State: t.state}
	if !t.fresh {
		d.Outcome = hub.OutcomeLate
	}
	return d
}

// outcome tells what the finding did, in the contract's words.
func (t *turn) outcome() hub.Outcome {
	was, is, opens := t.before.status, t.after.status, t.o.kind.opens()
	switch {
	case !t.fresh:
		return hub.OutcomeLate
	case was == open && is == resolved:
		return hub.OutcomeResolved
	case was == resolved && is == open:
		return hub.OutcomeReopened
	case opens && is != open: // before somebody closed it
		return hub.OutcomeLate
	case !opens && is == resolved:
		return hub.OutcomeResolved
	}
	return hub.OutcomeMerged
}
