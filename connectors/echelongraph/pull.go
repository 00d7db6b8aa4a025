package echelongraph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const (
	// margin is how late an item may appear in a list after its own time.
	margin = 10 * time.Minute
	// saveEvery is after how many pages without news progress is stored.
	saveEvery = 10
	// tick completes their clock, which is told to the second.
	tick = time.Second - time.Microsecond
)

// A pull is one sweep over all that EchelonGraph tells, or the rest of one that
// was broken off: its steps one after the other, page by page.
type pull struct {
	position
	source *Source
	emit   connectors.Emit

	now     time.Time // their clock, at the end of the second
	page    connectors.Page
	unsaved int
	blasts  map[string]string // by asset: how many others can be reached
}

// stepNames are the steps of a sweep, which are capabilities. Those from
// inventoryFrom on are made each inventory_interval only.
var stepNames = []string{"alerts", "detections", "incidents", "vulnerabilities", "compliance", "risk", "audit", "accounts", "users", "assets", "graph"}

const inventoryFrom = 7

// step reads the next page of the step in hand; done says that it was the last.
func (w *pull) step(ctx context.Context, name string) (done bool, err error) {
	switch name {
	case "compliance":
		return w.compliance(ctx)
	case "risk":
		return w.risk(ctx)
	case "audit":
		return w.audit(ctx)
	case "accounts":
		return w.accounts(ctx)
	case "users":
		return w.users(ctx)
	case "assets":
		return w.assets(ctx)
	case "graph":
		return w.graph(ctx)
	}
	return w.sweep(ctx, lists[name])
}

// Pull makes one sweep, or goes on with one that was broken off.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	p, err := restore(cursor)
	if err != nil {
		return err
	}
	w := &pull{position: p, source: s, emit: emit, blasts: map[string]string{}, now: p.Started.Add(tick)}
	return w.keep(ctx, w.run(ctx))
}

func (w *pull) run(ctx context.Context) error {
	for w.Step < len(stepNames) {
		name := stepNames[w.Step]
		done, err := w.left(name), error(nil)
		if !done {
			done, err = w.step(ctx, name)
		}
		if optional(name, err) {
			w.source.miss(name, err)
			done, err = true, nil
		} else if err == nil {
			w.source.found(name)
		}
		if err != nil {
			return err
		}
		if done {
			w.Step++
			w.walk = walk{}
		}
		if err := w.hand(false); err != nil {
			return err
		}
	}
	return w.finish()
}

// left says whether a step is left out of this sweep.
func (w *pull) left(name string) bool {
	inventory := w.Step >= inventoryFrom
	return w.source.path(name) == "" || inventory && !w.Full || name == "audit" && len(w.source.cfg.AuditActions) == 0
}

// optional says whether a step that was refused is left out: a user or a plan
// need not have everything, but alerts.
func optional(name string, err error) bool {
	k := hub.KindOf(err)
	return name != "alerts" && (k == hub.NotFound || k == hub.Forbidden)
}

// clock takes their clock over from an answer, and begins what has not begun.
func (w *pull) clock(at time.Time) {
	w.now = at.Add(tick)
	if w.Started.IsZero() {
		w.Started = at
		w.Sweep++
		w.Full = at.Sub(w.Read) >= time.Duration(w.source.cfg.InventoryInterval)
		if w.Full {
			w.Walk++
			w.Whole = map[string]bool{}
		}
	}
	if w.Begun.IsZero() {
		w.Begun = at
	}
}

// memory gives what is remembered of a list.
func (w *pull) memory(list string) *connectors.Memory {
	if w.Memory[list] == nil {
		w.Memory[list] = &connectors.Memory{}
	}
	return w.Memory[list]
}

// finish ends a whole sweep.
func (w *pull) finish() error {
	if w.Full {
		w.bury()
		w.Read = w.Started
	}
	w.Started, w.Step, w.Full = time.Time{}, 0, false
	if err := w.hand(true); err != nil {
		return err
	}
	n := 0
	for _, m := range w.Memory {
		n += m.Untracked()
	}
	if n > 0 {
		return hub.E(hub.Invalid, fmt.Sprintf("EchelonGraph has %d open items more than max_tracked allows; raise it, or the end of some is not seen", n))
	}
	return nil
}

func (w *pull) empty() bool { return len(w.page.Findings)+len(w.page.Nodes)+len(w.page.Edges) == 0 }

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

// keep stores how far a sweep came that was broken off. Each step asks before
// it changes the position, so that one that failed has not.
func (w *pull) keep(ctx context.Context, err error) error {
	if err == nil || w.unsaved == 0 || ctx.Err() != nil || !w.empty() {
		return err
	}
	return errors.Join(err, w.emit(connectors.Page{}, w.store()))
}
