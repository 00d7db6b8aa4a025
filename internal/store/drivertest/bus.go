package drivertest

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// A commit may have happened though its answer was lost. The caller is told to
// try again, and the store counts that something failed, so that the bus looks
// for what nobody was told of.
func testLostAnswer(t *testing.T, k Kit) {
	f := &Faulty{Engine: k.open(t, k.Place(t))}
	s := openStore(t, f)
	defer s.Close()
	failed := s.Stats().Failed.Load()
	put := func(tx *store.Tx) error {
		tx.AfterCommit(func() { t.Error("the hook ran") })
		return tx.PutMeta("a", "1")
	}
	f.Arm(3, driver.IO, true, 0) // begin, exec, commit
	err := s.Do(t.Context(), put)
	if hub.KindOf(err) != hub.Transient || f.Hit() != "commit" {
		t.Errorf("the caller got %v when %q failed", err, f.Hit())
	}
	if s.Stats().Failed.Load() == failed {
		t.Error("the failure was not counted")
	}
	for s.Health() != nil {
		time.Sleep(time.Millisecond)
	}
	view(t, s, func(r *store.Reader) error {
		if v, err := r.Meta("a"); v != "1" || err != nil {
			t.Errorf("what was committed is %q, error %v", v, err)
		}
		return nil
	})
}
