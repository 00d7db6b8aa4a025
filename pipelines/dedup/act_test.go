package dedup

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

// alertIn gives an identity whose alert has a status.
func alertIn(t *testing.T, s hub.AlertStatus) *identity {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	switch s {
	case hub.AlertInvestigating:
		i.act(Action{Kind: Acknowledge})
	case hub.AlertResolved:
		i.act(Action{Kind: Resolve})
	case hub.AlertDismissed:
		i.act(Action{Kind: Dismiss})
	}
	return i
}

func TestActMovesStatus(t *testing.T) {
	const refused = hub.EventType("refused")
	cases := []struct {
		kind  ActionKind
		event map[hub.AlertStatus]hub.EventType // by the status before; "" changes nothing
		after hub.AlertStatus
	}{
		{Acknowledge, map[hub.AlertStatus]hub.EventType{isOpen: hub.AlertAcknowledgedEvent, isAcked: "", isResolved: refused, isDismiss: refused}, isAcked},
		{Resolve, map[hub.AlertStatus]hub.EventType{isOpen: hub.AlertResolvedEvent, isAcked: hub.AlertResolvedEvent, isResolved: "", isDismiss: hub.AlertResolvedEvent}, isResolved},
		{Dismiss, map[hub.AlertStatus]hub.EventType{isOpen: hub.AlertDismissedEvent, isAcked: hub.AlertDismissedEvent, isResolved: hub.AlertDismissedEvent, isDismiss: ""}, isDismiss},
		{Reopen, map[hub.AlertStatus]hub.EventType{isOpen: "", isAcked: hub.AlertUpdated, isResolved: hub.AlertReopened, isDismiss: hub.AlertReopened}, isOpen},
	}
	for _, c := range cases {
		for before, want := range c.event {
			i := alertIn(t, before)
			version := i.alert.Version
			d, err := i.tryAct(Action{Kind: c.kind})
			name := string(c.kind) + " of " + string(before)
			if want == refused {
				if hub.KindOf(err) != hub.Conflict || !strings.Contains(err.Error(), "reopen it before") {
					t.Errorf("%s: error %v, want a conflict that says what to do", name, err)
				}
				continue
			}
			if err != nil || d.Event != want || i.alert.Status != c.after {
				t.Errorf("%s: event %q, status %s, error %v; want %q, %s", name, d.Event, i.alert.Status, err, want, c.after)
			}
			if want == "" && (d.Action != "" || d.Alert != nil || i.alert.Version != version) {
				t.Errorf("%s: changed something: %+v", name, d)
			}
			again, err := i.tryAct(Action{Kind: c.kind})
			if err != nil || again.Action != "" {
				t.Errorf("%s twice: action %q, error %v", name, again.Action, err)
			}
			status := c.after
			if patch, err := i.tryAct(Action{Kind: Update, Status: &status}); err != nil || patch.Action != "" {
				t.Errorf("%s and then the same by update: action %q, error %v", name, patch.Action, err)
			}
		}
	}
}

func TestActStampsWhoAndWhen(t *testing.T) {
	i := alertIn(t, isAcked)
	if a := i.alert; !a.AcknowledgedAt.Equal(i.now) || a.AcknowledgedBy != "usr_1" {
		t.Errorf("acknowledged at %s by %q", a.AcknowledgedAt, a.AcknowledgedBy)
	}
	i.act(Action{Kind: Resolve})
	if a := i.alert; !a.ResolvedAt.Equal(i.now) || a.AcknowledgedBy != "usr_1" {
		t.Errorf("resolved at %s; acknowledged by %q must stay", a.ResolvedAt, a.AcknowledgedBy)
	}
	i.act(Action{Kind: Reopen})
	if a := i.alert; !a.ResolvedAt.IsZero() || !a.AcknowledgedAt.IsZero() || a.AcknowledgedBy != "" {
		t.Errorf("after reopening: resolved at %s, acknowledged %s %q", a.ResolvedAt, a.AcknowledgedAt, a.AcknowledgedBy)
	}
}

func TestUpdateIsOneChange(t *testing.T) {
	i := alertIn(t, isOpen)
	d := i.act(Action{Kind: Update, Status: new(isAcked), Assignee: new("ana"), Severity: new(hub.Low), Note: "why", Labels: map[string]*string{"team": new("red")}})
	want := hub.Changes{
		"status": {isOpen, isAcked}, "assignee": {"", "ana"}, "severity": {hub.High, hub.Low},
		"labels": {map[string]string(nil), map[string]string{"team": "red"}}, "acknowledged_by": {"", "usr_1"},
		"acknowledged_at": {nil, i.now},
	}
	if diff := cmp.Diff(want, d.Changes); diff != "" || d.Event != hub.AlertAcknowledgedEvent || d.Note != "why" {
		t.Errorf("event %s, note %q, changes (-want +got):\n%s", d.Event, d.Note, diff)
	}
}

func TestNoteAloneIsNoEvent(t *testing.T) {
	i := alertIn(t, isOpen)
	if d := i.act(Action{Kind: Update, Note: "seen"}); d.Action != ActionNoted || d.Event != "" || d.Note != "seen" {
		t.Errorf("action %q, event %q, note %q", d.Action, d.Event, d.Note)
	}
}

func TestLabelsSetByHandStay(t *testing.T) {
	i := newIdentity(t)
	labelled := func(at int, labels map[string]string) *hub.Finding {
		return with(saw("a", at, hub.High), func(f *hub.Finding) { f.Labels = labels })
	}
	i.see(labelled(0, map[string]string{"env": "prod", "app": "shop"}))
	i.act(Action{Kind: Update, Labels: map[string]*string{"env": new("test"), "app": nil, "team": new("red")}})
	i.see(labelled(1, map[string]string{"env": "prod", "app": "shop", "zone": "b"}))
	if diff := cmp.Diff(map[string]string{"env": "test", "team": "red", "zone": "b"}, i.alert.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestActRefusesNonsense(t *testing.T) {
	for name, c := range map[string]struct {
		action  Action
		pointer string
	}{
		"nothing":  {Action{Kind: Update}, ""},
		"kind":     {Action{Kind: "explode"}, ""},
		"status":   {Action{Kind: Update, Status: new(hub.AlertStatus("shut"))}, "/status"},
		"severity": {Action{Kind: Update, Severity: new(hub.Severity("bad"))}, "/severity"},
		"label":    {Action{Kind: Update, Labels: map[string]*string{"": new("x")}}, "/labels"},
	} {
		_, err := alertIn(t, isOpen).tryAct(c.action)
		var e *hub.Error
		if !errors.As(err, &e) || e.Kind != hub.Invalid || c.pointer != "" && (len(e.Fields) != 1 || e.Fields[0].Pointer != c.pointer) {
			t.Errorf("%s: %v, want an invalid error at %q", name, err, c.pointer)
		}
	}
	if _, err := Act(State{}, nil, Action{Kind: Resolve}, hub.Principal{}, start); hub.KindOf(err) != hub.NotFound {
		t.Errorf("no alert: %v", err)
	}
}
