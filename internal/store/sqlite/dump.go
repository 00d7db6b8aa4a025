package sqlite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// OpenDump reads a file as it is now. A hub may go on writing to it.
func OpenDump(_ context.Context, path string) (driver.Dump, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, classify(err)
	}
	c, err := dial(path, 16<<20, true)
	if err != nil {
		return nil, err
	}
	if err = upToDate(c, path); err == nil {
		_, err = c.exec("BEGIN", nil) // one state for all that follows
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return &dump{c}, nil
}

type dump struct{ c *conn }

func (d *dump) Query(query string, args []any, row func([]any) error) error {
	return d.c.query(query, args, row)
}

func (d *dump) Tables() ([]driver.Table, error) {
	var all []driver.Table
	err := d.c.query(`SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT IN ('goose_db_version', $1) ORDER BY m.name, c.name`,
		[]any{bagTable}, func(v []any) error {
			name, column := v[0].(string), v[1].(string)
			if len(all) == 0 || all[len(all)-1].Name != name {
				all = append(all, driver.Table{Name: name})
			}
			all[len(all)-1].Columns = append(all[len(all)-1].Columns, column)
			return nil
		})
	return all, err
}

func (d *dump) Each(ctx context.Context, t driver.Table, row func([]any) error) error {
	n := 0
	return d.c.query("SELECT "+strings.Join(t.Columns, ", ")+" FROM "+t.Name, nil, func(v []any) error {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return row(v)
	})
}

func (d *dump) Close() error {
	d.c.close()
	return nil
}

// OpenLoad makes a file that is put in place when it is complete. There must be
// none.
func OpenLoad(ctx context.Context, path string) (driver.Load, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists; name a file that does not", path)
	}
	l := &load{path: path, temporary: filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()+".tmp")}
	err := secureFile(l.temporary)
	if err == nil {
		err = migrate(ctx, l.temporary)
	}
	if err == nil {
		l.c, err = dial(l.temporary, 256<<20, false)
	}
	if err == nil {
		// Whatever goes wrong, the file is thrown away: nothing needs to be undone.
		err = l.c.pragmas("journal_mode(OFF)", "synchronous(OFF)")
	}
	if err == nil {
		_, err = l.c.exec("BEGIN IMMEDIATE", nil)
	}
	if err != nil {
		return nil, errors.Join(classify(err), l.Close())
	}
	l.dump = dump{l.c}
	return l, nil
}

type load struct {
	dump
	c               *conn
	path, temporary string
}

func (l *load) Exec(query string, args []any) (int64, error) { return l.c.exec(query, args) }

// putRows is how many rows an insert has.
const putRows = 16

func (l *load) Put(ctx context.Context, t driver.Table, rows func(put func([]any) error) error) error {
	one, many := insertText(t, 1), insertText(t, putRows)
	width, args := len(t.Columns), make([]any, 0, putRows*len(t.Columns))
	err := rows(func(values []any) error {
		if len(values) != width {
			return fmt.Errorf("%d values for the %d columns of %s", len(values), width, t.Name)
		}
		for _, v := range values {
			if b, is := v.([]byte); is && b == nil { // which the driver takes for NULL
				v = []byte{}
			}
			args = append(args, v)
		}
		if len(args) < putRows*width {
			return ctx.Err()
		}
		_, err := l.c.exec(many, args)
		clear(args)
		args = args[:0]
		return err
	})
	for part := range slices.Chunk(args, width) {
		if err == nil {
			_, err = l.c.exec(one, part)
		}
	}
	if err != nil {
		return fmt.Errorf("put rows into %s: %w", t.Name, err)
	}
	return nil
}

func insertText(t driver.Table, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", t.Name, strings.Join(t.Columns, ", "))
	for i := range rows * len(t.Columns) {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(t.Columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String() + ")"
}

// Commit makes the file durable, then gives it its name.
func (l *load) Commit(context.Context) error {
	if _, err := l.c.exec("COMMIT", nil); err != nil {
		return err
	}
	if err := l.c.pragmas("optimize", "journal_mode(WAL)"); err != nil {
		return err
	}
	l.c.close()
	l.c = nil
	if err := syncFile(l.temporary); err != nil {
		return err
	}
	if err := os.Link(l.temporary, l.path); err != nil { // which fails if somebody was faster
		return err
	}
	dir, err := os.Open(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (l *load) Close() error {
	if l.c != nil {
		l.c.close()
		l.c = nil
	}
	for _, name := range append(Beside(l.temporary), l.temporary) {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
