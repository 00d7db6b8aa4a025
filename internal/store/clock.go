package store

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/internal/store/driver"
)

const (
	// clockEvery is how often the database is asked for its time.
	clockEvery = time.Second
	// clockPatience is how long an answer may take and still be of use.
	clockPatience = 500 * time.Millisecond
	// clockSlack is how far off a clock may be before it is set again.
	clockSlack = 50 * time.Millisecond
	// clockOff is from when on a machine's clock is said to be wrong.
	clockOff = 2 * time.Second
)

// A clock gives the database's time. Between two looks it goes on by the
// machine's monotonic clock, so that it does not jump when the machine's clock is
// set.
type clock struct{ set atomic.Pointer[setting] }

// A setting says what the time was at a moment.
type setting struct {
	time, at time.Time // at has a monotonic reading
}

func (c *clock) now() time.Time {
	s := c.set.Load()
	if s == nil {
		return time.Now()
	}
	return s.time.Add(time.Since(s.at))
}

// adjust takes in that the database's time was read between two moments.
func (c *clock) adjust(read, before, after time.Time) {
	took := after.Sub(before)
	if took > clockPatience && c.set.Load() != nil {
		return
	}
	at := before.Add(took / 2)
	if s := c.set.Load(); s != nil {
		if off := read.Sub(s.time.Add(at.Sub(s.at))); off.Abs() <= clockSlack+took/2 {
			return
		}
	}
	c.set.Store(&setting{read, at})
}

// Now gives the time by which everything is stamped that is stored, and compared
// that was: where several nodes share a database it is the database's, so that a
// node whose clock is wrong neither takes the leases of the others for ended nor
// signs what receivers refuse as too old.
func (s *Store) Now() time.Time { return s.clock.now() }

// Now is [Store.Now].
func (tx *Tx) Now() time.Time { return tx.s.Now() }

// keepTime asks the database for its time now and then, until the store closes.
func (s *Store) keepTime(keeper driver.Timekeeper) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	wrong := false
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), clockEvery)
		_ = s.readTime(ctx, keeper) // the next look tries again
		cancel()
		off := time.Now().Round(0).Sub(s.Now())
		if was := wrong; was != (off.Abs() > clockOff) {
			wrong = !was
			s.log.Warn("this machine's clock and the database's differ; the database's counts", "machine_ahead", off.Round(time.Millisecond), "wrong", wrong)
		}
	}
}

func (s *Store) readTime(ctx context.Context, keeper driver.Timekeeper) error {
	read, before, after, err := keeper.Time(ctx)
	if err == nil {
		s.clock.adjust(read, before, after)
	}
	return err
}
