package connectors

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 5, 22, 10, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }

// seen is a sighting with what the tests vary.
func sighting(digest string, closed bool, created, at int) Sighting {
	s := Sighting{ID: "x", Digest: DigestOf(digest), Closed: closed, Rank: 1}
	if created >= 0 {
		s.Created = minute(created)
	}
	if at >= 0 {
		s.At = minute(at)
	}
	return s
}

func TestMemoryTellsEachChangeOnce(t *testing.T) {
	type step struct {
		s    Sighting
		want string // minutes and sequence of what is told; "" for nothing
	}
	tests := []struct {
		name  string
		steps []step // a sweep each; they are 10 minutes apart, from minute 100 on
	}{
		{"a life with times", []step{
			{sighting("a", false, 95, 95), "95 1"},
			{sighting("a", false, 95, 95), ""},
			{sighting("b", false, 95, 117), "117 1"},
			{sighting("b", true, 95, 125), "125 1"},
			{sighting("c", true, 95, 133), ""}, // closed is closed
			{sighting("b", false, 95, 145), "145 1"},
		}},
		{"a life without times of changes", []step{
			{sighting("a", false, 95, -1), "95 1"},
			{sighting("b", false, 95, -1), "110 1"},
			{sighting("a", false, 95, -1), "120 1"},
			{sighting("a", true, 95, -1), "130 1"},
		}},
		{"a change whose time stands still", []step{
			{sighting("a", false, 95, 95), "95 1"},
			{sighting("b", false, 95, 95), "95 2"},
			{sighting("c", false, 95, 90), "95 3"},
		}},
		{"closed long ago", []step{{sighting("a", true, 1, 2), ""}, {sighting("a", true, 1, 2), ""}}},
		{"closed within the history", []step{{sighting("a", true, 55, 60), "60 1"}, {sighting("a", true, 55, 60), ""}}},
		{"closed lately, and begun before", []step{{sighting("a", true, 1, 60), ""}, {sighting("b", true, 1, 105), ""}}},
		{"open however old", []step{{sighting("a", false, 1, -1), "1 1"}}},
		{"opened again after it was forgotten", []step{
			{sighting("a", true, 60, -1), "60 1"},
			{Sighting{ID: "y"}, "110 0"},
			{sighting("a", false, 60, -1), "120 1"},
		}},
		{"closed after it was forgotten, without a time", []step{
			{Sighting{ID: "y"}, "100 0"},
			{sighting("a", true, 60, -1), ""},
		}},
		{"no time at all", []step{{sighting("a", false, -1, -1), "100 1"}, {sighting("b", false, -1, -1), "110 1"}}},
	}
	for _, tt := range tests {
		var m Memory
		for i, s := range tt.steps {
			now := minute(100 + 10*i)
			m.Begin(minute(50))
			p, tell := m.Observe(s.s, now, 100)
			m.End(now.Add(-5 * time.Minute))
			got := ""
			if tell {
				got = fmt.Sprintf("%d %d", int(p.At.Sub(epoch).Minutes()), p.Sequence)
			}
			if got != s.want {
				t.Errorf("%s, step %d: told %q, want %q", tt.name, i, got, s.want)
			}
			m = again(t, &m)
		}
	}
}

// again packs and unpacks.
func again(t interface{ Fatal(...any) }, m *Memory) Memory {
	text, err := m.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Memory
	if err := back.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestMemoryLooksForWhatIsMissing(t *testing.T) {
	var m Memory
	m.Begin(epoch)
	m.Observe(sighting("a", false, -30, -1), epoch, 10)
	m.Observe(Sighting{ID: "old", Created: minute(-600)}, epoch, 10)
	m.End(epoch)
	looked := 0
	for range 200 {
		m.Begin(epoch)
		m.Observe(sighting("a", false, -30, -1), epoch, 10)
		if m.Missing() > 0 {
			looked++
			if want := minute(-600); !m.Oldest().Equal(want) {
				t.Fatalf("oldest %v, want %v", m.Oldest(), want)
			}
		}
		m.End(epoch)
	}
	if looked != 6+3 { // 1st, 2nd, 4th … 32nd, then 64th, 128th, 192nd
		t.Errorf("looked %d times, want 9", looked)
	}
}

func TestMemoryHasBounds(t *testing.T) {
	var m Memory
	m.Begin(epoch)
	told := 0
	for i := range 20 {
		if _, tell := m.Observe(Sighting{ID: fmt.Sprint(i), Closed: i%2 == 0, Created: minute(i)}, epoch, 10); tell {
			told++
		}
	}
	if told != 20 || m.Len() != 10 || m.Untracked() == 0 {
		t.Errorf("told %d, remembered %d, untracked %d; want 20, 10 and some", told, m.Len(), m.Untracked())
	}
}

func TestMemoryPacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Memory
		for range rapid.IntRange(0, 5).Draw(t, "sweeps") {
			m.Begin(minute(-10))
			for range rapid.IntRange(0, 10).Draw(t, "items") {
				m.Observe(Sighting{
					ID: rapid.StringN(1, 2, 2).Draw(t, "id"), Digest: DigestOf(rapid.StringN(0, 1, 1).Draw(t, "digest")),
					Closed: rapid.Bool().Draw(t, "closed"), Created: minute(rapid.IntRange(-100, 100).Draw(t, "created")),
					Rank: rapid.Int64Range(0, 4).Draw(t, "rank"),
				}, minute(rapid.IntRange(0, 100).Draw(t, "now")), 1000)
			}
			m.End(minute(rapid.IntRange(-10, 10).Draw(t, "horizon")))
		}
		back := again(t, &m)
		if back.sweep != m.sweep || !back.horizon.Equal(m.horizon) || len(back.items) != len(m.items) {
			t.Fatalf("unpacked %+v, packed %+v", back, m)
		}
		for k, e := range m.items {
			e.created = e.created.Truncate(time.Second)
			if got := back.items[k]; !reflect.DeepEqual(got, e) {
				t.Fatalf("unpacked %+v, packed %+v", got, e)
			}
		}
	})
}

func TestTornMemoryIsRefused(t *testing.T) {
	var m Memory
	m.Begin(epoch)
	m.Observe(sighting("a", false, 1, 1), epoch, 10)
	whole, _ := m.MarshalText()
	for n := range whole {
		var back Memory
		if err := back.UnmarshalText(whole[:n]); err == nil && back.Len() == m.Len() {
			t.Errorf("the first %d of %d bytes were taken for the whole", n, len(whole))
		}
	}
}
