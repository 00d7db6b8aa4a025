package dedup

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

func FuzzStateDecoding(f *testing.F) {
	i := newIdentity(f)
	f.Add([]byte{})
	f.Add([]byte{stateVersion})
	for n := range 70 {
		i.see(saw(string(rune('a'+n%3)), n, hub.Severities[n%5]))
		if n%4 == 0 {
			i.see(gone("a", n))
		}
		f.Add(i.state.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.UnmarshalBinary(b) != nil {
			if !s.isZero() {
				t.Error("an error left a half-read state")
			}
			return
		}
		again := s.AppendBinary(nil)
		var back State
		if err := back.UnmarshalBinary(again); err != nil || !bytes.Equal(back.AppendBinary(nil), again) {
			t.Fatalf("read %x, wrote %x, read again: %v", b, again, err)
		}
		alert := &hub.Alert{ID: "alt_1", Status: hub.AlertOpen}
		d := Decide(Profile{}, s, alert, saw("a", 5, hub.High), false, func() hub.AlertID { return "alt_2" }, start)
		if _, err := Act(d.State, d.Alert, Action{Kind: Resolve}, hub.Principal{}, start); err != nil {
			t.Error(err)
		}
		Summarize(d.State, d.Alert, start)
	})
}

func TestStateOfAnotherVersionIsRefused(t *testing.T) {
	var s State
	if err := s.UnmarshalBinary([]byte{stateVersion + 1, 0}); err == nil {
		t.Error("read a state of the next version")
	}
	if err := s.UnmarshalBinary(nil); err != nil || !s.isZero() {
		t.Errorf("no state at all: %v", err)
	}
}

// However many sources, values and findings: the state stays small.
func TestStateIsBounded(t *testing.T) {
	i := newIdentity(t)
	for n := range 3000 {
		f := payload(saw(fmt.Sprintf("source-%d", n%300), n, hub.Severities[n%5]), fmt.Sprintf(`{"n":%d}`, n))
		if f.AssetID = fmt.Sprint(n); n%7 == 0 {
			f.Status = hub.FindingResolved
		}
		i.see(f)
	}
	if size := len(i.state.AppendBinary(nil)); size > 4096 {
		t.Errorf("the state takes %d bytes", size)
	}
	if len(i.state.sources) != keepSources {
		t.Errorf("%d sources by name", len(i.state.sources))
	}
	repeats := newIdentity(t)
	for n := range 1000 {
		repeats.see(saw("a", n, hub.High))
	}
	if size := len(repeats.state.AppendBinary(nil)); size > 512 {
		t.Errorf("the state of 1,000 repeats takes %d bytes", size)
	}
}
