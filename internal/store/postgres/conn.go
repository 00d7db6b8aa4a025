package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/tocsin/tocsin/internal/store/driver"
)

const (
	// maxStatements bounds the prepared statements a connection keeps. The texts
	// are a fixed set but for the filters of list queries.
	maxStatements = 400
	// maxQueued and maxQueuedBytes bound what goes out unanswered. The answers to
	// that many statements fit into the buffers between here and there, so that
	// neither side waits for the other to read.
	maxQueued      = 512
	maxQueuedBytes = 1 << 20
	// keepBuffer is the largest buffer that is kept for the next use.
	keepBuffer = 1 << 20
	// farewell is how long saying goodbye to a server may take.
	farewell = 100 * time.Millisecond
)

// A conn is one session with its prepared statements. Statements are queued, go
// out together and are answered together, which is one way to the server and
// back. It is used by one goroutine at a time.
type conn struct {
	pg      *pgconn.PgConn
	patient time.Duration // how long an answer may take
	until   time.Time     // when whoever uses it has no more time; zero if that is never
	stmts   map[string]*statement
	named   int   // statements prepared so far
	dead    error // what ended the session

	queue   []queued
	out     []byte // the queue as it goes over the wire
	args    [][]byte
	scratch []byte // parameters are made here; never nil, because a nil parameter is NULL
	values  []any  // of the last answer, for reuse
}

type statement struct {
	name    string
	text    string
	params  []uint32 // their types
	columns []uint32
}

// A queued statement is on its way.
type queued struct {
	*statement
	missing func() error // if set, the error where it does not change one row
}

// An answer is what a statement came to.
type answer struct {
	tag    string
	values []any // row after row
}

// count is the number of rows that were changed, which ends the tag.
func count(tag string) int64 {
	n, _ := strconv.ParseInt(tag[strings.LastIndexByte(tag, ' ')+1:], 10, 64)
	return n
}

// Forms of parameters and results: all binary.
var binaryForm = []int16{1}

// connect opens a session and prepares it with settings.
func connect(ctx context.Context, config *pgconn.Config, patient time.Duration, settings string) (*conn, error) {
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, classify(err)
	}
	c := &conn{pg: pg, patient: patient, stmts: map[string]*statement{}, scratch: make([]byte, 0, 1024)}
	if err := pg.Exec(ctx, settings).Close(); err != nil {
		c.close()
		return nil, classify(err)
	}
	return c, nil
}

// close ends the session, in which nothing may be going on.
func (c *conn) close() {
	_ = c.pg.Conn().SetDeadline(time.Now().Add(farewell))
	_ = c.pg.Close(context.Background()) // whatever happens, it is closed
	if c.dead == nil {
		c.dead = &driver.Error{Kind: driver.IO, Err: errors.New("the connection is closed")}
	}
}

// broke ends the session after an error that leaves it in an unknown state.
func (c *conn) broke(err error) error {
	if err = classify(err); driver.KindOf(err) == "" {
		err = &driver.Error{Kind: driver.IO, Err: err}
	}
	c.dead = err
	c.close()
	return err
}

// send queues a statement. An error is that of a statement queued before, or of
// its parameters, which end the transaction just as well.
func (c *conn) send(query string, args []any) error {
	s, err := c.statement(query)
	if err != nil {
		return err
	}
	if len(c.queue) >= maxQueued || len(c.out) > maxQueuedBytes {
		if _, err := c.finish(); err != nil {
			return err
		}
	}
	if err := c.bind(s, args); err != nil {
		return fmt.Errorf("%s: %w", head(query), err)
	}
	c.queue = append(c.queue, queued{statement: s})
	return nil
}

func (c *conn) bind(s *statement, args []any) (err error) {
	if len(args) < len(s.params) {
		return fmt.Errorf("%d values for %d parameters", len(args), len(s.params))
	}
	c.args, c.scratch = c.args[:0], c.scratch[:0]
	for i, oid := range s.params {
		b, err := c.encode(oid, args[i])
		if err != nil {
			return fmt.Errorf("$%d: %w", i+1, err)
		}
		c.args = append(c.args, b)
	}
	bind := pgproto3.Bind{PreparedStatement: s.name, ParameterFormatCodes: binaryForm, Parameters: c.args, ResultFormatCodes: binaryForm}
	out, err := bind.Encode(c.out)
	if err == nil {
		out, err = (&pgproto3.Execute{}).Encode(out)
	}
	if err == nil {
		c.out = out
	}
	clear(c.args) // let the documents go
	return err
}

// do is send and finish.
func (c *conn) do(query string, args []any) (answer, error) {
	if err := c.send(query, args); err != nil {
		return answer{}, err
	}
	return c.finish()
}

// drop forgets what is queued and has not gone out.
func (c *conn) drop() {
	clear(c.queue)
	c.queue, c.out = c.queue[:0], c.out[:0]
}

