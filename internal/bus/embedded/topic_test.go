package embedded

import (
	"testing"

	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// What a partition remembers must be without a gap, or a group would pass over
// messages that are in the table only.
func TestPartitionKnowsWhatItDoesNotKnow(t *testing.T) {
	type read struct {
		after     int64
		n         int
		end       int64
		remembers bool
	}
	commit := func(p *partition, places ...int64) {
		for _, pos := range places {
			p.committed(&store.MessageRow{Pos: pos}, true)
		}
	}
	for _, c := range []struct {
		name string
		do   func(p *partition)
		want []read
	}{
		{"in a row", func(p *partition) { commit(p, 1, 2, 3) }, []read{{0, 3, 3, true}, {2, 1, 3, true}, {3, 0, 3, true}}},
		{"a gap", func(p *partition) { commit(p, 1, 2, 5, 6) }, []read{{0, 0, 0, false}, {2, 0, 0, false}, {4, 2, 6, true}, {5, 1, 6, true}}},
		{"found in the table first", func(p *partition) { commit(p, 1); p.atLeast(3); commit(p, 2, 3) }, []read{{1, 0, 0, false}, {3, 0, 3, true}}},
		{"found in the table, then more", func(p *partition) { p.atLeast(3); commit(p, 4) }, []read{{2, 0, 0, false}, {3, 1, 4, true}}},
		{"nobody was there", func(p *partition) { p.committed(&store.MessageRow{Pos: 1}, false); commit(p, 2) }, []read{{0, 0, 0, false}, {1, 1, 2, true}}},
		{"too much", func(p *partition) {
			for i := range int64(tailCount + 1) {
				commit(p, i+1)
			}
		}, []read{{tailCount/2 - 1, 0, 0, false}, {tailCount / 2, 0, 0, false}, {tailCount/2 + 1, 10, tailCount/2 + 11, true}}},
		{"one that is huge", func(p *partition) {
			p.committed(&store.MessageRow{Pos: 1, Payload: make([]byte, tailBytes+1)}, true)
			commit(p, 2)
		}, []read{{0, 0, 0, false}, {1, 1, 2, true}}},
	} {
		p := new(partition)
		c.do(p)
		for _, want := range c.want {
			rows, end, ok := p.recent(want.after, 10, nil)
			if len(rows) != want.n || end != want.end || ok != want.remembers {
				t.Errorf("%s: behind %d there are %d up to %d (%v), want %+v", c.name, want.after, len(rows), end, ok, want)
			}
			if len(rows) > 0 && rows[0].Pos != want.after+1 {
				t.Errorf("%s: behind %d comes %d", c.name, want.after, rows[0].Pos)
			}
		}
	}
}

func TestHeadersComeBack(t *testing.T) {
	in := map[string]string{"z": "\"quoted\"\n", "a": "é", "tenant": "own column", "key": "own column", "position": "set by the bus"}
	text := bus.EncodeHeaders(in)
	if want := `{"a":"é","z":"\"quoted\"\n"}`; text != want {
		t.Errorf("the headers are stored as %s, want %s", text, want)
	}
	out := map[string]string{"tenant": "t"}
	if err := bus.DecodeHeaders(text, out); err != nil || len(out) != 3 || out["z"] != in["z"] || out["a"] != in["a"] {
		t.Errorf("they come back as %v, error %v", out, err)
	}
	if text := bus.EncodeHeaders(map[string]string{"key": "k"}); text != "" {
		t.Errorf("no headers are stored as %q", text)
	}
}
