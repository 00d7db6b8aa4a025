package dedup

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// flap lets a problem open and close n times, 15 seconds apart.
func (i *identity) flap(from, n int) {
	for k := from; k < from+n; k++ {
		f := saw("a", 0, hub.High)
		if k%2 == 1 {
			f = gone("a", 0)
		}
		f.ObservedAt = start.Add(time.Duration(k) * 15 * time.Second)
		i.now = start.Add(time.Duration(k)*15*time.Second + time.Second)
		i.see(f)
	}
}

func TestFlappingHoldsSingleNotifications(t *testing.T) {
	i := newIdentity(t)
	i.flap(0, 40)
	want := []hub.EventType{
		hub.AlertCreated, hub.AlertResolvedEvent, hub.AlertReopened, hub.AlertResolvedEvent,
		hub.AlertReopened, // the fourth change: from here on it flaps, and this is the summary
	}
	if len(i.events) != len(want) {
		t.Fatalf("40 changes in 10 minutes made events %v, want %v", i.events, want)
	}
	if i.alert.Status != hub.AlertResolved || i.told != hub.AlertOpen {
		t.Fatalf("alert is %s, told is %s", i.alert.Status, i.told)
	}
	due := i.state.SummaryDue()
	if got, want := due, start.Add(61*time.Second+30*time.Minute); !got.Equal(want) {
		t.Fatalf("summary due at %s, want %s", got, want)
	}
	if _, ok := Summarize(i.state, i.alert, due.Add(-time.Second)); ok {
		t.Error("summarized before it was due")
	}
	d, ok := Summarize(i.state, i.alert, due)
	if !ok || d.Event != hub.AlertResolvedEvent || !d.Notify || !strings.HasPrefix(d.Reason, "flapping: opened or closed 20 times") {
		t.Fatalf("summary %t: %s %q", ok, d.Event, d.Reason)
	}
	if want := [2]any{hub.AlertOpen, hub.AlertResolved}; d.Changes["status"] != want {
		t.Errorf("summary tells status %v, want %v", d.Changes["status"], want)
	}
	if want := [2]any{int64(3), int64(20)}; d.Changes["generation"] != want {
		t.Errorf("summary tells generation %v, want %v", d.Changes["generation"], want)
	}
	i.take(d)
	if _, again := Summarize(i.state, i.alert, due.Add(time.Hour)); again || !i.state.SummaryDue().IsZero() {
		t.Error("summarized twice")
	}
}

func TestFlappingSummaryEveryHalfHour(t *testing.T) {
	i := newIdentity(t)
	i.flap(0, 40)
	i.events = nil
	i.flap(40, 4*60) // to the 70th minute
	if len(i.events) != 2 {
		t.Errorf("an hour of flapping made %d events, want a summary each half hour: %v", len(i.events), i.events)
	}
}

// A mere repeat is nothing to make a summary of.
func TestFlappingRepeatsAreNotTold(t *testing.T) {
	i := newIdentity(t)
	i.flap(0, 5) // the summary says that it is open
	i.now = minute(60)
	if d := i.see(saw("a", 2, hub.High)); d.Outcome != hub.OutcomeMerged || d.Event != "" || !i.state.SummaryDue().IsZero() {
		t.Errorf("repeat while flapping: %s, event %q, due %s", d.Outcome, d.Event, i.state.SummaryDue())
	}
}

func TestFlappingTellsAWorseSeverityAtOnce(t *testing.T) {
	i := newIdentity(t)
	i.flap(0, 11)
	f := saw("a", 0, hub.Critical)
	f.ObservedAt = start.Add(11 * 15 * time.Second)
	if d := i.see(f); d.Event != hub.AlertUpdated || !d.Notify {
		t.Errorf("critical while flapping: event %q, notify %t", d.Event, d.Notify)
	}
}

// When it calms down, the next event takes people from what they were told to
// what is.
func TestFlappingEnds(t *testing.T) {
	i := newIdentity(t)
	i.flap(0, 10) // ends resolved; told: reopened
	if i.told != hub.AlertOpen || i.alert.Status != hub.AlertResolved {
		t.Fatalf("told %s, is %s", i.told, i.alert.Status)
	}
	i.now = minute(100)
	for k := 1; k <= flapSpan; k++ {
		i.see(gone("a", 10+k))
	}
	if d := i.see(saw("a", 40, hub.High)); d.Outcome != hub.OutcomeReopened || d.Event != hub.AlertUpdated {
		t.Errorf("open again, as people believe it is: outcome %s, event %s", d.Outcome, d.Event)
	}
	if d := i.see(gone("a", 41)); d.Event != hub.AlertResolvedEvent {
		t.Errorf("calm resolve: event %s", d.Event)
	}
}

// An alert whose resolve was held back is not over, or nobody would ever be told
// of its end.
func TestAlertWithAnUntoldEndIsReopened(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	i.act(Action{Kind: Suppress, Until: i.now.Add(time.Hour)})
	i.see(gone("a", 1))
	d := i.see(saw("a", 48*60, hub.High))
	if d.Outcome != hub.OutcomeReopened || d.Alert.ID != "alt_1" || d.Event != "" {
		t.Errorf("came back during suppression: %s of %s, event %q", d.Outcome, d.Alert.ID, d.Event)
	}
	d, ok := Summarize(i.state, i.alert, i.state.SummaryDue())
	if !ok || d.Event != hub.AlertUpdated || d.Reason != "2 changes were held back" {
		t.Errorf("after suppression: %t, event %q, %q", ok, d.Event, d.Reason)
	}
}
