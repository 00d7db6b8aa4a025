package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// takeTurn begins a transaction and waits until those of all others have ended.
// The lock comes before anything is read, and in this mode each statement sees
// what was committed before it, so that the transaction sees all of the others.
// The lock goes when the transaction ends, after others can see what it did.
func (c *conn) takeTurn(key int64) (last int64, err error) {
	if err := c.send("BEGIN ISOLATION LEVEL READ COMMITTED", nil); err != nil {
		return 0, err
	}
	if err := c.send("SELECT pg_advisory_xact_lock($1)", []any{key}); err != nil {
		return 0, err
	}
	err = c.query("SELECT last FROM turn", nil, func(v []any) error {
		last = v[0].(int64)
		return nil
	})
	return last, err
}

// A tx is the write transaction of an engine.
type tx struct {
	e     *Engine
	c     *conn
	alone bool
	wrote bool
	open  bool // statements of SendOne may be queued
	done  bool
}

var _ driver.Tx = (*tx)(nil)

func (t *tx) Alone() bool { return t.alone }

func (t *tx) Query(query string, args []any, row func([]any) error) error {
	return t.c.query(query, args, row)
}

func (t *tx) Exec(query string, args []any) (int64, error) {
	t.wrote = true
	a, err := t.c.do(query, args)
	return count(a.tag), err
}

func (t *tx) Send(query string, args []any) error {
	t.wrote = true
	return t.c.send(query, args)
}

func (t *tx) SendOne(query string, args []any, missing func() error) error {
	err := t.Send(query, args)
	if err == nil {
		t.c.queue[len(t.c.queue)-1].missing = missing
		t.open = true
	}
	return err
}

// settle waits for the answers that SendOne is to look at. PostgreSQL has nothing
// against a statement that changes no row, so what comes after it may not be
// something that cannot be taken back.
func (t *tx) settle() error {
	if !t.open {
		return nil
	}
	t.open = false
	_, err := t.c.finish()
	return err
}

func (t *tx) Savepoint() error { return t.do("SAVEPOINT part") }
func (t *tx) Release() error   { return t.do("RELEASE part") }

func (t *tx) do(query string) error {
	if err := t.settle(); err != nil {
		return err
	}
	_, err := t.c.do(query, nil)
	return err
}

func (t *tx) drop() {
	t.c.drop()
	t.open = false
}

// Undo drops what has not gone out, which was to be undone, and goes back.
func (t *tx) Undo() error {
	t.drop()
	if err := t.do("ROLLBACK TO part"); err != nil {
		return err
	}
	return t.do("RELEASE part")
}

var errRolledBack = errors.New("a statement of the transaction had failed")

// Commit ends the transaction; a number that nobody else has goes into turn, by
// which the next Begin sees whether this was the last to write.
func (t *tx) Commit() error {
	if err := t.settle(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	last := t.e.last
	if t.wrote {
		last = rand.Int64()
		if err := t.c.send("UPDATE turn SET last = $1", []any{last}); err != nil {
			return err
		}
	}
	a, err := t.c.do("COMMIT", nil)
	if err == nil && a.tag != "COMMIT" {
		t.done, err = true, errRolledBack
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	t.done, t.e.last = true, last
	return nil
}

func (t *tx) Rollback() {
	if t.done {
		return
	}
	t.done = true
	t.drop()
	if err := t.do("ROLLBACK"); err != nil && t.c.dead == nil {
		_ = t.c.broke(err) // it must not go on in this transaction
	}
}
