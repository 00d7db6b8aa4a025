package edgetelemetry

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const (
	// margin is how late an item may appear in a list after its own time.
	margin = 10 * time.Minute
	// saveEvery is after how many requests without news progress is stored.
	saveEvery = 10
	// pageOf is how many findings are handed over together.
	pageOf = 200
	// tick completes their clock, which is told to the second.
	tick = time.Second - time.Microsecond
)

// A pull is one sweep over all that EdgeAI tells, or the rest of one that was
// broken off: its steps one after the other.
type pull struct {
	position
	source *Source
	emit   connectors.Emit

	now     time.Time // their clock, at the end of the second
	page    connectors.Page
	unsaved int
	crowded []string // lists that hold more open items than can be seen or remembered
	budget  budget
	rules   map[string]string // names by id; nil: not asked for yet
	blasts  map[string]string // by node: how many others can be reached
}

// stepNames are the steps of a sweep. Those from inventoryFrom on are made each
// inventory_interval only.
var stepNames = []string{"alerts", "incidents", "summaries", "metrics", "audit", "users", "nodes", "edges", "service"}

const inventoryFrom = 5

// step makes the next request of the step in hand; done says that it was the last.
func (w *pull) step(ctx context.Context, name string) (done bool, err error) {
	switch name {
	case "summaries":
		return w.summaries(ctx)
	case "metrics":
		return w.metrics(ctx)
	case "audit":
		return w.audit(ctx)
	case "users":
		return w.users(ctx)
	case "nodes":
		return w.nodes(ctx)
	case "edges":
		return w.edges(ctx)
	case "service":
		return w.service(ctx)
	}
	return w.sweep(ctx, lists[name])
}

// Pull makes one sweep, or goes on with one that was broken off.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	p, err := restore(cursor)
	if err != nil {
		return err
	}
	w := &pull{position: p, source: s, emit: emit, blasts: map[string]string{}, now: p.Started.Add(tick), budget: fullBudget}
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
			w.source.miss(name, err.Error())
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
	return w.Step >= inventoryFrom && !w.Full || name == "audit" && len(w.source.cfg.AuditActions) == 0
}

// optional says whether a step that was refused is left out: the hub's user need
// not be allowed everything, but to read alerts.
func optional(name string, err error) bool {
	k := hub.KindOf(err)
	return name != "alerts" && (k == hub.NotFound || k == hub.Forbidden)
}

// begin takes their clock over from an answer, and begins what has not begun.
func (w *pull) begin(at time.Time) {
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

// tell adds a finding at its place in the order of its item's changes.
func (w *pull) tell(f hub.Finding, p connectors.Place) {
	f.ObservedAt, f.SourceSequence, f.ObservedGiven = p.At, p.Sequence, true
	w.page.Findings = append(w.page.Findings, f)
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
	for name, m := range w.Memory {
		if m.Untracked() > 0 {
			w.crowded = append(w.crowded, "there are more open "+name+" than max_tracked allows; raise it, or the end of some is not seen")
		}
	}
	if len(w.crowded) > 0 {
		return hub.E(hub.Invalid, vendor+": "+w.crowded[0])
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
	w.page, w.unsaved, w.budget = connectors.Page{}, 0, fullBudget
	return nil
}

// keep stores how far a sweep came that was broken off. A step asks before it
// changes the position, so that one that failed has not.
func (w *pull) keep(ctx context.Context, err error) error {
	if err == nil || w.unsaved == 0 || ctx.Err() != nil || !w.empty() {
		return err
	}
	return errors.Join(err, w.emit(connectors.Page{}, w.store()))
}
