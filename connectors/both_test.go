package connectors

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// hearing pulls and listens.
type hearing struct {
	script
	listener
	wake func()
}

func (h *hearing) Close() error { return nil }

func (h *hearing) Listen(ctx context.Context) (func(context.Context, Accept) error, error) {
	serve, err := h.listener.Listen(ctx)
	if err == nil {
		h.wake()
	}
	return serve, err
}

// TestPullsAndListens: connections that do not last are opened ever later, each
// is followed by a pull, and a pause ends both.
func TestPullsAndListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hearing{script: script{answers: []func([]byte, Emit) error{works}}}
		src.in, src.fail = make(chan Batch), make(chan error)
		f, err := Open(FleetConfig{
			Kinds:   []Kind{{Name: "both", Open: func(s Settings) (Source, error) { src.wake = s.Wake; return src, nil }}},
			Entries: []Entry{{Common: Common{Name: "one", Kind: "both", Interval: hub.Duration(time.Hour)}}},
			Store:   &shelf{}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); f.Run(ctx) }()
		synctest.Wait()
		state := func() State { return f.List(hub.DefaultTenant)[0] }
		if s := state(); !s.Pulls || !s.Listens || s.Phase != PhaseWaiting || !src.open.Load() {
			t.Errorf("at first: %+v, open: %v", s, src.open.Load())
		}
		start := time.Now()
		for range 6 {
			src.fail <- io.ErrUnexpectedEOF
			synctest.Wait()
			if s := state(); s.LastError == nil || s.Phase != PhaseWaiting {
				t.Errorf("after the connection broke: %+v", s)
			}
			for !src.open.Load() {
				time.Sleep(time.Second / 10)
				synctest.Wait()
			}
		}
		if took := time.Since(start); took < 40*time.Second { // 1+2+4+8+16+32, less a fifth
			t.Errorf("six connections that broke at once were opened again within %v", took)
		}
		if n := len(src.pulls()); n < 7 {
			t.Errorf("%d pulls after 7 connections", n)
		}
		if err := f.Pause(hub.DefaultTenant, "one"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if src.open.Load() || state().Phase != PhasePaused {
			t.Errorf("paused: open %v, %+v", src.open.Load(), state())
		}
		if err := f.Resume(hub.DefaultTenant, "one"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !src.open.Load() {
			t.Error("not open after it was resumed")
		}
		cancel()
		<-ended
	})
}
