package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin/tocsin/internal/store/driver"
)

var errClosed = errors.New("store: the engine is closed")

// A snapshot is a read transaction. It begins with its first query, on the same
// way to the server.
type snapshot struct {
	e     *Engine
	c     *conn
	fresh bool // just connected
	begun bool
	until time.Time // when the caller's time is over
}

var _ driver.Snapshot = (*snapshot)(nil)

// Snapshot starts a read transaction, waiting for a free connection.
func (e *Engine) Snapshot(ctx context.Context) (driver.Snapshot, error) {
	s := &snapshot{e: e}
	open := false
	select {
	case s.c, open = <-e.readers:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !open {
		return nil, errClosed
	}
	if s.c == nil || s.c.dead != nil {
		if err := s.connect(ctx); err != nil {
			e.readers <- nil
			return nil, err
		}
	}
	s.until, _ = ctx.Deadline()
	return s, nil
}

func (s *snapshot) connect(ctx context.Context) error {
	c, err := s.e.connect(ctx, false)
	if err == nil {
		s.c, s.fresh = c, true
	}
	return err
}

func (s *snapshot) Query(query string, args []any, row func([]any) error) error {
	if s.begun {
		return s.c.query(query, args, row)
	}
	a, err := s.begin(query, args)
	if err != nil && s.c.dead != nil && !s.fresh { // the server was started anew since the last time
		ctx, cancel := context.WithTimeout(context.Background(), connectTime)
		defer cancel()
		if err := s.connect(ctx); err != nil {
			return err
		}
		a, err = s.begin(query, args)
	}
	if err != nil {
		return err
	}
	return s.c.each(a, s.c.stmts[query], row)
}

// begin begins the transaction with its first query.
func (s *snapshot) begin(query string, args []any) (answer, error) {
	s.begun, s.c.until = true, s.until
	if err := s.c.send("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil); err != nil {
		return answer{}, err
	}
	return s.c.do(query, args)
}

// Close ends the transaction and gives the connection back.
func (s *snapshot) Close() {
	if s.begun && s.c.dead == nil {
		s.c.drop()
		s.c.until = time.Time{}
		if _, err := s.c.do("ROLLBACK", nil); err != nil && s.c.dead == nil {
			_ = s.c.broke(err)
		}
	}
	s.e.readers <- s.c
}

// Time gives the server's clock, which is that of all nodes.
func (e *Engine) Time(ctx context.Context) (read, before, after time.Time, err error) {
	s, err := e.Snapshot(ctx)
	if err != nil {
		return read, before, after, err
	}
	defer s.Close()
	before = time.Now()
	err = s.Query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", nil, func(v []any) error {
		read = time.UnixMicro(v[0].(int64))
		return nil
	})
	return read, before, time.Now(), err
}
