package cybervault

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

// TestMapping maps every case: alert-* as the API lists it, event-* as a
// webhook brings it.
func TestMapping(t *testing.T) {
	inputs, err := filepath.Glob("testdata/cases/*/in.json")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range inputs {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, mapCase(t, name, in), filepath.Join(filepath.Dir(path), "want.json"))
		})
	}
}

func mapCase(t *testing.T, name string, in []byte) hub.Finding {
	t.Helper()
	if strings.HasPrefix(name, "event-") {
		f, reason, err := readEvent(in)
		if err != nil || reason != "" {
			t.Fatalf("refused: %v %s", err, reason)
		}
		return f
	}
	a, ok := readAlert(in)
	if !ok {
		t.Fatal("not read as an alert")
	}
	return a.finding()
}

func compare(t *testing.T, f hub.Finding, path string) {
	t.Helper()
	got, err := json.Marshal(f, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(got)); diff != "" {
		t.Errorf("finding differs (-want +got):\n%s", diff)
	}
}

func FuzzEvents(f *testing.F) {
	inputs, _ := filepath.Glob("testdata/cases/*/in.json")
	for _, path := range inputs {
		in, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, reason, err := readEvent(in)
		if err == nil && reason == "" && (got.SourceID == "" && got.DedupKey == "" && got.AssetID == "" || !got.Severity.Valid()) {
			t.Errorf("%q became a finding without identity or severity: %+v", in, got)
		}
		if a, ok := readAlert(in); ok && (a.finding().SourceID == "" || !a.finding().Severity.Valid() || a.finding().AssetID == "") {
			t.Errorf("%q became %+v", in, a.finding())
		}
	})
}
