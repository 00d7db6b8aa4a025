package cybervault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A stage is one walk of a sweep over a list of alerts, page by page.
type stage string

// A sweep walks in this order. The closed lists are walked only while an alert
// that was open is missing from the open ones.
//
//   - new: all alerts, newest first, until those of earlier sweeps are reached;
//     finds what is new, also what was opened and closed since the last sweep.
//   - open, investigating: in full; finds changes of older alerts, and alerts
//     that were opened again.
//   - resolved, dismissed: finds what became of alerts that are open no more.
//
// Items shift between pages while somebody changes them, so a walk may miss an
// alert. That loses nothing: an alert remembered as open stays so until one of
// the lists says otherwise, and is looked for again in later sweeps. Absence is
// never taken for an end.
const (
	idle          stage = ""
	fresh         stage = "new"
	open          stage = "open"
	investigating stage = "investigating"
	resolved      stage = "resolved"
	dismissed     stage = "dismissed"
)

var stages = []stage{idle, fresh, open, investigating, resolved, dismissed, idle}

// next is the stage after g.
func (g stage) next() stage { return stages[slices.Index(stages[1:], g)+2] }

// status is the filter of the stage's list.
func (g stage) status() string {
	if g == fresh {
		return ""
	}
	return string(g)
}

const (
	// margin is how late an alert may appear in the list after its created_at.
	margin = 10 * time.Minute
	// saveEvery is after how many pages without a finding progress is stored.
	saveEvery = 10
	// tick completes their clock, which is told to the second: a pull has the
	// last word over what webhooks said within that second, since the next pull
	// can correct it and nothing else would.
	tick = time.Second - time.Microsecond
)

// A sweep is one pass over the lists; it goes on where the cursor says.
type sweep struct {
	position
	memory  memory
	source  *Source
	emit    connectors.Emit
	missing int                 // due alerts not seen yet, while in a closed stage
	unsaved int                 // pages since the cursor was stored
	settled []key               // touched alerts that the page in hand has settled
	rejects []connectors.Reject // alerts that could not be read, not stored yet
}

// Pull makes one sweep, or goes on with one that was broken off.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	p, m, err := restore(cursor)
	if err != nil {
		return err
	}
	w := &sweep{position: p, memory: m, source: s, emit: emit}
	if w.Stage == idle {
		w.Stage, w.Untracked = fresh, 0
		w.Sweep++
	}
	w.missing = w.countMissing()
	err = w.run(ctx)
	if err == nil {
		// For people to look at, so last: it must not use up the calls that
		// the sweep needs, and what is wrong with it the next sweep will tell.
		_ = s.fetchStatus(ctx, false)
	}
	return err
}

func (w *sweep) run(ctx context.Context) error {
	restarted := false
	for w.Stage != idle {
		p, err := w.source.list(ctx, w.Stage.status(), w.After)
		if w.After != "" && !restarted && hub.KindOf(err) == hub.Invalid {
			w.After, restarted = "", true // their cursor is no longer good
			continue
		}
		if err != nil {
			return w.broken(ctx, err)
		}
		findings := w.read(p)
		w.advance(p)
		if err := w.hand(findings); err != nil {
			return err
		}
	}
	return w.result()
}

// hand stores findings with the position behind them.
func (w *sweep) hand(findings []hub.Finding) error {
	w.unsaved++
	if len(findings) == 0 && w.Stage != idle && w.unsaved < saveEvery {
		return nil
	}
	if err := w.emit(connectors.Page{Findings: findings, Rejects: w.rejects}, w.store(w.memory)); err != nil {
		return err
	}
	w.unsaved, w.rejects = 0, nil
	w.source.touch.remove(w.settled)
	w.settled = w.settled[:0]
	return nil
}

// broken stores how far the sweep came, so that a throttled one gets to its end.
func (w *sweep) broken(ctx context.Context, err error) error {
	if w.unsaved == 0 || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, w.emit(connectors.Page{Rejects: w.rejects}, w.store(w.memory)))
}

// result says of a whole sweep what people have to know.
func (w *sweep) result() error {
	if w.Untracked == 0 {
		return nil
	}
	return hub.E(hub.Invalid, fmt.Sprintf(
		"CyberVault has %d open alerts more than max_tracked allows; raise it, or the end of some is not seen", w.Untracked))
}

// read takes a page in and gives the findings that it makes.
func (w *sweep) read(p page) []hub.Finding {
	if w.Started.IsZero() {
		w.Started = p.at
		if w.Horizon.IsZero() {
			w.Horizon = p.at.Add(-time.Duration(w.source.cfg.History))
		}
	}
	var findings []hub.Finding
	w.rejects = append(w.rejects, p.odd...)
	for _, a := range p.alerts {
		if f, ok := w.observe(a, p.at.Add(tick)); ok {
			findings = append(findings, f)
		}
	}
	return findings
}

