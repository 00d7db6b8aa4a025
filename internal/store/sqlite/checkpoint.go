package sqlite

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// checkpointEvery is how often the WAL is moved into the file while there
	// are commits. Each round writes the pages that changed since the last; more
	// of them at once would keep commits waiting for the disk.
	checkpointEvery = time.Second
	// restartAbove is the WAL size, in pages of 4 KiB, from which the writer
	// helps to finish a round so that the WAL can start over instead of growing.
	restartAbove = 4000
	// restartWithin is how many pages the writer is willing to move by itself
	// between two transactions; 500 take a few milliseconds.
	restartWithin = 500
	// mustRestart is the WAL size from which the writer finishes whatever is left
	// right after a round: under full load a round always leaves more than
	// restartWithin, and a WAL that never starts over grows without end.
	mustRestart = 24000
)

// A checkpointer moves the WAL into the main file in the background, so that
// the commits of the writer wait for their own fsync only. A round that runs
// beside writes never catches up with them; the last pages are left to
// [Engine.Maintain].
type checkpointer struct {
	c     *conn
	file  *os.File // the main file
	log   *slog.Logger
	dirty atomic.Bool // commits since the last round
	ready atomic.Bool // the next Maintain can finish the round

	quit chan struct{}
	done sync.WaitGroup
}

func newCheckpointer(c *conn, path string, log *slog.Logger) (*checkpointer, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	p := &checkpointer{c: c, file: file, log: log, quit: make(chan struct{})}
	p.done.Go(p.run)
	return p, nil
}

func (p *checkpointer) wrote()          { p.dirty.Store(true) }
func (p *checkpointer) finishing() bool { return p.ready.Swap(false) }

func (p *checkpointer) stop() {
	close(p.quit)
	p.done.Wait()
	p.c.close()
}

// release closes the file, after every connection: closing any descriptor of a
// file drops all locks that the process has on it.
func (p *checkpointer) release() { _ = p.file.Close() }

func (p *checkpointer) run() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			if p.dirty.Swap(false) {
				p.round()
			}
		}
	}
}

// round moves the WAL and what is written to it meanwhile, each time less, until
// the writer can do the rest in passing. A writer that had to move thousands of
// pages and wait for their fsync would keep its callers waiting for as long.
func (p *checkpointer) round() {
	var size, left int64
	for before := int64(math.MaxInt64); ; before = left {
		var err error
		if size, left, err = p.move(); err != nil { // the disk may be full; the next round tries again
			p.log.Warn("checkpoint failed", "error", err)
			p.dirty.Store(true)
			return
		}
		if size < restartAbove || left <= restartWithin || left > before/2 {
			break
		}
	}
	if size >= mustRestart || size >= restartAbove && left <= restartWithin {
		p.ready.Store(true)
	}
	if left > 0 {
		p.dirty.Store(true)
	}
}

// move copies what is in the WAL into the main file and waits until the disk has
// it, which SQLite leaves to whoever moves the last page. It gives the size of the
// WAL and what was left, in pages.
func (p *checkpointer) move() (size, left int64, err error) {
	err = p.c.query("PRAGMA wal_checkpoint(PASSIVE)", nil, func(v []any) error {
		size, _ = v[1].(int64)
		moved, _ := v[2].(int64)
		left = size - moved
		return nil
	})
	return size, left, errors.Join(err, p.file.Sync())
}
