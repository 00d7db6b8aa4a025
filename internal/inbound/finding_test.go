package inbound

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

func TestKeysAreApart(t *testing.T) {
	long := strings.Repeat("x", 2000)
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{"a", "b"},
		{"a|b"},
		{"a", "", "b"},
		{"", "a", "b"},
		{"a", "b", ""},
		{"ab"},
		{"a%7Cb"},
		{"a%", "b"},
		{"a", "%b"},
		{long + "1"},
		{long + "2"},
		{long, "1"},
		{long + "|1"},
		{},
		{"", ""},
	} {
		k := Key(parts...)
		if other, there := seen[k]; there {
			t.Errorf("%.20q and %.20q make the same key", parts, other)
		}
		if seen[k] = parts; len(k) > maxName {
			t.Errorf("%.20q makes a key of %d bytes", parts, len(k))
		}
	}
}

func TestTidy(t *testing.T) {
	labels := map[string]string{"empty": "", "": "x", "a-long": strings.Repeat("é", 1000)}
	for i := range 300 {
		labels["l"+strings.Repeat("0", i)] = "v"
	}
	f := hub.Finding{
		Title: "  a\n\tb  " + strings.Repeat("é", 3000), Description: strings.Repeat("ü", 20_000), AssetID: strings.Repeat("ö", 1000),
		Labels: labels, Asset: &hub.Asset{Name: strings.Repeat("n", 5000)}, ObservedAt: time.Date(1, 1, 1, 1, 0, 0, 0, time.UTC),
	}
	Tidy(&f)
	for name, s := range map[string]string{"title": f.Title, "description": f.Description, "asset": f.AssetID, "label": f.Labels["a-long"], "name": f.Asset.Name} {
		limit := maxName
		if name == "description" {
			limit = maxText
		}
		if len(s) > limit || !utf8.ValidString(s) || len(s) < limit-10 {
			t.Errorf("%s has %d bytes", name, len(s))
		}
	}
	if !strings.HasPrefix(f.Title, "a b é") || len(f.Labels) != 200 || f.Labels["empty"] != "" || f.Status != hub.FindingOpen || f.ObservedGiven {
		t.Errorf("tidied to %q, %d labels, %s, observed %v", f.Title[:10], len(f.Labels), f.Status, f.ObservedAt)
	}
}

func TestLoose(t *testing.T) {
	var got struct {
		A, B, C, D, E Text
		N, O, P, Q    Number
		T, U, V, W    Time
	}
	in := `{"A":"x","B":12345678901234567890,"C":true,"D":null,"E":{"a":[1]},"N":7.5,"O":" 8 ","P":"NaN","Q":[],
		"T":"2025-06-14T08:22:14Z","U":1749889334,"V":1749889334123,"W":"yesterday"}`
	if err := json.Unmarshal([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	if got.A != "x" || got.B != "12345678901234567890" || got.C != "true" || got.D != "" || got.E != "" {
		t.Errorf("texts %+v", got)
	}
	if got.N.Value != 7.5 || got.O.Int() != 8 || got.P.Given || got.Q.Given || got.N.Int() != -1 {
		t.Errorf("numbers %+v", got)
	}
	at := time.Date(2025, 6, 14, 8, 22, 14, 0, time.UTC)
	if !got.T.Equal(at) || !got.U.Equal(at) || !got.V.Equal(at.Add(123*time.Millisecond)) || !got.W.IsZero() {
		t.Errorf("times %+v", got)
	}
}

func TestParseTime(t *testing.T) {
	at := time.Date(2025, 6, 14, 8, 22, 14, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2025-06-14T08:22:14Z": at, "2025-06-14T10:22:14+02:00": at, "2025-06-14T10:22:14+0200": at, "2025-06-14T08:22:14": at,
		"2025-06-14 08:22:14": at, "2025-06-14T08:22:14.123456789Z": at.Add(123456 * time.Microsecond), "1749889334": at,
		"1749889334000": at, "1749889334000000": at, "1749889334000000000": at, "1749889334.5": at.Add(500 * time.Millisecond),
		"0001-01-01T00:00:00Z": {}, "9999-12-31T00:00:00Z": {}, "": {}, "-1": {}, "1e300": {}, "NaN": {}, "99999999999999999999": {},
	} {
		if got := ParseTime(text); !got.Equal(want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":{"b":1}}`: "/a/b is of another type", `{"a":{"b":"x","b":"y"}}`: "no valid JSON: duplicate object member name",
		"{\"a\":{\"b\":\"\xff\"}}": "no valid JSON: invalid UTF-8", `[]`: "no JSON object", `{"a":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`: "deeper than 100",
		`{"a":{"b":"[[[\\\"]]"}}`: "",
	} {
		var into struct {
			A struct {
				B string `json:"b"`
			} `json:"a"`
		}
		err := Decode([]byte(in), &into, false)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", in, err, want)
		}
	}
}

func TestSeverities(t *testing.T) {
	for word, want := range map[string]hub.Severity{"": hub.Medium, "CRITICAL": hub.Critical, " page ": hub.Critical, "Error": hub.High, "odd": hub.High, "warn": hub.Medium, "Notice": hub.Low, "none": hub.Info} {
		if got := SeverityOr(word, hub.Medium); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
	for score, want := range map[float64]hub.Severity{10: hub.Critical, 9: hub.Critical, 8.9: hub.High, 7: hub.High, 6.9: hub.Medium, 4: hub.Medium, 3.9: hub.Low, 0.1: hub.Low, 0: hub.Info} {
		if got := Score(score); got != want {
			t.Errorf("%v is %s, want %s", score, got, want)
		}
	}
}

func TestObject(t *testing.T) {
	if got := string(Object(map[string]any{"b": "x", "a": []string{"y"}, "c": "", "d": nil, "e": []string{}})); got != `{"a":["y"],"b":"x"}` {
		t.Errorf("got %s", got)
	}
	if Object(map[string]any{"a": ""}) != nil {
		t.Error("an empty object is not nil")
	}
}
