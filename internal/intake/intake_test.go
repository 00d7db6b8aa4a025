package intake

import (
	"strings"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

const good = `{"type":"xss","asset_id":"a","severity":"high"`

func TestFinding(t *testing.T) {
	f, err := Finding([]byte(good + `,"title":"t","observed_at":"2025-06-14T08:22:14+02:00","extra":1,"payload":{"a":[1],"extra":2},"more":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != "xss" || f.AssetID != "a" || f.Severity != hub.High || f.ObservedAt.Hour() != 8 {
		t.Errorf("got %+v", f)
	}
	if got, want := string(f.Payload), `{"a":[1],"extra":2,"more":"x"}`; got != want {
		t.Errorf("payload is %s, want %s", got, want)
	}
	f, err = Finding([]byte(good + `,"extra":{"b":1}}`))
	if err != nil || string(f.Payload) != `{"extra":{"b":1}}` {
		t.Errorf("got payload %s, error %v", f.Payload, err)
	}
}

func TestBadFindings(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, body string
		kind       hub.Kind
		pointer    string // of the first field
		text       string // part of the message
	}{
		{"empty", "", hub.Malformed, "", "not valid JSON"},
		{"cut", `{"type":"xss"`, hub.Malformed, "", "not valid JSON"},
		{"trailing", good + `} x`, hub.Malformed, "", "not valid JSON"},
		{"invalid UTF-8", good + ",\"title\":\"\xff\"}", hub.Malformed, "", "/title"},
		{"lone surrogate", good + `,"title":"\ud800"}`, hub.Malformed, "", "/title"},
		{"duplicate name", good + `,"type":"csrf"}`, hub.Malformed, "", "duplicate"},
		{"no object", `[1]`, hub.Invalid, "", "JSON object"},
		{"null", `null`, hub.Invalid, "/type", "required"},
		{"nothing given", `{}`, hub.Invalid, "/type", "(and 2 more)"},
		{"unknown type", `{"type":"x","asset_id":"a","severity":"high"}`, hub.Invalid, "/type", `"x" is not one of`},
		{"unknown severity", `{"type":"xss","asset_id":"a","severity":"urgent"}`, hub.Invalid, "/severity", `"urgent" is not one of critical, high, medium, low, info`},
		{"severity in capitals", `{"type":"xss","asset_id":"a","severity":"HIGH"}`, hub.Invalid, "/severity", `"HIGH"`},
		{"severity is a number", `{"type":"xss","asset_id":"a","severity":3}`, hub.Invalid, "/severity", "must be a string"},
		{"asset_id is an object", `{"type":"xss","asset_id":{},"severity":"low"}`, hub.Invalid, "/asset_id", "must be a string"},
		{"status", good + `,"status":"closed"}`, hub.Invalid, "/status", "open, resolved"},
		{"time", good + `,"observed_at":"yesterday"}`, hub.Invalid, "/observed_at", "RFC 3339"},
		{"year", good + `,"observed_at":"0001-02-03T00:00:00Z"}`, hub.Invalid, "/observed_at", "1970"},
		{"risk", good + `,"risk_score":101}`, hub.Invalid, "/risk_score", "0 to 100"},
		{"cvss", good + `,"vulnerability":{"cvss":11}}`, hub.Invalid, "/vulnerability/cvss", "0 to 10"},
		{"payload", good + `,"payload":[1]}`, hub.Invalid, "/payload", "object"},
		{"labels", good + `,"labels":{"a":1}}`, hub.Invalid, "/labels/a", "string"},
		{"asset", good + `,"asset":"a"}`, hub.Invalid, "/asset", "object"},
		{"long asset", `{"type":"xss","asset_id":"` + strings.Repeat("a", 1025) + `","severity":"low"}`, hub.Invalid, "/asset_id", "1025 bytes"},
		{"deep", good + `,"payload":{"x":` + deep(99) + `}}`, hub.Invalid, "", "nested deeper"},
		{"very deep", deep(10000), hub.Invalid, "", "nested deeper"},
	} {
		_, err := Finding([]byte(c.body))
		var fields []hub.Field
		if e, ok := err.(*hub.Error); ok {
			fields = e.Fields
		}
		if hub.KindOf(err) != c.kind || !strings.Contains(err.(*hub.Error).Msg, c.text) {
			t.Errorf("%s: got kind %q, %v; want kind %q and %q", c.name, hub.KindOf(err), err, c.kind, c.text)
			continue
		}
		if c.kind == hub.Invalid && (len(fields) == 0 || fields[0].Pointer != c.pointer) {
			t.Errorf("%s: got fields %v, want the first at %q", c.name, fields, c.pointer)
		}
	}
}

func FuzzFinding(f *testing.F) {
	f.Add([]byte(good + `,"payload":{"a":1},"b":2}`))
	f.Add([]byte(`[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if x, err := Finding(raw); err == nil && (x.Type == "" || x.AssetID == "" || !x.Severity.Valid()) {
			t.Errorf("%q was taken as %+v", raw, x)
		}
	})
}

func BenchmarkFinding(b *testing.B) {
	raw := []byte(good + `,"title":"SQL injection in /login","source":"scanner","source_id":"f-1","observed_at":"2025-06-14T08:22:14Z","labels":{"team":"web"},"payload":{"parameter":"user","evidence":"' OR 1=1 --","request":{"method":"POST","path":"/login"}}}`)
	for b.Loop() {
		if _, err := Finding(raw); err != nil {
			b.Fatal(err)
		}
	}
}
