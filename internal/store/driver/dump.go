package driver

import "context"

// A Table is one that the store's migrations have made.
type Table struct {
	Name    string
	Columns []string // sorted
}

// A Dump reads everything there is in a database, as of one moment, however long
// that takes and whoever writes meanwhile. It is used by one goroutine.
type Dump interface {
	Querier // for small answers
	// Tables gives the tables that hold what the store keeps, sorted by name. Those
	// that an engine has for itself are not among them.
	Tables() ([]Table, error)
	// Each calls row for each row of a table, in no order, with the values of
	// t.Columns. The slice is reused; the values are the caller's to keep.
	Each(ctx context.Context, t Table, row func(values []any) error) error
	// Close ends the dump. A Load that was not committed leaves nothing behind.
	Close() error
}

// A Load fills a database that holds nothing. What it reads is what it has put.
type Load interface {
	Dump
	// Exec runs a statement and tells how many rows it changed.
	Exec(query string, args []any) (int64, error)
	// Put inserts the rows that the function gives to put, with the values of
	// t.Columns. They may be reused after put.
	Put(ctx context.Context, t Table, rows func(put func(values []any) error) error) error
	// Commit makes everything that was put there, durably and at once. Before it, and
	// after an error of it, there is nothing.
	Commit(ctx context.Context) error
}

// A Schema says how far the schema of a database has come.
type Schema struct {
	Version int64    `json:"version"` // the newest migration that the database has; 0 for one without tables
	Knows   int64    `json:"knows"`   // the newest that the program has
	Pending []string `json:"pending"` // the files of those that the database lacks, in order
}
