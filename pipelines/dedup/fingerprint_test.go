package dedup

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

func found(change func(*hub.Finding)) *hub.Finding {
	f := &hub.Finding{ID: "fnd_1", Tenant: "default", Type: "xss", AssetID: "srv_1", Source: "scan", Severity: hub.Low, Status: hub.FindingOpen}
	change(f)
	return f
}

var byRule = Profile{Discriminators: []string{"/rule", "/a/b~1c"}}

// Every finding here is another problem.
var different = []struct {
	profile Profile
	finding *hub.Finding
}{
	{Profile{}, found(func(f *hub.Finding) {})},
	{Profile{}, found(func(f *hub.Finding) { f.Tenant = "other" })},
	{Profile{}, found(func(f *hub.Finding) { f.Type = "csrf" })},
	{Profile{}, found(func(f *hub.Finding) { f.AssetID = "srv_2" })},
	{Profile{}, found(func(f *hub.Finding) { f.AssetID = "" })},
	{Profile{}, found(func(f *hub.Finding) { f.Source = "scan2" })},
	{Profile{}, found(func(f *hub.Finding) { f.Source = "scanx"; f.Type = "ss" })}, // shifted boundaries
	{Profile{}, found(func(f *hub.Finding) { f.Type = "xsss"; f.AssetID = "rv_1" })},
	{Profile{}, found(func(f *hub.Finding) { f.SourceID = "1" })},
	{Profile{}, found(func(f *hub.Finding) { f.SourceID = "1"; f.Source = "scan2" })},
	{Profile{}, found(func(f *hub.Finding) { f.SourceID = "1scan"; f.Source = "" })},
	{Profile{}, found(func(f *hub.Finding) { f.SourceID = "1s"; f.Source = "can" })},
	{Profile{}, found(func(f *hub.Finding) { f.DedupKey = "1" })},
	{Profile{}, found(func(f *hub.Finding) { f.DedupKey = "1scan" })},
	{Profile{}, found(func(f *hub.Finding) { f.Vulnerability = &hub.Vulnerability{CVE: "CVE-1"} })},
	{Profile{}, found(func(f *hub.Finding) { f.Vulnerability = &hub.Vulnerability{Package: "CVE-1"} })},
	{Profile{}, found(func(f *hub.Finding) { f.Compliance = &hub.Compliance{Framework: "CVE-1"} })},
	{Profile{}, found(func(f *hub.Finding) { f.Compliance = &hub.Compliance{Control: "CVE-1"} })},
	{Profile{SharedAsset: true}, found(func(f *hub.Finding) {})},
	{byRule, found(func(f *hub.Finding) {})},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":null}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":""}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":"null"}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":1}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":-1}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":10}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":"1"}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":"1.0"}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":true}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":"true"}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":false}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":0}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":[]}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":{}}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":["a","b"]}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":["b","a"]}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":["ab"]}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":["a",["b"]]}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":9007199254740992}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":9007199254740993}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"a":{"b/c":"1"}}`) })},
	{byRule, found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":"1","a":{"b/c":"1"}}`) })},
}

func TestFingerprintSetsProblemsApart(t *testing.T) {
	seen := map[hub.Fingerprint]int{}
	for n, c := range different {
		print := Fingerprint(c.profile, c.finding)
		if m, there := seen[print]; there {
			t.Errorf("findings %d and %d have one fingerprint:\n%+v\n%+v", m, n, different[m].finding, c.finding)
		}
		seen[print] = n
	}
}

