package vigilare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const (
	// margin is how late a signal or an alert may appear after its own time.
	margin = 10 * time.Minute
	// saveEvery is after how many pages without news progress is stored.
	saveEvery = 10
	// tick completes their clock, which is told to the second.
	tick = time.Second - time.Microsecond
)

// A pull is one sweep over all that Vigilare tells, or the rest of one that was
// broken off. It goes in this order:
//
//   - accounts with their scores; the history fills days that nobody looked;
//   - each account's signals, since the oldest one that is open;
//   - alerts, newest first, until nothing behind can be new or acknowledged;
//   - alerts whose cause is over;
//   - the inventory: tenant, accounts, users.
type pull struct {
	position
	source *Source
	emit   connectors.Emit

	now        time.Time // their clock, at the end of the second
	accounts   map[string]account
	checklists map[string][]step
	rules      map[string]rule // nil: not asked for yet
	page       connectors.Page
	unsaved    int
	dirty      bool // the position is ahead of what was found: it must not be stored
	restarted  bool // a next_token was refused
}

// Pull makes one sweep, or goes on with one that was broken off.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	p, err := restore(cursor)
	if err != nil {
		return err
	}
	w := &pull{position: p, source: s, emit: emit, accounts: map[string]account{}, checklists: map[string][]step{}}
	return w.keep(ctx, w.run(ctx))
}

func (w *pull) run(ctx context.Context) error {
	accounts, at, err := w.source.listAccounts(ctx)
	if err != nil {
		return err
	}
	w.now = at.Add(tick)
	for _, a := range accounts {
		w.accounts[a.ID] = a
	}
	if w.Started.IsZero() {
		w.begin(at, accounts)
	}
	if err := w.scores(ctx, accounts); err != nil {
		return err
	}
	for len(w.Todo) > 0 {
		if err := w.signals(ctx, w.Todo[0]); err != nil {
			return err
		}
	}
	for !w.Fired {
		if err := w.alerts(ctx); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.hand(false); err != nil {
		return err
	}
	w.dirty = true
	if err := w.inventory(ctx, accounts); err != nil {
		return err
	}
	w.dirty = false
	return w.finish()
}

// begin starts a sweep.
func (w *pull) begin(at time.Time, accounts []account) {
	w.Started, w.Fired, w.Unsorted = at, false, false
	w.Sweep++
	w.Deep = w.Full.IsZero() || at.Sub(w.Full) >= time.Duration(w.source.cfg.Rescan)
	w.Todo, w.Since, w.Token = nil, time.Time{}, ""
	if w.Sweep == 1 {
		w.Horizon = at.Add(-time.Duration(w.source.cfg.History))
	}
	for _, a := range accounts {
		if a.Status != "PENDING" { // its role is not there yet, so nobody looked
			w.Todo = append(w.Todo, a.ID)
		}
	}
}

// finish ends a whole sweep.
func (w *pull) finish() error {
	w.Horizon = w.Started.Add(-margin)
	if w.Deep {
		w.Full = w.Started
	}
	w.forget()
	w.Started, w.Deep = time.Time{}, false
	if err := w.hand(true); err != nil {
		return err
	}
	return w.crowded()
}

// crowded says of a whole sweep what people have to know.
func (w *pull) crowded() error {
	n := 0
	for _, m := range w.Watched {
		n += m.Signals.Untracked()
	}
	if n == 0 {
		return nil
	}
	return hub.E(hub.Invalid, fmt.Sprintf("Vigilare has %d open signals more than max_tracked allows; raise it, or the end of some is not seen", n))
}

// hand stores what was found with the position behind it, or soon.
func (w *pull) hand(now bool) error {
	w.unsaved++
	if w.empty() && !now && w.unsaved < saveEvery {
		return nil
	}
	if err := w.emit(w.page, w.store()); err != nil {
		return err
	}
	w.page, w.unsaved = connectors.Page{}, 0
	return nil
}

func (w *pull) empty() bool { return len(w.page.Findings)+len(w.page.Nodes)+len(w.page.Edges) == 0 }

// keep stores how far a sweep came that was broken off, but for a step that has
// to be made again.
func (w *pull) keep(ctx context.Context, err error) error {
	if err == nil || w.unsaved == 0 || ctx.Err() != nil || w.dirty || !w.empty() {
		return err
	}
	return errors.Join(err, w.emit(connectors.Page{}, w.store()))
}

// watch gives what is remembered of an account.
func (w *pull) watch(id string) *watched {
	if w.Watched[id] == nil {
		w.Watched[id] = &watched{}
	}
	return w.Watched[id]
}

// checklist gives an account's recovery checklist, asked for once a pull.
func (w *pull) checklist(ctx context.Context, id string) ([]step, error) {
	if steps, ok := w.checklists[id]; ok {
		return steps, nil
	}
	steps, err := w.source.fetchChecklist(ctx, id)
	if err == nil {
		w.checklists[id] = steps
	}
	return steps, err
}

// forget drops what can no longer change.
func (w *pull) forget() {
	for id, f := range w.Alerts {
		if f.Closed && f.Fired.Before(w.Horizon) {
			delete(w.Alerts, id)
		}
	}
	if len(w.Alerts) <= maxAlerts {
		return
	}
	ids := make([]string, 0, len(w.Alerts))
	for id := range w.Alerts {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return w.Alerts[a].Fired.Compare(w.Alerts[b].Fired) })
	for _, id := range ids[:len(ids)-maxAlerts] {
		delete(w.Alerts, id)
	}
}

// maxAlerts bounds how many fired alerts are remembered.
const maxAlerts = 10_000
