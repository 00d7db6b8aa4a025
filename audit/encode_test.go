package audit

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// randomText gives text of all kinds of characters, one in eight times with
// bytes that are no UTF-8.
func randomText(r *rand.Rand, limit int) string {
	var b []byte
	for range r.IntN(limit + 1) {
		switch r.IntN(12) {
		case 0:
			b = append(b, byte(r.IntN(0x20)))
		case 1:
			b = append(b, `"\/<>&'`[r.IntN(7)])
		case 2:
			b = utf8.AppendRune(b, rune(0x7F+r.IntN(0x780)))
		case 3:
			b = utf8.AppendRune(b, rune(0x2020+r.IntN(0x20))) // line separators are here
		case 4:
			b = utf8.AppendRune(b, rune(0xE000+r.IntN(0x2000)))
		case 5:
			b = utf8.AppendRune(b, rune(0x10000+r.IntN(0x100000)))
		case 6:
			b = utf8.AppendRune(b, rune(0x800+r.IntN(0xD000)))
		default:
			b = append(b, byte(0x20+r.IntN(0x5F)))
		}
	}
	if r.IntN(8) == 0 {
		for range 1 + r.IntN(3) {
			b = slices.Insert(b, r.IntN(len(b)+1), byte(0x80+r.IntN(0x80)))
		}
	}
	return string(b)
}

// randomJSON appends a value as an outside system may write it: any order,
// spaces, floats.
func randomJSON(r *rand.Rand, b []byte, depth int) []byte {
	quote := func(s string) { b, _ = jsontext.AppendQuote(b, s) }
	kind := r.IntN(8)
	if depth == 0 {
		kind = r.IntN(6)
	}
	switch kind {
	case 0:
		return append(b, []string{"true", "false", "null"}[r.IntN(3)]...)
	case 1:
		return strconv.AppendFloat(b, r.NormFloat64()*1e6, 'g', -1, 64)
	case 2:
		return strconv.AppendInt(b, int64(r.Uint64()), 10)
	case 3:
		return strconv.AppendInt(b, int64(r.IntN(2000)-1000), 10)
	case 4, 5:
		quote(randomText(r, 8))
		return b
	case 6:
		b = append(b, "[ "...)
		for i := range r.IntN(4) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = randomJSON(r, b, depth-1)
		}
		return append(b, ']')
	}
	return randomObject(r, b, depth)
}

func randomObject(r *rand.Rand, b []byte, depth int) []byte {
	b = append(b, "{\t"...)
	for i := range r.IntN(6) {
		if i > 0 {
			b = append(b, " ,"...)
		}
		b, _ = jsontext.AppendQuote(b, randomText(r, 3))
		b = randomJSON(r, append(b, ": "...), depth-1)
	}
	return append(b, '}')
}

func randomEntry(r *rand.Rand) hub.AuditEntry {
	text := func() string { return randomText(r, 20) }
	e := hub.AuditEntry{
		ID: text(), Tenant: "default", UserID: text(), UserEmail: text(), ActorType: hub.ActorType(text()), Action: text(),
		ResourceType: text(), ResourceID: text(), IPAddress: text(), UserAgent: text(), RequestMethod: text(), RequestPath: text(),
		ResponseStatus: r.IntN(1200) - 100, Outcome: hub.AuditOutcome(text()),
	}
	switch r.IntN(5) {
	case 0:
	case 1:
		e.Details = jsontext.Value(text())
	default:
		e.Details = randomObject(r, nil, 3)
	}
	return e
}

func encodeOne(e *hub.AuditEntry, seq int64, prev [32]byte) []byte {
	enc := newEncoder("tocsin/test/default/1", "default", 1_800_000_000_123_456)
	return enc.entry(nil, seq, &prev, e)
}

// What the fixed-order encoder writes is what the library's canonical form of it
// is, and Decode takes it and gives what went in.
func TestEntriesAreCanonical(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		e := randomEntry(r)
		got := encodeOne(&e, int64(i), [32]byte{byte(i)})
		want := jsontext.Value(bytes.Clone(got))
		if err := want.Canonicalize(); err != nil {
			t.Fatalf("entry %d: %v\n%s", i, err, got)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("entry %d:\ngot  %s\nwant %s", i, got, want)
		}
		back, err := Decode(got)
		if err != nil {
			t.Fatalf("entry %d: %v\n%s", i, err, got)
		}
		if back.UserAgent != valid(e.UserAgent) || back.ResponseStatus != e.ResponseStatus || back.Sequence != int64(i) ||
			back.Action != valid(e.Action) || string(back.Outcome) != valid(string(e.Outcome)) {
			t.Fatalf("entry %d: got %+v of %+v", i, back, e)
		}
		if again := encodeOne(&back, back.Sequence, [32]byte{byte(i)}); !bytes.Equal(again, got) {
			t.Fatalf("entry %d decoded and encoded again:\ngot  %s\nwant %s", i, again, got)
		}
	}
}

