package drivertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// What sources said last of an alert is found by their clocks, among its newest
// changes and its first.
func tripSaid(t *testing.T, s *store.Store) {
	a := sampleAlert(77)
	version := int64(0)
	err := s.Do(t.Context(), func(tx *store.Tx) error {
		say := func(source, id string, minute int, status hub.FindingStatus) error {
			version++
			f := hub.Finding{
				ID: hub.FindingID(fmt.Sprintf("fnd_said_%04d", version)), Tenant: tenant, Source: source, SourceID: id, Status: status,
				Severity: hub.High, ObservedAt: when.Add(time.Duration(minute) * time.Minute), ReceivedAt: when,
			}
			doc, err := json.Marshal(&f)
			if err != nil {
				return err
			}
			tx.AddFinding(&f, hub.Triage{Finding: f.ID, Alert: a.ID, Outcome: hub.OutcomeMerged}, doc)
			tx.AddChange(tenant, &hub.Change{Alert: a.ID, Version: version, At: when, Actor: "source:" + source, Action: "merged", Findings: []hub.FindingID{f.ID}})
			return nil
		}
		version = 0
		if err := say("first", "f-1", 0, hub.FindingOpen); err != nil {
			return err
		}
		for n := range 1100 {
			if err := say("noisy", "n-1", n, hub.FindingOpen); err != nil {
				return err
			}
		}
		for _, x := range []struct {
			source, id string
			minute     int
			status     hub.FindingStatus
		}{
			{"two", "t-1", 5, hub.FindingResolved},
			{"two", "t-1", 4, hub.FindingOpen},
			{"two", "t-2", 3, hub.FindingOpen},
			{"other", "o-1", 9, hub.FindingOpen},
			{"two", "", 9, hub.FindingOpen},
		} {
			if err := say(x.source, x.id, x.minute, x.status); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []hub.SourceFinding
	err = s.Do(t.Context(), func(tx *store.Tx) (err error) {
		got, err = tx.SourceFindings(tenant, a.ID, []string{"first", "noisy", "two"})
		return err
	})
	said := func(source, id string, status hub.FindingStatus) hub.SourceFinding {
		return hub.SourceFinding{Source: source, SourceID: id, Status: status}
	}
	want := []hub.SourceFinding{
		said("noisy", "n-1", hub.FindingOpen), said("two", "t-1", hub.FindingResolved), said("two", "t-2", hub.FindingOpen), said("first", "f-1", hub.FindingOpen),
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what sources said", got, want)
}
