package cloudoptix

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const (
	// margin is how late an alert may appear after its own time.
	margin = 10 * time.Minute
	// saveEvery is after how many pages without news progress is stored.
	saveEvery = 10
	// atOnce is how many findings and nodes are handed over together.
	atOnce = 200
	// tick completes their clock, which is told to the second.
	tick = time.Second - time.Microsecond
)

// A pull is one sweep over all that Cloud Optix tells, or the rest of one that
// was broken off: alerts, the results of scans, the inventory when it is due.
type pull struct {
	position
	source *Source
	emit   connectors.Emit

	now     time.Time       // their clock, at the end of the second
	seen    map[string]bool // alerts of the window, if all of it was read by this pull
	partial bool            // it was not
	page    connectors.Page
	unsaved int
}

// Pull makes one sweep, or goes on with one that was broken off.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	p, err := restore(cursor)
	if err != nil {
		return err
	}
	w := &pull{position: p, source: s, emit: emit, partial: p.Window.Page > 0}
	if err := w.adopt(); err != nil {
		return err
	}
	return w.keep(ctx, w.run(ctx))
}

func (w *pull) run(ctx context.Context) error {
	if err := w.alerts(ctx); err != nil {
		return err
	}
	// A scan whose result cannot be had just now does not hold up the rest.
	failed := w.scanned(ctx)
	if failed != nil && hub.KindOf(failed) != hub.Transient {
		return failed
	}
	if err := w.inventory(ctx); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return w.finish()
}

// finish ends a whole pull.
func (w *pull) finish() error {
	if err := w.hand(true); err != nil {
		return err
	}
	if n := w.Alerts.Untracked(); n > 0 {
		return hub.E(hub.Invalid, fmt.Sprintf("Cloud Optix has %d open alerts more than max_tracked allows; raise it, or the end of some is not seen", n))
	}
	return nil
}

// hand stores what was found with the position behind it, or soon.
func (w *pull) hand(now bool) error {
	w.unsaved++
	if !now && w.unsaved < saveEvery && w.size() < atOnce {
		return nil
	}
	if err := w.emit(w.page, w.store()); err != nil {
		w.unsaved = 0 // nothing is tried again before the next pull
		return err
	}
	w.page, w.unsaved = connectors.Page{}, 0
	return nil
}

func (w *pull) size() int {
	return len(w.page.Findings) + len(w.page.Nodes) + len(w.page.Edges) + len(w.page.Rejects)
}

// keep stores how far a sweep came that was broken off. Every step changes the
// position only when it is done, so that there is nothing half.
func (w *pull) keep(ctx context.Context, err error) error {
	if err == nil || w.unsaved == 0 || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, w.hand(true))
}