// valid replaces each byte that is no UTF-8.
func valid(s string) string { return string([]rune(s)) }

func TestDetailsAreBroughtIntoForm(t *testing.T) {
	deep := strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40)
	for _, c := range []struct{ in, want string }{
		{``, `{}`},
		{`{}`, `{}`},
		{`{"a":1,"b":[true,null,"x"]}`, `{"a":1,"b":[true,null,"x"]}`},
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{ "a" : 1.5 }`, `{"a":"1.5"}`},
		{`{"a":1e3}`, `{"a":"1e3"}`},
		{`{"a":-0}`, `{"a":0}`},
		{`{"a":9007199254740991}`, `{"a":9007199254740991}`},
		{`{"a":9007199254740992}`, `{"a":"9007199254740992"}`},
		{`{"a":-9007199254740993}`, `{"a":"-9007199254740993"}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"a":{},"b":{"c":[{}]}}`, `{"a":{},"b":{"c":[{}]}}`},
		{`{"z":1,"a":{"y":2,"b":3}}`, `{"a":{"b":3,"y":2},"z":1}`},
		{`{"a":"\u0041\/"}`, `{"a":"A/"}`},
		{`{"a":"\u001F"}`, `{"a":"\u001f"}`},
		{"{\"\uE000\":1,\"\U00010000\":2}", "{\"\U00010000\":2,\"\uE000\":1}"},
		{"{\"a\":\"\xff\"}", "{\"a\":\"\uFFFD\"}"},
		{`{"a":"\ud800"}`, "{\"a\":\"\uFFFD\"}"},
		{`[1,2]`, `{"value":[1,2]}`},
		{`"x"`, `{"value":"x"}`},
		{`{"a":1} {"b":2}`, `{"text":"{\"a\":1} {\"b\":2}"}`},
		{`{"a":`, `{"text":"{\"a\":"}`},
		{`not json`, `{"text":"not json"}`},
		{deep, `{"text":"` + deep + `"}`},
	} {
		got := string(canonicalDetails([]byte(c.in)))
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
		if scanValue([]byte(got), 0, maxDepth) != len(got) {
			t.Errorf("%s became %s, which is not taken back", c.in, got)
		}
	}
}

func TestDetailsOfTheBuilderAreTakenAsTheyAre(t *testing.T) {
	var d hub.Details
	in := d.Int("count", 3).Str("endpoint", "whk_1").Strs("ids", []string{"a", "ü"}).Value()
	got := canonicalDetails(in)
	if &got[0] != &in[0] {
		t.Errorf("%s was written anew as %s", in, got)
	}
}

// The scanner takes nothing but the canonical form: whatever it accepts, the
// library leaves as it is.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2,"\u001f\n"],"b":null}`, `{"a":1,"a":1}`, `[0,-0,00,1.5,1e3]`, "{\"\U00010000\":2,\"\uE000\":1}", `"\u000b"`, `"\u0008"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if scanValue(b, 0, maxDepth) != len(b) {
			return
		}
		v := jsontext.Value(bytes.Clone(b))
		if err := v.Canonicalize(); err != nil || !bytes.Equal(v, b) {
			t.Errorf("took %q, which is canonically %q (%v)", b, v, err)
		}
	})
}

func TestScanTakesWhatIsCanonical(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		v := jsontext.Value(canonicalDetails(randomObject(r, nil, 4)))
		want := jsontext.Value(bytes.Clone(v))
		if err := want.Canonicalize(); err != nil || !bytes.Equal(v, want) {
			t.Fatalf("got %s, want %s (%v)", v, want, err)
		}
		if scanValue(v, 0, maxDepth) != len(v) {
			t.Fatalf("refused %s", v)
		}
		// One more space anywhere outside strings is one too many.
		if i := bytes.IndexByte(v, ':'); i > 0 && scanString(v, 1) == i {
			if spaced := slices.Insert(bytes.Clone(v), i, ' '); scanValue(spaced, 0, maxDepth) == len(spaced) {
				t.Fatalf("took %s", spaced)
			}
		}
	}
}

func TestNamesAreOrderedByUTF16(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		a, b := valid(randomText(r, 3)), valid(randomText(r, 3))
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareNames(a, b); got != want {
			t.Fatalf("%q and %q: got %d, want %d", a, b, got, want)
		}
	}
}

func TestLongEntriesAreShortened(t *testing.T) {
	details := jsontext.Value(`{"a":"` + strings.Repeat("x", 70000) + `"}`)
	worst := strings.Repeat("\x01", 66000)
	for _, c := range []struct {
		name  string
		entry hub.AuditEntry
		want  string
	}{
		{"details", hub.AuditEntry{Details: details, UserAgent: "curl"}, `"details":{"omitted_bytes":70008,"omitted_sha256":"`},
		{"agent", hub.AuditEntry{UserAgent: worst}, `…sha256:`},
		{"all", hub.AuditEntry{
			ID: worst, UserID: worst, UserEmail: worst, ActorType: hub.ActorType(worst), Action: worst, ResourceType: worst, ResourceID: worst,
			IPAddress: worst, UserAgent: worst, RequestMethod: worst, RequestPath: worst, Outcome: hub.AuditOutcome(worst), Details: details,
		}, `…sha256:`},
		{"umlauts", hub.AuditEntry{UserAgent: strings.Repeat("ü", 40000)}, `…sha256:`},
	} {
		got := encodeOne(&c.entry, 7, [32]byte{})
		if len(got) > MaxEntry || !bytes.Contains(got, []byte(c.want)) {
			t.Errorf("%s: %d bytes, want at most %d with %s", c.name, len(got), MaxEntry, c.want)
		}
		if _, err := Decode(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTimes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		micros := r.Int64N(maxTime + 1)
		text := appendTime(nil, micros)
		got, ok := parseTime(text[1 : len(text)-1])
		if !ok || got != micros {
			t.Fatalf("%s: got %d %v, want %d", text, got, ok, micros)
		}
	}
	for _, c := range []struct {
		micros int64
		want   string
	}{
		{-1, `"1970-01-01T00:00:00.000000Z"`},
		{maxTime, `"9999-12-31T23:59:59.999999Z"`},
		{maxTime + 1, `"9999-12-31T23:59:59.999999Z"`},
		{time.Date(2026, 2, 3, 4, 5, 6, 7_000, time.UTC).UnixMicro(), `"2026-02-03T04:05:06.000007Z"`},
	} {
		if got := string(appendTime(nil, c.micros)); got != c.want {
			t.Errorf("%d: got %s, want %s", c.micros, got, c.want)
		}
	}
	for _, bad := range []string{
		"2026-02-30T04:05:06.000007Z", "2026-13-03T04:05:06.000007Z", "2026-02-03T24:05:06.000007Z", "2026-02-03T04:60:06.000007Z",
		"2026-02-03T04:05:60.000007Z", "2026-02-03 04:05:06.000007Z", "2026-02-03T04:05:06.00007Z", "1969-02-03T04:05:06.000007Z", "2026-02-03T04:05:06.000007z",
	} {
		if _, ok := parseTime([]byte(bad)); ok {
			t.Errorf("took %s", bad)
		}
	}
}

// FuzzDecode: whatever Decode takes encodes to the same bytes again.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20 {
		e := randomEntry(r)
		f.Add(encodeOne(&e, 5, [32]byte{1}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		var p parsed
		if err := p.parse(b); err != nil {
			t.Fatal(err)
		}
		enc := newEncoder(unquote(p.field[fLog]), string(e.Tenant), p.micros)
		if got := enc.entry(nil, e.Sequence, &p.prev, &e); !bytes.Equal(got, b) {
			t.Errorf("got  %s\nwant %s", got, b)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	var d hub.Details
	e := hub.AuditEntry{
		ID: "aud_01JD0000000000000000000000", Tenant: "default", UserID: "cybervault", ActorType: hub.ActorSource, Action: "alert.create",
		ResourceType: "alert", ResourceID: "alt_01JD0000000000000000000000", Outcome: hub.AuditSuccess,
		Details: d.Str("finding", "fnd_01JD0000000000000000000000").Str("outcome", "created").Value(),
	}
	enc := newEncoder("tocsin/test/default/1", "default", 1_800_000_000_123_456)
	var prev [32]byte
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.entry(buf[:0], 123456, &prev, &e)
	}
	b.SetBytes(int64(len(buf)))
}
