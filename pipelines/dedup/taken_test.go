package dedup

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

// ackedAt is an open finding that was acknowledged at its source at a minute.
func ackedAt(source string, at, ack int, sev hub.Severity) *hub.Finding {
	return with(saw(source, at, sev), func(f *hub.Finding) { f.AcknowledgedAt = minute(ack) })
}

func TestAnAcknowledgementAtTheSource(t *testing.T) {
	type does = func(i *identity)
	see := func(f *hub.Finding) does { return func(i *identity) { i.now = f.ObservedAt; i.see(f) } }
	hand := func(at int, k ActionKind) does {
		return func(i *identity) { i.now = minute(at); i.act(Action{Kind: k}) }
	}
	for _, tt := range []struct {
		name   string
		steps  []does
		status hub.AlertStatus
		by     string
		events string
	}{
		{"counts", []does{see(saw("a", 0, hub.High)), see(ackedAt("a", 1, 1, hub.High))}, hub.AlertInvestigating, "source:a", "created acknowledged"},
		{"is there from the start", []does{see(ackedAt("a", 1, 1, hub.High))}, hub.AlertInvestigating, "source:a", "created"},
		{"beside a later sighting", []does{see(saw("a", 0, hub.High)), see(ackedAt("a", 3, 2, hub.High))}, hub.AlertInvestigating, "source:a", "created acknowledged"},
		{"is told once", []does{see(saw("a", 0, hub.High)), see(ackedAt("a", 1, 1, hub.High)), see(ackedAt("a", 2, 1, hub.High))}, hub.AlertInvestigating, "source:a", "created acknowledged"},
		{"is the echo of ours", []does{see(saw("a", 0, hub.High)), hand(1, Acknowledge), see(ackedAt("a", 2, 2, hub.High))}, hub.AlertInvestigating, "usr_1", "created acknowledged"},
		{"ends by a severity", []does{see(ackedAt("a", 1, 1, hub.High)), see(ackedAt("a", 2, 1, hub.Critical))}, hub.AlertOpen, "", "created updated"},
		{"does not begin again after its end", []does{see(ackedAt("a", 1, 1, hub.High)), see(ackedAt("a", 2, 1, hub.Critical)), see(ackedAt("a", 3, 1, hub.Critical))}, hub.AlertOpen, "", "created updated updated"},
		{"that is ours does not begin again after its end", []does{see(saw("a", 0, hub.High)), hand(1, Acknowledge), see(ackedAt("a", 3, 2, hub.Critical)), see(ackedAt("a", 4, 2, hub.Critical))}, hub.AlertOpen, "", "created acknowledged updated updated"},
		{"is taken back here", []does{see(ackedAt("a", 1, 1, hub.High)), hand(2, Reopen), see(ackedAt("a", 3, 1, hub.High))}, hub.AlertOpen, "", "created updated updated"},
		{"begins anew", []does{see(ackedAt("a", 1, 1, hub.High)), hand(2, Reopen), see(ackedAt("a", 3, 3, hub.High))}, hub.AlertInvestigating, "source:a", "created updated acknowledged"},
		{"opens nothing that was resolved here", []does{see(saw("a", 0, hub.High)), hand(1, Resolve), see(ackedAt("a", 2, 2, hub.High))}, hub.AlertResolved, "", "created resolved"},
		{"opens nothing that was dismissed here", []does{see(saw("a", 0, hub.High)), hand(1, Dismiss), see(ackedAt("a", 2, 2, hub.High))}, hub.AlertDismissed, "", "created dismissed"},
		{"opens nothing long after", []does{see(saw("a", 0, hub.High)), hand(1, Resolve), see(ackedAt("a", 3000, 3000, hub.High))}, hub.AlertResolved, "", "created resolved"},
		{"is older than a sighting that reopens", []does{see(saw("a", 0, hub.High)), hand(2, Resolve), see(ackedAt("a", 4, 1, hub.High))}, hub.AlertOpen, "", "created resolved reopened"},
		{"comes with what reopens", []does{see(saw("a", 0, hub.High)), see(gone("a", 1)), see(ackedAt("a", 3, 3, hub.High))}, hub.AlertInvestigating, "source:a", "created resolved reopened"},
		{"is late", []does{see(saw("a", 5, hub.High)), see(ackedAt("a", 2, 2, hub.High))}, hub.AlertOpen, "", "created"},
		{"of another source", []does{see(saw("a", 0, hub.High)), see(ackedAt("b", 1, 1, hub.High))}, hub.AlertInvestigating, "source:b", "created acknowledged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newIdentity(t)
			for _, s := range tt.steps {
				s(i)
			}
			var events []string
			for _, e := range i.events {
				events = append(events, strings.TrimPrefix(string(e), "alert."))
			}
			if got := strings.Join(events, " "); i.alert.Status != tt.status || i.alert.AcknowledgedBy != tt.by || got != tt.events {
				t.Errorf("got %s by %q with events %s; want %s by %q with %s", i.alert.Status, i.alert.AcknowledgedBy, got, tt.status, tt.by, tt.events)
			}
			if (tt.by == "") != i.alert.AcknowledgedAt.IsZero() {
				t.Errorf("%s, acknowledged at %v", i.alert.Status, i.alert.AcknowledgedAt)
			}
		})
	}
}

