// Package sqlite is the embedded engine of internal/store: one SQLite file in
// WAL mode with synchronous FULL, through the pure Go driver.
//
// There is one connection that writes and a few that read. The driver is used
// without database/sql, whose bookkeeping costs as much as a small insert; each
// connection keeps its prepared statements for its life. Moving the WAL into
// the main file happens on a connection of its own, so that commits do not wait
// for it.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	"github.com/tocsin/tocsin/internal/store/driver"
	msqlite "modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of an engine.
type Options struct {
	// Path of the database file. Its folder must exist.
	Path string
	// CacheBytes is the page cache of the writing connection; 0 is 64 MiB. Each
	// reader has a sixteenth of it.
	CacheBytes int64
	// Readers is how many snapshots can be open at once; 0 is 4.
	Readers int
	// ReadOnly leaves the schema as it is and allows snapshots only, for tools that
	// look at what a hub has written.
	ReadOnly bool
	// Log takes what Maintain has to say.
	Log *slog.Logger
}

// An Engine is an open SQLite file. It implements [driver.Engine].
type Engine struct {
	opts    Options
	writer  *conn
	broken  bool // after an error that may have left the connection in any state
	readers chan *conn
	missing int // readers that could not be opened
	ckpt    *checkpointer

	closing sync.Once
}

var _ driver.Engine = (*Engine)(nil)

// Open opens the file, making it and bringing its schema up to date where
// needed.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 64 << 20
	}
	if opts.Readers == 0 {
		opts.Readers = 4
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := prepare(ctx, opts); err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, readers: make(chan *conn, opts.Readers), missing: opts.Readers}
	if err := e.connect(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// prepare makes the file and brings its schema up to date, or only looks at it.
func prepare(ctx context.Context, opts Options) error {
	if opts.ReadOnly {
		s, err := ReadSchema(ctx, opts.Path)
		if err != nil {
			return classify(err)
		}
		return checkVersion(s.Version)
	}
	if err := secureFile(opts.Path); err != nil {
		return classify(err)
	}
	return migrate(ctx, opts.Path)
}

func (e *Engine) connect() (err error) {
	if !e.opts.ReadOnly {
		if e.writer, err = dial(e.opts.Path, e.opts.CacheBytes, false); err != nil {
			return err
		}
	}
	e.missing = e.opts.Readers
	for range e.opts.Readers {
		c, err := dial(e.opts.Path, e.opts.CacheBytes/16, true)
		if err != nil {
			return err
		}
		e.readers <- c
		e.missing--
	}
	if e.opts.ReadOnly {
		return nil
	}
	c, err := dial(e.opts.Path, 1<<20, false)
	if err != nil {
		return err
	}
	if e.ckpt, err = newCheckpointer(c, e.opts.Path, e.opts.Log); err != nil {
		c.close()
	}
	return err
}

// secureFile makes the file if it is not there, readable by its owner only,
// because it holds secrets of endpoints.
func secureFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// pageSize of a file that is made here.
const pageSize = 8192

func dsn(path string, cache int64, readOnly bool) string {
	q := url.Values{}
	add := func(p string) { q.Add("_pragma", p) }
	add("busy_timeout(10000)")
	if !readOnly { // whoever reads takes the file as it is
		add(fmt.Sprintf("page_size(%d)", pageSize))
		add("journal_mode(WAL)")
	}
	add("synchronous(FULL)")
	add("foreign_keys(ON)")
	add("temp_store(MEMORY)")
	add("wal_autocheckpoint(0)")
	add(fmt.Sprintf("cache_size(-%d)", cache/1024))
	if readOnly {
		add("query_only(ON)")
	}
	return plainDSN(path) + "?" + q.Encode()
}

func plainDSN(path string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

func migrate(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(path, 8<<20, false))
	if err != nil {
		return classify(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return classify(fmt.Errorf("read the schema's version: %w", err))
	}
	if err := checkVersion(has); err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return classify(fmt.Errorf("migrate %s: %w", filepath.Base(path), err))
	}
	return nil
}

// Begin starts the write transaction. After an error that broke the connection
// it opens a new one first.
func (e *Engine) Begin(ctx context.Context) (driver.Tx, error) {
	if e.opts.ReadOnly {
		return nil, &driver.Error{Kind: driver.ReadOnly, Err: errors.New("the database was opened for reading")}
	}
	if e.broken {
		if err := e.reconnect(); err != nil {
			return nil, err
		}
	}
	if _, err := e.writer.exec("BEGIN IMMEDIATE", nil); err != nil {
		e.note(err)
		return nil, err
	}
	return &tx{e: e, c: e.writer}, nil
}

func (e *Engine) reconnect() error {
	e.writer.close()
	c, err := dial(e.opts.Path, e.opts.CacheBytes, false)
	if err != nil {
		return err
	}
	e.writer, e.broken = c, false
	return nil
}

// note remembers that the connection must not be trusted after err.
func (e *Engine) note(err error) {
	if driver.Broken(err) {
		e.broken = true
	}
}

// Snapshot starts a read transaction, waiting for a free connection.
func (e *Engine) Snapshot(ctx context.Context) (driver.Snapshot, error) {
	c, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.exec("BEGIN", nil); err != nil {
		e.readers <- e.renew(c)
		return nil, err
	}
	return &snapshot{e: e, c: c}, nil
}

// reader takes a connection from those that read.
func (e *Engine) reader(ctx context.Context) (*conn, error) {
	select {
	case c, open := <-e.readers:
		if !open {
			return nil, errors.New("store: the engine is closed")
		}
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renew gives a fresh connection for a reader that failed, or the old one if
// that is not possible now.
func (e *Engine) renew(c *conn) *conn {
	fresh, err := dial(e.opts.Path, e.opts.CacheBytes/8, true)
	if err != nil {
		return c
	}
	c.close()
	return fresh
}

type snapshot struct {
	e *Engine
	c *conn
}

func (s *snapshot) Query(query string, args []any, row func([]any) error) error {
	return s.c.query(query, args, row)
}

func (s *snapshot) Close() {
	c := s.c
	if _, err := c.exec("ROLLBACK", nil); err != nil { // it wrote nothing, but may be stuck in the transaction
		c = s.e.renew(c)
	}
	s.e.readers <- c
}

// Maintain lets the WAL start over when the checkpointer has moved nearly all of
// it into the main file.
func (e *Engine) Maintain() error {
	if e.broken || e.ckpt == nil || !e.ckpt.finishing() {
		return nil
	}
	err := e.writer.query("PRAGMA wal_checkpoint(PASSIVE)", nil, func([]any) error { return nil })
	e.note(err)
	return err
}

// Backup writes a consistent copy of the database to path, which must not exist.
func (e *Engine) Backup(ctx context.Context, path string) error {
	return Copy(ctx, e.opts.Path, path, nil)
}

// syncFile makes a file durable that SQLite wrote without an fsync.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// Close ends the engine: it waits for open snapshots, moves the WAL into the
// file and closes every connection.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		if e.ckpt != nil {
			e.ckpt.stop()
		}
		for range e.opts.Readers - e.missing {
			(<-e.readers).close()
		}
		close(e.readers)
		if e.writer != nil {
			_ = e.writer.query("PRAGMA wal_checkpoint(TRUNCATE)", nil, func([]any) error { return nil })
			e.writer.close()
		}
		if e.ckpt != nil {
			e.ckpt.release()
		}
	})
	return nil
}

