package elastic

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of the cases anew")

// A caseInput is one of the three things that documents are made of; Triage is
// what became of the finding.
type caseInput struct {
	Event   *hub.Event      `json:"event"`
	Finding *hub.Finding    `json:"finding"`
	Triage  hub.Triage      `json:"triage"`
	Audit   *hub.AuditEntry `json:"audit"`
}

// A caseDoc is a [Doc] that is pleasant to read.
type caseDoc struct {
	Index   string         `json:"index"`
	ID      string         `json:"id"`
	Version int64          `json:"version,omitempty"`
	Doc     jsontext.Value `json:"doc"`
}

var caseMapping = Mapping{Namespace: "prod", Link: "https://hub.example/alerts/"}

func readCases(t *testing.T) map[string][]Doc {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*/in.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	cases := map[string][]Doc{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var in caseInput
		if err := json.Unmarshal(b, &in, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		docs := []Doc{}
		switch {
		case in.Event != nil:
			docs = append(docs, caseMapping.Documents(in.Event)...)
		case in.Finding != nil:
			docs = append(docs, caseMapping.Finding(in.Finding, in.Triage))
		case in.Audit != nil:
			docs = append(docs, caseMapping.Audit(in.Audit))
		}
		cases[filepath.Base(filepath.Dir(f))] = docs
	}
	return cases
}

func TestMappingCases(t *testing.T) {
	for name, docs := range readCases(t) {
		t.Run(name, func(t *testing.T) {
			list := make([]caseDoc, 0, len(docs))
			for _, d := range docs {
				list = append(list, caseDoc{d.Index, d.ID, d.Version, d.Body})
			}
			got, err := json.Marshal(list, jsontext.WithIndent("  "), json.Deterministic(true))
			if err != nil {
				t.Fatalf("a document is not JSON: %v", err)
			}
			file := filepath.Join("testdata/cases", name, "want.json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("documents differ from %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestEventsWithoutAlertGiveNoDocuments(t *testing.T) {
	alert := &hub.Alert{ID: "alt_1", Version: 1}
	for _, ev := range []hub.Event{
		{Type: hub.AlertCreated},
		{Type: hub.AssetVulnerable, Data: hub.EventData{Alert: alert}},
		{Type: hub.IncidentCreated},
	} {
		if got := caseMapping.Documents(&ev); len(got) != 0 {
			t.Errorf("%s gives %d documents, want 0", ev.Type, len(got))
		}
	}
}

// Every event type of an alert gives the kind that makes the "External Alerts"
// rule fire once for each generation.
func TestOnlyNewGenerationsAreOfKindAlert(t *testing.T) {
	for _, typ := range hub.EventTypes {
		ev := hub.Event{Type: typ, Data: hub.EventData{Alert: &hub.Alert{ID: "alt_1", Generation: 2, Version: 3, Type: "custom"}}}
		for _, d := range caseMapping.Documents(&ev) {
			want := kindEvent
			switch {
			case d.Version != 0:
				want = kindState
			case typ == hub.AlertCreated || typ == hub.AlertReopened:
				want = kindAlert
			}
			var doc struct {
				Event struct {
					Kind string `json:"kind"`
				} `json:"event"`
			}
			if err := json.Unmarshal(d.Body, &doc); err != nil || doc.Event.Kind != want {
				t.Errorf("%s in %s: event.kind %q, want %q (%v)", typ, d.Index, doc.Event.Kind, want, err)
			}
		}
	}
}

func TestSeverityNumbers(t *testing.T) {
	want := map[hub.Severity]int64{hub.Critical: 99, hub.High: 73, hub.Medium: 47, hub.Low: 21, hub.Info: 21}
	for _, s := range hub.Severities {
		if got := severityNumber(s); got != want[s] {
			t.Errorf("severityNumber(%s) = %d, want %d", s, got, want[s])
		}
	}
}

func BenchmarkDocuments(b *testing.B) {
	raw, err := os.ReadFile("testdata/cases/created/in.json")
	if err != nil {
		b.Fatal(err)
	}
	var in caseInput
	if err := json.Unmarshal(raw, &in); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(caseMapping.Documents(in.Event)) != 2 {
			b.Fatal("want two documents")
		}
	}
}
