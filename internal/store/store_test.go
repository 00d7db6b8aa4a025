package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	return openWith(t, path, store.Options{})
}

func openWith(t testing.TB, path string, opts store.Options) *store.Store {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), e, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func event(seq int64) hub.EventRecord {
	return hub.EventRecord{Sequence: seq, ID: "msg_1", Tenant: "default", Type: hub.AlertCreated, Subject: "alt_1", At: time.Now(), Body: []byte("{}")}
}

// A store that lingers begins when enough wait, all in one transaction.
func TestLingeringStoreTakesCompany(t *testing.T) {
	s := openWith(t, filepath.Join(t.TempDir(), "db"), store.Options{Linger: time.Minute})
	defer s.Close()
	before := s.Stats().Transactions.Load()
	var wg sync.WaitGroup
	for range 25 {
		wg.Go(func() {
			if err := s.Do(t.Context(), func(tx *store.Tx) error { tx.AddEvent(event(tx.NextSequence())); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.Stats().Transactions.Load() - before; got != 1 {
		t.Errorf("25 callers took %d transactions", got)
	}
}

// Callers that share a transaction each get their own error, and only the
// failing caller's writes are undone.
func TestCallersShareATransactionButNotErrors(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	defer s.Close()
	const n = 200
	refused := errors.New("refused")
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Do(t.Context(), func(tx *store.Tx) error {
				tx.AddEvent(event(tx.NextSequence()))
				if i%5 == 0 {
					return refused
				}
				return nil
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if want := i%5 == 0; errors.Is(err, refused) != want {
			t.Errorf("caller %d got %v", i, err)
		}
	}
	var got []hub.EventRecord
	err := s.View(t.Context(), func(r *store.Reader) (err error) {
		got, err = r.EventsAfter("default", 0, 1000)
		return err
	})
	if err != nil || len(got) != n*4/5 {
		t.Errorf("%d events are stored, want %d; error %v", len(got), n*4/5, err)
	}
}

func TestStoredStateSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	if err := s.Do(t.Context(), func(tx *store.Tx) error { tx.AddEvent(event(tx.NextSequence())); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	var seq int64
	if err := s.Do(t.Context(), func(tx *store.Tx) error { seq = tx.NextSequence(); return nil }); err != nil || seq != 2 {
		t.Errorf("the next sequence after reopening is %d, want 2; error %v", seq, err)
	}
}

func BenchmarkDo(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "db"))
	defer s.Close()
	body := make([]byte, 1024)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := s.Do(context.Background(), func(tx *store.Tx) error {
				e := event(tx.NextSequence())
				e.Body = body
				tx.AddEvent(e)
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(s.Stats().Requests.Load())/float64(s.Stats().Transactions.Load()), "callers/tx")
}
