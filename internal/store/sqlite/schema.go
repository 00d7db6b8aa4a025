package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// ReadSchema tells how far the schema of the file has come, and changes nothing.
func ReadSchema(ctx context.Context, path string) (driver.Schema, error) {
	if _, err := os.Stat(path); err != nil {
		return driver.Schema{}, err
	}
	c, err := dial(path, 1<<20, true)
	if err != nil {
		return driver.Schema{}, err
	}
	defer c.close()
	return schemaOf(c)
}

func schemaOf(c *conn) (driver.Schema, error) {
	applied := map[int64]bool{}
	there := false
	err := c.query("SELECT 1 FROM sqlite_master WHERE name = 'goose_db_version'", nil, func([]any) error {
		there = true
		return nil
	})
	if err == nil && there {
		err = c.query("SELECT version_id FROM goose_db_version WHERE is_applied = 1", nil, func(v []any) error {
			applied[v[0].(int64)] = true
			return nil
		})
	}
	if err != nil {
		return driver.Schema{}, err
	}
	return compareSchema(applied)
}

// compareSchema holds the migrations that a database has against those that
// there are.
func compareSchema(applied map[int64]bool) (driver.Schema, error) {
	s := driver.Schema{Pending: []string{}}
	for v := range applied {
		s.Version = max(s.Version, v)
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // in order
	if err != nil {
		return s, err
	}
	for _, file := range files {
		n, err := goose.NumericComponent(file)
		if err != nil {
			return s, err
		}
		s.Knows = n
		if !applied[n] {
			s.Pending = append(s.Pending, file[len("migrations/"):])
		}
	}
	return s, nil
}

// checkVersion refuses a file that a newer program has changed.
func checkVersion(has int64) error {
	s, err := compareSchema(nil)
	if err == nil && has > s.Knows {
		err = fmt.Errorf("the database's schema is version %d and this program knows up to %d: a newer tocsin has used it; start that one, or restore a backup from before", has, s.Knows)
	}
	return err
}

// upToDate refuses a file whose rows may not be those that this program knows.
func upToDate(c *conn, path string) error {
	s, err := schemaOf(c)
	switch {
	case err != nil:
		return err
	case s.Version == 0:
		return fmt.Errorf("%s is no database of tocsin", path)
	case s.Version > s.Knows:
		return checkVersion(s.Version)
	case len(s.Pending) > 0:
		return fmt.Errorf("the schema of %s is version %d and this program's is %d; run tocsin migrate on it first", path, s.Version, s.Knows)
	}
	return nil
}