// A flapping problem holds its events back, but people must hear that somebody
// has it.
func TestAnAcknowledgementOfAFlappingProblemIsTold(t *testing.T) {
	i := newIdentity(t)
	for n := range 6 {
		i.now = minute(2 * n)
		i.see(saw("a", 2*n, hub.High))
		i.see(gone("a", 2*n+1))
	}
	i.now = minute(13)
	i.see(saw("a", 12, hub.High))
	if i.see(ackedAt("a", 13, 13, hub.High)); i.alert.Status != hub.AlertInvestigating || i.told != hub.AlertInvestigating {
		t.Errorf("the alert is %s, told is %s (%v)", i.alert.Status, i.told, i.events)
	}
}

// Whatever the order in which what a source says arrives, the same comes out.
func TestAcknowledgementsArriveInAnyOrder(t *testing.T) {
	all := []*hub.Finding{saw("a", 0, hub.High), ackedAt("a", 2, 2, hub.High), gone("a", 4), saw("b", 3, hub.Low), gone("b", 5)}
	var want summaryOf
	for n := range 60 {
		order, rest, k := []int{}, []int{0, 1, 2, 3, 4}, n
		for len(rest) > 0 {
			at := k % len(rest)
			k /= max(len(rest), 1)
			order, rest = append(order, rest[at]), slices.Delete(rest, at, at+1)
		}
		i := newIdentity(t)
		for _, at := range order {
			i.see(all[at])
		}
		got := ofAlert(i.alert)
		if n == 0 {
			want = got
		}
		if got != want {
			t.Errorf("in the order %v: got %+v, want %+v", order, got, want)
		}
	}
}

func TestAnAcknowledgementIsADeliveryOfItsOwn(t *testing.T) {
	plain, once, again := DeliveryKey(saw("a", 1, hub.High)), DeliveryKey(ackedAt("a", 1, 0, hub.High)), DeliveryKey(ackedAt("a", 1, 1, hub.High))
	if plain == once || once == again || once != DeliveryKey(ackedAt("a", 1, 0, hub.High)) {
		t.Error("an acknowledgement is taken for a repeat, or a repeat for another")
	}
}

// A node that was not updated yet reads what knows of no acknowledgement.
func TestStatesAreOfTheFirstVersionThatHoldsThem(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	before := i.state.AppendBinary(nil)[0]
	i.see(ackedAt("a", 1, 1, hub.High))
	if after := i.state.AppendBinary(nil)[0]; fmt.Sprint(before, after) != "1 2" {
		t.Errorf("versions %d and %d", before, after)
	}
}
