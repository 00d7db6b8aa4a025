package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// databaseOf gives the path or URL of a database that is written as store.url of
// the configuration is.
func databaseOf(flag, given string) (string, error) {
	if isPostgres(given) {
		return given, nil
	}
	path, ok := strings.CutPrefix(given, "sqlite:")
	if !ok || path == "" {
		return "", &UsageError{fmt.Sprintf("%s %q is not known; give sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE", flag, given)}
	}
	return strings.TrimPrefix(path, "//"), nil
}

// SchemaOf tells how far the schema of a database has come, and changes nothing.
// A file that is not there is one without tables.
func SchemaOf(ctx context.Context, database string) (driver.Schema, error) {
	if isPostgres(database) {
		return postgres.ReadSchema(ctx, database)
	}
	s, err := sqlite.ReadSchema(ctx, database)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("there is no database at %s; the first start of a hub makes one", database)
	}
	return s, err
}

// MigrateSchema brings the schema of a database up to date, as the start of a hub
// does. No hub may run over an embedded one; over a PostgreSQL the hubs of the
// version before may.
func MigrateSchema(ctx context.Context, database string) (before, after driver.Schema, err error) {
	if before, err = SchemaOf(ctx, database); err != nil {
		return before, after, err
	}
	if isPostgres(database) {
		err = postgres.Migrate(ctx, database, nil)
	} else {
		err = migrateFile(ctx, database)
	}
	if err == nil {
		after, err = SchemaOf(ctx, database)
	}
	return before, after, err
}

func migrateFile(ctx context.Context, path string) error {
	lock, err := sqlite.TakeLock(ctx, path)
	if err != nil {
		return err
	}
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: path, CacheBytes: 64 << 20, Readers: 1})
	if err == nil {
		err = engine.Close()
	}
	return errors.Join(err, lock.Release())
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
