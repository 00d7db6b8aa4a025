package dedup

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

// A step is a finding or an action, and what it must do.
type step struct {
	finding  *hub.Finding
	repeated bool
	action   Action
	after    time.Duration // our clock moves before the step

	outcome hub.Outcome
	event   hub.EventType
	notify  bool
	status  hub.AlertStatus // "" if there must be no alert
	sev     hub.Severity
	gen     int64
	count   int64
	reason  string // a part of it
}

const (
	isOpen     = hub.AlertOpen
	isAcked    = hub.AlertInvestigating
	isResolved = hub.AlertResolved
	isDismiss  = hub.AlertDismissed

	created  = hub.OutcomeCreated
	merged   = hub.OutcomeMerged
	reopened = hub.OutcomeReopened
	closed   = hub.OutcomeResolved
	quieted  = hub.OutcomeSuppressed
	late     = hub.OutcomeLate
	repeat   = hub.OutcomeDuplicate
)

func payload(f *hub.Finding, p string) *hub.Finding { f.Payload = []byte(p); return f }

func onAsset(f *hub.Finding, id string) *hub.Finding { f.AssetID = id; return f }

func titled(f *hub.Finding, title string) *hub.Finding { f.Title = title; return f }

func first() step {
	return step{finding: saw("a", 0, hub.High), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 1, reason: "first seen"}
}

func acked() step {
	return step{action: Action{Kind: Acknowledge}, event: hub.AlertAcknowledgedEvent, notify: true, status: isAcked, sev: hub.High, gen: 1, count: 1, reason: "acknowledged by usr_1"}
}

func dismissedStep() step {
	return step{action: Action{Kind: Dismiss}, event: hub.AlertDismissedEvent, notify: true, status: isDismiss, sev: hub.High, gen: 1, count: 1, reason: "dismissed by usr_1"}
}

func resolvedStep(at int) step {
	return step{finding: gone("a", at), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 1, count: 2, reason: "resolved by a"}
}

