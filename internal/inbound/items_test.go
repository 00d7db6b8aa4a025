package inbound

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

var shape = Shape{Lists: []string{"Findings", "findings"}, Wraps: []string{"detail"}}

// all gives the items of in as text, bad ones as !, and the end as an error.
func all(r io.Reader) (out []string, ends []int64, err error) {
	items := NewItems(r, shape)
	for {
		p, err := items.Next()
		if errors.Is(err, io.EOF) {
			return out, ends, nil
		}
		if err != nil {
			return out, ends, err
		}
		ends = append(ends, p.End)
		if p.Bad != nil {
			out = append(out, "!")
			continue
		}
		v := p.Raw.Clone()
		if err := v.Compact(jsontext.AllowDuplicateNames(true)); err != nil {
			return out, ends, err
		}
		out = append(out, string(v))
	}
}

func TestItems(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		fault    string
	}{
		{"nothing", " \n ", nil, ""},
		{"one object", `{"a":1, "b":[1]}`, []string{`{"a":1,"b":[1]}`}, ""},
		{"an empty object", `{}`, []string{`{}`}, ""},
		{"an array", `[{"a":1},{"b":2}, 3]`, []string{`{"a":1}`, `{"b":2}`, `3`}, ""},
		{"an empty array", `[]`, nil, ""},
		{"arrays in an array", `[[{"a":1}],[]]`, []string{`{"a":1}`}, ""},
		{"lines", "{\"a\":1}\n\n{\"b\":2}\r\n", []string{`{"a":1}`, `{"b":2}`}, ""},
		{"lines with a bad one", "{\"a\":1}\n{\"b\":\n{\"c\":3}\nx", []string{`{"a":1}`, "!", `{"c":3}`, "!"}, ""},
		{"lines, the first bad", "{\"a\":oops}\n{\"b\":1}\nx\n{\"c\":3}", []string{"!", `{"b":1}`, "!", `{"c":3}`}, ""},
		{"lines, the first cut", "{\"a\":1\n{\"b\":1}", []string{"!", `{"b":1}`}, ""},
		{"lines, the first cut in a text", "{\"a\":\"x\n\n{\"b\":1}\n", []string{"!", `{"b":1}`}, ""},
		{"lines, the first no JSON", "hello\n{\"b\":1}\n", []string{"!", `{"b":1}`}, ""},
		{"lines, the first two bad", "{\"a\"\n}\n{\"b\":1}\n", []string{"!", "!", `{"b":1}`}, ""},
		{"an object over lines", "{ \"findings\": [\n{\"a\":1},\n{\"b\":2}\n]}\n", []string{`{"a":1}`, `{"b":2}`}, ""},
		{"an object over lines with a fault", "{ \"findings\": [\n{\"a\":1},\n{\"b\":,}\n{\"c\":3}\n]}\n", []string{`{"a":1}`}, "at byte 30"},
		{"an array over lines", "[\n{\"a\":1},\n{\"b\":2}\n]", []string{`{"a":1}`, `{"b":2}`}, ""},
		{"lines of envelopes", "{\"findings\":[{\"a\":1},2]}\n{\"findings\":[]}\n{\"c\":3}", []string{`{"a":1}`, `2`, `{"c":3}`}, ""},
		{"one after another", `{"a":1}{"b":2} [{"c":3}]`, []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, ""},
		{"a list", `{"Findings":[{"a":1},{"b":2}]}`, []string{`{"a":1}`, `{"b":2}`}, ""},
		{"a list with things around", `{"x":{"detail":1},"Findings":[{"a":1}],"y":[1,{"z":2}]}`, []string{`{"a":1}`}, ""},
		{"two lists", `{"Findings":[{"a":1}],"findings":[{"b":2}]}`, []string{`{"a":1}`, `{"b":2}`}, ""},
		{"an empty list", `{"Findings":[],"y":1}`, nil, ""},
		{"a list that is none", `{"Findings":{"a":1}}`, []string{`{"Findings":{"a":1}}`}, ""},
		{"wrapped", `{"id":"1","detail":{"a":1,"b":2},"time":"t"}`, []string{`{"a":1,"b":2}`}, ""},
		{"wrapped list", `{"id":"1","detail":{"x":1,"findings":[{"a":1},[2]]},"time":"t"}`, []string{`{"a":1}`, `[2]`}, ""},
		{"envelopes in an array", `[{"detail":{"a":1}},{"detail":{"findings":[{"b":2}]}},{"c":3}]`, []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, ""},
		{"a plain value", `"x"`, []string{`"x"`}, ""},
		{"names twice are not for us", `{"a":1,"a":2}`, []string{`{"a":1,"a":2}`}, ""},
		{"byte order mark", "\uFEFF[{\"a\":1}]", []string{`{"a":1}`}, ""},
		{"broken off", `[{"a":1},{"b":`, []string{`{"a":1}`}, "unexpected EOF at byte 14"},
		{"broken off in a list", `{"findings":[{"a":1},`, []string{`{"a":1}`}, "unexpected EOF at byte 21"},
		{"a fault", `[{"a":1},{"b" 2}]`, []string{`{"a":1}`}, "at byte 14"},
		{"an end too many", `[{"a":1}]]`, []string{`{"a":1}`}, "at byte 9"},
		{"no JSON", `hello`, nil, "at byte 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, ends, err := all(r)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
				if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
					t.Errorf("error %v, want %q", err, c.fault)
				}
				for i := range ends {
					if ends[i] > int64(len(c.in)) || i > 0 && ends[i] < ends[i-1] {
						t.Errorf("ends %v of %d bytes", ends, len(c.in))
					}
				}
			}
		})
	}
}

