package drivertest

import (
	"strings"
	"testing"

	"github.com/tocsin/tocsin/internal/store"
)

// Of what was rejected the newest hundred of each connector are kept, cut where
// they are long.
func tripRejected(t *testing.T, s *store.Store) {
	keep := func(connector string, n int, item string) {
		t.Helper()
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			items := make([]store.Rejected, n)
			for i := range items {
				items[i] = store.Rejected{Index: i, Error: "it is none", Item: item}
			}
			return tx.KeepRejected(tenant, connector, items)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(connector string) (all []store.Rejected) {
		t.Helper()
		err := s.View(t.Context(), func(r *store.Reader) (err error) {
			all, err = r.Rejected(tenant, connector)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := read("one"); len(got) != 0 {
		t.Errorf("before there was anything: %v", got)
	}
	keep("one", 0, "")
	keep("one", 70, "\x00\xff")
	keep("one", 70, strings.Repeat("é", 20_000))
	keep("two", 300, "x")
	one, two := read("one"), read("two")
	if len(one) != 100 || one[0].N != 140 || one[99].N != 41 || one[0].Bytes != 40_000 || len(one[0].Item) != 16<<10 {
		t.Errorf("of one %d are kept, %d to %d, the last with %d of %d bytes", len(one), one[0].N, one[len(one)-1].N, len(one[0].Item), one[0].Bytes)
	}
	if old := one[99]; old.Item != "\x00\uFFFD" || old.Index != 40 || old.Error != "it is none" || old.At.IsZero() {
		t.Errorf("the oldest is %+v", old)
	}
	if len(two) != 100 || two[0].Index != 299 {
		t.Errorf("of two %d are kept, the newest of index %d", len(two), two[0].Index)
	}
}
