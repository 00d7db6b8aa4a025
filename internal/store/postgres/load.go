package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// OpenLoad brings the schema of an empty database up to date and fills it in one
// transaction, during which no hub can write to it.
func OpenLoad(ctx context.Context, url string) (driver.Load, error) {
	if err := Migrate(ctx, url, nil); err != nil {
		return nil, err
	}
	c, err := dialForMove(ctx, url)
	if err != nil {
		return nil, err
	}
	l := &load{dump: dump{c}}
	if err := l.begin(); err != nil {
		c.close()
		return nil, err
	}
	return l, nil
}

type load struct {
	dump
	columns []column
}

// begin takes the turn to write, which ends with the transaction, and refuses a
// database that holds something.
func (l *load) begin() (err error) {
	schema := ""
	err = l.c.query("SELECT current_schema()::text", nil, func(v []any) error {
		schema = v[0].(string)
		return nil
	})
	if err == nil {
		_, err = l.c.takeTurn(lockKey("turn", schema))
	}
	if driver.KindOf(err) == driver.Busy {
		return fmt.Errorf("a hub writes to the target (%w); name a database that is not in use", err)
	}
	if err == nil {
		l.columns, err = l.c.columns()
	}
	if err != nil {
		return err
	}
	return l.mustBeEmpty()
}

func (l *load) mustBeEmpty() error {
	tables, err := l.Tables()
	if err != nil {
		return err
	}
	var full []string
	for _, t := range tables {
		err := l.Query("SELECT count(*) FROM (SELECT 1 FROM "+t.Name+" LIMIT 1000) AS part", nil, func(v []any) error {
			if n := v[0].(int64); n > 0 {
				full = append(full, fmt.Sprintf("%d in %s", n, t.Name))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(full) > 0 {
		return fmt.Errorf("the target is not empty (rows: %s); name an empty database, or another schema by search_path in the URL", strings.Join(full[:min(len(full), 4)], ", "))
	}
	return nil
}

func (l *load) Exec(query string, args []any) (int64, error) {
	a, err := l.c.do(query, args)
	return count(a.tag), err
}

// Put sends the rows by COPY, in its binary form.
func (l *load) Put(ctx context.Context, t driver.Table, rows func(put func([]any) error) error) error {
	if _, err := l.c.finish(); err != nil {
		return err
	}
	_ = l.c.pg.Conn().SetDeadline(time.Time{})
	from, to := io.Pipe()
	var written error
	var writer sync.WaitGroup
	writer.Go(func() {
		written = l.write(to, t, rows)
		_ = to.CloseWithError(written) // it never fails
	})
	_, err := l.c.pg.CopyFrom(ctx, from, "COPY "+t.Name+" ("+strings.Join(t.Columns, ", ")+") FROM STDIN BINARY")
	_ = from.CloseWithError(io.ErrClosedPipe) // if the server did not want all of it
	writer.Wait()
	if written != nil && !errors.Is(written, io.ErrClosedPipe) {
		err = written
	}
	if err != nil {
		return fmt.Errorf("put rows into %s: %w", t.Name, classify(err))
	}
	return nil
}

// copyHeader begins the binary form: its signature, no flags, no extension.
const copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func (l *load) write(to io.Writer, t driver.Table, rows func(put func([]any) error) error) error {
	oids := make([]uint32, len(t.Columns))
	for i, name := range t.Columns {
		at := slices.IndexFunc(l.columns, func(c column) bool { return c.table == t.Name && c.name == name })
		if at < 0 {
			return fmt.Errorf("there is no column %s in %s", name, t.Name)
		}
		oids[i] = l.columns[at].oid
	}
	w := bufio.NewWriterSize(to, 128<<10)
	if _, err := w.WriteString(copyHeader); err != nil {
		return err
	}
	var tuple []byte
	err := rows(func(values []any) (err error) {
		if tuple, err = l.appendTuple(tuple[:0], oids, values); err == nil {
			_, err = w.Write(tuple)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{0xff, 0xff}); err != nil {
		return err
	}
	return w.Flush()
}

func (l *load) appendTuple(b []byte, oids []uint32, values []any) ([]byte, error) {
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	l.c.scratch = l.c.scratch[:0]
	for i, v := range values {
		if v == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		field, err := l.c.encode(oids[i], v)
		if err != nil {
			return b, err
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return b, nil
}

// Commit moves the numbers that PostgreSQL gives on behind those that are there,
// and commits.
func (l *load) Commit(ctx context.Context) error {
	for _, x := range l.columns {
		if !x.numbered {
			continue
		}
		_, err := l.Exec(fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), (SELECT coalesce(max(%[2]s), 0) + 1 FROM %[1]s), false)", x.table, x.name), nil)
		if err != nil {
			return err
		}
	}
	if _, err := l.Exec("UPDATE turn SET last = $1", []any{rand.Int64()}); err != nil {
		return err
	}
	if _, err := l.c.do("COMMIT", nil); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	// Until there are statistics some queries read whole tables. PostgreSQL would
	// make them by itself, minutes later.
	_ = l.c.pg.Exec(ctx, "ANALYZE").Close()
	return nil
}
