package connectors

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A script is a puller that answers what it is told to, and notes when it was
// asked and from where.
type script struct {
	answers []func(cursor []byte, emit Emit) error // the last one again and again

	mu      sync.Mutex // guards all below
	at      []time.Time
	cursors []string
}

// pulls gives when it was asked.
func (s *script) pulls() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *script) Pull(ctx context.Context, cursor []byte, emit Emit) error {
	s.mu.Lock()
	s.at = append(s.at, time.Now())
	s.cursors = append(s.cursors, string(cursor))
	i := min(len(s.at), len(s.answers)) - 1
	s.mu.Unlock()
	if err := s.answers[i](cursor, emit); err != nil {
		return err
	}
	return ctx.Err()
}

func fails(err error) func([]byte, Emit) error {
	return func([]byte, Emit) error { return err }
}

func works([]byte, Emit) error { return nil }

// shelf is a store of one connector.
type shelf struct {
	cursor   []byte
	findings []hub.Finding
	rejects  []Reject
	err      error // of the next Commit, once
}

func (s *shelf) Cursor(context.Context, hub.TenantID, string) ([]byte, error) { return s.cursor, nil }

func (s *shelf) Commit(_ context.Context, _ hub.TenantID, _ string, p Page, cursor []byte) error {
	if err := s.err; err != nil {
		s.err = nil
		return err
	}
	s.findings, s.rejects = append(s.findings, p.Findings...), append(s.rejects, p.Rejects...)
	if cursor != nil {
		s.cursor = append([]byte(nil), cursor...)
	}
	return nil
}