// finish sends what is queued and gives the answer to the last of it. After the
// first error nothing more of it was run.
func (c *conn) finish() (answer, error) {
	if c.dead != nil {
		return answer{}, c.dead
	}
	if len(c.queue) == 0 {
		return answer{}, nil
	}
	if err := c.flush(); err != nil {
		return answer{}, err
	}
	a, err := c.receive()
	c.drop()
	return a, err
}

// flush writes what is queued, and that an answer is wanted.
func (c *conn) flush() error {
	out, err := (&pgproto3.Sync{}).Encode(c.out)
	if err != nil {
		return c.broke(err)
	}
	late := time.Now().Add(c.patient)
	if !c.until.IsZero() && c.until.Before(late) {
		late = c.until
	}
	_ = c.pg.Conn().SetDeadline(late)
	_, err = c.pg.Conn().Write(out)
	if c.out = out[:0]; cap(out) > keepBuffer {
		c.out = nil
	}
	if cap(c.scratch) > keepBuffer {
		c.scratch = make([]byte, 0, 1024)
	}
	if err != nil {
		return c.broke(c.lastWords(err))
	}
	return nil
}

// lastWords gives what the server said before it hung up, if it said something.
func (c *conn) lastWords(err error) error {
	_ = c.pg.Conn().SetDeadline(time.Now().Add(farewell))
	for {
		msg, broken := c.pg.Frontend().Receive()
		if broken != nil {
			return err
		}
		if m, refused := msg.(*pgproto3.ErrorResponse); refused {
			return pgconn.ErrorResponseToPgError(m)
		}
	}
}

// receive reads the answers to all that is queued. The first error counts.
func (c *conn) receive() (a answer, err error) {
	a.values, c.values = c.values[:0], nil
	for at := 0; ; {
		msg, broken := c.pg.Frontend().Receive()
		if broken != nil {
			if err != nil { // it said why it would close the connection
				broken = err
			}
			return answer{}, c.broke(broken)
		}
		switch m := msg.(type) {
		case *pgproto3.DataRow:
			if at == len(c.queue)-1 && err == nil {
				a.values, err = c.queue[at].appendRow(a.values, m.Values)
			}
		case *pgproto3.CommandComplete:
			if missing := c.queue[at].missing; missing != nil && err == nil && count(string(m.CommandTag)) != 1 {
				err = missing()
			}
			if at++; at == len(c.queue) {
				a.tag = string(m.CommandTag)
			}
		case *pgproto3.NoticeResponse:
			if err == nil {
				err = warned(m, c.queue[min(at, len(c.queue)-1)])
			}
		case *pgproto3.ErrorResponse:
			if err, broken = c.refused(m, at, err); broken != nil {
				return answer{}, broken
			}
		case *pgproto3.ReadyForQuery:
			if err != nil {
				return answer{}, err
			}
			return a, nil
		}
	}
}

// refused gives the error that counts after PostgreSQL refused the statement at
// a place of the queue, and apart from it one that ended the session.
func (c *conn) refused(m *pgproto3.ErrorResponse, at int, before error) (err, broken error) {
	pg := pgconn.ErrorResponseToPgError(m)
	if err = before; err == nil {
		err = pg
		if at < len(c.queue) {
			err = fmt.Errorf("%s: %w", head(c.queue[at].text), pg)
		}
		err = classify(err)
	}
	if fatal(pg) || stale(pg) || demoted(pg) {
		return err, c.broke(err)
	}
	return err, nil
}

// warned makes an error of the one warning that matters: a commit that stopped
// waiting for the standby says so, and then that it succeeded.
func warned(m *pgproto3.NoticeResponse, s queued) error {
	if s.text != "COMMIT" || m.SeverityUnlocalized != "WARNING" {
		return nil
	}
	return &driver.Error{Kind: driver.IO, Err: errors.New("commit: " + m.Message)}
}

func (s *statement) appendRow(values []any, row [][]byte) ([]any, error) {
	for i, b := range row {
		v, err := decode(s.columns[i], b)
		if err != nil {
			return values, err
		}
		values = append(values, v)
	}
	return values, nil
}

// head is the beginning of a text, for messages.
func head(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	if len(query) > 60 {
		return query[:60] + "…"
	}
	return query
}

// query runs a query. All rows are read before the first is given out, so that
// other queries may be run in between.
func (c *conn) query(query string, args []any, row func([]any) error) error {
	a, err := c.do(query, args)
	if err != nil {
		return err
	}
	return c.each(a, c.stmts[query], row)
}

func (c *conn) each(a answer, s *statement, row func([]any) error) error {
	defer func() {
		clear(a.values) // they are the caller's now
		if cap(a.values) < keepBuffer/16 {
			c.values = a.values[:0]
		}
	}()
	width := len(s.columns)
	for at := 0; at < len(a.values); at += width {
		if err := row(a.values[at : at+width : at+width]); err != nil {
			return err
		}
	}
	return nil
}