var rules = []struct {
	name  string
	steps []step
}{
	{"a delivery seen before is a duplicate and changes nothing but a counter", []step{
		first(),
		{finding: saw("a", 0, hub.High), repeated: true, outcome: repeat, status: isOpen, sev: hub.High, gen: 1, count: 1},
		{finding: gone("a", 9), repeated: true, outcome: repeat, status: isOpen, sev: hub.High, gen: 1, count: 1},
	}},
	{"a duplicate of a tombstone makes no alert", []step{
		{finding: gone("a", 0), outcome: closed},
		{finding: gone("a", 0), repeated: true, outcome: repeat},
	}},
	{"merged: count and last_seen move, told as an update", []step{
		first(),
		{finding: saw("a", 1, hub.High), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2, reason: "merged"},
	}},
	{"severity is the highest among the newest observations of supporting sources", []step{
		first(),
		{finding: saw("b", 1, hub.Low), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2},
		{finding: saw("a", 2, hub.Info), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Low, gen: 1, count: 3},
		{finding: saw("b", 3, hub.Critical), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.Critical, gen: 1, count: 4},
		{finding: gone("b", 4), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Info, gen: 1, count: 5},
	}},
	{"a source's resolve resolves only when no other source supports", []step{
		first(),
		{finding: saw("b", 1, hub.High), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2},
		{finding: gone("a", 2), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 3},
		{finding: gone("b", 3), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 1, count: 4, reason: "resolved by b"},
		{finding: gone("b", 4), outcome: closed, status: isResolved, sev: hub.High, gen: 1, count: 5, reason: "already resolved"},
	}},
	{"a resolve by a source that never reported resolves nothing", []step{
		first(),
		{finding: gone("b", 2), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2},
	}},
	{"a resolve older than the source's newest open is history only", []step{
		{finding: saw("a", 10, hub.High), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 1},
		{finding: gone("a", 5), outcome: late, status: isOpen, sev: hub.High, gen: 1, count: 2, reason: "older than what a has reported since"},
	}},
	{"a resolve before its open leaves a tombstone", []step{
		{finding: gone("a", 5), outcome: closed},
		{finding: saw("a", 3, hub.Low), outcome: late, status: isResolved, sev: hub.Low, gen: 1, count: 2, reason: "resolved at 2026-03-01T12:05:00Z, before this was known"},
		{finding: saw("a", 7, hub.Low), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.Low, gen: 2, count: 3},
	}},
	{"an open newer than the tombstone is an alert", []step{
		{finding: gone("a", 5), outcome: closed},
		{finding: saw("a", 6, hub.Low), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.Low, gen: 1, count: 2},
	}},
	{"a tombstone of one source does not stop another", []step{
		{finding: gone("a", 5), outcome: closed},
		{finding: saw("b", 3, hub.Low), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.Low, gen: 1, count: 2},
	}},
	{"late: counted, and never moves the alert backwards", []step{
		{finding: saw("a", 10, hub.Low), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.Low, gen: 1, count: 1},
		{finding: saw("a", 5, hub.Critical), outcome: late, status: isOpen, sev: hub.Low, gen: 1, count: 2},
	}},
	{"late after a resolve stays resolved", []step{
		first(), resolvedStep(10),
		{finding: saw("a", 5, hub.High), outcome: late, status: isResolved, sev: hub.High, gen: 1, count: 3},
	}},
	{"equal times are ordered by the source's sequence", []step{
		{finding: with(saw("a", 1, hub.High), func(f *hub.Finding) { f.SourceSequence = 8 }), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 1},
		{finding: with(gone("a", 1), func(f *hub.Finding) { f.SourceSequence = 7 }), outcome: late, status: isOpen, sev: hub.High, gen: 1, count: 2},
		{finding: with(gone("a", 1), func(f *hub.Finding) { f.SourceSequence = 9 }), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 1, count: 3},
	}},
	{"reopened within the window: same alert, next generation", []step{
		first(), resolvedStep(10),
		{finding: saw("a", 10+24*60, hub.Low), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.Low, gen: 2, count: 3, reason: "seen again by a"},
	}},
	{"after the window: a new alert that names the old one", []step{
		first(), resolvedStep(10),
		{finding: saw("a", 11+24*60, hub.Low), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.Low, gen: 1, count: 1, reason: "came back later than 24h0m0s after alt_1 was resolved"},
		{finding: saw("a", 5, hub.Low), outcome: late, status: isOpen, sev: hub.Low, gen: 1, count: 2},
		{finding: gone("a", 12+24*60), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.Low, gen: 1, count: 3},
	}},
	{"an older open of a source that never resolved opens the alert again", []step{
		first(), resolvedStep(10),
		{finding: saw("b", 5, hub.Low), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.Low, gen: 1, count: 3, reason: "b had seen it at 2026-03-01T12:05:00Z and has not resolved it"},
	}},
	{"acknowledged: repeats, new texts, lower severities and further sources are not told", []step{
		first(), acked(),
		{finding: saw("a", 1, hub.High), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 2, reason: "merged"},
		{finding: titled(saw("a", 2, hub.High), "another title"), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 3},
		{finding: saw("a", 3, hub.Low), outcome: merged, status: isAcked, sev: hub.Low, gen: 1, count: 4},
		{finding: saw("a", 4, hub.High), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 5}, // what was acknowledged
		{finding: payload(saw("b", 5, hub.High), `{"rule":7}`), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 6},
		{finding: payload(saw("a", 6, hub.High), `{ "timestamp":"x", "count":3, "url":"/\u006cogin"}`), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 7},
	}},
	{"acknowledged until the severity rises", []step{
		first(), acked(),
		{finding: saw("a", 1, hub.Critical), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.Critical, gen: 1, count: 2, reason: "acknowledgement ended: severity high → critical"},
		{finding: saw("a", 2, hub.Critical), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Critical, gen: 1, count: 3, reason: "merged"},
	}},
	{"acknowledged until another source sees it worse", []step{
		first(), acked(),
		{finding: saw("b", 1, hub.Critical), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.Critical, gen: 1, count: 2, reason: "acknowledgement ended: severity high → critical"},
	}},
	{"acknowledged until there is a new asset", []step{
		first(), acked(),
		{finding: onAsset(saw("a", 1, hub.High), "srv_2"), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 2, reason: "acknowledgement ended: new asset srv_2"},
	}},
	{"acknowledged until there is new evidence, known evidence is not", []step{
		first(),
		{finding: payload(saw("a", 1, hub.High), `{"url":"/b"}`), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2},
		{action: Action{Kind: Acknowledge}, event: hub.AlertAcknowledgedEvent, notify: true, status: isAcked, sev: hub.High, gen: 1, count: 2},
		{finding: saw("a", 2, hub.High), outcome: merged, status: isAcked, sev: hub.High, gen: 1, count: 3},
		{finding: payload(saw("a", 3, hub.High), `{"url":"/c"}`), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 4, reason: "acknowledgement ended: new evidence from a"},
	}},
	{"acknowledged until reopened", []step{
		first(), acked(), resolvedStep(1),
		{finding: saw("a", 2, hub.High), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 3},
	}},
	{"a late finding does not end an acknowledgement", []step{
		{finding: saw("a", 10, hub.High), outcome: created, event: hub.AlertCreated, notify: true, status: isOpen, sev: hub.High, gen: 1, count: 1},
		acked(),
		{finding: payload(saw("a", 5, hub.Critical), `{"url":"/new"}`), outcome: late, status: isAcked, sev: hub.High, gen: 1, count: 2},
		{finding: gone("a", 6), outcome: late, status: isAcked, sev: hub.High, gen: 2, count: 3},
	}},
	{"dismissed: suppressed while unchanged", []step{
		first(), dismissedStep(),
		{finding: saw("a", 1, hub.High), outcome: quieted, status: isDismiss, sev: hub.High, gen: 1, count: 2, reason: "dismissed"},
		{finding: saw("a", 9999, hub.Low), outcome: quieted, status: isDismiss, sev: hub.Low, gen: 1, count: 3},
		{finding: gone("a", 10000), outcome: quieted, status: isDismiss, sev: hub.Low, gen: 1, count: 4},
	}},
	{"dismissed until changed", []step{
		first(), dismissedStep(),
		{finding: saw("a", 1, hub.Critical), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.Critical, gen: 2, count: 2, reason: "dismissal ended: severity high → critical"},
		{finding: gone("a", 2), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.Critical, gen: 2, count: 3},
	}},
	{"dismissed until reopened", []step{
		first(), dismissedStep(),
		{finding: gone("a", 1), outcome: quieted, status: isDismiss, sev: hub.High, gen: 1, count: 2},
		{finding: saw("a", 2, hub.High), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 3},
	}},
	{"an open alert never disappears by age", []step{
		first(),
		{finding: saw("a", 60*24*900, hub.High), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 1, count: 2, after: 900 * 24 * time.Hour},
	}},
	{"resolved by hand: newer reopens, older is late", []step{
		first(),
		{action: Action{Kind: Resolve}, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 1, count: 1, reason: "resolved by usr_1"},
		{finding: saw("a", 50, hub.High), outcome: late, status: isResolved, sev: hub.High, gen: 1, count: 2, reason: "older than the alert's resolve"},
		{finding: saw("b", 51, hub.High), outcome: late, status: isResolved, sev: hub.High, gen: 1, count: 3},
		{finding: saw("a", 1000*60+5, hub.High), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 4, after: 5 * time.Minute},
		{finding: gone("a", 1000*60+6), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 2, count: 5, after: time.Minute},
	}},
	{"reopened by hand: its sources support it again", []step{
		first(),
		{action: Action{Kind: Resolve}, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 1, count: 1},
		{action: Action{Kind: Reopen}, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 1, reason: "reopened by usr_1"},
		{finding: gone("b", 1000*60+1), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.High, gen: 2, count: 2, after: time.Minute},
		{finding: gone("a", 1000*60+2), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 2, count: 3, after: time.Minute},
	}},
	{"reopened by hand after its source resolved: open until a source resolves again", []step{
		first(), resolvedStep(10),
		{action: Action{Kind: Reopen}, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 2},
		{finding: gone("a", 1000*60+2), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.High, gen: 2, count: 3, after: 2 * time.Minute},
	}},
	{"reopened by hand after a dismissal", []step{
		first(), dismissedStep(),
		{action: Action{Kind: Reopen}, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 1},
	}},
	{"a severity set by hand holds until the sources exceed it", []step{
		first(),
		{action: Action{Kind: Update, Severity: new(hub.Low)}, event: hub.AlertUpdated, status: isOpen, sev: hub.Low, gen: 1, count: 1, reason: "changed by usr_1"},
		{finding: saw("a", 1, hub.High), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Low, gen: 1, count: 2},
		{finding: saw("a", 2, hub.Critical), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.Critical, gen: 1, count: 3},
		{finding: saw("a", 3, hub.Medium), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Medium, gen: 1, count: 4},
	}},
	{"a severity set by hand does not outlive a reopening", []step{
		first(),
		{action: Action{Kind: Update, Severity: new(hub.Low)}, event: hub.AlertUpdated, status: isOpen, sev: hub.Low, gen: 1, count: 1},
		{finding: gone("a", 1), outcome: closed, event: hub.AlertResolvedEvent, notify: true, status: isResolved, sev: hub.Low, gen: 1, count: 2},
		{finding: saw("a", 2, hub.High), outcome: reopened, event: hub.AlertReopened, notify: true, status: isOpen, sev: hub.High, gen: 2, count: 3},
	}},
	{"suppressed until it changes", []step{
		first(),
		{action: Action{Kind: Suppress}, status: isOpen, sev: hub.High, gen: 1, count: 1, reason: "suppressed by usr_1 until it changes"},
		{finding: saw("a", 1, hub.High), outcome: merged, status: isOpen, sev: hub.High, gen: 1, count: 2},
		{finding: saw("a", 2, hub.Critical), outcome: merged, event: hub.AlertUpdated, notify: true, status: isOpen, sev: hub.Critical, gen: 1, count: 3, reason: "suppression ended: severity high → critical"},
		{finding: saw("a", 3, hub.Critical), outcome: merged, event: hub.AlertUpdated, status: isOpen, sev: hub.Critical, gen: 1, count: 4},
	}},
	{"suppressed for a time: told of after it", []step{
		first(),
		{action: Action{Kind: Suppress, Until: start.Add(1001 * time.Hour)}, status: isOpen, sev: hub.High, gen: 1, count: 1},
		{finding: saw("a", 1, hub.Critical), outcome: merged, status: isOpen, sev: hub.Critical, gen: 1, count: 2, reason: "held while suppressed"},
		{finding: gone("a", 2), outcome: closed, status: isResolved, sev: hub.Critical, gen: 1, count: 3},
		{finding: gone("a", 3), outcome: closed, status: isResolved, sev: hub.Critical, gen: 1, count: 4, after: time.Hour},
	}},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			i := newIdentity(t)
			for n, s := range r.steps {
				i.now = i.now.Add(s.after)
				var d Decision
				if s.finding != nil {
					d = i.decide(s.finding, s.repeated)
				} else {
					d = i.act(s.action)
				}
				got := step{outcome: d.Outcome, event: d.Event, notify: d.Notify}
				if a := i.alert; a != nil {
					got.status, got.sev, got.gen, got.count = a.Status, a.Severity, a.Generation, a.Count
				}
				want := step{outcome: s.outcome, event: s.event, notify: s.notify, status: s.status, sev: s.sev, gen: s.gen, count: s.count}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{}, Action{})); diff != "" {
					t.Fatalf("step %d (-want +got):\n%s", n+1, diff)
				}
				if !strings.Contains(d.Reason, s.reason) {
					t.Errorf("step %d: reason %q, want it to say %q", n+1, d.Reason, s.reason)
				}
			}
		})
	}
}

