// Package drivertest checks an engine of internal/store: the contract of
// [driver.Engine], what the store builds on it, and what becomes of both when
// the disk fails. Every engine runs the same tests.
package drivertest

import (
	"testing"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// A Kit says how to get at databases of an engine.
type Kit struct {
	// Place makes room for one database, which ends with the test, and names it.
	Place func(t testing.TB) string
	// Open opens the database at a place, and makes it if it is not there. It is
	// called again for the same place after Close.
	Open func(t testing.TB, place string) (driver.Engine, error)
	// Backups tells that what [driver.Engine.Backup] writes is itself a place. If
	// not, it must say what to use instead.
	Backups bool
	// Shared tells that a place may be open several times at once.
	Shared bool
	// Disturb are ways to hurt the database at a place while it is in use, such as
	// to cut its connections; each returns when it can be used again.
	Disturb map[string]func(t testing.TB, place string)
}

func (k Kit) open(t testing.TB, place string) driver.Engine {
	t.Helper()
	e, err := k.Open(t, place)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fresh gives an engine over an empty database that ends with the test.
func (k Kit) fresh(t testing.TB) driver.Engine {
	t.Helper()
	e := k.open(t, k.Place(t))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Run runs all tests against an engine.
func Run(t *testing.T, k Kit) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Kit)
	}{
		{"commit survives reopening", testCommit},
		{"rollback drops everything", testRollback},
		{"savepoints", testSavepoints},
		{"snapshots see one state", testSnapshot},
		{"snapshots beside a writer", testSnapshotsBesideWriter},
		{"snapshots wait no longer than their context", testSnapshotContext},
		{"parameters by number", testParameters},
		{"values", testValues},
		{"texts sort by their bytes", testOrder},
		{"values are the caller's to keep", testValuesKept},
		{"big values", testBigValues},
		{"unique violation", testUnique},
		{"an error of the row function", testRowError},
		{"statements tell how many rows", testRowsAffected},
		{"statements sent without waiting", testSent},
		{"many different statements", testManyStatements},
		{"backup", testBackup},

		{"store: callers share a transaction", testGroupCommit},
		{"store: each caller has its own error", testOwnErrors},
		{"store: a panic is one caller's error", testPanic},
		{"store: a bad row is one caller's error", testBadRow},
		{"store: a bad audit entry is one caller's error", testBadEntry},
		{"store: audit entries are sealed with their change", testAudit},
		{"store: counters never go back", testCounters},
		{"store: close", testClose},
		{"store: contexts", testContexts},
		{"store: rows come back", testRoundTrips},
		{"store: what the relay asks", testRelay},
		{"store: long keys", testLongKeys},
		{"store: alert counts", testAlertCounts},
		{"store: cursors stay valid", testCursors},
		{"store: bus tables", testBusTables},
		{"store: leases", testLeases},
		{"store: changes are told", testChanges},
		{"store: alert rules", testAlertRules},
		{"store: secrets are sealed", testSealedSecrets},
		{"store: inventory rows", testInventoryRows},
		{"store: inventory in any order", testInventoryOrder},
		{"store: inventory as a model has it", testInventoryModel},
		{"store: edges and blast radius", testBlast},
		{"store: one write fails", testFaults},
		{"store: a message of a lost answer", testLostAnswer},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, k) })
	}
	if k.Shared {
		t.Run("nodes: each number once, one log", func(t *testing.T) { testNodes(t, k) })
		t.Run("nodes: errors are one node's own", func(t *testing.T) { testNodesErrors(t, k) })
		t.Run("nodes: disturbed", func(t *testing.T) { testNodesDisturbed(t, k) })
	}
}
