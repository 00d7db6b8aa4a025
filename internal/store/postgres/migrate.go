package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/tocsin/tocsin/internal/store/driver"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationSettings let a migration take its time, but not wait long for a table
// that somebody uses: while it waits, whoever comes later waits behind it.
const migrationSettings = "SET statement_timeout = 0; SET lock_timeout = '10s'"

// migrate brings the schema up to date. Of hubs that start at once one does it
// and the others wait.
func migrate(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (err error) {
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, migrationSettings)
		return err
	}))
	defer func() { err = errors.Join(err, db.Close()) }()
	unlock, err := lockSchema(ctx, db, log)
	if err != nil {
		return classify(fmt.Errorf("wait for the schema: %w", err))
	}
	defer unlock()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return classify(fmt.Errorf("read the schema's version: %w", err))
	}
	if err := checkVersion(has); err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return classify(fmt.Errorf("migrate the database: %w", err))
	}
	return nil
}

// lockSchema takes the lock that migrations of this schema run under.
func lockSchema(ctx context.Context, db *sql.DB, log *slog.Logger) (unlock func(), err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var schema sql.NullString
	if err := c.QueryRowContext(ctx, "SELECT current_schema()::text").Scan(&schema); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if !schema.Valid {
		return nil, errors.Join(errors.New("there is no schema: make the one that search_path in the URL names"), c.Close())
	}
	key, got := lockKey("migrations", schema.String), false
	if err := c.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if !got {
		log.Info("another hub is bringing the schema up to date; waiting for it")
		_, err := c.ExecContext(ctx, "SET lock_timeout = 0")
		if err == nil {
			_, err = c.ExecContext(ctx, "SELECT pg_advisory_lock($1)", key)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return func() {
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", key) // and the end of the session would do
		_ = c.Close()
	}, nil
}

// checkVersion refuses a database that a newer program has changed.
func checkVersion(has int64) error {
	s, err := compareSchema(nil)
	if err == nil && has > s.Knows {
		err = fmt.Errorf("the database's schema is version %d and this program knows up to %d: a newer tocsin has used it; start that one, or restore a backup from before", has, s.Knows)
	}
	return err
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

func schemaOf(c *conn) (driver.Schema, error) {
	applied, there := map[int64]bool{}, false
	err := c.query("SELECT to_regclass('goose_db_version') IS NOT NULL", nil, func(v []any) error {
		there = v[0].(int64) == 1
		return nil
	})
	if err == nil && there {
		err = c.query("SELECT version_id FROM goose_db_version WHERE is_applied", nil, func(v []any) error {
			applied[v[0].(int64)] = true
			return nil
		})
	}
	if err != nil {
		return driver.Schema{}, err
	}
	return compareSchema(applied)
}

// look checks a database that is not to be changed.
func (e *Engine) look(ctx context.Context) error {
	c, err := e.connect(ctx, false)
	if err != nil {
		return err
	}
	defer c.close()
	has, err := schemaOf(c)
	if err != nil {
		return err
	}
	if has.Version == 0 {
		return errors.New("there is no database of tocsin here")
	}
	return checkVersion(has.Version)
}
