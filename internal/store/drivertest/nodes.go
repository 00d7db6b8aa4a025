package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// A fleet is several stores over one database, as several hubs have them, all of
// them under load.
type fleet struct {
	t      *testing.T
	place  string
	stores []*store.Store
	stop   atomic.Bool

	mu    sync.Mutex       // guards what follows
	kept  map[string]int64 // acknowledged, with their sequence
	tried map[string]bool
	won   map[string]int // claims by name
}

func newFleet(t *testing.T, k Kit, nodes int) *fleet {
	f := &fleet{t: t, place: k.Place(t), kept: map[string]int64{}, tried: map[string]bool{}, won: map[string]int{}}
	opened := make([]*store.Store, nodes)
	var all sync.WaitGroup
	for i := range opened { // at once, though the database is still empty
		all.Go(func() {
			e, err := k.Open(t, f.place)
			if err == nil {
				opened[i], err = store.Open(t.Context(), e, store.Options{Sealer: sealer{}, ProbeEvery: 5 * time.Millisecond})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range opened {
		if s == nil {
			t.FailNow()
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	f.stores = opened
	return f
}

// load runs callers of every store until stop is set and then until their turn is
// over, and meanwhile calls during.
func (f *fleet) load(callers int, during func()) {
	var all sync.WaitGroup
	for i, s := range f.stores {
		for c := range callers {
			all.Go(func() {
				for n := 0; !f.stop.Load(); n++ {
					f.one(s, fmt.Sprintf("%d.%d.%d", i, c, n), fmt.Sprintf("claim %d.%d", c, n))
				}
			})
		}
		all.Go(func() { f.follow(s) })
	}
	during()
	f.stop.Store(true)
	all.Wait()
}

// one stores what belongs to a name, and claims what the other nodes claim too.
func (f *fleet) one(s *store.Store, name, claim string) {
	var seq int64
	won := false
	err := s.Do(context.Background(), func(tx *store.Tx) error {
		addEvent(tx, name)
		seq, won = tx.Counter("events.seq", 0), false
		held, err := tx.Meta(claim)
		if err == nil && held == "" {
			won, err = true, tx.PutMeta(claim, name)
		}
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried[name] = true
	switch {
	case err == nil:
		f.kept[name] = seq
		if won {
			f.won[claim]++
		}
	case hub.KindOf(err) != hub.Transient:
		f.t.Errorf("a caller got %v, want nil or a transient error", err)
	}
}

// follow reads events as they come, as those do who tell others of them. Nothing
// may appear behind what was read.
func (f *fleet) follow(s *store.Store) {
	last := int64(0)
	for !f.stop.Load() {
		var all []hub.EventRecord
		err := s.View(context.Background(), func(r *store.Reader) (err error) {
			all, err = r.EventsAfter(tenant, last, 50)
			return err
		})
		if err != nil && hub.KindOf(err) != hub.Transient {
			f.t.Errorf("a reader got %v, want nil or a transient error", err)
		}
		for i := range all {
			if all[i].Sequence != last+1 {
				f.t.Errorf("event %d follows %d", all[i].Sequence, last)
			}
			last = all[i].Sequence
		}
	}
}

// grow waits until so many more have been acknowledged, from each store if
// everywhere.
func (f *fleet) grow(more int) {
	f.t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.kept)
	}
	for start, want := time.Now(), count()+more; count() < want; time.Sleep(time.Millisecond) {
		if time.Since(start) > 60*time.Second {
			f.t.Fatalf("%d acknowledged after a minute, want %d; health %v", count(), want, f.stores[0].Health())
		}
	}
}

func (f *fleet) check() {
	f.t.Helper()
	for _, s := range f.stores {
		for start := time.Now(); s.Do(f.t.Context(), func(*store.Tx) error { return nil }) != nil; time.Sleep(time.Millisecond) {
			if time.Since(start) > 30*time.Second {
				f.t.Fatalf("a store does not come back: %v", s.Health())
			}
		}
	}
	times, at := map[string]int{}, map[string]int64{}
	for i, subject := range stored(f.t, f.stores[0]) { // compares with the audit log
		times[subject]++
		at[subject] = int64(i + 1)
	}
	for name := range f.tried {
		seq, kept := f.kept[name]
		if n := times[name]; kept && (n != 1 || seq != at[name]) || n > 1 {
			f.t.Errorf("%s (acknowledged: %v, as number %d) is there %d times, as number %d", name, kept, seq, n, at[name])
		}
		delete(times, name)
	}
	if len(times) > 0 {
		f.t.Errorf("nobody stored %v", times)
	}
	for claim, n := range f.won {
		if n != 1 {
			f.t.Errorf("%s was won %d times", claim, n)
		}
	}
}

// Stores over one database give out each number once, in order, keep one audit
// log without forks, and see what the others wrote before they write.
func testNodes(t *testing.T, k Kit) {
	f := newFleet(t, k, 3)
	f.load(4, func() { f.grow(600) })
	f.check()
	if len(f.kept) != len(f.tried) {
		t.Errorf("%d of %d callers were refused, though nothing was wrong", len(f.tried)-len(f.kept), len(f.tried))
	}
	for i, s := range f.stores {
		if s.Stats().Reread.Load() == 0 {
			t.Errorf("store %d never saw that another had written", i)
		}
	}
}

// A failing caller of one store leaves no trace in the others.
func testNodesErrors(t *testing.T, k Kit) {
	f := newFleet(t, k, 2)
	refused := errors.New("refused")
	for i := range 20 {
		s := f.stores[i%2]
		name := fmt.Sprint("n", i)
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			addEvent(tx, "bad")
			tx.Counter("n", 1)
			return refused
		})
		if !errors.Is(err, refused) {
			t.Error(err)
		}
		do(t, s, func(tx *store.Tx) error {
			addEvent(tx, name)
			return nil
		})
	}
	if got := stored(t, f.stores[0]); len(got) != 20 {
		t.Errorf("stored are %v, want 20", got)
	}
}

// Under whatever the kit knows to do to the database, nothing acknowledged is
// lost and nothing is there twice.
func testNodesDisturbed(t *testing.T, k Kit) {
	for name, disturb := range k.Disturb {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, k, 3)
			f.load(4, func() {
				for range 3 {
					f.grow(50)
					disturb(t, f.place)
				}
				f.grow(50)
			})
			f.check()
		})
	}
}
