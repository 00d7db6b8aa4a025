package drivertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
)

var errRefused = errors.New("refused")

// A workload is what testFaults repeats over one store: parts that each write an
// event, an alert, a message and an audit entry, all named alike.
type workload struct {
	t      *testing.T
	s      *store.Store
	faulty *Faulty
	kept   map[string]bool // acknowledged
	tried  map[string]bool
	n      int
	last   int64 // highest offset acknowledged
}

// testFaults lets every write of a workload fail in turn, with each kind of
// failure, before and after it happened, once and for a while. After each the
// store must come back by itself, with all that was acknowledged, nothing by
// halves, no number used twice and the audit log whole.
func testFaults(t *testing.T, k Kit) {
	for _, c := range []struct {
		name    string
		kind    driver.Kind
		applied bool
		few     int
	}{
		{"disk full", driver.Full, false, 0},
		{"disk full for a while", driver.Full, false, 5},
		{"disk error", driver.IO, false, 0},
		{"disk error, yet written", driver.IO, true, 0},
		{"disk error, yet written, and for a while", driver.IO, true, 3},
		{"in the way", driver.Busy, false, 0},
		{"in the way for long", driver.Busy, false, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			place := k.Place(t)
			w := &workload{t: t, faulty: &Faulty{Engine: k.open(t, place)}, kept: map[string]bool{}, tried: map[string]bool{}}
			w.s = openStore(t, w.faulty)
			for n := 1; ; n++ {
				w.faulty.Arm(n, c.kind, c.applied, c.few)
				w.run()
				if w.faulty.Hit() == "" {
					break // the workload has fewer writes
				}
				w.recover(c.name)
				if n > 500 {
					t.Fatal("the workload does not end")
				}
			}
			w.check("at the end")
			if n := w.s.Stats().Retried.Load(); (n > 0) != (c.kind == driver.Busy) {
				t.Errorf("%d transactions were tried again", n)
			}
			if err := w.s.Close(); err != nil {
				t.Error(err)
			}
			w.s = openStore(t, k.open(t, place))
			defer w.s.Close()
			w.check("after a restart")
		})
	}
}

// run does one round: parts alone, and parts together with one that fails.
func (w *workload) run() {
	w.single()
	names := []string{w.name(), w.name(), w.name()}
	offsets := make([]int64, len(names))
	errs := together(w.t, w.s, w.part(names[0], &offsets[0], nil), w.part("bad", new(int64), errRefused), w.part(names[1], &offsets[1], nil))
	w.took(names[0], offsets[0], errs[0])
	w.took(names[1], offsets[1], errs[2])
	if err := errs[1]; !errors.Is(err, errRefused) && hub.KindOf(err) != hub.Transient {
		w.t.Errorf("the failing caller got %v", err)
	}
	w.single()
}

func (w *workload) single() {
	name, offset := w.name(), int64(0)
	w.took(name, offset, w.s.Do(w.t.Context(), w.part(name, &offset, nil)))
	if w.kept[name] {
		w.last = max(w.last, offset)
	}
}

func (w *workload) name() string {
	w.n++
	return fmt.Sprintf("p%06d", w.n)
}

func (w *workload) took(name string, offset int64, err error) {
	w.tried[name] = true
	switch {
	case err == nil:
		w.kept[name] = true
		w.last = max(w.last, offset)
	case hub.KindOf(err) != hub.Transient:
		w.t.Errorf("after a failure of %q a caller got %v, want a transient error", w.faulty.Hit(), err)
	}
}

// part writes all that belongs to one name. offset is where its message lies.
func (w *workload) part(name string, offset *int64, fail error) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		addEvent(tx, name)
		a := sampleAlert(0)
		a.ID = hub.AlertID("alt_" + name)
		if err := putAlert(tx, a, nil); err != nil {
			return err
		}
		*offset = tx.Counter("bus.1.0", 1)
		tx.AppendMessage(&store.MessageRow{Pos: store.Position(1, 0, *offset), ID: name})
		if err := tx.PutMeta("last", name); err != nil {
			return err
		}
		return fail
	}
}

// recover waits until the store takes writes again, and checks everything.
func (w *workload) recover(fault string) {
	w.t.Helper()
	for start := time.Now(); w.s.Health() != nil; {
		if time.Since(start) > 10*time.Second {
			w.t.Fatalf("%s at %q: the store does not come back: %v", fault, w.faulty.Hit(), w.s.Health())
		}
		time.Sleep(time.Millisecond) // the store tries by itself, four times a second
	}
	w.single()
	w.check(fmt.Sprintf("%s at %q", fault, w.faulty.Hit()))
}

func (w *workload) check(fault string) {
	w.t.Helper()
	events, alerts, messages := map[string]int{}, map[string]int{}, map[string]int{}
	for _, subject := range stored(w.t, w.s) { // compares with the audit log
		events[subject]++
	}
	var highest, counter, counted int64
	view(w.t, w.s, func(r *store.Reader) error {
		rows, err := r.ListAlerts(tenant, &hub.AlertFilter{}, 0, 0, 1<<30)
		for _, row := range rows {
			alerts[string(row.ID[4:])]++
		}
		err2 := r.Messages(0, 1<<62, 1<<30, func(m *store.MessageRow) bool {
			messages[m.ID]++
			highest = m.Pos - store.Position(1, 0, 0)
			return true
		})
		counts, err3 := r.CountAlerts(tenant, &hub.AlertFilter{})
		counted = counts[hub.High]
		var err4 error
		counter, err4 = r.CounterValue("bus.1.0")
		return errors.Join(err, err2, err3, err4)
	})
	for name := range w.tried {
		e, a, m := events[name], alerts[name], messages[name]
		if w.kept[name] && e != 1 || e != a || a != m || e > 1 {
			w.t.Errorf("%s: %s (acknowledged: %v) has %d events, %d alerts and %d messages", fault, name, w.kept[name], e, a, m)
		}
	}
	if events["bad"]+alerts["bad"]+messages["bad"] > 0 {
		w.t.Errorf("%s: the failing caller's rows are there", fault)
	}
	if counter < highest || counter < w.last || counted != int64(len(alerts)) {
		w.t.Errorf("%s: the counter is %d after %d, and %d of %d alerts are counted", fault, counter, highest, counted, len(alerts))
	}
}
