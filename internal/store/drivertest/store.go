package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
)

const tenant = hub.TenantID("default")

func openStore(t testing.TB, e driver.Engine) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), e, store.Options{Sealer: sealer{}, ProbeEvery: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// store gives a store over an empty database that ends with the test.
func (k Kit) store(t testing.TB) *store.Store {
	t.Helper()
	s := openStore(t, k.open(t, k.Place(t)))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func do(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Do(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s *store.Store, fn func(*store.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// addEvent adds an event that is named by its subject, and an audit entry of it.
func addEvent(tx *store.Tx, subject string) {
	tx.AddEvent(hub.EventRecord{
		Sequence: tx.NextSequence(), ID: hub.EventID("msg_" + subject), Tenant: tenant, Type: hub.AlertCreated,
		Subject: subject, At: time.Unix(1, 0), Body: []byte("{}"),
	})
	tx.Audit(entry("add", subject))
}

func entry(action, subject string) hub.AuditEntry {
	return hub.Audited(hub.System(tenant), action, "event", subject)
}

// stored gives the subjects of the events, in order, and checks that the audit
// log tells of the same.
func stored(t testing.TB, s *store.Store) []string {
	t.Helper()
	var subjects []string
	view(t, s, func(r *store.Reader) error {
		events, err := r.EventsAfter(tenant, 0, 1<<30)
		for i := range events {
			subjects = append(subjects, events[i].Subject)
		}
		if log := checkChain(t, r, tenant); fmt.Sprint(log) != fmt.Sprint(subjects) {
			t.Errorf("the audit log tells of %v, but stored are %v", log, subjects)
		}
		return err
	})
	return subjects
}

// together runs functions in one transaction, in their order: the writer is held
// up until all of them wait for it. If the store takes no writes, each fails.
func together(t testing.TB, s *store.Store, fns ...func(*store.Tx) error) []error {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	enter := sync.OnceFunc(func() { close(entered) })
	var all sync.WaitGroup
	all.Go(func() {
		defer enter()
		_ = s.Do(context.Background(), func(*store.Tx) error {
			enter()
			<-release
			return nil
		})
	})
	<-entered
	errs := make([]error, len(fns))
	for i, fn := range fns {
		var left atomic.Bool
		all.Go(func() {
			errs[i] = s.Do(context.Background(), fn)
			left.Store(true)
		})
		for s.Waiting() < i+1 && !left.Load() {
			time.Sleep(10 * time.Microsecond)
		}
	}
	close(release)
	all.Wait()
	return errs
}

func testGroupCommit(t *testing.T, k Kit) {
	s := k.store(t)
	before := s.Stats().Transactions.Load()
	fns := make([]func(*store.Tx) error, 100)
	for i := range fns {
		fns[i] = func(tx *store.Tx) error {
			addEvent(tx, fmt.Sprint(i))
			return nil
		}
	}
	for _, err := range together(t, s, fns...) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := s.Stats().Transactions.Load() - before; n > 5 { // one, and more only if the machine is slow
		t.Errorf("100 waiting callers took %d transactions", n)
	}
	if got := stored(t, s); len(got) != 100 {
		t.Errorf("%d events are stored, want 100", len(got))
	}
	if n := s.Stats().Replayed.Load(); n != 0 {
		t.Errorf("%d transactions ran twice, though nobody failed", n)
	}
}

// checkTogether runs callers a, bad and c together: only bad may fail.
func checkTogether(t *testing.T, s *store.Store, bad func(tx *store.Tx) error) error {
	t.Helper()
	add := func(name string) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			addEvent(tx, name)
			return nil
		}
	}
	errs := together(t, s, add("a"), bad, add("c"))
	if errs[0] != nil || errs[2] != nil {
		t.Errorf("its neighbours got %v and %v", errs[0], errs[2])
	}
	if got := fmt.Sprint(stored(t, s)); got != "[a c]" {
		t.Errorf("stored are %s, want [a c]", got)
	}
	if err := s.Health(); err != nil {
		t.Errorf("the store takes no more writes: %v", err)
	}
	return errs[1]
}

func testOwnErrors(t *testing.T, k Kit) {
	refused := errors.New("refused")
	for _, c := range []struct {
		name  string
		write func(tx *store.Tx) error
	}{
		{"nothing written", func(*store.Tx) error { return nil }},
		{"a row collected", func(tx *store.Tx) error { addEvent(tx, "b"); return nil }},
		{"a statement run", func(tx *store.Tx) error { return tx.PutMeta("b", "1") }},
		{"an audit entry only", func(tx *store.Tx) error { tx.Audit(entry("add", "b")); return nil }},
		{"a row read back", func(tx *store.Tx) error {
			addEvent(tx, "b")
			_, err := tx.EventsAfter(tenant, 0, 10)
			return err
		}},
		{"a commit hook", func(tx *store.Tx) error {
			tx.AfterCommit(func() { t.Error("the hook of a failed caller ran") })
			return tx.PutMeta("b", "1")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := k.store(t)
			err := checkTogether(t, s, func(tx *store.Tx) error { return errors.Join(c.write(tx), refused) })
			if !errors.Is(err, refused) {
				t.Errorf("the failing caller got %v", err)
			}
			view(t, s, func(r *store.Reader) error {
				if v, err := r.Meta("b"); v != "" || err != nil {
					t.Errorf("the failing caller's row is there: %q, error %v", v, err)
				}
				return nil
			})
		})
	}
}

func testPanic(t *testing.T, k Kit) {
	for _, wrote := range []bool{false, true} {
		err := checkTogether(t, k.store(t), func(tx *store.Tx) error {
			if wrote {
				addEvent(tx, "b")
			}
			panic("oh")
		})
		if hub.KindOf(err) != hub.Internal || !strings.Contains(err.Error(), "oh") {
			t.Errorf("the panicking caller got %v", err)
		}
	}
}

// A row that the database refuses is found only when collected rows are
// inserted, long after its caller has returned.
func testBadRow(t *testing.T, k Kit) {
	double := hub.EventRecord{Sequence: 1 << 40, ID: "msg_x", Tenant: tenant, Body: []byte{}}
	for _, ignores := range []bool{false, true} {
		err := checkTogether(t, k.store(t), func(tx *store.Tx) error {
			tx.AddEvent(double)
			tx.AddEvent(double)
			if ignores {
				_, _ = tx.EventsAfter(tenant, 0, 1) // inserts the rows, and fails
			}
			return nil
		})
		if driver.KindOf(err) != driver.Unique || hub.KindOf(err) != hub.Internal {
			t.Errorf("the caller of the double row got %v, want kind %q", err, driver.Unique)
		}
	}
}

func testBadEntry(t *testing.T, k Kit) {
	err := checkTogether(t, k.store(t), func(tx *store.Tx) error {
		addEvent(tx, "b")
		tx.Audit(entry("refuse", "b"))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "refused by the sealer") || hub.KindOf(err) != hub.Internal {
		t.Errorf("the caller of the bad entry got %v", err)
	}
}

func testAudit(t *testing.T, k Kit) {
	place := k.Place(t)
	s := openStore(t, k.open(t, place))
	for i := range 3 {
		do(t, s, func(tx *store.Tx) error {
			for j := range 3 {
				addEvent(tx, fmt.Sprint(i, ".", j))
			}
			other := entry("add", fmt.Sprint(i))
			other.Tenant = "other"
			tx.Audit(other)
			return nil
		})
		if i == 1 { // and over a restart
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, k.open(t, place))
		}
	}
	defer s.Close()
	if got := stored(t, s); len(got) != 9 {
		t.Errorf("%d events, want 9", len(got))
	}
	view(t, s, func(r *store.Reader) error {
		if got := checkChain(t, r, "other"); fmt.Sprint(got) != "[0 1 2]" {
			t.Errorf("the other tenant's log tells of %v", got)
		}
		ranges, err := r.AuditRanges(tenant, "action", "add", 1<<40, 10)
		if fmt.Sprint(ranges) != "[[6 8] [3 5] [0 2]]" {
			t.Errorf("the entries of an action are in %v", ranges)
		}
		return err
	})
}

func testCounters(t *testing.T, k Kit) {
	place := k.Place(t)
	s := openStore(t, k.open(t, place))
	last := int64(0)
	take := func(fail error) {
		t.Helper()
		var got int64
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			got = tx.Counter("n", 3)
			if err := tx.PutMeta("x", "1"); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Error(err)
		}
		if fail != nil {
			return
		}
		if got < last+3 {
			t.Errorf("got the numbers up to %d after %d", got, last)
		}
		last = got
	}
	for i := range 20 {
		take(nil)
		take(errors.New("refused"))
		if i%5 == 4 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, k.open(t, place))
		}
	}
	defer s.Close()
	view(t, s, func(r *store.Reader) error {
		if n, err := r.CounterValue("n"); n < last || err != nil {
			t.Errorf("the counter is stored as %d, after %d was given out; error %v", n, last, err)
		}
		return nil
	})
}

