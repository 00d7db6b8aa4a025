package sqlite

import (
	"database/sql"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// older makes a file as the program before the newest migration has left it.
func older(t *testing.T) (path, newest string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "db")
	now, err := compareSchema(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := now.Pending[len(now.Pending)-2]
	version, err := goose.NumericComponent(before)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, 1<<20, false))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return path, now.Pending[len(now.Pending)-1]
}

// Whoever only looks leaves an old schema as it is; what relies on the newest
// refuses it; opening it brings it up to date.
func TestOlderSchema(t *testing.T) {
	path, newest := older(t)
	pending := func() []string {
		s, err := ReadSchema(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return s.Pending
	}
	if got := pending(); !slices.Equal(got, []string{newest}) {
		t.Fatalf("pending are %v, want %s", got, newest)
	}
	e, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Begin(t.Context()); err == nil {
		t.Error("a database opened for reading takes a write")
	}
	if err := e.Maintain(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenDump(t.Context(), path); err == nil || !strings.Contains(err.Error(), "tocsin migrate") {
		t.Errorf("a dump of an old schema: %v", err)
	}
	if got := pending(); len(got) != 1 {
		t.Errorf("looking at it changed the schema: pending are %v", got)
	}
	if e, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if got := pending(); len(got) != 0 {
		t.Errorf("after it was opened, pending are %v", got)
	}
}