func TestReopenWindowIsTheProfiles(t *testing.T) {
	i := newIdentity(t)
	i.profile.ReopenWindow = new(hub.Duration(0))
	i.see(saw("a", 0, hub.High))
	i.see(gone("a", 1))
	old := i.alert
	if d := i.see(saw("a", 2, hub.High)); d.Outcome != hub.OutcomeCreated || d.Alert.ID == old.ID || d.Alert.PreviousAlertID != old.ID || d.Alert.Fingerprint != old.Fingerprint {
		t.Errorf("came back without a window: %s %+v", d.Outcome, d.Alert)
	}
}

func TestClockAheadIsClampedAndFlagged(t *testing.T) {
	i := newIdentity(t)
	i.now = start
	if d := i.see(saw("a", 5, hub.High)); d.Note != "" || !d.Alert.LastSeen.Equal(minute(5)) {
		t.Errorf("5 minutes ahead: note %q, last seen %s", d.Note, d.Alert.LastSeen)
	}
	d := i.see(saw("b", 90, hub.High))
	if !strings.Contains(d.Note, "1h30m0s in the future") || !d.Alert.LastSeen.Equal(minute(5)) || !d.Alert.FirstSeen.Equal(start) {
		t.Errorf("90 minutes ahead: note %q, seen %s to %s", d.Note, d.Alert.FirstSeen, d.Alert.LastSeen)
	}
}

