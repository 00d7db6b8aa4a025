package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// moveSettings are those of a session that reads or writes a whole database: it
// may take hours, and nobody waits for it.
const moveSettings = `SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s';
	SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6`

// movePatience is how long an answer may take there.
const movePatience = time.Hour

// ReadSchema tells how far the schema of a database has come, and changes
// nothing.
func ReadSchema(ctx context.Context, url string) (driver.Schema, error) {
	c, err := dialForMove(ctx, url)
	if err != nil {
		return driver.Schema{}, err
	}
	defer c.close()
	return schemaOf(c)
}

// Migrate brings the schema of a database up to date.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	config, err := configure(url)
	if err != nil {
		return err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return migrate(ctx, config, log)
}

func dialForMove(ctx context.Context, url string) (*conn, error) {
	config, err := configure(url)
	if err != nil {
		return nil, err
	}
	return connect(ctx, &config.Config, movePatience, moveSettings)
}

// OpenDump reads a database as it is now. Hubs may go on writing to it.
func OpenDump(ctx context.Context, url string) (driver.Dump, error) {
	c, err := dialForMove(ctx, url)
	if err != nil {
		return nil, err
	}
	if err = upToDate(c); err == nil {
		_, err = c.do("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return &dump{c}, nil
}

// upToDate refuses a database whose rows may not be those that this program
// knows.
func upToDate(c *conn) error {
	s, err := schemaOf(c)
	switch {
	case err != nil:
		return err
	case s.Version == 0:
		return errors.New("there is no database of tocsin here")
	case len(s.Pending) > 0:
		return fmt.Errorf("the database's schema is version %d and this program's is %d; run tocsin migrate on it first", s.Version, s.Knows)
	}
	return checkVersion(s.Version)
}

type dump struct{ c *conn }

func (d *dump) Query(query string, args []any, row func([]any) error) error {
	return d.c.query(query, args, row)
}

func (d *dump) Tables() ([]driver.Table, error) {
	columns, err := d.c.columns()
	var all []driver.Table
	for _, x := range columns {
		if len(all) == 0 || all[len(all)-1].Name != x.table {
			all = append(all, driver.Table{Name: x.table})
		}
		all[len(all)-1].Columns = append(all[len(all)-1].Columns, x.name)
	}
	return all, err
}

type column struct {
	table, name string
	oid         uint32
	numbered    bool // PostgreSQL gives numbers in it
}

// columns lists those of the store's tables.
func (c *conn) columns() (all []column, err error) {
	err = c.query(`SELECT t.relname::text, a.attname::text, a.atttypid::bigint, a.attidentity <> ''
		FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
		WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition
		AND a.attnum > 0 AND NOT a.attisdropped AND t.relname NOT IN ('goose_db_version', 'turn')
		ORDER BY t.relname COLLATE "C", a.attname COLLATE "C"`, nil, func(v []any) error {
		all = append(all, column{v[0].(string), v[1].(string), uint32(v[2].(int64)), v[3].(int64) == 1})
		return nil
	})
	return all, err
}

// Each takes the rows as they come over the wire: a table may be larger than the
// memory.
func (d *dump) Each(ctx context.Context, t driver.Table, row func([]any) error) error {
	if _, err := d.c.finish(); err != nil {
		return err
	}
	_ = d.c.pg.Conn().SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows := d.c.pg.ExecParams(ctx, "SELECT "+strings.Join(t.Columns, ", ")+" FROM "+t.Name, nil, nil, nil, binaryForm)
	values := make([]any, len(t.Columns))
	var own error
	for own == nil && rows.NextRow() {
		fields := rows.FieldDescriptions()
		for i, b := range rows.Values() {
			if values[i], own = decode(fields[i].DataTypeOID, b); own != nil {
				break
			}
		}
		if own == nil {
			own = row(values)
		}
	}
	if own != nil {
		cancel() // rather than read what is left
		d.c.dead = &driver.Error{Kind: driver.IO, Err: errors.New("reading a table was broken off")}
	}
	_, err := rows.Close()
	if own != nil {
		return own
	}
	return classify(err)
}

func (d *dump) Close() error {
	d.c.close()
	return nil
}
