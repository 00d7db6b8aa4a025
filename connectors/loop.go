package connectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Store keeps cursors and takes findings in.
type Store interface {
	// Cursor gives what Commit stored last for the connector, nil if nothing.
	Cursor(ctx context.Context, tenant hub.TenantID, name string) ([]byte, error)

	// Commit accepts a page and moves the cursor in one transaction; both
	// are durable when it returns nil. After an error either both happened or
	// neither did. A nil cursor leaves the stored one alone. Its findings are
	// stamped; slices belong to the caller again on return.
	Commit(ctx context.Context, tenant hub.TenantID, name string, page Page, cursor []byte) error
}

// A LoopConfig says what a [Loop] pulls and how. Zero fields take defaults.
type LoopConfig struct {
	Name    string
	Kind    string
	Tenant  hub.TenantID
	Puller  Puller
	Store   Store
	Log     *slog.Logger
	Metrics *Metrics // nil: not counted

	Interval time.Duration // between pulls, ±10 %
	Paused   bool          // start paused

	// BackoffMin doubles with each failure in a row up to BackoffMax: one
	// second and five minutes. What a person has to mend waits BackoffMax.
	BackoffMin, BackoffMax time.Duration
}

// A Loop pulls one source for ever: at its interval, from the stored cursor,
// and later after errors. It comes back no earlier than the vendor allows, not
// even for Sync. One loop's trouble does not touch another's.
type Loop struct {
	cfg  LoopConfig
	wake chan struct{} // holds one; says that mu's fields changed
	kept refusals      // by the pull that runs, or the last one

	mu     sync.Mutex // guards all below
	paused bool
	next   time.Time               // when to pull
	floor  time.Time               // not before this, the vendor says
	cancel context.CancelCauseFunc // of the pull that runs, else nil
	owed   int                     // pulls to be made without waiting for the interval, because of Sync
	since  time.Time               // start of the last whole pull, at first of the loop
	cursor []byte                  // last one read or committed
	state  State
}

var errPaused = errors.New("connector was paused")

// NewLoop makes a loop; Run starts it.
func NewLoop(cfg LoopConfig) *Loop {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.BackoffMin == 0 {
		cfg.BackoffMin = time.Second
	}
	if cfg.BackoffMax == 0 {
		cfg.BackoffMax = 5 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	interval := hub.Duration(cfg.Interval)
	return &Loop{
		cfg: cfg, wake: make(chan struct{}, 1), kept: refusals{}, paused: cfg.Paused,
		state: State{Name: cfg.Name, Kind: cfg.Kind, Tenant: cfg.Tenant, Phase: PhaseStopped, Pulls: true, Interval: &interval},
	}
}

// Run pulls until ctx ends, and returns when the last pull has.
func (l *Loop) Run(ctx context.Context) {
	l.set(func() { l.since = time.Now() })
	for l.rest(ctx) {
		l.pull(ctx)
	}
	l.set(func() { l.state.Phase = PhaseStopped })
}

// rest waits for the next pull; false when ctx has ended.
func (l *Loop) rest(ctx context.Context) bool {
	for ctx.Err() == nil {
		due := l.due()
		if due == 0 {
			return true
		}
		timer := time.NewTimer(due)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return false
}

// due is how long to wait, 0 for none.
func (l *Loop) due() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused {
		l.state.Phase = PhasePaused
		return 1 << 62 // until woken
	}
	return max(time.Until(l.next), 0)
}

// pull makes one pull and decides when the next one is.
func (l *Loop) pull(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !l.begin(cancel) {
		return
	}
	start := time.Now()
	err := l.once(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	l.finish(start, err)
}

// begin takes note of a pull's start; false if a pause came in between.
func (l *Loop) begin(cancel context.CancelCauseFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused {
		return false
	}
	l.cancel = cancel
	l.state.Phase = PhasePulling
	l.state.LastAttempt = time.Now().UTC()
	l.state.NextAttempt = time.Time{}
	return true
}

// once pulls from the stored cursor. The cursor is read anew each time, since
// a Commit that failed may have happened all the same.
func (l *Loop) once(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = hub.Wrap(hub.Internal, fmt.Errorf("panic: %v", p), "the connector has a fault")
		}
	}()
	cursor, err := l.cfg.Store.Cursor(ctx, l.cfg.Tenant, l.cfg.Name)
	if err != nil {
		return fmt.Errorf("read cursor of connector %s: %w", l.cfg.Name, err)
	}
	l.set(func() { l.cursor = cursor })
	return l.cfg.Puller.Pull(ctx, cursor, func(page Page, next []byte) error { return l.emit(ctx, page, next) })
}

