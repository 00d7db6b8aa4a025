// Package driver is what internal/store needs of a database: transactions of
// SQL text with numbered parameters, snapshots to read from, and errors that
// say which of a few kinds they are.
//
// It knows no domain: SQL text and values go in, rows come out. internal/store
// holds the SQL, which is the same for every engine: parameters are $1…$n, times
// are integers of microseconds, documents are bytes. Values are nil, int64,
// float64, string and []byte, in both directions; going in also int, bool (0 or
// 1) and *float64 (nil is NULL). Texts may hold any bytes and sort by them; one
// in a key may have 2,000. internal/store/drivertest checks an engine.
package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Engine is an open database whose schema is up to date.
type Engine interface {
	// Begin starts a write transaction. The store's writer calls it from one
	// goroutine at a time and ends each transaction before the next. Where other
	// programs write to the same database, it waits for its turn: transactions of
	// all of them run one after the other, and each sees all before it.
	//
	// After an error of kind [Full] or [IO] the engine may be in any state; the
	// next Begin must put it right or fail.
	Begin(ctx context.Context) (Tx, error)

	// Snapshot starts a read transaction that sees one committed state. Calls
	// may overlap each other and write transactions.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Maintain does what should be done now and then between transactions, such
	// as moving the log into the main file. The writer calls it when idle or
	// after every few transactions; it must be quick.
	Maintain() error

	// Backup writes a consistent copy of the database to a new file, or says what
	// is to be used instead.
	Backup(ctx context.Context, path string) error

	// Close ends the engine after the last transaction has ended.
	Close() error
}

// A Timekeeper is an engine whose database has a clock of its own, which is that
// of all programs over it.
type Timekeeper interface {
	// Time gives what the database's clock said between two moments of this
	// machine.
	Time(ctx context.Context) (read, before, after time.Time, err error)
}

// A Querier runs queries.
type Querier interface {
	// Query calls row for each row of the answer. The slice is reused for the next
	// row; the values in it are the caller's to keep. An error of row ends the
	// query and is returned as it is. A nested call with the same text is not
	// allowed, nor is any other call after an error of the query itself.
	Query(query string, args []any, row func(values []any) error) error
}

// A Snapshot is a read transaction.
type Snapshot interface {
	Querier
	// Close ends the snapshot.
	Close()
}

// A Tx is a write transaction. After an error of a statement nothing but Undo or
// Rollback is allowed.
type Tx interface {
	Querier
	// Alone reports whether nobody else has written since the last transaction of
	// this engine, so that what was known at its end still holds.
	Alone() bool
	// Exec runs a statement and tells how many rows it changed.
	Exec(query string, args []any) (int64, error)
	// Send runs a statement no later than the next call of another method but Undo
	// and Rollback. Its error may be that call's.
	Send(query string, args []any) error
	// SendOne is Send for a statement that must change one row. If it does not, the
	// error is what missing gives.
	SendOne(query string, args []any, missing func() error) error
	// Savepoint marks a point that Undo returns to. There is one at a time.
	Savepoint() error
	// Release forgets the savepoint, keeping what was done since. After an error
	// the savepoint is still there to return to.
	Release() error
	// Undo goes back to the savepoint and forgets it.
	Undo() error
	// Commit makes the transaction durable: on return it survives power loss.
	// After an error that is [Broken] it may or may not have been applied; after
	// any other it has not.
	Commit() error
	// Rollback drops the transaction. It is safe after Commit.
	Rollback()
}

// A Kind sorts errors by what can be done about them.
type Kind string

// Kinds of error. Anything else is a bug in the SQL or in the caller.
const (
	Full     Kind = "full"     // no space left
	IO       Kind = "io"       // the disk or the connection failed
	Busy     Kind = "busy"     // another transaction is in the way; try again
	Unique   Kind = "unique"   // a row with that key exists
	Corrupt  Kind = "corrupt"  // the file is damaged or not ours
	ReadOnly Kind = "readonly" // the file cannot be written
)

// An Error is a failure of the engine.
type Error struct {
	Kind Kind
	Err  error
}

// Error gives the kind and the engine's own text.
func (e *Error) Error() string { return fmt.Sprintf("store: %s: %v", e.Kind, e.Err) }

// Unwrap gives the engine's own error.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the kind of err, or "" if it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Broken reports whether after err nothing can be written until something
// outside the program changes.
func Broken(err error) bool {
	switch KindOf(err) {
	case Full, IO, Corrupt, ReadOnly:
		return true
	}
	return false
}