// ones gives n elements in a list, without holding them.
type ones struct {
	n, at int
	rest  string
}

func (o *ones) Read(p []byte) (int, error) {
	if o.rest == "" {
		switch {
		case o.at == 0:
			o.rest = `{"skipped":["` + strings.Repeat("y", 90) + `"],"findings":[`
		case o.at <= o.n:
			o.rest = `{"id":"` + strings.Repeat("x", 1000) + `"}` + map[bool]string{true: "", false: ","}[o.at == o.n]
		case o.at == o.n+1:
			o.rest = "]}"
		default:
			return 0, io.EOF
		}
		o.at++
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

// TestLongInputs reads far more than fits, item by item, and refuses a value
// that is too long.
func TestLongInputs(t *testing.T) {
	items := NewItems(&ones{n: 30_000}, shape)
	n := 0
	for ; ; n++ {
		if _, err := items.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n != 30_000 {
		t.Errorf("%d items, want 30000", n)
	}
	long := `"` + strings.Repeat("x", MaxItem) + `"`
	huge := `"` + strings.Repeat("x", 5*MaxItem) + `"`
	if got, _, err := all(strings.NewReader(`[{"a":` + long + `}, {"b":[1]}, ` + long + `]`)); err == nil || len(got) != 0 {
		t.Errorf("a long member: %q, %v", got, err)
	}
	if got, _, err := all(strings.NewReader(`{"findings":[{"a":` + long + `}, {"b":2}]}`)); err != nil || len(got) != 2 || got[0] != "!" {
		t.Errorf("a long item: %q, %v", got, err)
	}
	for _, in := range []string{`{"a":` + long + `}`, `{"findings":[{"a":` + huge + `}]}`, `[` + huge + `]`} {
		if got, _, err := all(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), "longer than 4 MiB") {
			t.Errorf("%d items, %v; want it too long", len(got), err)
		}
	}
	got, _, err := all(strings.NewReader("{\"a\":1}\n{\"b\":" + long + "}\n{\"c\":3}\n"))
	if err != nil || len(got) != 3 || got[1] != "!" {
		t.Errorf("a long line: %d items, %v", len(got), err)
	}
}

func TestStreamSkipsWhatIsLong(t *testing.T) {
	s := NewStream(strings.NewReader(`{"a":[` + strings.Repeat(`"`+strings.Repeat("x", 1<<20)+`",`, 30) + `0],"b":7}`))
	var b string
	err := s.Members(func(name string) error {
		if name == "a" {
			return s.Skip()
		}
		v, err := s.Value()
		b = string(v)
		return err
	})
	if err != nil || b != "7" {
		t.Errorf("b is %q, %v", b, err)
	}
}

func TestDetach(t *testing.T) {
	for _, size := range []int{0, 3, 12 << 10} {
		t.Setenv("TMPDIR", t.TempDir())
		in := `{"x": [` + strings.Repeat(`{"a":"`+strings.Repeat("é", 500)+`"},`, size) + `1], "y": 2}`
		s := NewStream(strings.NewReader(in))
		var later *Stream
		err := s.Members(func(name string) (err error) {
			if name == "x" {
				later, err = s.Detach()
				return err
			}
			return s.Skip()
		})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := later.Elements(func() error { n++; return later.Skip() }); err != nil || n != size+1 {
			t.Errorf("%d elements, %v; want %d", n, err, size+1)
		}
		files, _ := filepath.Glob(os.TempDir() + "/tocsin-spool-*")
		if (len(files) > 0) != (len(in) > spoolMemory) {
			t.Errorf("%d bytes made files %v", len(in), files)
		}
		later.Close()
		s.Close()
		if files, _ := filepath.Glob(os.TempDir() + "/tocsin-spool-*"); len(files) > 0 {
			t.Errorf("files remain: %v", files)
		}
	}
}

func FuzzItems(f *testing.F) {
	for _, s := range []string{`{"detail":{"findings":[{"a":1},2]}}`, "{\"a\":1}\n{\"b\"\n", `[[{}],{}]`, `{"Findings":[]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		items := NewItems(strings.NewReader(string(in)), shape)
		for n := 0; ; n++ {
			p, err := items.Next()
			if err != nil {
				return
			}
			if p.Bad == nil && !p.Raw.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("%q is an item of %q", p.Raw, in)
			}
			if p.Start > p.End || p.End > int64(len(in)) || n > len(in) {
				t.Fatalf("item %d from %d to %d of %d", n, p.Start, p.End, len(in))
			}
		}
	})
}

// TestPlaces wants each item where it stands, also one that was set aside twice.
func TestPlaces(t *testing.T) {
	wanted := func(t *testing.T, in string, p Piece) {
		t.Helper()
		if p.Start < 0 || p.End > int64(len(in)) || p.Line != 1+int64(strings.Count(in[:max(p.Start, 0)], "\n")) {
			t.Errorf("item %s from %d to %d, line %d", p.Raw, p.Start, p.End, p.Line)
			return
		}
		got, raw := jsontext.Value(in[p.Start:p.End]).Clone(), p.Raw.Clone()
		if got.Compact() != nil || raw.Compact() != nil || string(got) != string(raw) {
			t.Errorf("item %s stands at %q", raw, got)
		}
	}
	for _, in := range []string{
		"\n[{\"a\":1},\n\n {\"b\":\n2} , 7]\n{\"c\":3}", "{\"x\":1,\n\"findings\":[\n{\"a\":\n1},\n{\"b\":2}]}", "{\"a\":1}\n\n{\"b\":2}\n {\"c\":3}\n",
	} {
		items := NewItems(strings.NewReader(in), shape)
		for {
			p, err := items.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if items.lines != nil {
				p.End = p.Start + int64(len(strings.TrimRight(in[p.Start:p.End], "\n"))) // it ends with its line
			}
			wanted(t, in, p)
		}
	}
	in := "{\"late\": [\n {\"skip\": 1,\n\"list\" : [ {\"a\":\n1} ,\n\n {\"b\":2}\n] },\n\n{\"list\":[\n7]}],\n\"x\": 1\n}"
	s, n := NewStream(strings.NewReader(in)), 0
	var late *Stream
	err := s.Members(func(name string) (err error) {
		if name == "late" {
			late, err = s.Detach()
			return err
		}
		return s.Skip()
	})
	if err != nil {
		t.Fatal(err)
	}
	err = late.Elements(func() error {
		var inner *Stream
		if err := late.Members(func(name string) (err error) {
			if name == "list" {
				inner, err = late.Detach()
				return err
			}
			return late.Skip()
		}); err != nil {
			return err
		}
		return inner.Elements(func() error {
			p, err := inner.Piece()
			wanted(t, in, p)
			n++
			return err
		})
	})
	if err != nil || n != 3 {
		t.Errorf("%d items, %v", n, err)
	}
}