// classify gives err a kind, from SQLite's result code or the system's error.
func classify(err error) error {
	if err == nil || driver.KindOf(err) != "" {
		return err
	}
	if kind := kindOf(err); kind != "" {
		return &driver.Error{Kind: kind, Err: err}
	}
	return err
}

// SQLite's primary result codes, https://sqlite.org/rescode.html.
const (
	codeBusy       = 5
	codeLocked     = 6
	codeReadOnly   = 8
	codeIOErr      = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeNotADB     = 26
	codeUnique     = 2067 // extended
	codePrimaryKey = 1555 // extended
	codeRowID      = 2579 // extended
)

func kindOf(err error) driver.Kind {
	var e *msqlite.Error
	if !errors.As(err, &e) {
		if errors.Is(err, fs.ErrPermission) {
			return driver.ReadOnly
		}
		return ""
	}
	switch e.Code() {
	case codeUnique, codePrimaryKey, codeRowID:
		return driver.Unique
	}
	switch e.Code() & 0xff {
	case codeBusy, codeLocked:
		return driver.Busy
	case codeReadOnly:
		return driver.ReadOnly
	case codeIOErr, codeCantOpen:
		return driver.IO
	case codeCorrupt, codeNotADB:
		return driver.Corrupt
	case codeFull:
		return driver.Full
	}
	if strings.Contains(e.Error(), "disk is full") {
		return driver.Full
	}
	return ""
}
