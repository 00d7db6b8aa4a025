// Package store keeps everything the hub knows in one database.
//
// Store is concrete; the engine under it ([driver.Engine]: SQLite in one file, or
// PostgreSQL) runs SQL text and knows no domain. The SQL is here, one file a
// subject, in terms of package hub.
//
// All writes go through [Store.Do]. One writer runs what is waiting in one
// transaction and answers after the commit, so many callers share one fsync.
// On return of a Do without error its effects survive power loss. The audit
// entries of a transaction are sealed and written just before its commit; no
// change commits without them.
//
// Several hubs may share one database, where the engine allows it. Their writers
// then take turns, so that a transaction may rely on what it reads, and each
// forgets what it remembers when another has written.
//
// Rows that only ever grow in number are collected during the transaction and
// inserted many at a time ([Tx.appendRow]); a query that names their table sees
// them all the same.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/internal/store/driver"
)

const (
	// maxBatch is how many callers share a transaction, at most.
	maxBatch = 1024
	// maxBatchTime ends the gathering of a transaction, so that the first caller
	// does not wait for ever while others keep coming.
	maxBatchTime = 20 * time.Millisecond
	// lingerFull is with how much company a transaction does not linger, and
	// lingerStep how often that is looked at.
	lingerFull = 24
	lingerStep = 500 * time.Microsecond
	// queueLength is how many callers may wait for the writer; further ones are
	// refused at once with a Transient error.
	queueLength = 8192
	// maxTries is how often a transaction is begun anew that is in another's way,
	// and maxTryTime after which time no more: callers are to hear within 2.5 s.
	maxTries   = 5
	maxTryTime = 2 * time.Second
	// retryAfter is what callers are told while the store is broken or full.
	retryAfter = 2 * time.Second
)

// A Sealer makes audit entries final: it numbers, chains and signs them.
type Sealer interface {
	// Seal returns entries in final form, to be stored in order behind head, and
	// the head after them. It must not keep or change its arguments.
	Seal(head hub.AuditHead, entries []hub.AuditEntry) ([]hub.SealedEntry, hub.AuditHead, error)
	// Log gives the name of a tenant's log, for the first entry.
	Log(hub.TenantID) string
}

// Options of a store.
type Options struct {
	// Sealer makes audit entries final. Nil stores none, for tests of other parts.
	Sealer Sealer
	// Vault seals the secrets of endpoints and the first answers to requests, which
	// may hold some; nil: they are stored as they are.
	Vault *secret.Vault
	// Log takes changes of the store's health.
	Log *slog.Logger
	// ProbeEvery is how often a broken store is tried again; 0 is 250 ms.
	ProbeEvery time.Duration
	// Linger is how long after a transaction the next one waits for company, if few
	// are waiting; 0 is not at all. It costs a lone caller that much.
	Linger time.Duration
}

// A Store is the open database. Its methods may be called by any number of
// goroutines.
type Store struct {
	engine     driver.Engine
	sealer     Sealer
	vault      *secret.Vault
	log        *slog.Logger
	lingerTime time.Duration

	queue   chan *request
	quit    chan struct{} // closed by Close
	stopped chan struct{} // closed by the writer when it takes nothing more
	done    sync.WaitGroup
	close   func() error // run once

	clock clock
	fault atomic.Pointer[fault] // nil while the store takes writes

	// Owned by the writer goroutine.
	memory  memory
	ids     *ident.Generator
	ended   time.Time // of the last transaction
	inserts map[insertKey]string

	stats Stats
}

// Stats counts what the writer did. Fields only grow.
type Stats struct {
	Transactions atomic.Int64 // committed
	Requests     atomic.Int64 // committed callers
	Replayed     atomic.Int64 // transactions run again with savepoints
	Retried      atomic.Int64 // transactions run again because another was in the way
	Reread       atomic.Int64 // transactions before which somebody else had written
	Failed       atomic.Int64 // transactions given up; the last may have been applied all the same
	BusyNanos    atomic.Int64 // time in transactions
	BeginNanos   atomic.Int64 // of that, waiting for the turn to write
	CommitNanos  atomic.Int64 // of that, in Commit
}

