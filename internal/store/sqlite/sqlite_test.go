package sqlite_test

import (
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
