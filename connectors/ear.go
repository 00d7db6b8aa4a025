package connectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// An ear keeps a [Listener] listening: it opens the sockets again after they
// failed, later each time, and closes them for a pause.
type ear struct {
	listener Listener
	accept   Accept
	log      *slog.Logger
	wake     chan struct{} // holds one; says that mu's fields changed

	mu     sync.Mutex // guards all below
	paused bool
	next   time.Time
	cancel context.CancelCauseFunc // of Listen and serve while they run, else nil
	opened time.Time               // when Listen last worked
	before int                     // failures in a row until then
	state  State
}

// How long to wait after sockets could not be opened.
const (
	earBackoffMin = time.Second
	earBackoffMax = time.Minute
)

func newEar(c Common, l Listener, accept Accept, log *slog.Logger) *ear {
	return &ear{
		listener: l, accept: accept, log: log, wake: make(chan struct{}, 1), paused: c.Paused,
		state: State{Name: c.Name, Kind: c.Kind, Tenant: c.Tenant, Phase: PhaseStopped, Listens: true},
	}
}

// Run listens until ctx ends, and returns when the sockets are closed.
func (e *ear) Run(ctx context.Context) {
	for e.rest(ctx) {
		e.listen(ctx)
	}
	e.set(func() { e.state.Phase = PhaseStopped })
}

// rest waits until it is time to listen; false when ctx has ended.
func (e *ear) rest(ctx context.Context) bool {
	for ctx.Err() == nil {
		due := e.due()
		if due <= 0 {
			return true
		}
		timer := time.NewTimer(due)
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return false
}

func (e *ear) due() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused {
		e.state.Phase = PhasePaused
		return 1 << 62 // until woken
	}
	return time.Until(e.next)
}

// listen opens the sockets once and serves them to their end.
func (e *ear) listen(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !e.begin(cancel) {
		return
	}
	err := e.once(ctx)
	if ctx.Err() != nil {
		err = nil // it was told to end
	}
	e.finish(err)
}

func (e *ear) begin(cancel context.CancelCauseFunc) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused {
		return false
	}
	e.cancel = cancel
	e.state.LastAttempt, e.state.NextAttempt = time.Now().UTC(), time.Time{}
	return true
}

func (e *ear) once(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = hub.Wrap(hub.Internal, fmt.Errorf("panic: %v", p), "the connector has a fault")
		}
	}()
	serve, err := e.listener.Listen(ctx)
	if err != nil {
		return err
	}
	e.set(func() {
		if e.state.Phase == PhaseFailing {
			e.log.Info("listens again")
		}
		e.opened, e.before = time.Now(), e.state.Failures
		e.state.Phase, e.state.Failures, e.state.LastError = PhaseListening, 0, nil
		e.state.LastSuccess = time.Now().UTC()
	})
	if err := serve(ctx, e.accept); err != nil {
		return err
	}
	return errors.New("it stopped listening by itself")
}

func (e *ear) finish(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancel = nil
	if err == nil {
		return
	}
	now := time.Now()
	if now.Sub(e.opened) < earBackoffMax {
		e.state.Failures = max(e.state.Failures, e.before) // it did not last
	}
	wait := max(spread(min(earBackoffMin<<min(e.state.Failures, 20), earBackoffMax), 0.2), retryAfterOf(err))
	e.state.Phase, e.state.LastError = PhaseFailing, faultOf(err, now)
	e.state.Counts.Errors++
	e.state.Failures++
	e.next = now.Add(wait)
	e.state.NextAttempt = e.next.UTC()
	e.log.Warn("cannot listen", "error", err, "failures", e.state.Failures, "next", wait.Round(time.Millisecond))
}

// Sync is for sources that pull.
func (*ear) Sync() error {
	return hub.E(hub.Conflict, "this kind of connector listens; there is nothing to pull")
}

// Pause closes the sockets until Resume.
func (e *ear) Pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = true
	e.state.Phase = PhasePaused
	if e.cancel != nil {
		e.cancel(errPaused)
	}
	e.poke()
}

// Resume opens the sockets again.
func (e *ear) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused {
		e.paused, e.next = false, time.Time{}
		e.state.Phase = PhaseWaiting
		e.poke()
	}
}

// State says how the ear is.
func (e *ear) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

func (e *ear) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// poke makes rest look again; the channel holds one, which is enough.
func (e *ear) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
