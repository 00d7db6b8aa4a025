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
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	knows, err := goose.NumericComponent(files[len(files)-1]) // they are in order
	if err != nil {
		return err
	}
	if has > knows {
		return fmt.Errorf("the database's schema is version %d and this program knows up to %d: a newer tocsin has used it; start that one, or restore a backup from before", has, knows)
	}
	return nil
}

// look checks a database that is not to be changed.
func (e *Engine) look(ctx context.Context) error {
	c, err := e.connect(ctx, false)
	if err != nil {
		return err
	}
	defer c.close()
	has := int64(0)
	err = c.query("SELECT max(version_id) FROM goose_db_version WHERE is_applied", nil, func(v []any) error {
		has, _ = v[0].(int64)
		return nil
	})
	if err != nil {
		return fmt.Errorf("there is no database of tocsin here: %w", err)
	}
	return checkVersion(has)
}
