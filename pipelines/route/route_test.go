package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

func endpoints() []*hub.Endpoint {
	return []*hub.Endpoint{
		{ID: "whk_all", Tenant: "t", Events: []string{"*"}},
		{ID: "whk_alerts", Tenant: "t", Events: []string{"alert.*", "alert.created"}}, // both match: once
		{ID: "whk_high", Tenant: "t", Events: []string{"alert.created"}, Filter: `alert.severity_num >= 73`},
		{ID: "whk_payload", Tenant: "t", Events: []string{"alert.*"}, Filter: `alert.payload.env == "prod"`},
		{ID: "whk_off", Tenant: "t", Events: []string{"*.resolved"}, Enabled: false},
		{ID: "chn_named", Tenant: "t"},
		{ID: "whk_other", Tenant: "u", Events: []string{"*"}},
	}
}

func TestMatch(t *testing.T) {
	var faults []string
	table, err := New(endpoints(), func(e *hub.Endpoint, ev *hub.Event, err error) {
		faults = append(faults, string(e.ID)+" "+string(ev.ID)+" "+err.Error())
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		ev     hub.Event
		want   []string
		faulty bool
	}{
		{"high", event("alert.created", hub.High, `{"env":"prod"}`), []string{"whk_all", "whk_alerts", "whk_high", "whk_payload"}, false},
		{"low", event("alert.created", hub.Low, `{"env":"dev"}`), []string{"whk_all", "whk_alerts"}, false},
		{"filter fails", event("alert.created", hub.Low, `{}`), []string{"whk_all", "whk_alerts"}, true},
		{"resolved", event("alert.resolved", hub.High, `{"env":"dev"}`), []string{"whk_all", "whk_alerts", "whk_off"}, false},
		{"no alert", hub.Event{ID: "msg_1", Tenant: "t", Type: hub.EndpointDisabled}, []string{"whk_all"}, false},
		{"unknown tenant", hub.Event{Type: hub.AlertCreated}, []string{}, false},
		{"unknown type", hub.Event{Tenant: "t", Type: "x.y"}, []string{}, false},
	} {
		faults = nil
		got := []string{}
		for _, e := range table.Match(&c.ev) {
			got = append(got, string(e.ID))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
		if (len(faults) > 0) != c.faulty {
			t.Errorf("%s: faults %v", c.name, faults)
		}
		if c.faulty && !strings.HasPrefix(faults[0], "whk_payload msg_1 no such key") {
			t.Errorf("%s: fault %q", c.name, faults[0])
		}
	}
}

func event(typ hub.EventType, s hub.Severity, payload string) hub.Event {
	return hub.Event{ID: "msg_1", Tenant: "t", Type: typ, Data: hub.EventData{Alert: &hub.Alert{Severity: s, Payload: []byte(payload)}}}
}

func TestNewLeavesOutWhatIsWrong(t *testing.T) {
	list := append(endpoints(),
		&hub.Endpoint{ID: "whk_bad", Tenant: "t", Events: []string{"alert.*", "alrt.*"}, Filter: `alert.sevrity == "x"`})
	table, err := New(list, nil)
	if hub.KindOf(err) != hub.Invalid {
		t.Fatalf("got %v", err)
	}
	want := []hub.Field{
		{Pointer: "/whk_bad/events/1", Detail: `"alrt.*" matches no event type; use one such as alert.created or alert.* or *`},
		{Pointer: "/whk_bad/filter", Detail: "1:6: unknown field sevrity, did you mean severity?"},
	}
	if d := cmp.Diff(want, err.(*hub.Error).Fields); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	ev := event("alert.created", hub.High, `{"env":"prod"}`)
	if got := table.Match(&ev); len(got) != 4 || slices.ContainsFunc(got, func(e *hub.Endpoint) bool { return e.ID == "whk_bad" }) {
		t.Errorf("got %d endpoints, want the four good ones", len(got))
	}
}

func TestCheck(t *testing.T) {
	if got := Check(&hub.Endpoint{Events: []string{"*"}, Filter: `event.type == "alert.created"`, Transform: `{"text": alert.title}`}); got != nil {
		t.Errorf("a good endpoint: %v", got)
	}
	got := Check(&hub.Endpoint{Events: []string{"x"}, Filter: `1`, Transform: `alert.`})
	var at []string
	for _, f := range got {
		at = append(at, f.Pointer)
	}
	if d := cmp.Diff([]string{"/events/0", "/filter", "/transform"}, at); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func BenchmarkMatch(b *testing.B) {
	table, err := New(endpoints(), nil)
	if err != nil {
		b.Fatal(err)
	}
	ev := event("alert.created", hub.High, `{"env":"prod"}`)
	b.ReportAllocs()
	for b.Loop() {
		table.Match(&ev)
	}
}