func TestFingerprintBringsTogether(t *testing.T) {
	rule := func(payloads ...string) (all []*hub.Finding) {
		for _, p := range payloads {
			all = append(all, found(func(f *hub.Finding) { f.Payload = []byte(p) }))
		}
		return all
	}
	score := 9.8
	cases := map[string]struct {
		profile  Profile
		findings []*hub.Finding
	}{
		"number forms":            {byRule, rule(`{"rule":1}`, `{"rule":1.0}`, `{"rule":1e0}`, `{"rule":10E-1}`, `{"rule":0.01e+2}`)},
		"zeros":                   {byRule, rule(`{"rule":0}`, `{"rule":-0}`, `{"rule":0.00}`, `{"rule":0e9}`)},
		"order and spaces":        {byRule, rule(`{"rule":{"x":1,"y":[1,2]},"z":1}`, "{ \"z\" : 2 ,\n\"rule\":{ \"y\" : [ 1 , 2 ] , \"x\" : 1.0 } }")},
		"escapes":                 {byRule, rule(`{"rule":"a/b"}`, `{"rule":"\u0061\/b"}`, `{"r\u0075le":"a/b"}`)},
		"unicode composition":     {byRule, rule(`{"rule":"caf\u00e9"}`, `{"rule":"cafe\u0301"}`, "{\"rule\":\"cafe\u0301\"}")},
		"order of discriminators": {byRule, rule(`{"rule":1,"a":{"b/c":2}}`)},
		"list as a set":           {Profile{Discriminators: []string{"/tags"}, Unordered: []string{"/tags"}}, rule(`{"tags":["a","b"]}`, `{"tags":["b","a"]}`)},
		"dedup_key over source": {Profile{}, []*hub.Finding{
			found(func(f *hub.Finding) { f.DedupKey = "k" }),
			found(func(f *hub.Finding) {
				f.DedupKey = "k"
				f.Source, f.SourceID, f.Type, f.AssetID = "other", "9", "csrf", "srv_9"
			}),
		}},
		"shared asset": {Profile{SharedAsset: true}, []*hub.Finding{
			found(func(f *hub.Finding) { f.SourceID = "17" }),
			found(func(f *hub.Finding) { f.Source = "other"; f.SourceID = "4" }),
		}},
		"source_id over asset": {Profile{}, []*hub.Finding{
			found(func(f *hub.Finding) { f.SourceID = "1" }),
			found(func(f *hub.Finding) { f.SourceID = "1"; f.Type, f.AssetID = "csrf", "srv_2" }),
		}},
		"what is never in it": {Profile{}, []*hub.Finding{
			found(func(f *hub.Finding) {}),
			found(func(f *hub.Finding) {
				f.ID, f.Severity, f.Status, f.Title, f.Description = "fnd_2", hub.Critical, hub.FindingResolved, "t", "d"
				f.RiskScore, f.Labels, f.ObservedAt, f.ReceivedAt, f.SourceSequence = &score, map[string]string{"a": "b"}, time.Now(), time.Now(), 7
				f.Vulnerability, f.Compliance = &hub.Vulnerability{CVSS: &score, FixedVersion: "2"}, &hub.Compliance{Result: "fail"}
				f.Payload = []byte(`{"line":7}`)
			}),
		}},
	}
	for name, c := range cases {
		want := Fingerprint(c.profile, c.findings[0])
		for n, f := range c.findings[1:] {
			if Fingerprint(c.profile, f) != want {
				t.Errorf("%s: finding %d is another problem", name, n+1)
			}
		}
	}
	turned := Profile{Discriminators: []string{"/a/b~1c", "/rule"}}
	if f := rule(`{"rule":1,"a":{"b/c":2}}`)[0]; Fingerprint(byRule, f) != Fingerprint(turned, f) {
		t.Error("the order of discriminators in the config changes the fingerprint")
	}
}

// It is stored with every alert, so it must not change by accident.
func TestFingerprintIsStable(t *testing.T) {
	f := found(func(f *hub.Finding) { f.Payload = []byte(`{"rule":{"x":1.50,"y":["é",null]}}`) })
	const want = "68d0ffae56bd05c5f328c185ea40a6c2b90b3f45480114fe9c6f1d0fe144d7f5"
	if got := Fingerprint(byRule, f).String(); got != want {
		t.Errorf("got %s, want %s; a new encoding needs a new keyVersion and a migration", got, want)
	}
}

func TestFingerprintOfTuples(t *testing.T) {
	parts := []string{"", "a", "b", "ab", "ba", "s", "m", "\x00", "\x01a", "é", "sm", "aa"}
	seen := map[hub.Fingerprint][4]string{}
	for _, s := range parts {
		for _, y := range parts {
			for _, a := range parts {
				for _, c := range parts {
					f := hub.Finding{Tenant: "t", Source: s, Type: y, AssetID: a, Vulnerability: &hub.Vulnerability{CVE: c}}
					print, tuple := Fingerprint(Profile{}, &f), [4]string{s, y, a, c}
					if other, there := seen[print]; there {
						t.Fatalf("%q and %q have one fingerprint", other, tuple)
					}
					seen[print] = tuple
				}
			}
		}
	}
}