// memory is what the writer knows without asking the database. It is read anew
// after every failed transaction, because then it may be ahead, and after
// transactions of others.
type memory struct {
	loaded   bool
	counters map[string]int64
	heads    map[hub.TenantID]hub.AuditHead // those that were asked for
	logs     map[hub.TenantID]int64         // numbers of the audit logs
	notes    map[hub.TenantID]int64         // when a checkpoint was last kept, in microseconds
}

type fault struct {
	err   error
	since time.Time
}

type request struct {
	fn     func(*Tx) error
	after  []func() // once it is durable
	unsure []func() // if it failed
	err    error
	done   chan struct{}
}

// Open starts the writer over an open engine. The store closes the engine.
func Open(ctx context.Context, engine driver.Engine, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.ProbeEvery == 0 {
		opts.ProbeEvery = 250 * time.Millisecond
	}
	s := &Store{
		engine: engine, sealer: opts.Sealer, vault: opts.Vault, log: opts.Log, lingerTime: opts.Linger,
		queue: make(chan *request, queueLength), quit: make(chan struct{}), stopped: make(chan struct{}),
		inserts: map[insertKey]string{}, ids: ident.NewGenerator(),
	}
	s.close = sync.OnceValue(s.shut)
	s.done.Go(func() { s.run(opts.ProbeEvery) })
	if err := s.Do(ctx, func(*Tx) error { return nil }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if keeper, ok := engine.(driver.Timekeeper); ok {
		if err := s.readTime(ctx, keeper); err != nil {
			return nil, errors.Join(fmt.Errorf("read the database's clock: %w", err), s.Close())
		}
		s.done.Go(func() { s.keepTime(keeper) })
	}
	return s, nil
}

// Close lets the writer finish what is queued and closes the engine.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	close(s.quit)
	s.done.Wait()
	return s.engine.Close()
}

// Stats gives the writer's counters.
func (s *Store) Stats() *Stats { return &s.stats }

// Waiting tells how many callers wait for the writer.
func (s *Store) Waiting() int { return len(s.queue) }

// Health gives the error that keeps the store from taking writes, or nil.
func (s *Store) Health() error {
	if f := s.fault.Load(); f != nil {
		return f.err
	}
	return nil
}

// Do runs fn in a write transaction that it may share with other callers, and
// returns when the transaction is durable. If fn returns an error, none of what
// it wrote is kept, and Do returns that error.
//
// fn runs on the writer's goroutine and may run more than once; it must not do
// I/O, wait, or call the store, and must only change what it finds fresh in each
// run. An error of kind [hub.Transient] means that nothing of fn is known to be
// kept and that the caller may try again later; after a crash of the disk in
// mid-commit it may have been kept all the same.
func (s *Store) Do(ctx context.Context, fn func(tx *Tx) error) error {
	if f := s.fault.Load(); f != nil {
		return unavailable(f.err)
	}
	if err := ctx.Err(); err != nil {
		return hub.Wrap(hub.Transient, err, "the request ended before its change was stored")
	}
	r := &request{fn: fn, done: make(chan struct{})}
	if err := s.enqueue(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		// The writer still owns r and may commit it; the caller cannot know.
		return hub.Wrap(hub.Transient, ctx.Err(), "the request ended before its change was stored")
	case <-s.stopped:
	}
	select {
	case <-r.done: // it was among the last
		return r.err
	default:
		return unavailable(errClosing)
	}
}

var (
	errClosing   = errors.New("the store is closing")
	errQueueFull = errors.New("the store's queue is full")
)

func (s *Store) enqueue(r *request) error {
	select {
	case <-s.quit:
		return unavailable(errClosing)
	default:
	}
	select {
	case s.queue <- r:
		return nil
	default:
		return unavailable(errQueueFull)
	}
}

func unavailable(err error) error {
	return &hub.Error{
		Kind: hub.Transient, Err: err, RetryAfter: retryAfter,
		Msg: "the hub cannot store anything at the moment; nothing was accepted, try again",
	}
}

