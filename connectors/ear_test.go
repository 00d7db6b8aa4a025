package connectors

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// listener is a source whose sockets are a channel.
type listener struct {
	opens []error // of Listen, one after the other; then nil
	calls atomic.Int64
	in    chan Batch
	fail  chan error // ends serve
	got   []error    // of accept
	open  atomic.Bool
}

func (*listener) Close() error { return nil }

func (l *listener) Listen(context.Context) (func(context.Context, Accept) error, error) {
	l.calls.Add(1)
	if len(l.opens) > 0 {
		err := l.opens[0]
		l.opens = l.opens[1:]
		return nil, err
	}
	l.open.Store(true)
	return l.serve, nil
}

func (l *listener) serve(ctx context.Context, accept Accept) error {
	defer func() { l.open.Store(false) }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-l.fail:
			return err
		case b := <-l.in:
			_, err := accept(ctx, b)
			l.got = append(l.got, err)
		}
	}
}

func listening(t *testing.T, l *listener, store Store, check func(*Fleet)) {
	synctest.Test(t, func(t *testing.T) {
		l.in, l.fail = make(chan Batch), make(chan error)
		f, err := Open(FleetConfig{
			Kinds:   []Kind{{Name: "ear", Open: func(Settings) (Source, error) { return l, nil }}},
			Entries: []Entry{{Common: Common{Name: "one", Kind: "ear"}}}, Store: store, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); f.Run(ctx) }()
		synctest.Wait()
		check(f)
		cancel()
		<-ended
		if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhaseStopped || l.open.Load() {
			t.Errorf("after the end: %s, sockets open: %v", s.Phase, l.open.Load())
		}
	})
}

func TestListenerHandsOver(t *testing.T) {
	l, store := &listener{}, &shelf{}
	listening(t, l, store, func(f *Fleet) {
		l.in <- Batch{Findings: []hub.Finding{{SourceID: "1", Type: "xss", AssetID: "a", Severity: hub.Low}}, Rejects: []Reject{{Index: 1}}}
		l.in <- Batch{Rejects: []Reject{{Index: 0}}}
		store.err = transient(0)
		l.in <- Batch{Findings: []hub.Finding{{SourceID: "2"}}}
		synctest.Wait()
		s := f.List(hub.DefaultTenant)[0]
		if s.Phase != PhaseListening || !s.Listens || s.Pulls || s.Counts.Received != 1 || s.Counts.Rejected != 2 {
			t.Errorf("state %+v", s)
		}
		if len(store.findings) != 1 || store.findings[0].Source != "one" || len(l.got) != 3 || l.got[1] != nil || hub.KindOf(l.got[2]) != hub.Transient {
			t.Errorf("stored %+v, accept gave %v", store.findings, l.got)
		}
	})
}

func TestListenerOpensAgain(t *testing.T) {
	taken := hub.E(hub.Conflict, "the port is taken")
	l := &listener{opens: []error{taken, taken, taken}}
	listening(t, l, &shelf{}, func(f *Fleet) {
		if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhaseFailing || s.LastError == nil || s.LastError.Message != "the port is taken" || !strings.Contains(s.LastError.Advice, "taken") || s.NextAttempt.IsZero() {
			t.Errorf("with the port taken: %+v", s)
		}
		start := time.Now()
		for !l.open.Load() && time.Since(start) < time.Minute {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(start); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("three failures took %v, want 1+2+4 seconds, about", took)
		}
		if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhaseListening || s.LastError != nil || s.Failures != 0 {
			t.Errorf("when open: %+v", s)
		}
		l.fail <- errors.New("socket gone")
		synctest.Wait()
		if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhaseFailing {
			t.Errorf("when it ended by itself: %+v", s)
		}
	})
}

func TestListenerPauses(t *testing.T) {
	l := &listener{}
	listening(t, l, &shelf{}, func(f *Fleet) {
		if err := f.Sync(hub.DefaultTenant, "one"); hub.KindOf(err) != hub.Conflict {
			t.Errorf("sync: %v", err)
		}
		for range 2 {
			if err := f.Pause(hub.DefaultTenant, "one"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhasePaused || l.open.Load() {
				t.Errorf("paused: %+v, sockets open: %v", s, l.open.Load())
			}
			if err := f.Resume(hub.DefaultTenant, "one"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if s := f.List(hub.DefaultTenant)[0]; s.Phase != PhaseListening || !l.open.Load() {
				t.Errorf("resumed: %+v, sockets open: %v", s, l.open.Load())
			}
		}
	})
}

// server answers at /vendor to those with its key.
type server struct{ key, root string }

func (*server) Close() error            { return nil }
func (s *server) Root() string          { return s.root }
func (s *server) Claims(r Request) bool { return r.Header.Get("Key") == s.key }

func (s *server) Serve(ctx context.Context, r Request, accept Accept) Response {
	if !s.Claims(r) {
		return Response{Status: 403, Body: []byte("not " + s.key)}
	}
	receipt, err := accept(ctx, Batch{Findings: []hub.Finding{{SourceID: "1", Type: "xss", AssetID: "a", Severity: hub.Low}}})
	if err != nil || len(receipt.IDs) != 1 {
		return Response{Status: 503}
	}
	return Response{Status: 200, Body: []byte(s.key + r.Path)}
}

func TestServe(t *testing.T) {
	store := &shelf{}
	entry := func(name string) Entry { return Entry{Common: Common{Name: name, Kind: name}} }
	kind := func(name, root string) Kind {
		return Kind{Name: name, Open: func(Settings) (Source, error) { return &server{name, root}, nil }}
	}
	f, err := Open(FleetConfig{
		Kinds:   []Kind{kind("a", "/vendor"), kind("b", "/vendor"), kind("c", "/other")},
		Entries: []Entry{entry("a"), entry("b"), entry("c")}, Store: store, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, key, want string }{
		{"/vendor", "a", "200 a"},
		{"/vendor/x/y", "b", "200 b/x/y"},
		{"/vendor/x", "c", "403 not a"},
		{"/vendorx", "a", "not_found"},
		{"/", "a", "not_found"},
		{"/other", "c", "200 c"},
	} {
		r, err := f.Serve(t.Context(), tt.path, Request{Header: http.Header{"Key": {tt.key}}})
		got := string(hub.KindOf(err))
		if err == nil {
			got = strings.TrimSpace(http.StatusText(r.Status)) + " " + string(bytes.TrimSpace(r.Body))
			got = strings.NewReplacer("OK", "200", "Forbidden", "403").Replace(got)
		}
		if got != tt.want {
			t.Errorf("%s with %s: got %q, want %q", tt.path, tt.key, got, tt.want)
		}
	}
	if len(store.findings) != 3 || store.findings[1].Source != "b" {
		t.Errorf("stored %+v", store.findings)
	}
}
