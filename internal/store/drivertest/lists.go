package drivertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"pgregory.net/rapid"
)

// After any changes, those of failing callers among them, the counts kept are
// what counting gives.
func testAlertCounts(t *testing.T, k Kit) {
	s, round := k.store(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++ // a tenant of its own, so that one database does for all
		own := hub.TenantID(fmt.Sprint("t", round))
		alerts := map[hub.AlertID]*hub.Alert{}
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			changeAlerts(rt, s, own, alerts)
		}
		all := &hub.AlertFilter{}
		scanned := &hub.AlertFilter{Since: time.Unix(1, 0)} // cannot be answered from the counts
		err := s.View(t.Context(), func(r *store.Reader) error {
			for _, status := range []string{"", "open", "investigating", "resolved", "dismissed"} {
				if status != "" {
					all.Status, scanned.Status = []string{status}, []string{status}
				}
				kept, err := r.CountAlerts(own, all)
				counted, err2 := r.CountAlerts(own, scanned)
				for _, sev := range hub.Severities {
					if want := tally(alerts, status, sev); kept[sev] != want || counted[sev] != want {
						rt.Errorf("%s %s: kept %d, counted %d, want %d", status, sev, kept[sev], counted[sev], want)
					}
				}
				if err := errors.Join(err, err2); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			rt.Error(err)
		}
	})
}

func tally(alerts map[hub.AlertID]*hub.Alert, status string, sev hub.Severity) (n int64) {
	for _, a := range alerts {
		if a.Severity == sev && (status == "" || string(a.Status) == status) {
			n++
		}
	}
	return n
}

// changeAlerts adds and changes some alerts in one transaction, which may fail.
func changeAlerts(rt *rapid.T, s *store.Store, own hub.TenantID, alerts map[hub.AlertID]*hub.Alert) {
	type step struct {
		n    int
		stat hub.AlertStatus
		sev  hub.Severity
	}
	statuses := []hub.AlertStatus{hub.AlertOpen, hub.AlertInvestigating, hub.AlertResolved, hub.AlertDismissed}
	var steps []step
	for range rapid.IntRange(1, 5).Draw(rt, "changes") {
		steps = append(steps, step{
			rapid.IntRange(0, 6).Draw(rt, "alert"), rapid.SampledFrom(statuses).Draw(rt, "status"), rapid.SampledFrom(hub.Severities[:]).Draw(rt, "severity"),
		})
	}
	fails := rapid.IntRange(0, 3).Draw(rt, "fails") == 0
	next := map[hub.AlertID]*hub.Alert{}
	refused := errors.New("refused")
	err := s.Do(rt.Context(), func(tx *store.Tx) error {
		clear(next)
		for id, a := range alerts {
			next[id] = a
		}
		for _, c := range steps {
			a := sampleAlert(c.n)
			a.Tenant, a.ID, a.Status, a.Severity = own, hub.AlertID(fmt.Sprint("alt_", own, "_", c.n)), c.stat, c.sev
			if err := putAlert(tx, a, next[a.ID]); err != nil {
				return err
			}
			next[a.ID] = a
		}
		if fails {
			return refused
		}
		return nil
	})
	switch {
	case fails && !errors.Is(err, refused), !fails && err != nil:
		rt.Fatal(err)
	case !fails:
		for id, a := range next {
			alerts[id] = a
		}
	}
}

// A list is paged through while rows are added and changed: whatever was there
// all the time and did not change is shown once.
func testCursors(t *testing.T, k Kit) {
	s := k.store(t)
	const n = 60
	add := func(i int) {
		do(t, s, func(tx *store.Tx) error {
			f := &hub.Finding{ID: hub.FindingID(fmt.Sprintf("fnd_%04d", i)), Tenant: tenant, ReceivedAt: when}
			tx.AddFinding(f, hub.Triage{Finding: f.ID}, []byte("{}"))
			tx.AddDelivery(&hub.Delivery{ID: hub.DeliveryID(fmt.Sprintf("dlv_%04d", i)), Tenant: tenant, State: hub.DeliveryPending, DueAt: when})
			tx.AddRun(&hub.RunRecord{ID: hub.RunID(fmt.Sprintf("run_%04d", i)), Tenant: tenant, Doc: []byte("{}")})
			return putAlert(tx, sampleAlert(i), nil)
		})
	}
	for i := range n {
		add(i)
	}
	next := n
	disturb := func() { // a new row, and one of the old ones changes
		add(next)
		next++
		do(t, s, func(tx *store.Tx) error {
			old := sampleAlert(next % 7)
			a := *old
			a.Version++
			return putAlert(tx, &a, old)
		})
	}
	pages := map[string]func(r *store.Reader, after *cursor) ([]string, error){
		"findings": pageFindings, "alerts": pageAlerts, "deliveries": pageDeliveries, "runs": pageRuns,
	}
	for name, page := range pages {
		for _, limit := range []int{1, 7, n} {
			seen := walk(t, s, limit, page, disturb)
			for i := 7; i < n; i++ { // 0 to 6 change
				if key := fmt.Sprintf("%04d", i); seen[key] != 1 {
					t.Errorf("%s by %d: row %s was shown %d times", name, limit, key, seen[key])
				}
			}
		}
	}
}

// A cursor is the place of the last row shown, in the terms of its list.
type cursor struct {
	limit int
	n     int64
	id    string
}

