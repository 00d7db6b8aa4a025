package connectors

import (
	"context"
	"sync"
)

// both runs a source that pulls and listens too. One process does both: what a
// vendor sends over a connection that we opened needs to come once only.
type both struct {
	loop *Loop
	ear  *ear
}

// Run pulls and listens until ctx ends, and returns when both have ended.
func (b *both) Run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { b.ear.Run(ctx) })
	b.loop.Run(ctx)
	listening.Wait()
}

// Sync asks for a pull.
func (b *both) Sync() error { return b.loop.Sync() }

// Pause ends both until Resume.
func (b *both) Pause() {
	b.ear.Pause()
	b.loop.Pause()
}

// Resume goes on with both.
func (b *both) Resume() {
	b.ear.Resume()
	b.loop.Resume()
}

// State is the loop's, with the ear's trouble where pulling has none.
func (b *both) State() State {
	s, heard := b.loop.State(), b.ear.State()
	s.Listens = true
	s.Counts.Errors += heard.Counts.Errors
	if s.LastError == nil {
		s.LastError = heard.LastError
	}
	return s
}