func TestDeliveryKey(t *testing.T) {
	base := func() *hub.Finding {
		return found(func(f *hub.Finding) {
			f.SourceID, f.ObservedAt, f.ObservedGiven, f.Title = "1", start, true, "t"
			f.Labels, f.Payload = map[string]string{"a": "1", "b": "2"}, []byte(`{"x":1,"y":2}`)
		})
	}
	key := DeliveryKey(base())
	same := map[string]func(*hub.Finding){
		"id and arrival":   func(f *hub.Finding) { f.ID, f.ReceivedAt = "fnd_9", time.Now() },
		"another zone":     func(f *hub.Finding) { f.ObservedAt = f.ObservedAt.In(time.FixedZone("x", 3600)) },
		"other whitespace": func(f *hub.Finding) { f.Payload = []byte(`{ "y":2.0, "x":1 }`) },
		"raw":              func(f *hub.Finding) { f.Raw = []byte(`{"anything":1}`) },
	}
	for name, change := range same {
		f := base()
		change(f)
		if DeliveryKey(f) != key {
			t.Errorf("%s changes the key", name)
		}
	}
	other := map[string]func(*hub.Finding){
		"tenant": func(f *hub.Finding) { f.Tenant = "x" }, "source": func(f *hub.Finding) { f.Source = "x" },
		"source_id": func(f *hub.Finding) { f.SourceID = "2" }, "observed_at": func(f *hub.Finding) { f.ObservedAt = minute(1) },
		"no observed_at": func(f *hub.Finding) { f.ObservedGiven = false }, "severity": func(f *hub.Finding) { f.Severity = hub.High },
		"status": func(f *hub.Finding) { f.Status = hub.FindingResolved }, "title": func(f *hub.Finding) { f.Title = "u" },
		"labels": func(f *hub.Finding) { f.Labels["a"] = "12" }, "payload": func(f *hub.Finding) { f.Payload = []byte(`{"x":1,"y":3}`) },
		"timestamp": func(f *hub.Finding) { f.Payload = []byte(`{"x":1,"y":2,"timestamp":1}`) },
		"asset":     func(f *hub.Finding) { f.Asset = &hub.Asset{Tags: map[string]string{"a": "b"}} },
		"cve":       func(f *hub.Finding) { f.Vulnerability = &hub.Vulnerability{CVE: "1"} },
	}
	for name, change := range other {
		f := base()
		change(f)
		if DeliveryKey(f) == key {
			t.Errorf("%s does not change the key", name)
		}
	}
	timeless := base()
	timeless.ObservedGiven = false
	later := *timeless
	later.ObservedAt = minute(9) // filled in by us
	if DeliveryKey(timeless) != DeliveryKey(&later) {
		t.Error("a body without a time has another key at another time")
	}
	if Repeatable(base()) || !Repeatable(timeless) {
		t.Error("only a delivery without a time may come again as a new observation")
	}
}

func TestContentHashLeavesVolatileOut(t *testing.T) {
	content := func(p Profile, payload string) [16]byte {
		return ContentHash(p, found(func(f *hub.Finding) { f.Payload = []byte(payload) }))
	}
	cases := []struct {
		name    string
		profile Profile
		a, b    string
		same    bool
	}{
		{"usual names by default", Profile{}, `{"x":1,"timestamp":1,"count":2}`, `{"count":9,"x":1}`, true},
		{"usual names only at the top", Profile{}, `{"x":{"count":1}}`, `{"x":{"count":2}}`, false},
		{"an empty list takes everything", Profile{Volatile: []string{}}, `{"count":1}`, `{"count":2}`, false},
		{"pointers", Profile{Volatile: []string{"/x/n", "/l/1/t~0~1"}}, `{"x":{"n":1,"m":1},"l":[1,{"t~/":1}]}`, `{"x":{"m":1,"n":2},"l":[1,{"t~/":2}]}`, true},
		{"pointers and nothing else", Profile{Volatile: []string{"/x/n"}}, `{"x":{"m":1}}`, `{"x":{"m":2}}`, false},
		{"the whole payload", Profile{Volatile: []string{""}}, `{"x":1}`, `{"y":2}`, true},
		{"null is not missing", Profile{}, `{"x":null}`, `{}`, false},
	}
	for _, c := range cases {
		if got := content(c.profile, c.a) == content(c.profile, c.b); got != c.same {
			t.Errorf("%s: %s and %s are the same: %t, want %t", c.name, c.a, c.b, got, c.same)
		}
	}
}

