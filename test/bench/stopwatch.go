package main

import (
	"sync/atomic"
	"time"
)

// A stopwatch takes the time of numbered things, each by itself, without a
// lock.
type stopwatch struct {
	zero    time.Time
	started []atomic.Int64 // nanoseconds since zero, plus one
	taken   []atomic.Int64
	stopped atomic.Int64 // how many
	last    atomic.Int64 // nanoseconds since zero of the latest stop
}

func newStopwatch(n int) *stopwatch {
	return &stopwatch{zero: time.Now(), started: make([]atomic.Int64, n), taken: make([]atomic.Int64, n)}
}

func (s *stopwatch) start(i int, at time.Time) { s.started[i].Store(int64(at.Sub(s.zero)) + 1) }

// stop takes the time of i. It reports false for what never started or was
// stopped before.
func (s *stopwatch) stop(i int, at time.Time) bool {
	if i < 0 || i >= len(s.taken) {
		return false
	}
	now := int64(at.Sub(s.zero))
	begun := s.started[i].Load()
	if begun == 0 || !s.taken[i].CompareAndSwap(0, max(now-begun+1, 1)) {
		return false
	}
	s.stopped.Add(1)
	s.last.Store(now)
	return true
}

// times gives what was taken of from up to before to.
func (s *stopwatch) times(from, to int) []time.Duration {
	out := make([]time.Duration, 0, to-from)
	for i := from; i < min(to, len(s.taken)); i++ {
		if d := s.taken[i].Load(); d != 0 {
			out = append(out, time.Duration(d))
		}
	}
	return out
}