// observe compares an alert, as of at, with what is remembered of it.
func (w *sweep) observe(a alert, at time.Time) (hub.Finding, bool) {
	k := keyOf(a.ID)
	e, known := w.memory[k]
	if known && !e.closed && e.sweep != w.Sweep && e.due() {
		w.missing--
	}
	f, contradicted := a.finding(), w.contradicted(k, a)
	switch {
	case known && e.digest == a.digest() && !contradicted:
		e.sweep, e.missed = w.Sweep, 0
		w.memory[k] = e
		return f, false
	case known:
		f.ObservedAt, f.SourceSequence = e.after(a, at)
	case !w.wanted(a):
		return f, false
	case !a.updated().IsZero() || w.neverSeen(a) && !contradicted:
		// Their own time will do, and makes a repeat an exact one.
	default:
		// Not remembered, though it should have been seen before: it was
		// opened again, or missed. Either way this is how it is now.
		f.ObservedAt = at
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = at
	}
	f.ObservedGiven = true // theirs, all of them
	w.remember(k, known, entry{
		digest: a.digest(), observed: f.ObservedAt, sequence: f.SourceSequence,
		created: a.created(), sweep: w.Sweep, closed: a.closed(),
	})
	return f, true
}

// wanted leaves out closed alerts of earlier sweeps, whose end was seen then.
func (w *sweep) wanted(a alert) bool { return !a.closed() || !a.created().Before(w.Horizon) }

// neverSeen reports whether no earlier sweep can have met the alert.
func (w *sweep) neverSeen(a alert) bool { return w.Sweep == 1 || !a.created().Before(w.Horizon) }

// contradicted reports whether a webhook has closed an alert in the hub that
// the list shows as open.
func (w *sweep) contradicted(k key, a alert) bool {
	if !w.source.touch.has(k) {
		return false
	}
	w.settled = append(w.settled, k)
	return !a.closed()
}

// after gives a change's place in the order behind the last one: at their
// time of change if they tell it, else when it was seen. Both are kept in
// memory, so that the same change seen again does not count again.
func (e entry) after(a alert, at time.Time) (time.Time, int64) {
	if u := a.updated(); !u.IsZero() {
		at = u
	}
	if at.After(e.observed) {
		return at, a.rank()
	}
	return e.observed, max(e.sequence+1, a.rank())
}

// remember keeps an entry if there is room. A closed one only saves repeats,
// which the hub drops anyway, so that half the room is never theirs.
func (w *sweep) remember(k key, known bool, e entry) {
	room := w.source.cfg.MaxTracked
	if e.closed {
		room /= 2
	}
	switch {
	case known || len(w.memory) < room:
		w.memory[k] = e
	case !e.closed:
		w.Untracked++
	}
}

// advance moves on to the next page or stage, over stages without work.
func (w *sweep) advance(p page) {
	w.order(p)
	w.After = p.NextCursor
	if p.HasMore && !w.enough(p) {
		return
	}
	w.After = ""
	w.Stage = w.Stage.next()
	if w.Stage == resolved {
		w.missing = w.countMissing()
	}
	if (w.Stage == resolved || w.Stage == dismissed) && w.missing <= 0 {
		w.Stage = idle
	}
	if w.Stage == idle {
		w.finish()
	}
}

// enough reports whether the rest of the list can hold nothing of use.
func (w *sweep) enough(p page) bool {
	switch w.Stage {
	case fresh:
		return !w.Unordered && len(p.alerts) > 0 && w.Newest.Before(w.Horizon)
	case resolved, dismissed:
		return w.missing <= 0
	}
	return false
}

// order checks that the walk over new alerts goes from new to old, which the
// document does not promise. If not, the list is read to its end.
func (w *sweep) order(p page) {
	if w.Stage != fresh {
		return
	}
	last := w.Newest
	for i, a := range p.alerts {
		created := a.created()
		if !last.IsZero() && created.After(last) {
			w.Unordered = true
		}
		if i == 0 {
			w.Newest = created
		}
		last = created
	}
}

// countMissing counts the alerts that are looked for in the closed lists.
func (w *sweep) countMissing() int {
	n := 0
	for _, e := range w.memory {
		if !e.closed && e.sweep != w.Sweep && e.due() {
			n++
		}
	}
	return n
}

// finish ends a whole sweep.
func (w *sweep) finish() {
	w.Horizon = w.Started.Add(-margin)
	for k, e := range w.memory {
		switch {
		case e.closed && e.created.Before(w.Horizon):
			delete(w.memory, k)
		case !e.closed && e.sweep != w.Sweep:
			e.missed++
			w.memory[k] = e
		}
	}
	w.Started, w.Newest, w.Unordered = time.Time{}, time.Time{}, false
}
