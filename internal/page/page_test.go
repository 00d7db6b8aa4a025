package page

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		limit, after, page string
		want               Request
		skip               int
		fault              string // word in the message
	}{
		{want: Request{Limit: 50}},
		{limit: "1", want: Request{Limit: 1}},
		{limit: "200", after: "x", want: Request{Limit: 200, After: "x"}},
		{page: "1", want: Request{Limit: 50, Page: 1}},
		{page: "3", limit: "20", want: Request{Limit: 20, Page: 3}, skip: 40},
		{page: "10000000", limit: "200", want: Request{Limit: 200, Page: 10_000_000}, skip: 1_999_999_800},
		{limit: "0", fault: "limit"},
		{limit: "201", fault: "limit"},
		{limit: "-1", fault: "limit"},
		{limit: "ten", fault: "limit"},
		{limit: "1.5", fault: "limit"},
		{limit: "99999999999999999999", fault: "limit"},
		{page: "0", fault: "page"},
		{page: "x", fault: "page"},
		{page: "10000001", fault: "page"},
		{page: "1", after: "x", fault: "together"},
	} {
		got, err := Parse(c.limit, c.after, c.page)
		if c.fault != "" {
			if hub.KindOf(err) != hub.Malformed || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("Parse(%q, %q, %q): error %v, want a malformed one about %s", c.limit, c.after, c.page, err, c.fault)
			}
			continue
		}
		if err != nil || got != c.want || got.Skip() != c.skip {
			t.Errorf("Parse(%q, %q, %q) = %+v skipping %d, %v; want %+v skipping %d", c.limit, c.after, c.page, got, got.Skip(), err, c.want, c.skip)
		}
	}
}

func TestCursorComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind, position := rapid.String().Draw(t, "kind"), rapid.String().Draw(t, "position")
		cursor := Encode(kind, position)
		if strings.ContainsAny(cursor, "+/=&? ") {
			t.Fatalf("cursor %q does not fit into a query", cursor)
		}
		if got, err := Decode(kind, cursor); err != nil || got != position {
			t.Fatalf("got %q, %v; want %q", got, err, position)
		}
		if _, err := Decode(kind+"x", cursor); hub.KindOf(err) != hub.Malformed {
			t.Fatalf("another list takes the cursor: %v", err)
		}
	})
}

func TestCursorOfNumbers(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 1_785_000_000_000_000, math.MaxInt64, math.MinInt64} {
		if got, err := DecodeInt("alerts", EncodeInt("alerts", n)); err != nil || got != n {
			t.Errorf("got %d, %v; want %d", got, err, n)
		}
	}
	for _, bad := range []string{"", "fnd_01J9!", "99999999999999999999"} {
		if _, err := DecodeInt("alerts", Encode("alerts", bad)); hub.KindOf(err) != hub.Malformed {
			t.Errorf("position %q is taken for a number: %v", bad, err)
		}
	}
}

func TestNoCursorIsTheStart(t *testing.T) {
	text, err := Decode("alerts", "")
	n, err2 := DecodeInt("alerts", "")
	if text != "" || n != 0 || err != nil || err2 != nil {
		t.Errorf("got %q, %v and %d, %v", text, err, n, err2)
	}
}

// TestEveryChangeIsNoticed alters a cursor in every single place.
func TestEveryChangeIsNoticed(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_\n=+/ é"
	for _, position := range []string{"fnd_01J9ZK", "1", "42", "abc"} { // every remainder of base64
		good := Encode("findings", position)
		bad := []string{"x", "AAAA", "AAAAAAAA", good + "A", good + "\n", good + "=", "\r\n" + good, strings.Repeat("A", 10_000)}
		for i := range good {
			bad = append(bad, good[:i], good[i+1:])
			for _, c := range alphabet {
				bad = append(bad, good[:i]+string(c)+good[i+1:])
			}
		}
		for _, cursor := range bad {
			if cursor == good || cursor == "" {
				continue
			}
			if got, err := Decode("findings", cursor); hub.KindOf(err) != hub.Malformed {
				t.Errorf("%q gives %q, %v; want a malformed error", cursor, got, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode("alerts", "x"))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, cursor string) {
		position, err := Decode("alerts", cursor)
		if err != nil {
			return
		}
		if cursor != "" && Encode("alerts", position) != cursor {
			t.Errorf("%q and %q are the same place", cursor, Encode("alerts", position))
		}
	})
}
