package connectors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// TestRefusedOnce lists unusable items again and again: each is kept and counted
// once, also where the store failed at first.
func TestRefusedOnce(t *testing.T) {
	n := 0
	lists := func(_ []byte, emit Emit) error {
		var p Page
		p.Refuse(n, []byte(`{"a":1}`), "no id") // its place shifts
		p.Refuse(7, []byte(`{"a":1}`), "no id")
		p.Refuse(8, fmt.Appendf(nil, `{"a":%d}`, 2+min(n/3, 1)), "no id") // changes once
		n++
		return emit(p, nil)
	}
	store := &shelf{err: hub.E(hub.Transient, "down")}
	during(t, &script{answers: []func([]byte, Emit) error{lists}}, store, func(l *Loop) {
		time.Sleep(5*time.Minute + 30*time.Second)
		var got []string
		for _, r := range store.rejects {
			got = append(got, fmt.Sprintf("%d %s", r.Index, r.Item))
		}
		if want := []string{`1 {"a":1}`, `8 {"a":2}`, `8 {"a":3}`}; !slices.Equal(got, want) {
			t.Errorf("kept %q, want %q", got, want)
		}
		if s := l.State(); s.Counts.Rejected != 3 || n < 5 {
			t.Errorf("after %d pulls, %d are counted", n, s.Counts.Rejected)
		}
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	r := refusals{}
	for i := range 3 * maxRefusals {
		r.keep([]Reject{{Error: fmt.Sprint(i)}})
	}
	if len(r) > maxRefusals {
		t.Errorf("%d are remembered", len(r))
	}
}