// Whoever calls while the store closes gets an answer, and what was answered
// well is there.
func testClose(t *testing.T, k Kit) {
	place := k.Place(t)
	s := openStore(t, k.open(t, place))
	var callers sync.WaitGroup
	var mu sync.Mutex
	acknowledged := 0
	begun := make(chan struct{}, 1000)
	for i := range 16 {
		callers.Go(func() {
			for j := 0; ; j++ {
				err := s.Do(context.Background(), func(tx *store.Tx) error {
					addEvent(tx, fmt.Sprint(i, ".", j))
					return nil
				})
				if err != nil {
					if hub.KindOf(err) != hub.Transient {
						t.Errorf("a caller got %v, want a transient error", err)
					}
					return
				}
				mu.Lock()
				acknowledged++
				mu.Unlock()
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 100 {
		<-begun
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	callers.Wait()
	if err := s.View(t.Context(), func(*store.Reader) error { return nil }); hub.KindOf(err) != hub.Transient {
		t.Errorf("a closed store answers View with %v", err)
	}
	s = openStore(t, k.open(t, place))
	defer s.Close()
	if got := len(stored(t, s)); got < acknowledged {
		t.Errorf("%d events are stored, but %d were acknowledged", got, acknowledged)
	}
}

func testContexts(t *testing.T, k Kit) {
	s := k.store(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Do(ctx, func(tx *store.Tx) error {
		t.Error("the function of a caller who has left ran")
		return nil
	})
	if hub.KindOf(err) != hub.Transient || !errors.Is(err, context.Canceled) {
		t.Errorf("Do with an ended context gives %v", err)
	}
	wrong := errors.New("wrong")
	if err := s.View(t.Context(), func(*store.Reader) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("View gives %v, want its function's error", err)
	}
}
