package dedup

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// beyondMemory gives an identity of which source b opened at 0 and closed at 1,
// so long ago that only the sum of it is remembered.
func beyondMemory(t *testing.T) *identity {
	i := newIdentity(t)
	i.see(saw("b", 0, hub.High))
	i.see(gone("b", 1))
	for n := 2; n < 2+2*keepChanges; n += 2 {
		i.see(saw("a", n, hub.High))
		i.see(gone("a", n+1))
	}
	if i.state.horizon.at <= hub.Micros(minute(1)) {
		t.Fatal("b is still remembered")
	}
	return i
}

func TestBeyondMemoryASourcesNewestCounts(t *testing.T) {
	i := beyondMemory(t)
	count := i.alert.Count
	if d := i.see(saw("b", 0, hub.Critical)); d.Outcome != hub.OutcomeLate || i.alert.Status != hub.AlertResolved || i.alert.Count != count+1 {
		t.Errorf("an open that b has since resolved: %s, alert %s", d.Outcome, i.alert.Status)
	}
	if d := i.see(saw("c", 0, hub.Low)); d.Outcome != hub.OutcomeReopened || i.alert.Status != hub.AlertOpen {
		t.Errorf("an open of a source that said nothing else: %s, alert %s", d.Outcome, i.alert.Status)
	}
	if d := i.see(saw("c", 1, hub.Low)); d.Outcome != hub.OutcomeMerged {
		t.Errorf("a newer one: %s", d.Outcome)
	}
	if d := i.see(gone("c", 1)); i.alert.Status == hub.AlertOpen && d.Outcome != hub.OutcomeLate {
		t.Errorf("its resolve at the same moment: %s, alert %s", d.Outcome, i.alert.Status)
	}
	if d := i.see(gone("c", 2)); d.Outcome != hub.OutcomeResolved || i.alert.Status != hub.AlertResolved {
		t.Errorf("its resolve: %s, alert %s", d.Outcome, i.alert.Status)
	}
}

func TestGenerationsMadeByHandAreNotThinnedOut(t *testing.T) {
	i := newIdentity(t)
	for n := range int64(100) {
		f := saw("a", 0, hub.High)
		f.ObservedAt = i.now
		i.see(f)
		if i.alert.Generation != n+1 {
			t.Fatalf("life %d is generation %d", n+1, i.alert.Generation)
		}
		i.now = i.now.Add(time.Minute)
		i.act(Action{Kind: Resolve})
		i.now = i.now.Add(time.Minute)
	}
}

func TestResolveByHandCoversAFastClock(t *testing.T) {
	i := newIdentity(t)
	i.now = start
	i.see(saw("a", 4, hub.High))
	i.act(Action{Kind: Resolve})
	if d := i.see(saw("a", 3, hub.High)); d.Outcome != hub.OutcomeLate || i.alert.Status != hub.AlertResolved {
		t.Errorf("older than what was resolved: %s, alert %s", d.Outcome, i.alert.Status)
	}
	if d := i.see(saw("a", 5, hub.High)); d.Outcome != hub.OutcomeReopened {
		t.Errorf("newer than what was resolved: %s", d.Outcome)
	}
}

func TestNewAlertStartsAfresh(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	i.see(saw("b", 1, hub.High))
	i.act(Action{Kind: Update, Assignee: new("ana"), Severity: new(hub.Critical), Labels: map[string]*string{"team": new("red")}})
	i.act(Action{Kind: Resolve})
	i.now = i.now.Add(25 * time.Hour)
	f := saw("a", 0, hub.Low)
	f.ObservedAt = i.now
	if d := i.see(f); d.Outcome != hub.OutcomeCreated {
		t.Fatalf("after the window: %s", d.Outcome)
	}
	a := i.alert
	if a.Severity != hub.Low || a.Assignee != "" || len(a.Labels) != 0 || a.Generation != 1 || a.Count != 1 || a.Version != 1 || len(a.Sources) != 1 {
		t.Errorf("new alert: %+v", a)
	}
	first := a.FirstSeen
	if d := i.see(saw("b", 0, hub.High)); d.Outcome != hub.OutcomeLate || !i.alert.FirstSeen.Equal(first) || len(i.alert.Sources) != 1 || d.Reason != "older than what b has reported since" {
		t.Errorf("a finding of before: %s %q, first seen %s, sources %v", d.Outcome, d.Reason, i.alert.FirstSeen, i.alert.Sources)
	}
	if d := i.see(saw("c", 5, hub.High)); d.Outcome != hub.OutcomeMerged || !d.Notify || a.Severity != hub.Low || i.alert.Severity != hub.High || !i.alert.FirstSeen.Equal(first) || len(i.alert.Sources) != 2 {
		t.Errorf("another source that has never resolved it: %s %q, first seen %s, sources %v", d.Outcome, d.Reason, i.alert.FirstSeen, i.alert.Sources)
	}
	if d := i.see(gone("c", 6)); d.Outcome != hub.OutcomeMerged || i.alert.Severity != hub.Low {
		t.Errorf("its resolve: %s, severity %s", d.Outcome, i.alert.Severity)
	}
	end := gone("a", 0)
	end.ObservedAt = i.now.Add(time.Minute)
	if d := i.see(end); d.Outcome != hub.OutcomeResolved {
		t.Errorf("b, closed by hand before, still supports the new alert: %s", d.Outcome)
	}
}

// Findings without any time take their place by arrival.
func TestNoTimeAtAll(t *testing.T) {
	i := newIdentity(t)
	f := saw("a", 0, hub.High)
	f.ObservedAt, f.ReceivedAt = time.Time{}, minute(3)
	if i.see(f); !i.alert.LastSeen.Equal(minute(3)) {
		t.Errorf("last seen %s", i.alert.LastSeen)
	}
}

// Observations of one moment come out the same in any order.
func TestTiesConverge(t *testing.T) {
	moment := []*hub.Finding{saw("a", 1, hub.High), gone("a", 1), saw("b", 1, hub.Low), saw("a", 1, hub.Critical), gone("b", 1)}
	var want *summaryOf
	permute(moment, 0, func(arrival []*hub.Finding) {
		i := newIdentity(t)
		for _, f := range arrival {
			i.see(f)
		}
		got := ofAlert(i.alert)
		if want == nil {
			want = &got
		}
		if got != *want {
			t.Fatalf("got %+v, want %+v, as it arrived:\n%s", got, *want, describe(arrival))
		}
	})
}
