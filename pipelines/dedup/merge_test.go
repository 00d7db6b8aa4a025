package dedup

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

// decided decides about findings one after the other.
func decided(t *testing.T, findings ...*hub.Finding) []Decision {
	i := newIdentity(t)
	var all []Decision
	for _, f := range findings {
		d := Decide(i.profile, i.state, i.alert, f, false, func() hub.AlertID { return "alt_1" }, i.now)
		i.state, i.alert = d.State, d.Alert
		all = append(all, d)
	}
	return all
}

func TestStormOfRepeatsIsOneChange(t *testing.T) {
	i := newIdentity(t)
	i.see(saw("a", 0, hub.High))
	alert, state := i.alert, i.state
	var all Decision
	for n := 1; n <= 1000; n++ {
		d := Decide(i.profile, state, alert, saw("a", n, hub.High), false, nil, i.now)
		if n == 1 {
			all = d
		} else {
			var ok bool
			if all, ok = Merge(all, d); !ok {
				t.Fatalf("repeat %d stays apart", n)
			}
		}
		state, alert = all.State, all.Alert
	}
	want := hub.Changes{"count": {int64(1), int64(1001)}, "last_seen": {minute(0), minute(1000)}}
	if diff := cmp.Diff(want, all.Changes); diff != "" || all.Alert.Version != 2 || all.Alert.Count != 1001 || all.Event != hub.AlertUpdated {
		t.Errorf("version %d, count %d, event %s, changes (-want +got):\n%s", all.Alert.Version, all.Alert.Count, all.Event, diff)
	}
}

func TestMergeKeepsApartWhatDiffers(t *testing.T) {
	d := decided(t, saw("a", 0, hub.High), saw("a", 5, hub.High), saw("a", 3, hub.High), saw("a", 6, hub.High), gone("a", 7), saw("a", 8, hub.High))
	for i := 1; i < len(d); i++ {
		if _, ok := Merge(d[i-1], d[i]); ok {
			t.Errorf("merged %s and %s", d[i-1].Action, d[i].Action)
		}
	}
	if _, ok := Merge(d[1], d[3]); ok {
		t.Error("merged two decisions with one between them")
	}
}

func TestMergeForgetsWhatIsUndone(t *testing.T) {
	d := decided(t, saw("a", 0, hub.High), saw("a", 1, hub.Low), saw("a", 2, hub.High))
	before := *d[2].Alert
	both, ok := Merge(d[1], d[2])
	want := hub.Changes{"count": {int64(1), int64(3)}, "last_seen": {minute(0), minute(2)}}
	if diff := cmp.Diff(want, both.Changes); !ok || diff != "" || !both.Notify {
		t.Errorf("ok %t, notify %t, changes (-want +got):\n%s", ok, both.Notify, diff)
	}
	if diff := cmp.Diff(before, *d[2].Alert); diff != "" {
		t.Errorf("Merge changed its argument:\n%s", diff)
	}
}