func walk(t *testing.T, s *store.Store, limit int, page func(*store.Reader, *cursor) ([]string, error), disturb func()) map[string]int {
	t.Helper()
	seen, at := map[string]int{}, &cursor{limit: limit}
	for {
		var ids []string
		view(t, s, func(r *store.Reader) (err error) {
			ids, err = page(r, at)
			return err
		})
		for _, id := range ids {
			seen[id[4:]]++
		}
		if len(ids) < limit {
			return seen
		}
		disturb()
	}
}

func pageFindings(r *store.Reader, at *cursor) (ids []string, err error) {
	rows, err := r.ListFindings(tenant, &store.FindingFilter{}, at.n, 0, at.limit)
	for _, row := range rows {
		ids, at.n = append(ids, string(row.Triage.Finding)), row.N
	}
	return ids, err
}

func pageAlerts(r *store.Reader, at *cursor) (ids []string, err error) {
	rows, err := r.ListAlerts(tenant, &hub.AlertFilter{}, at.n, 0, at.limit)
	for _, row := range rows {
		ids, at.n = append(ids, string(row.ID)), row.Changed
	}
	return ids, err
}

func pageDeliveries(r *store.Reader, at *cursor) (ids []string, err error) {
	rows, err := r.ListDeliveries(tenant, &store.DeliveryFilter{}, hub.DeliveryID(at.id), 0, at.limit)
	for _, row := range rows {
		ids, at.id = append(ids, string(row.ID)), string(row.ID)
	}
	return ids, err
}

func pageRuns(r *store.Reader, at *cursor) (ids []string, err error) {
	rows, err := r.ListRuns(tenant, hub.RunID(at.id), at.limit)
	for _, row := range rows {
		ids, at.id = append(ids, string(row.ID)), string(row.ID)
	}
	return ids, err
}

func testBusTables(t *testing.T, k Kit) {
	s := k.store(t)
	var topics [2]store.TopicRow
	row := func(i int64) *store.MessageRow {
		return &store.MessageRow{
			Pos: store.Position(topics[0].No, 0, i), Tenant: "default", ID: fmt.Sprint("m", i), Key: "k", At: i * 1_000_000,
			Headers: `{"a":"b"}`, Payload: []byte{0, byte(i)},
		}
	}
	do(t, s, func(tx *store.Tx) (err error) {
		for i, name := range []string{"one", "two"} {
			if topics[i], err = tx.OpenTopic(name, 3); err != nil {
				return err
			}
		}
		again, err := tx.OpenTopic("one", 9)
		same(t, "topic", again, topics[0])
		for i := range int64(10) {
			tx.AppendMessage(row(i + 1))
		}
		tx.AppendMessage(&store.MessageRow{Pos: store.Position(topics[1].No, 2, 1), Tenant: "default", ID: "m3"})
		return err
	})
	first, last := store.Position(topics[0].No, 0, 0), store.Position(topics[0].No, 0, 1<<40-1)
	view(t, s, func(r *store.Reader) error {
		same(t, "topics", must[[]store.TopicRow](t)(r.Topics()), topics[:])
		var got []*store.MessageRow
		err := r.Messages(first+2, last, 5, func(m *store.MessageRow) bool {
			got = append(got, m)
			return len(got) < 3
		})
		same(t, "messages", got, []*store.MessageRow{row(3), row(4), row(5)})
		same(t, "found", must[*store.MessageRow](t)(r.FindMessage("default", "m7", first, last, 7)), row(7))
		for _, limit := range []int{6, 1} {
			same(t, "found too far", must[*store.MessageRow](t)(r.FindMessage("default", "m7", first, last, limit)), (*store.MessageRow)(nil))
		}
		pos, at, err2 := r.MessageTime(first+4, last)
		same(t, "place and time", []int64{pos, at}, []int64{first + 5, 5_000_000})
		return errors.Join(err, err2)
	})
	do(t, s, func(tx *store.Tx) error {
		n, err := tx.DeleteMessages(first, last, time.Unix(7, 0), 4)
		n2, err2 := tx.DeleteMessages(first, last, time.Unix(7, 0), 4)
		n3, err3 := tx.DeleteMessages(first, last, time.Unix(7, 0), 4)
		same(t, "removed", []int64{n, n2, n3}, []int64{4, 2, 0})
		return errors.Join(err, err2, err3)
	})
	consumers(t, s, topics[0].No)
}

func consumers(t *testing.T, s *store.Store, topic int64) {
	row := store.ConsumerRow{Topic: topic, Group: "g", Partition: 1, Pos: 5, At: when}
	later := row
	later.Pos, later.At = 9, when.Add(time.Minute)
	do(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.TouchConsumer(row), tx.PutConsumer(later), tx.PutConsumer(row), tx.TouchConsumer(store.ConsumerRow{Topic: topic, Group: "g", Partition: 1, At: later.At}))
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "progress, which does not go back", must[[]store.ConsumerRow](t)(r.Consumers(topic)), []store.ConsumerRow{later})
		return nil
	})
	do(t, s, func(tx *store.Tx) error { return tx.DeleteConsumer(topic, "g") })
	view(t, s, func(r *store.Reader) error {
		same(t, "forgotten progress", must[[]store.ConsumerRow](t)(r.Consumers(topic)), []store.ConsumerRow(nil))
		return nil
	})
}
