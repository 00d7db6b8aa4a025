package syslog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func frames(in io.Reader, limit int) (msgs []string, cuts int, err error) {
	f := newFramer(in, limit)
	for {
		msg, cut, err := f.next()
		if len(msg) > 0 {
			msgs = append(msgs, string(msg))
		}
		if cut {
			cuts++
		}
		if err != nil {
			return msgs, cuts, err
		}
	}
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 600)
	for _, tt := range []struct {
		name, in string
		want     []string
		cuts     int
		err      error
	}{
		{"lines", "<1>a\n<2>b\r\n\n<3>c", []string{"<1>a", "<2>b", "<3>c"}, 0, io.EOF},
		{"octets", "4 <1>a6 <2>b\nc4 <3>d", []string{"<1>a", "<2>b\nc", "<3>d"}, 0, io.EOF},
		{"mixed", "4 <1>a<2>b\n5 <3>c\n4 <4>d\n", []string{"<1>a", "<2>b", "<3>c", "<4>d"}, 0, io.EOF},
		{"digits that are no length", "2026-11-20 a\n12 monkeys\n0 <1>\n7\n", []string{"2026-11-20 a", "12 monkeys", "0 <1>", "7"}, 0, io.EOF},
		{"NULs", "<1>a\x00\n<2>b\x00\x00\n", []string{"<1>a", "<2>b"}, 0, io.EOF},
		{"cut octets", "99 <1>abc", []string{"<1>abc"}, 0, io.ErrUnexpectedEOF},
		{"long line", "<1>" + long + "\n<2>b\n", []string{("<1>" + long)[:500], "<2>b"}, 1, io.EOF},
		{"long octets", fmt.Sprintf("%d <1>%s4 <2>b", len(long)+3, long), []string{("<1>" + long)[:500], "<2>b"}, 1, io.EOF},
		{"absurd length", "99999999 <1>a", nil, 0, errFraming},
		{"nothing", "", nil, 0, io.EOF},
	} {
		for _, reader := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, cuts, err := frames(reader, 500)
			if diff := cmp.Diff(tt.want, got); diff != "" || cuts != tt.cuts || !errors.Is(err, tt.err) {
				t.Errorf("%s: %d cut, %v; want %d, %v (-want +got):\n%s", tt.name, cuts, err, tt.cuts, tt.err, diff)
			}
		}
	}
}

// Messages that are framed in either way come back, however they are cut into
// packets.
func TestFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire strings.Builder
		var want []string
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			text := "<" + rapid.StringOf(rapid.RuneFrom([]rune("ab <1:\n"))).Draw(t, "text") + "!"
			if rapid.Bool().Draw(t, "counted") {
				fmt.Fprintf(&wire, "%d %s", len(text), text)
			} else {
				text = strings.ReplaceAll(text, "\n", " ")
				wire.WriteString(text + "\n")
			}
			want = append(want, text)
		}
		var in io.Reader = strings.NewReader(wire.String())
		if rapid.Bool().Draw(t, "slow") {
			in = iotest.HalfReader(in)
		}
		got, _, err := frames(in, 1<<16)
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, io.EOF) {
			t.Fatalf("%q: %v (-want +got):\n%s", wire.String(), err, diff)
		}
	})
}

// ready never promises a message that next would have to wait for.
func TestReady(t *testing.T) {
	for in, want := range map[string]bool{
		"": false, "<1>a": false, "<1>a\n": true, "4 <1>": false, "4 <1>a": true, "4 <1>a4": true, "12 monkeys": false, "12 monkeys\n": true, "5": false, "4 ": false,
	} {
		f := newFramer(io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("waits"))), 500)
		_, _ = f.r.Peek(max(len(in), 1))
		if got := f.ready(); got != want {
			t.Errorf("%q: ready %v, want %v", in, got, want)
		}
		if msg, _, err := f.next(); want && (err != nil || len(msg) == 0) {
			t.Errorf("%q was ready: %q, %v", in, msg, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	for _, in := range []string{"<1>a\n<2>b\r\n", "4 <1>a6 <2>b\nc", "99999999 <1>a", "12 monkeys", "0 <"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, cuts, err := frames(strings.NewReader(string(in)), 500)
		pieces, cuts2, err2 := frames(iotest.OneByteReader(strings.NewReader(string(in))), 500)
		if diff := cmp.Diff(whole, pieces); diff != "" || cuts != cuts2 || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("%q: at once and byte by byte differ: %v, %v\n%s", in, err, err2, diff)
		}
		for _, m := range whole {
			if len(m) > 500 {
				t.Errorf("%q: a message of %d bytes", in, len(m))
			}
		}
	})
}