// during runs a loop within a bubble while act does something.
func during(t *testing.T, p Puller, store Store, act func(*Loop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewLoop(LoopConfig{Name: "src", Tenant: "acme", Puller: p, Store: store, Interval: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		act(l)
		cancel()
		<-ended
		if got := l.State().Phase; got != PhaseStopped {
			t.Errorf("phase after the end is %s", got)
		}
	})
}

func transient(retryAfter time.Duration) error {
	e := hub.E(hub.Transient, "down")
	e.RetryAfter = retryAfter
	return e
}

func throttle(wait time.Duration) error {
	e := hub.E(hub.RateLimited, "slow down")
	e.RetryAfter = wait
	return e
}

// TestWaits checks the wait after each outcome.
func TestWaits(t *testing.T) {
	tests := []struct {
		name     string
		outcomes []error // in turn; the wait after the last is checked
		min, max time.Duration
		phase    Phase
	}{
		{"success waits the interval", []error{nil}, 54 * time.Second, 66 * time.Second, PhaseWaiting},
		{"first failure", []error{transient(0)}, 800 * time.Millisecond, 1200 * time.Millisecond, PhaseFailing},
		{"third failure", []error{transient(0), transient(0), transient(0)}, 3200 * time.Millisecond, 4800 * time.Millisecond, PhaseFailing},
		{"Retry-After of a failure", []error{transient(time.Hour)}, time.Hour, time.Hour, PhaseFailing},
		{"a person has to mend it", []error{hub.E(hub.Unauthorized, "token")}, 270 * time.Second, 330 * time.Second, PhaseFailing},
		{"a fault of ours", []error{errors.New("bug")}, 800 * time.Millisecond, 1200 * time.Millisecond, PhaseFailing},
		{"throttled", []error{throttle(100 * time.Second)}, 100 * time.Second, 106 * time.Second, PhaseThrottled},
		{"throttled without a time", []error{throttle(0)}, 60 * time.Second, 64 * time.Second, PhaseThrottled},
		{"backoff ends with success", []error{transient(0), nil, transient(0)}, 800 * time.Millisecond, 1200 * time.Millisecond, PhaseFailing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{}
			for _, err := range tt.outcomes {
				s.answers = append(s.answers, fails(err))
			}
			s.answers = append(s.answers, works)
			during(t, s, &shelf{}, func(l *Loop) {
				for len(s.pulls()) < len(tt.outcomes) {
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
				if got := l.State().Phase; got != tt.phase {
					t.Errorf("phase %s, want %s", got, tt.phase)
				}
				time.Sleep(2 * time.Hour)
				n := len(tt.outcomes)
				if wait := s.pulls()[n].Sub(s.pulls()[n-1]); wait < tt.min || wait > tt.max {
					t.Errorf("waited %v, want %v to %v", wait, tt.min, tt.max)
				}
			})
		})
	}
}

func TestPagesAndCursor(t *testing.T) {
	store := &shelf{}
	s := &script{answers: []func([]byte, Emit) error{
		func(_ []byte, emit Emit) error {
			if err := emit(Page{Findings: []hub.Finding{{SourceID: "1", Type: "xss", AssetID: "a", Severity: hub.Low, Status: hub.FindingOpen}}}, []byte("p1")); err != nil {
				return err
			}
			store.err = transient(0) // the next page is not stored
			return emit(Page{Findings: []hub.Finding{{SourceID: "2"}}}, []byte("p2"))
		},
		func(_ []byte, emit Emit) error {
			return emit(Page{Findings: []hub.Finding{{SourceID: "2"}}}, []byte("p2"))
		},
		works,
	}}
	during(t, s, store, func(l *Loop) {
		time.Sleep(5 * time.Minute)
		state := l.State()
		if state.Counts.Pulled != 2 || state.Cursor != "2 bytes" || state.LastError != nil || state.LastSuccess.IsZero() {
			t.Errorf("state %+v", state)
		}
		if *state.Lag > 70 {
			t.Errorf("lag %v s with a pull each minute", *state.Lag)
		}
	})
	if s.cursors[0] != "" || s.cursors[1] != "p1" || s.cursors[2] != "p2" {
		t.Errorf("pulled from %q, want nothing, p1, p2", s.cursors)
	}
	if len(store.findings) != 2 {
		t.Fatalf("%d findings stored, want 2", len(store.findings))
	}
	f := store.findings[1] // came with everything missing
	if f.ID == "" || f.Tenant != "acme" || f.Source != "src" || f.ReceivedAt.IsZero() || f.ObservedAt != f.ReceivedAt ||
		f.ObservedGiven || f.Type != "custom" || f.Severity != hub.High || f.AssetID != "unknown" || f.Status != hub.FindingOpen {
		t.Errorf("stamped as %+v", f)
	}
}

func TestPauseResumeSync(t *testing.T) {
	s := &script{answers: []func([]byte, Emit) error{works}}
	during(t, s, &shelf{}, func(l *Loop) {
		synctest.Wait()
		l.Pause()
		time.Sleep(time.Hour)
		if len(s.pulls()) != 1 || l.State().Phase != PhasePaused {
			t.Errorf("while paused: %d pulls, phase %s", len(s.pulls()), l.State().Phase)
		}
		if err := l.Sync(); hub.KindOf(err) != hub.Conflict {
			t.Errorf("sync while paused: %v, want a conflict", err)
		}
		l.Resume()
		synctest.Wait()
		if len(s.pulls()) != 2 {
			t.Errorf("after resume: %d pulls, want 2", len(s.pulls()))
		}
		if err := l.Sync(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(s.pulls()) != 3 {
			t.Errorf("after sync: %d pulls, want 3", len(s.pulls()))
		}
	})
}

// TestSyncWhilePulling: the pull that runs may have passed what is wanted.
func TestSyncWhilePulling(t *testing.T) {
	slow := func([]byte, Emit) error { time.Sleep(time.Second); return nil }
	s := &script{answers: []func([]byte, Emit) error{slow}}
	during(t, s, &shelf{}, func(l *Loop) {
		synctest.Wait()
		for range 5 {
			if err := l.Sync(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Second)
		if n := len(s.pulls()); n != 2 {
			t.Errorf("%d pulls, want the one that ran and another", n)
		}
	})
	s = &script{answers: []func([]byte, Emit) error{fails(hub.E(hub.Transient, "down")), slow}}
	during(t, s, &shelf{}, func(l *Loop) {
		synctest.Wait()
		if err := l.Sync(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if n := len(s.pulls()); n != 3 {
			t.Errorf("%d pulls, want the one that failed, the rest of it, and another", n)
		}
	})
}

func TestSyncKeepsRetryAfter(t *testing.T) {
	s := &script{answers: []func([]byte, Emit) error{fails(throttle(10 * time.Minute)), works}}
	during(t, s, &shelf{}, func(l *Loop) {
		for range 9 {
			time.Sleep(time.Minute)
			if err := l.Sync(); err != nil {
				t.Error(err)
			}
			l.Pause()
			l.Resume()
		}
		if len(s.pulls()) != 1 {
			t.Errorf("%d pulls before Retry-After was over", len(s.pulls())-1)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.pulls()) != 2 {
			t.Errorf("%d pulls after it, want 2", len(s.pulls()))
		}
	})
}

// hangs pulls until it is told to end.
type hangs struct{ ended chan error }

func (h hangs) Pull(ctx context.Context, _ []byte, _ Emit) error {
	<-ctx.Done()
	h.ended <- context.Cause(ctx)
	return ctx.Err()
}

func TestPauseBreaksOffAPull(t *testing.T) {
	ended := make(chan error, 1)
	during(t, hangs{ended}, &shelf{}, func(l *Loop) {
		synctest.Wait()
		l.Pause()
		synctest.Wait()
		if err := <-ended; !errors.Is(err, errPaused) || l.State().Phase != PhasePaused || l.State().LastError != nil {
			t.Errorf("pull ended with %v, state %+v", err, l.State())
		}
	})
}

func TestPanicIsAFailure(t *testing.T) {
	s := &script{answers: []func([]byte, Emit) error{
		func([]byte, Emit) error { panic("boom") },
		fails(io.ErrUnexpectedEOF),
		works,
	}}
	during(t, s, &shelf{}, func(l *Loop) {
		synctest.Wait()
		if f := l.State().LastError; f == nil || f.Kind != hub.Internal || f.Advice == "" {
			t.Errorf("after a panic: %+v", f)
		}
		time.Sleep(time.Minute)
		if f := l.State().LastError; f != nil || l.State().Counts.Errors != 2 {
			t.Errorf("after it works again: %+v, %+v", f, l.State().Counts)
		}
	})
}
