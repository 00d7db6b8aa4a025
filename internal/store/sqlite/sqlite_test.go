package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/drivertest"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

func TestEngine(t *testing.T) {
	drivertest.Run(t, drivertest.Kit{
		Place: func(t testing.TB) string { return filepath.Join(t.TempDir(), "db") },
		Open: func(t testing.TB, place string) (driver.Engine, error) {
			return sqlite.Open(t.Context(), sqlite.Options{Path: place, CacheBytes: 4 << 20})
		},
		Backups: true,
	})
}

// Queries inside queries must not lose their place when the cache of statements
// is full.
func TestStatementsInUseAreKept(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	err = s.Query("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", nil, func([]any) error {
		for i := range 500 {
			err := s.Query(fmt.Sprintf("SELECT %d, %d", n, i), nil, func([]any) error { return nil })
			if err != nil {
				return err
			}
		}
		n++
		return nil
	})
	if n != 3 || err != nil {
		t.Errorf("the outer query gave %d rows, want 3; error %v", n, err)
	}
}
