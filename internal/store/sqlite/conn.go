package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tocsin/tocsin/internal/store/driver"
	msqlite "modernc.org/sqlite"
)

// maxStatements bounds the prepared statements a connection keeps. The texts
// are a fixed set but for the filters of list queries.
const maxStatements = 400

// A conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	raw   sqldriver.Conn
	stmts map[string]*statement
	open  int // queries whose rows are being read
}

type statement struct {
	exec  sqldriver.StmtExecContext
	query sqldriver.StmtQueryContext
	close func() error
	order []int                  // which argument each parameter takes, from 0
	args  []sqldriver.NamedValue // reused between calls
	row   []sqldriver.Value
	out   []any
}

func dial(path string, cache int64, readOnly bool) (*conn, error) {
	raw, err := (&msqlite.Driver{}).Open(dsn(path, cache, readOnly))
	if err != nil {
		return nil, classify(err)
	}
	return &conn{raw: raw, stmts: map[string]*statement{}}, nil
}

func (c *conn) close() {
	c.forget()
	_ = c.raw.Close() // nothing is open on it, and nothing could be done about it
}

func (c *conn) forget() {
	for _, s := range c.stmts {
		_ = s.close()
	}
	clear(c.stmts)
}

func (c *conn) statement(query string) (*statement, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStatements && c.open == 0 {
		c.forget()
	}
	text, order := anonymous(query)
	st, err := c.raw.Prepare(text)
	if err != nil {
		return nil, classify(fmt.Errorf("prepare %q: %w", query, err))
	}
	s := &statement{exec: st.(sqldriver.StmtExecContext), query: st.(sqldriver.StmtQueryContext), close: st.Close, order: order}
	c.stmts[query] = s
	return s, nil
}

// anonymous turns the numbered parameters of a text into anonymous ones, and
// tells which argument each takes. SQLite counts $1 as a name, and the driver
// looks every name up in a list: with the hundreds of parameters of a multi-row
// insert that took more time than the insert.
func anonymous(query string) (text string, order []int) {
	var b strings.Builder
	for i := 0; i < len(query); i++ {
		if c := query[i]; c == '\'' {
			end := i + 1 + strings.IndexByte(query[i+1:], '\'')
			b.WriteString(query[i : end+1])
			i = end
			continue
		} else if c != '$' {
			b.WriteByte(c)
			continue
		}
		n := 0
		for i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9' {
			i++
			n = 10*n + int(query[i]-'0')
		}
		b.WriteByte('?')
		order = append(order, n-1)
	}
	return b.String(), order
}

func (s *statement) bind(args []any) []sqldriver.NamedValue {
	s.args = s.args[:0]
	for i, n := range s.order {
		s.args = append(s.args, sqldriver.NamedValue{Ordinal: i + 1, Value: value(args[n])})
	}
	return s.args
}

// value gives the four types that SQLite stores for the few that callers use.
func value(a any) sqldriver.Value {
	switch v := a.(type) {
	case nil, int64, float64, string, []byte:
		return v
	case int:
		return int64(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case *float64:
		if v == nil {
			return nil
		}
		return *v
	}
	panic(fmt.Sprintf("store: no SQL value for a %T", a))
}

func (c *conn) exec(query string, args []any) (int64, error) {
	s, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	res, err := s.exec.ExecContext(context.Background(), s.bind(args))
	clear(s.args) // let the documents go
	if err != nil {
		return 0, classify(err)
	}
	return res.RowsAffected()
}

func (c *conn) query(query string, args []any, row func([]any) error) error {
	s, err := c.statement(query)
	if err != nil {
		return err
	}
	rows, err := s.query.QueryContext(context.Background(), s.bind(args))
	clear(s.args)
	if err != nil {
		return classify(err)
	}
	c.open++
	defer func() {
		c.open--
		_ = rows.Close() // what went wrong was seen while reading
	}()
	return s.each(rows, row)
}

func (s *statement) each(rows sqldriver.Rows, row func([]any) error) error {
	if s.row == nil {
		s.row = make([]sqldriver.Value, len(rows.Columns()))
		s.out = make([]any, len(s.row))
	}
	for {
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return classify(err)
		}
		for i, v := range s.row {
			s.out[i] = v
		}
		if err := row(s.out); err != nil {
			return err
		}
	}
}

// A tx is the write transaction of an engine.
type tx struct {
	e    *Engine
	c    *conn
	done bool
}

var _ driver.Tx = (*tx)(nil)

func (t *tx) Exec(query string, args []any) (int64, error) {
	n, err := t.c.exec(query, args)
	t.e.note(err)
	return n, err
}

// Send is Exec: there is no way to the database that could be saved.
func (t *tx) Send(query string, args []any) error {
	_, err := t.Exec(query, args)
	return err
}

// SendOne is Exec and a look at the number of rows.
func (t *tx) SendOne(query string, args []any, missing func() error) error {
	n, err := t.Exec(query, args)
	if err == nil && n != 1 {
		err = missing()
	}
	return err
}

// Alone is true: the file is this program's.
func (t *tx) Alone() bool { return true }

func (t *tx) Query(query string, args []any, row func([]any) error) error {
	err := t.c.query(query, args, row)
	t.e.note(err)
	return err
}

func (t *tx) do(query string) error {
	_, err := t.Exec(query, nil)
	return err
}

func (t *tx) Savepoint() error { return t.do("SAVEPOINT part") }
func (t *tx) Release() error   { return t.do("RELEASE part") }

func (t *tx) Undo() error {
	if err := t.do("ROLLBACK TO part"); err != nil {
		return err
	}
	return t.do("RELEASE part")
}

func (t *tx) Commit() error {
	if err := t.do("COMMIT"); err != nil {
		t.e.broken = true // it may or may not have been applied: look afresh
		return err
	}
	t.done = true
	t.e.ckpt.wrote()
	return nil
}

func (t *tx) Rollback() {
	if t.done {
		return
	}
	t.done = true
	if err := t.do("ROLLBACK"); err != nil {
		t.e.broken = true
	}
}