func (s *Store) run(probeEvery time.Duration) {
	defer close(s.stopped)
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		select {
		case r := <-s.queue:
			s.linger()
			s.transact([]*request{r})
			s.ended = time.Now()
		case <-probe.C:
			s.idle()
		case <-s.quit:
			s.drain()
			return
		}
	}
}

func (s *Store) drain() {
	for {
		select {
		case r := <-s.queue:
			s.transact([]*request{r})
		default:
			return
		}
	}
}

// linger waits a moment for company, if a transaction has just ended and few are
// waiting.
func (s *Store) linger() {
	for time.Since(s.ended) < s.lingerTime && len(s.queue) < lingerFull {
		time.Sleep(lingerStep)
	}
}

// gather adds those who wait to batch, without waiting for more.
func (s *Store) gather(batch []*request) []*request {
	for len(batch) < maxBatch {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// idle tries a broken store again, with a transaction that writes.
func (s *Store) idle() {
	if s.fault.Load() == nil {
		if err := s.engine.Maintain(); err != nil {
			s.log.Warn("maintenance failed", "error", err)
		}
		return
	}
	r := &request{done: make(chan struct{}), fn: func(tx *Tx) error {
		tx.counter("probe", 1)
		return nil
	}}
	s.transact([]*request{r})
	if r.err == nil {
		f := s.fault.Swap(nil)
		s.log.Info("store takes writes again", "after", time.Since(f.since).Round(time.Millisecond))
	}
}

// transact runs the batch and those who come in time, in one transaction or, if
// that would take long, in a few, and answers every caller.
func (s *Store) transact(batch []*request) {
	for len(batch) > 0 {
		start := time.Now()
		all, n, err := s.try(batch)
		if err != nil {
			n = len(all)
			s.fail(all, err)
		}
		s.stats.BusyNanos.Add(int64(time.Since(start)))
		answer(all[:n])
		batch = all[n:]
	}
	if s.fault.Load() == nil {
		if err := s.engine.Maintain(); err != nil {
			s.log.Warn("maintenance failed", "error", err)
		}
	}
}

func answer(batch []*request) {
	for _, r := range batch {
		hooks := r.after
		if r.err != nil {
			hooks = r.unsure
		}
		for _, f := range hooks {
			f()
		}
		close(r.done)
	}
}

// fail answers the whole batch with the transaction's error.
func (s *Store) fail(batch []*request, err error) {
	s.stats.Failed.Add(1)
	if driver.Broken(err) {
		if s.fault.Swap(&fault{err: err, since: time.Now()}) == nil {
			s.log.Error("store takes no writes", "error", err)
		}
	} else {
		s.log.Error("transaction failed", "error", err)
	}
	for _, r := range batch {
		r.err = unavailable(err)
	}
}

// errReplay says that a caller failed after it had written: the transaction is
// run again with a savepoint for each caller, so that only its part is undone.
// Savepoints cost two statements a caller, which the usual case need not pay.
var errReplay = errors.New("run again with savepoints")

// try makes attempts, with savepoints once somebody failed, and again when
// another transaction was in the way. It tells who was waiting in the end, and
// how many of them the transaction was for.
func (s *Store) try(batch []*request) (all []*request, n int, err error) {
	start, careful := time.Now(), false
	for tries := 1; ; tries++ {
		batch, n, err = s.attempt(batch, careful)
		switch {
		case errors.Is(err, errReplay) && !careful:
			careful = true
			s.stats.Replayed.Add(1)
		case driver.KindOf(err) == driver.Busy && tries < maxTries && time.Since(start) < maxTryTime:
			s.stats.Retried.Add(1)
		default:
			return batch, n, err
		}
	}
}

// attempt runs the callers from the front of batch that fit into one
// transaction, and tells how many they were. Those who came while it waited for
// its turn join the batch, and share what becomes of it.
func (s *Store) attempt(batch []*request, careful bool) (all []*request, n int, err error) {
	start := time.Now()
	dtx, err := s.engine.Begin(context.Background())
	s.stats.BeginNanos.Add(int64(time.Since(start)))
	if !careful {
		batch = s.gather(batch)
	}
	if err != nil {
		return batch, 0, fmt.Errorf("begin: %w", err)
	}
	defer dtx.Rollback()
	tx := newTx(s, dtx)
	if err := s.remember(tx); err != nil {
		return batch, 0, fmt.Errorf("read counters: %w", err)
	}
	n, err = s.runAll(tx, batch, careful)
	if err == nil {
		err = s.commit(tx, n)
	}
	if err != nil {
		s.memory.loaded = false // it may be ahead of the database, or behind
	}
	return batch, n, err
}

func (s *Store) runAll(tx *Tx, batch []*request, careful bool) (int, error) {
	runOne := s.runOne
	if careful {
		runOne = s.runCareful
	}
	begun, n := time.Now(), 0
	for n < len(batch) && (n == 0 || time.Since(begun) < maxBatchTime) {
		if err := runOne(tx, batch[n]); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// runOne runs one caller's function. Its error is returned only if it concerns
// the whole transaction.
func (s *Store) runOne(tx *Tx, r *request) error {
	mark := tx.mark()
	r.err = s.protect(r.fn, tx)
	tx.giveHooks(r)
	switch {
	case tx.failed != nil:
		return tx.failed
	case tx.spoilt != nil, r.err != nil && tx.wroteSince(mark):
		return errReplay // what was spoilt may be the work of another caller
	}
	return nil
}

// runCareful is runOne inside a savepoint. The caller's collected rows are
// inserted and its audit entries sealed on trial before the savepoint ends, so
// that what is wrong with them is this caller's error and nobody else's.
func (s *Store) runCareful(tx *Tx, r *request) error {
	mark := tx.mark()
	if err := tx.dtx.Savepoint(); err != nil {
		return err
	}
	r.err = s.protect(r.fn, tx)
	tx.giveHooks(r)
	if r.err == nil {
		r.err = tx.complete(mark)
	}
	switch {
	case tx.failed != nil:
		return tx.failed
	case r.err != nil:
		tx.backTo(mark)
		return tx.dtx.Undo()
	}
	return nil
}

// protect runs fn and makes an error of a panic, which is a bug in fn and must
// not take down the callers that share the transaction.
func (s *Store) protect(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a transaction", "panic", p, "stack", string(debug.Stack()))
			tx.dirty = true
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	return fn(tx)
}

func (s *Store) commit(tx *Tx, callers int) error {
	if err := tx.prepare(); err != nil {
		if tx.failed != nil {
			return err
		}
		// Something a caller gave was refused: find out who it was.
		return fmt.Errorf("%w: %w", errReplay, err)
	}
	start := time.Now()
	if err := tx.dtx.Commit(); err != nil {
		if _ = tx.check(err); tx.failed == nil {
			return fmt.Errorf("%w: %w", errReplay, err)
		}
		return fmt.Errorf("commit: %w", err)
	}
	s.stats.CommitNanos.Add(int64(time.Since(start)))
	s.stats.Transactions.Add(1)
	s.stats.Requests.Add(int64(callers))
	return nil
}

// View runs fn over one committed state of the database.
func (s *Store) View(ctx context.Context, fn func(r *Reader) error) error {
	snap, err := s.engine.Snapshot(ctx)
	if err != nil {
		return hub.Wrap(hub.Transient, err, "the hub cannot read its store at the moment; try again")
	}
	defer snap.Close()
	err = fn(&Reader{q: snap, vault: s.vault})
	if kind := driver.KindOf(err); (kind == driver.IO || kind == driver.Busy) && hub.KindOf(err) == hub.Internal {
		return hub.Wrap(hub.Transient, err, "the hub cannot read its store at the moment; try again")
	}
	return err
}

// Backup writes a consistent copy of the database to path, while the hub runs.
func (s *Store) Backup(ctx context.Context, path string) error { return s.engine.Backup(ctx, path) }
