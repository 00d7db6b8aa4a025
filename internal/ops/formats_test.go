package ops

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type read struct {
	Raw  string
	Line int64
	Bad  string
}

func readAll(t *testing.T, all items) ([]read, error) {
	t.Helper()
	var out []read
	for i := int64(0); ; i++ {
		it, err := all.next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if it.index != i {
			t.Errorf("item %d says it is %d", i, it.index)
		}
		out = append(out, read{string(it.raw), it.line, it.bad})
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		name, file, in, format string
		want                   []read
		err                    string
	}{
		{"array", "", "[\n {\"a\": 1},\n\n {\"b\":\n  2}\n]\n", "json", []read{{`{"a":1}`, 2, ""}, {`{"b":2}`, 4, ""}}, ""},
		{"array on a line", "x.json", `[{"a":1},{"b":2}]`, "json", []read{{`{"a":1}`, 1, ""}, {`{"b":2}`, 1, ""}}, ""},
		{"empty array", "", "[]", "json", nil, ""},
		{"nothing", "", "", "json", nil, ""},
		{"one object over lines", "", "{\n \"a\": 1\n}\n", "json", []read{{`{"a":1}`, 1, ""}}, ""},
		{"objects over lines", "x.json", "{\"a\":\n1}\n{\"b\":2}", "json", []read{{`{"a":1}`, 1, ""}, {`{"b":2}`, 3, ""}}, ""},
		{"repeated names are the hub's to judge", "", `[{"a":1,"a":2}]`, "json", []read{{`{"a":1,"a":2}`, 1, ""}}, ""},
		{"byte order mark", "x.json", "\uFEFF[{\"a\":1}]", "json", []read{{`{"a":1}`, 1, ""}}, ""},
		{"array that ends early", "", "[{\"a\":1},\n{\"b\":", "json", []read{{`{"a":1}`, 1, ""}}, "line 2 (finding 1): unexpected EOF"},
		{"array with a fault", "", "[{\"a\":1},\n{\"b\" 2}]", "json", []read{{`{"a":1}`, 1, ""}}, "line 2 (finding 1): invalid character '2' after object name (expecting ':')"},
		{"a huge value", "", `[{"a":"` + strings.Repeat("x", 20<<20) + `"}]`, "json", nil, "line 1 (finding 0): a value is longer than 4 MiB"},
		{"a long value", "", `[{"a":"` + strings.Repeat("x", 5<<20) + `"},{"b":2}]`, "json", []read{{"", 1, "is longer than 4 MiB"}, {`{"b":2}`, 1, ""}}, ""},

		{"lines", "", "{\"a\":1}\n\n  {\"b\":2}\r\n{\"c\":3}", "ndjson", []read{{`{"a":1}`, 1, ""}, {`{"b":2}`, 3, ""}, {`{"c":3}`, 4, ""}}, ""},
		{"one line", "", "{\"a\":1}\n", "ndjson", []read{{`{"a":1}`, 1, ""}}, ""},
		{"lines by ending", "x.jsonl", "nonsense\n{\"a\":1}\n", "ndjson", []read{{`nonsense`, 1, ""}, {`{"a":1}`, 2, ""}}, ""},
		{"empty lines only", "x.ndjson", "\n\n", "ndjson", nil, ""},
		{"a long line", "x.ndjson", "{\"a\":\"" + strings.Repeat("x", 20<<20) + "\"}\n{\"b\":2}\n", "ndjson", []read{{"", 1, "is longer than 4 MiB"}, {`{"b":2}`, 2, ""}}, ""},
		{"a byte order mark before lines", "", "\uFEFF{\"a\":1}\n", "ndjson", []read{{`{"a":1}`, 1, ""}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bufio.NewReaderSize(strings.NewReader(c.in), 64<<10)
			f, err := chooseFormat("", c.file, r)
			if err != nil || f.Name != c.format {
				t.Fatalf("format %q, %v; want %q", f.Name, err, c.format)
			}
			got, err := readAll(t, f.open(r))
			for i := range got {
				if got[i].Bad != "" {
					got[i].Raw = ""
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if text := errText(err); text != c.err {
				t.Errorf("error %q, want %q", text, c.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestUnknownFormatListsWhatThereIs(t *testing.T) {
	err := KnownFormat("xml")
	var usage *UsageError
	if !errors.As(err, &usage) || err.Error() != `"xml" is no format; there are `+strings.Join(formatNames(), ", ") {
		t.Errorf("got %v", err)
	}
}

func TestWithSource(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"type":"xss"}`, `{"source":"s\"1","type":"xss"}`},
		{`{}`, `{"source":"s\"1"}`},
		{`{"type":"xss","source":"mine"}`, `{"type":"xss","source":"mine"}`},
		{`{"payload":{"source":"inner"}}`, `{"source":"s\"1","payload":{"source":"inner"}}`},
		{`[1]`, `[1]`},
		{`{"a":`, `{"a":`},
		{`nonsense`, `nonsense`},
	} {
		if got := string(withSource([]byte(c.in), `s"1`)); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.in, got, c.want)
		}
	}
}
