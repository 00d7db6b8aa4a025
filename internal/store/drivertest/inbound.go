package drivertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// What a far side sends is carried out once, and remembered for a week.
func tripInbound(t *testing.T, s *store.Store) {
	receive := func(endpoint hub.EndpointID, id string, now time.Time, want bool) {
		t.Helper()
		do(t, s, func(tx *store.Tx) error {
			fresh, err := tx.Receive(tenant, endpoint, id, now)
			if err == nil && fresh != want {
				t.Errorf("%s %.20s at %v: fresh %v, want %v", endpoint, id, now, fresh, want)
			}
			return err
		})
	}
	long := strings.Repeat("é", 2000)
	receive("chn_1", "e1", when, true)
	receive("chn_1", "e1", when.Add(time.Hour), false)
	receive("chn_2", "e1", when.Add(time.Hour), true)
	receive("chn_1", long, when.Add(2*time.Hour), true)
	receive("chn_1", long, when.Add(2*time.Hour), false)
	receive("chn_1", "e2", when.Add(7*24*time.Hour+time.Minute), true) // forgets what is older than a week
	receive("chn_1", "e1", when.Add(7*24*time.Hour+time.Minute), true)
	receive("chn_2", "e1", when.Add(7*24*time.Hour+time.Minute), false)

	undone := errors.New("undone")
	err := s.Do(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Receive(tenant, "chn_1", "e3", when); err != nil {
			return err
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Errorf("got %v", err)
	}
	receive("chn_1", "e3", when, true) // what was not carried out is not remembered
}

func tripOutside(t *testing.T, s *store.Store) {
	do(t, s, func(tx *store.Tx) error {
		for _, subject := range []string{"alt_2:g1", "alt_1:g3", "alt_2:g1"} {
			if err := tx.NameOutside(tenant, "chn_1", "Q1", subject, when); err != nil {
				return err
			}
		}
		return tx.NameOutside("other", "chn_1", "Q2", "alt_9:g1", when)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "subjects", must[[]string](t)(r.OutsideSubjects(tenant, "chn_1", "Q1")), []string{"alt_1:g3", "alt_2:g1"})
		same(t, "another endpoint's", must[[]string](t)(r.OutsideSubjects(tenant, "chn_2", "Q1")), []string(nil))
		same(t, "another tenant's", must[[]string](t)(r.OutsideSubjects(tenant, "chn_1", "Q2")), []string(nil))
		return nil
	})
}

func tripProgress(t *testing.T, s *store.Store) {
	for _, next := range []int64{5, 12, 7} {
		do(t, s, func(tx *store.Tx) error { return tx.PutProgress(tenant, "siem", next, when) })
	}
	view(t, s, func(r *store.Reader) error {
		same(t, "progress", must[int64](t)(r.Progress(tenant, "siem")), int64(12))
		same(t, "progress of one that has not begun", must[int64](t)(r.Progress(tenant, "other")), int64(0))
		return nil
	})
	do(t, s, func(tx *store.Tx) error {
		for i := range 10 {
			f := hub.Finding{ID: hub.FindingID(fmt.Sprintf("fnd_%02d", i)), Tenant: tenant, Type: "xss", Severity: hub.Low, ReceivedAt: when}
			if i == 4 {
				f.Tenant = "other"
			}
			tx.AddFinding(&f, hub.Triage{Finding: f.ID, Alert: "alt_1", Outcome: hub.OutcomeMerged}, []byte(`{}`))
		}
		return nil
	})
	view(t, s, func(r *store.Reader) error {
		from := func(n int64, limit, stop int) (ids string, next int64) {
			err := r.FindingsFrom(tenant, n, limit, func(row store.FindingRow) bool {
				ids += " " + string(row.Triage.Finding[4:])
				next, stop = row.N+1, stop-1
				return stop != 0
			})
			if err != nil {
				t.Error(err)
			}
			return ids, next
		}
		ids, next := from(0, 3, 0)
		same(t, "first part", ids, " 00 01 02")
		ids, next = from(next, 100, 2)
		same(t, "second part", ids, " 03 05")
		ids, next = from(next, 100, 0)
		same(t, "rest", ids, " 06 07 08 09")
		ids, _ = from(next, 100, 0)
		same(t, "behind the end", ids, "")
		return nil
	})
}
