package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
)

// Deliveries are named in the order of the transactions, also if the clock was
// behind when the later ones began.
func TestDeliveryIDsAreInOrder(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	var last hub.DeliveryID
	take := func(n int) {
		t.Helper()
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			for range n {
				id := tx.NewDeliveryID()
				if id <= last {
					t.Errorf("%s came after %s", id, last)
				}
				last = id
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	take(100)
	var end hub.DeliveryID
	err := s.View(t.Context(), func(r *store.Reader) (err error) {
		end, err = r.LastDeliveryID(time.Now())
		return err
	})
	if err != nil || end <= last {
		t.Errorf("the end of %s is given as %s, %v", last, end, err)
	}
	ahead := time.Now().Add(time.Hour)
	err = s.Do(t.Context(), func(tx *store.Tx) error { // what a node named whose clock was ahead
		tx.Counter("ids", ahead.UnixMilli()-tx.Counter("ids", 0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		take(2)
	}
	if at, ok := ident.Time(string(last)); !ok || at.Before(ahead.Truncate(time.Millisecond)) || at.After(ahead.Add(time.Minute)) {
		t.Errorf("%s is of %v, want shortly after %v", last, at, ahead)
	}
	if last <= end {
		t.Errorf("%s was named after %s was the end", last, end)
	}
}
