package document

import (
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

func TestFieldsByDottedNames(t *testing.T) {
	for source, want := range map[string][]string{
		`{"a":{"b":{"c":"x"}}}`:                   {"x"},
		`{"a.b.c":"x"}`:                           {"x"},
		`{"a.b":{"c":"x"}}`:                       {"x"},
		`{"a":{"b.c":"x"}}`:                       {"x"},
		`{"a":[{"b":{"c":"x"}},{"b":{"c":"y"}}]}`: {"x", "y"},
		`{"a":{"b":{"c":["x",["y"],null,{}]}}}`:   {"x", "y"},
		`{"a":{"b":{"c":12.5}}}`:                  {"12.5"},
		`{"a":{"b":{"c":true}}}`:                  {"true"},
		`{"a":{"b":{"c":{"d":"x"}}}}`:             nil,
		`{"a":"x"}`:                               nil,
	} {
		d, err := Read(&Hit{Source: []byte(source)})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.list("a.b.c"); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
	}
}

func FuzzFinding(f *testing.F) {
	for _, in := range []string{
		`{"@timestamp":"2026-11-20T10:00:00Z","kibana.alert.rule.name":"r","kibana.alert.severity":"high","host":{"name":"h"}}`,
		`{"host.name":[[],{"x":1},"h"],"a.b":{"c.d":{"e":1}},"event":[{"category":["malware"]}],"kibana.alert.risk_score":"73"}`,
		`{"kibana":{"alert":{"workflow_status":"closed","rule":{"threat":[{"technique":[{"id":"T1"}]}]}}},"vulnerability":{"id":"CVE-1"}}`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := Read(&Hit{Index: "i", ID: "1", Source: in})
		if err != nil {
			return
		}
		got := d.Finding("@timestamp")
		inbound.Tidy(&got)
		if got.SourceID == "" || got.AssetID == "" || got.Title == "" || !got.Severity.Valid() || !slices.Contains(hub.FindingTypes[:], got.Type) {
			t.Errorf("%s became %+v", in, got)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s cannot be stored: %v", in, err)
		}
	})
}
