package dedup

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// start is minute 0 of every history in these tests.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// saw is an open finding of a source at a minute.
func saw(source string, at int, sev hub.Severity) *hub.Finding {
	return &hub.Finding{
		Tenant: "default", Type: "sql_injection", AssetID: "srv_1", Severity: sev, Source: source, DedupKey: "k",
		Status: hub.FindingOpen, ObservedAt: minute(at), ObservedGiven: true, Payload: []byte(`{"url":"/login"}`),
	}
}

// gone is the resolve of it.
func gone(source string, at int) *hub.Finding {
	f := saw(source, at, hub.High)
	f.Status = hub.FindingResolved
	return f
}

// with changes a finding.
func with(f *hub.Finding, change func(*hub.Finding)) *hub.Finding {
	change(f)
	return f
}

// An identity drives Decide and Act as the pipeline does, and checks what holds
// for every decision.
type identity struct {
	t       testing.TB
	profile Profile
	state   State
	alert   *hub.Alert
	now     time.Time
	made    int
	events  []hub.EventType
	told    hub.AlertStatus // by the events alone
}

func newIdentity(t testing.TB) *identity {
	return &identity{t: t, now: start.Add(1000 * time.Hour)}
}

func (i *identity) see(f *hub.Finding) Decision { return i.decide(f, false) }

func (i *identity) decide(f *hub.Finding, repeated bool) Decision {
	i.t.Helper()
	before := i.snapshot()
	newID := func() hub.AlertID {
		i.made++
		return hub.AlertID(fmt.Sprintf("alt_%d", i.made))
	}
	d := Decide(i.profile, i.state, i.alert, f, repeated, newID, i.now)
	if after := i.snapshot(); !bytes.Equal(before, after) {
		i.t.Fatalf("Decide changed its arguments:\nbefore %s\nafter  %s", before, after)
	}
	i.take(d)
	return d
}

func (i *identity) act(a Action) Decision {
	i.t.Helper()
	d, err := i.tryAct(a)
	if err != nil {
		i.t.Fatalf("%s: %v", a.Kind, err)
	}
	return d
}

func (i *identity) tryAct(a Action) (Decision, error) {
	i.t.Helper()
	before := i.snapshot()
	d, err := Act(i.state, i.alert, a, hub.Principal{Type: hub.ActorUser, ID: "usr_1"}, i.now)
	if after := i.snapshot(); !bytes.Equal(before, after) {
		i.t.Fatalf("Act changed its arguments:\nbefore %s\nafter  %s", before, after)
	}
	if err == nil {
		i.take(d)
	}
	return d, err
}

func (i *identity) snapshot() []byte {
	doc, err := json.Marshal(i.alert, json.Deterministic(true))
	if err != nil {
		i.t.Fatal(err)
	}
	return i.state.AppendBinary(doc)
}

// take stores what a decision says, through the stored form of the state.
func (i *identity) take(d Decision) {
	i.t.Helper()
	if d.Alert == nil && (d.Action != "" || d.Event != "") || d.Event != "" && d.Action == "" || d.Notify && d.Event == "" {
		i.t.Fatalf("a decision contradicts itself: %+v", d)
	}
	if a := d.Alert; a != nil {
		want := int64(0)
		if i.alert != nil && i.alert.ID == a.ID {
			want = i.alert.Version
		}
		if d.Action != "" {
			want++
		}
		if a.Version != want {
			i.t.Fatalf("%s made version %d, want %d", d.Action, a.Version, want)
		}
		if d.Event != "" && d.Event != hub.AlertCreated && d.Action != ActionSummarized && i.alert != nil && i.alert.ID == a.ID && d.Changes == nil {
			i.t.Fatalf("event %s tells no changes", d.Event)
		}
		i.alert = a
	}
	stored := d.State.AppendBinary(nil)
	i.state = State{}
	if err := i.state.UnmarshalBinary(stored); err != nil {
		i.t.Fatalf("read the state back: %v", err)
	}
	if again := i.state.AppendBinary(nil); !bytes.Equal(stored, again) {
		i.t.Fatalf("the state changed by storing it:\n%x\n%x", stored, again)
	}
	if d.Event != "" {
		i.events = append(i.events, d.Event)
		i.hear(d.Event)
	}
}

// hear keeps what somebody knows who is told nothing but events.
func (i *identity) hear(e hub.EventType) {
	switch e {
	case hub.AlertCreated, hub.AlertReopened:
		i.told = hub.AlertOpen
	case hub.AlertResolvedEvent:
		i.told = hub.AlertResolved
	case hub.AlertDismissedEvent:
		i.told = hub.AlertDismissed
	case hub.AlertAcknowledgedEvent:
		i.told = hub.AlertInvestigating
	case hub.AlertUpdated: // an acknowledgement that ended
		if i.told == hub.AlertInvestigating && i.alert.Status == hub.AlertOpen {
			i.told = hub.AlertOpen
		}
	}
}
