// Package postgres is the engine of internal/store for several hubs over one
// PostgreSQL.
//
// Each hub has one connection that writes and a few that read. Write transactions
// of all hubs take turns, so that the store's logic holds unchanged
// (docs/decisions/0009). A hub that keeps its turn without doing anything loses
// it after [Options].Turn; the others wait a little longer than that, then tell
// the store to try again.
//
// The wire protocol is used directly, above pgx's connection: statements whose
// answer nobody waits for go out together with the next one, and each text is
// prepared once for each connection. A connection that broke is replaced when the
// next transaction begins.
//
// Rows are those of package sqlite. PostgreSQL's texts hold no zero bytes and
// nothing but UTF-8; what does not fit is stored in another form and comes back as
// it was. A role that is not the owner of the tables sees the rows of the tenant
// in its setting tocsin.tenant only.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tocsin/tocsin/internal/store/driver"
)

const (
	// waitLonger is by how much the wait for a turn is longer than a turn that
	// nobody uses, so that one hub that hangs makes the others wait and not fail.
	waitLonger = 250 * time.Millisecond
	// writeTime bounds a statement of a write transaction, during which the other
	// hubs wait, and readTime one of a snapshot.
	writeTime = 4 * time.Second
	readTime  = 10 * time.Second
	// readIdle is how long a snapshot may be held without a query: it keeps
	// PostgreSQL from clearing away old rows. An export may be read slowly.
	readIdle = 5 * time.Minute
	// overdue is how long after these times the answer may still be on its way.
	overdue = time.Second
	// connectTime bounds connecting, unless the URL says otherwise.
	connectTime = 2 * time.Second
)

// Options of an engine.
type Options struct {
	// URL of the database, as psql takes it; what it leaves out is taken from the
	// usual environment variables. A search_path in it names the schema, which must
	// exist.
	URL string
	// PoolSize is how many snapshots can be open at once; 0 is 4.
	PoolSize int
	// Turn is for how long this hub may keep the turn to write without doing
	// anything, so that others need not wait for one that hangs; 0 is 2 s.
	Turn time.Duration
	// ReadOnly leaves the schema as it is and allows snapshots only, for tools that
	// look at what a hub has written.
	ReadOnly bool
	// Log takes what is worth knowing of the server.
	Log *slog.Logger
}

// An Engine is an open database. It implements [driver.Engine].
type Engine struct {
	opts   Options
	config *pgconn.Config
	key    int64 // of the lock that is the turn

	// Owned by the writer.
	writer *conn // nil until it is needed
	last   int64 // what stood in turn after the last transaction

	readers chan *conn // nil ones are to be connected
	closing sync.Once
}

var _ driver.Engine = (*Engine)(nil)

// Open connects to the database and brings its schema up to date where needed.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	if opts.PoolSize == 0 {
		opts.PoolSize = 4
	}
	if opts.Turn == 0 {
		opts.Turn = 2 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	config, err := configure(opts.URL)
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, config: &config.Config, readers: make(chan *conn, opts.PoolSize)}
	for range opts.PoolSize {
		e.readers <- nil
	}
	if err := e.prepare(ctx, config); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func configure(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil { // it names no password
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTime
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tocsin"
	}
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.DialFunc = (&net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 3},
	}).DialContext
	return config, nil
}

// prepare brings the schema up to date and connects the writer.
func (e *Engine) prepare(ctx context.Context, config *pgx.ConnConfig) error {
	if e.opts.ReadOnly {
		return e.look(ctx)
	}
	if err := migrate(ctx, config, e.opts.Log); err != nil {
		return err
	}
	c, err := e.connect(ctx, true)
	if err != nil {
		return err
	}
	e.writer = c
	var schema, encoding, fsync string
	err = c.query("SELECT current_schema()::text, current_setting('server_encoding'), current_setting('fsync')", nil, func(v []any) error {
		schema, encoding, fsync = v[0].(string), v[1].(string), v[2].(string)
		return nil
	})
	if err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s; make one with ENCODING 'UTF8'", encoding)
	}
	if fsync != "on" {
		e.opts.Log.Warn("the database runs with fsync off: what was acknowledged does not survive a power cut")
	}
	e.key = lockKey("turn", schema)
	return nil
}

// lockKey gives the advisory lock for a purpose in a schema. Locks of other
// databases are apart from these.
func lockKey(purpose, schema string) int64 {
	h := fnv.New64a()
	h.Write([]byte("tocsin\x00" + purpose + "\x00" + schema))
	return int64(h.Sum64())
}

// connect opens a session for the writer or for a reader. The server ends what
// takes too long, also when the hub is gone without a word: then it hears nothing
// on the connection, and gives it up after some seconds.
func (e *Engine) connect(ctx context.Context, writes bool) (*conn, error) {
	statement, idle := readTime, readIdle
	if writes {
		statement, idle = writeTime, e.opts.Turn
	}
	settings := fmt.Sprintf(`SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d; SET lock_timeout = %d;
		SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 6000; SET jit = off`,
		statement.Milliseconds(), idle.Milliseconds(), (e.opts.Turn + waitLonger).Milliseconds())
	if writes { // whatever the server's own setting is, a commit waits for the disk
		settings += "; SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
	}
	return connect(ctx, e.config, statement+overdue, settings)
}

// Begin waits for the turn of this hub and starts the write transaction. If it
// finds the connection broken it tries once with a new one.
func (e *Engine) Begin(ctx context.Context) (driver.Tx, error) {
	if e.opts.ReadOnly {
		return nil, &driver.Error{Kind: driver.ReadOnly, Err: errors.New("the database was opened for reading")}
	}
	fresh := false
	if e.writer == nil || e.writer.dead != nil {
		if err := e.reconnect(ctx); err != nil {
			return nil, err
		}
		fresh = true
	}
	last, err := e.writer.takeTurn(e.key)
	if err != nil && e.writer.dead != nil && !fresh {
		if err := e.reconnect(ctx); err != nil {
			return nil, err
		}
		last, err = e.writer.takeTurn(e.key)
	}
	t := &tx{e: e, c: e.writer, alone: last == e.last}
	if err != nil {
		t.Rollback()
		return nil, err
	}
	e.last = last
	return t, nil
}

func (e *Engine) reconnect(ctx context.Context) error {
	c, err := e.connect(ctx, true)
	if err == nil {
		e.writer = c
	}
	return err
}

// Maintain does nothing: PostgreSQL looks after itself.
func (e *Engine) Maintain() error { return nil }

// Backup refuses, and says what to use.
func (e *Engine) Backup(_ context.Context, path string) error {
	return fmt.Errorf("a PostgreSQL database is copied by its own tools, while the hubs run: pg_dump --format=custom --file=%s, or pg_basebackup for a big one", path)
}

// Close ends the engine: it waits for open snapshots and closes every
// connection.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		for range e.opts.PoolSize {
			if c := <-e.readers; c != nil {
				c.close()
			}
		}
		close(e.readers)
		if e.writer != nil {
			e.writer.close()
		}
	})
	return nil
}