// respell writes a JSON value in another way.
func respell(v any, r *rand.Rand) string {
	space := strings.Repeat(" ", r.IntN(3))
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for k, e := range v { // in random order
			parts = append(parts, space+respell(k, r)+space+":"+respell(e, r))
		}
		return "{" + strings.Join(parts, ",") + space + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, respell(e, r)+space)
		}
		return "[" + space + strings.Join(parts, ",") + "]"
	case string:
		var b strings.Builder
		for _, c := range v {
			if r.IntN(3) == 0 && c < 0x10000 {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				q, _ := json.Marshal(string(c))
				b.Write(q[1 : len(q)-1])
			}
		}
		return `"` + b.String() + `"`
	case int:
		return [...]string{fmt.Sprint(v), fmt.Sprintf("%d.0", v), fmt.Sprintf("%d.000e+0", v), fmt.Sprintf("%de0", v)}[r.IntN(4)]
	case nil:
		return space + "null"
	}
	return fmt.Sprint(v)
}

func drawJSON(depth int) *rapid.Generator[any] {
	leaf := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.IntRange(-50, 50).AsAny(),
		rapid.StringOfN(rapid.SampledFrom([]rune(`a"\/é€😀`)), 0, 4, -1).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaf...)
	}
	return rapid.OneOf(append(leaf,
		rapid.SliceOfN(drawJSON(depth-1), 0, 3).AsAny(),
		rapid.MapOfN(rapid.StringOfN(rapid.SampledFrom([]rune(`ab"é`)), 0, 3, -1), drawJSON(depth-1), 0, 4).AsAny())...)
}

// Two texts have the same canonical bytes if and only if they say the same.
func TestCanonicalFormIsTheValue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawJSON(3).Draw(rt, "a"), drawJSON(3).Draw(rt, "b")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		a1, a2, b1 := respell(a, r), respell(a, r), respell(b, r)
		for _, s := range []string{a1, a2, b1} {
			if !jsontext.Value(s).IsValid() {
				rt.Fatalf("the test wrote bad JSON: %s", s)
			}
		}
		c1, c2, d := appendJSON(nil, []byte(a1)), appendJSON(nil, []byte(a2)), appendJSON(nil, []byte(b1))
		if string(c1) != string(c2) {
			rt.Fatalf("two spellings of one value differ:\n%s\n%s", a1, a2)
		}
		same := canonicalText(rt, a1) == canonicalText(rt, b1)
		if got := string(c1) == string(d); got != same {
			rt.Fatalf("%s and %s: same bytes %t, same value %t", a1, b1, got, same)
		}
	})
}

// canonicalText is RFC 8785, by somebody else. The numbers here are small, where
// it is exact.
func canonicalText(t *rapid.T, s string) string {
	v := jsontext.Value(s)
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(true)); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(v), "-0", "0")
}

func FuzzCanonicalForm(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9",null,true],"b":{}}`, `{`, `[1,`, `"\ud800"`, `nul`, `1e99999999999`, "{\"\xff\":1}", `]`} {
		f.Add([]byte(s), "/a/1")
	}
	f.Fuzz(func(t *testing.T, v []byte, pointer string) {
		p := Profile{Discriminators: []string{pointer}, Volatile: []string{pointer}, Unordered: []string{"/a"}}
		finding := hub.Finding{Payload: v}
		first, hash := Fingerprint(p, &finding), ContentHash(p, &finding)
		if Fingerprint(p, &finding) != first || ContentHash(p, &finding) != hash {
			t.Error("not the same twice")
		}
		DeliveryKey(&finding)
		if !jsontext.Value(v).IsValid() {
			return
		}
		spelled := jsontext.Value(v).Clone()
		if spelled.Indent() == nil && string(appendJSON(nil, v)) != string(appendJSON(nil, spelled)) {
			t.Errorf("indenting changes the value of %q", v)
		}
	})
}

func TestProfileCheck(t *testing.T) {
	bad := []Profile{{Discriminators: []string{"rule"}}, {Volatile: []string{"/a", "b"}}, {Unordered: []string{"/~2"}}, {ReopenWindow: new(hub.Duration(-1))}}
	for _, p := range bad {
		if p.Check() == nil {
			t.Errorf("%+v is not refused", p)
		}
	}
	if err := byRule.Check(); err != nil {
		t.Error(err)
	}
	ps := Profiles{Default: Profile{ReopenWindow: new(hub.Duration(time.Hour))}, Sources: map[string]Profile{"a": {SharedAsset: true}}}
	if p := ps.For("a"); !p.SharedAsset || p.window() != time.Hour {
		t.Errorf("profile of a: %+v", p)
	}
	if p := ps.For("b"); p.SharedAsset || p.window() != time.Hour {
		t.Errorf("profile of b: %+v", p)
	}
	if p := new(Profiles).For("b"); p.window() != DefaultReopenWindow {
		t.Errorf("no profiles: window %s", p.window())
	}
}
