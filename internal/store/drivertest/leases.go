package drivertest

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// testLeases checks that a lease changes hands only as it was seen, and that
// each holder has a token of its own.
func testLeases(t *testing.T, k Kit) {
	s := k.store(t)
	var first, second store.LeaseRow
	take := func(owner string, seen store.LeaseRow, want bool) (row store.LeaseRow) {
		t.Helper()
		do(t, s, func(tx *store.Tx) (err error) {
			ok := false
			if row, ok, err = tx.TakeLease("job", owner, seen); ok != want {
				t.Errorf("%s took the lease seen as %+v: %v, want %v", owner, seen, ok, want)
			}
			return err
		})
		return row
	}
	first = take("a", store.LeaseRow{}, true)
	take("b", store.LeaseRow{}, false)
	do(t, s, func(tx *store.Tx) error { return tx.BeatLeases("a") })
	take("b", first, false)
	first.Beat++
	view(t, s, func(r *store.Reader) error {
		same(t, "leases", must[[]store.LeaseRow](t)(r.Leases()), []store.LeaseRow{first})
		return nil
	})
	second = take("b", first, true)
	if second.Token <= first.Token {
		t.Errorf("token %d came after %d", second.Token, first.Token)
	}
	do(t, s, func(tx *store.Tx) error {
		if err := tx.Fence("job", first.Token); hub.KindOf(err) != hub.Transient {
			t.Errorf("the first holder goes on: %v", err)
		}
		if released := must[bool](t)(tx.ReleaseLease("job", first.Token)); released {
			t.Error("the first holder gave up the second's lease")
		}
		return tx.Fence("job", second.Token)
	})
	do(t, s, func(tx *store.Tx) error { return tx.ReleaseLeases("b") })
	do(t, s, func(tx *store.Tx) error {
		if err := tx.Fence("job", second.Token); hub.KindOf(err) != hub.Transient {
			t.Errorf("a lease that was given up is held: %v", err)
		}
		return tx.Fence("job", 0)
	})
	if third := take("a", store.LeaseRow{}, true); third.Token <= second.Token {
		t.Errorf("token %d came after %d", third.Token, second.Token)
	}
}

// testChanges checks that a change of what hubs keep in memory is told.
func testChanges(t *testing.T, k Kit) {
	s := k.store(t)
	changes := func() (n int64) {
		t.Helper()
		view(t, s, func(r *store.Reader) (err error) { n, err = r.Changes(); return err })
		return n
	}
	before := changes()
	do(t, s, func(tx *store.Tx) error {
		return tx.PutKey(&store.KeyRow{ID: "key_1", Tenant: tenant, Hash: []byte("hash"), Role: "viewer"})
	})
	if after := changes(); after <= before {
		t.Errorf("a new key moved the count of changes from %d to %d", before, after)
	}
}