func (l *Loop) emit(ctx context.Context, page Page, next []byte) error {
	if repaired := Stamp(page.Findings, l.cfg.Tenant, l.cfg.Name, time.Now()); repaired > 0 {
		l.cfg.Log.Warn("findings with missing fields were filled in", "count", repaired)
	}
	rejects := l.kept.fresh(page.Rejects)
	page.Rejects = kept(rejects)
	if err := l.cfg.Store.Commit(ctx, l.cfg.Tenant, l.cfg.Name, page, next); err != nil {
		return fmt.Errorf("commit page of connector %s: %w", l.cfg.Name, err)
	}
	l.cfg.Metrics.taken(l.cfg.Name, "pull", len(page.Findings))
	if len(rejects) > 0 {
		l.kept.keep(rejects)
		l.cfg.Metrics.refused(l.cfg.Name, len(rejects))
		l.cfg.Log.Warn("items that cannot be used were kept for people to look at", "count", len(rejects), "first", rejects[0].Error)
	}
	l.set(func() {
		l.cursor = append([]byte(nil), next...)
		l.state.Counts.Pulled += int64(len(page.Findings))
		l.state.Counts.Rejected += int64(len(rejects))
	})
	return nil
}

// finish records how a pull ended and when the next one is.
func (l *Loop) finish(start time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel = nil
	now := time.Now()
	if errors.Is(err, errPaused) || errors.Is(err, context.Canceled) {
		l.state.Phase = PhaseWaiting
		return
	}
	l.state.Counts.Pulls++
	before := l.state.Phase
	wait := l.judge(start, now, err)
	l.floor = now.Add(retryAfterOf(err))
	if err == nil {
		if l.owed = max(l.owed-1, 0); l.owed > 0 {
			wait = 0
		}
	}
	l.next = now.Add(wait)
	l.state.NextAttempt = l.next.UTC()
	l.cfg.Metrics.pulled(l.cfg.Name, outcomeOf(err), now.Sub(start), l.state.LastSuccess)
	l.report(before, wait, err)
}

// judge moves the state on and gives the wait. Being throttled is no failure.
func (l *Loop) judge(start, now time.Time, err error) time.Duration {
	s := &l.state
	switch hub.KindOf(err) {
	case "":
		s.Phase, s.Failures, s.LastError = PhaseWaiting, 0, nil
		s.LastSuccess, l.since = now.UTC(), start
		return spread(l.cfg.Interval, 0.1)
	case hub.RateLimited:
		s.Phase = PhaseThrottled
		s.Counts.Throttled++
		wait := retryAfterOf(err)
		if wait == 0 {
			wait = l.cfg.Interval
		}
		return wait + rand.N(wait/20+1) // later only: earlier would be too early
	}
	s.Phase, s.LastError = PhaseFailing, faultOf(err, now)
	s.Counts.Errors++
	s.Failures++
	return max(l.backoff(err), retryAfterOf(err))
}

func (l *Loop) backoff(err error) time.Duration {
	switch hub.KindOf(err) {
	case hub.Transient, hub.Internal, hub.Conflict:
		wait := l.cfg.BackoffMin << min(l.state.Failures-1, 20)
		return spread(min(wait, l.cfg.BackoffMax), 0.2)
	}
	return spread(l.cfg.BackoffMax, 0.1) // a person has to do something
}

// spread varies d by a part of it, so that connectors do not march in step.
func spread(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*rand.Float64()-1)))
}

// report logs a change of state, and each error once.
func (l *Loop) report(before Phase, wait time.Duration, err error) {
	switch {
	case l.state.Phase == PhaseFailing:
		l.cfg.Log.Warn("pull failed", "error", err, "failures", l.state.Failures, "next", wait.Round(time.Millisecond))
	case before == PhaseFailing:
		l.cfg.Log.Info("pull works again")
	}
}

// Sync asks for a pull now, or as soon as the vendor allows. It does not wait
// for it. A pull that runs, or goes on after it was broken off, may have passed
// what somebody wants to be looked at: it is followed by another. A paused
// connector refuses with kind Conflict.
func (l *Loop) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused {
		return hub.E(hub.Conflict, "the connector is paused; resume it first")
	}
	l.owed = 1
	if l.cancel != nil || l.state.Failures > 0 || l.state.Phase == PhaseThrottled {
		l.owed = 2
	}
	l.next = l.floor
	l.poke()
	return nil
}

// Pause stops pulling; a pull that runs is broken off after what it has made
// durable.
func (l *Loop) Pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = true
	l.state.Phase = PhasePaused
	if l.cancel != nil {
		l.cancel(errPaused)
	}
	l.poke()
}

// Resume goes on with a pull now, or as soon as the vendor allows.
func (l *Loop) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused {
		l.paused, l.next = false, l.floor
		l.state.Phase = PhaseWaiting
		l.poke()
	}
}

// State says how the loop is.
func (l *Loop) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	if !l.since.IsZero() {
		lag := time.Since(l.since).Round(time.Millisecond).Seconds()
		s.Lag = &lag
	}
	s.Cursor = describe(l.cfg.Puller, l.cursor)
	return s
}

func describe(p Puller, cursor []byte) string {
	if len(cursor) == 0 {
		return ""
	}
	if d, ok := p.(Describer); ok {
		return d.Describe(cursor)
	}
	return fmt.Sprintf("%d bytes", len(cursor))
}

func (l *Loop) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// poke makes rest look again; the channel holds one, which is enough.
func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
