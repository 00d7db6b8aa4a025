package drivertest

import (
	"context"
	"errors"
	"sync"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// Faulty is an engine one of whose writes can be made to fail, either before it
// happened or after.
type Faulty struct {
	driver.Engine

	mu      sync.Mutex // guards what follows
	left    int        // writes until the one that fails; 0 is none
	kind    driver.Kind
	applied bool
	down    int // how many further writes fail, none of which happens
	hit     string
}

// Arm makes the n-th write from now fail with an error of the kind, and the few
// writes after it too, as a disk stays full for a while. A write that is
// applied happens all the same.
func (f *Faulty) Arm(n int, kind driver.Kind, applied bool, few int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.kind, f.applied, f.down, f.hit = n, kind, applied, few, ""
}

// Hit tells which write failed; "" if that has not happened.
func (f *Faulty) Hit() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// do does a write, or fails.
func (f *Faulty) do(name string, op func() error) error {
	fails, applied := f.next(name)
	if !fails {
		return op()
	}
	if applied {
		if err := op(); err != nil {
			return err
		}
	}
	return &driver.Error{Kind: f.kind, Err: errors.New("made to fail: " + name)}
}

func (f *Faulty) next(name string) (fails, applied bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.left > 1:
		f.left--
	case f.left == 1:
		f.left, f.hit = 0, name
		return true, f.applied
	case f.hit != "" && f.down > 0:
		f.down--
		return true, false
	}
	return false, false
}

// Begin may fail.
func (f *Faulty) Begin(ctx context.Context) (tx driver.Tx, err error) {
	err = f.do("begin", func() error {
		tx, err = f.Engine.Begin(ctx)
		return err
	})
	if err != nil {
		if tx != nil {
			tx.Rollback()
		}
		return nil, err
	}
	return &faultyTx{tx, f}, nil
}

type faultyTx struct {
	driver.Tx
	f *Faulty
}

func (t *faultyTx) Exec(query string, args []any) (n int64, err error) {
	err = t.f.do("exec "+query, func() (err error) {
		n, err = t.Tx.Exec(query, args)
		return err
	})
	return n, err
}

func (t *faultyTx) Send(query string, args []any) error {
	return t.f.do("exec "+query, func() error { return t.Tx.Send(query, args) })
}

func (t *faultyTx) SendOne(query string, args []any, missing func() error) error {
	return t.f.do("exec "+query, func() error { return t.Tx.SendOne(query, args, missing) })
}

func (t *faultyTx) Savepoint() error { return t.f.do("savepoint", t.Tx.Savepoint) }
func (t *faultyTx) Release() error   { return t.f.do("release", t.Tx.Release) }
func (t *faultyTx) Undo() error      { return t.f.do("undo", t.Tx.Undo) }
func (t *faultyTx) Commit() error    { return t.f.do("commit", t.Tx.Commit) }