func TestMergedTellsWhatChanged(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	if got := i.alert.Title; got != "sql_injection on srv_1" {
		t.Errorf("title %q", got)
	}
	d := i.see(titled(saw("b", 1, hub.Critical), "Injection"))
	want := hub.Changes{
		"count": {int64(1), int64(2)}, "severity": {hub.High, hub.Critical}, "title": {"sql_injection on srv_1", "Injection"},
		"last_seen": {minute(0), minute(1)}, "sources": {[]string{"a"}, []string{"a", "b"}},
	}
	if diff := cmp.Diff(want, d.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	i.see(titled(saw("a", 0, hub.Low), "old text"))
	if i.alert.Title != "Injection" {
		t.Errorf("an older finding changed the title to %q", i.alert.Title)
	}
}

func TestDuplicateRaisesOnlyItsCounter(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	want := *i.alert
	d := i.decide(saw("a", 0, hub.High), true)
	want.Duplicates = 1
	if diff := cmp.Diff(&want, i.alert); diff != "" || d.Action != "" || d.Event != "" {
		t.Errorf("duplicate: action %q, event %q (-want +got):\n%s", d.Action, d.Event, diff)
	}
}

// A generation that passed before we knew of it is told with the next event, so
// that what was opened outside under the old one can be closed.
func TestGenerationShownByALateFindingIsToldLater(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	i.see(saw("a", 10, hub.High))
	if d := i.see(gone("a", 5)); d.Outcome != hub.OutcomeLate || d.Event != "" || d.Alert.Generation != 2 {
		t.Fatalf("late resolve: %s, event %q, generation %d", d.Outcome, d.Event, d.Alert.Generation)
	}
	d := i.see(gone("a", 20))
	if want := [2]any{int64(1), int64(2)}; d.Changes["generation"] != want {
		t.Errorf("resolved tells generation %v, want %v", d.Changes["generation"], want)
	}
}

func TestAlertWithoutStateIsTakenAsItIs(t *testing.T) {
	for _, status := range []hub.AlertStatus{hub.AlertOpen, hub.AlertInvestigating, hub.AlertResolved, hub.AlertDismissed} {
		i := newIdentity(t)
		i.alert = &hub.Alert{ID: "alt_old", Severity: hub.High, Status: status, Generation: 3, Count: 7, Version: 9, Sources: []string{"a"}, FirstSeen: start, LastSeen: minute(1)}
		if status == hub.AlertResolved {
			i.alert.ResolvedAt = minute(1)
		}
		d := i.see(saw("a", 5, hub.High))
		want := map[hub.AlertStatus]hub.Outcome{hub.AlertOpen: merged, hub.AlertInvestigating: merged, hub.AlertResolved: reopened, hub.AlertDismissed: quieted}[status]
		if d.Outcome != want || d.Alert.Count != 8 || d.Alert.ID != "alt_old" {
			t.Errorf("%s: outcome %s, want %s; alert %+v", status, d.Outcome, want, d.Alert)
		}
	}
}
