package list

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// TestEveryKind opens every kind with its own sample, and wants what a
// connector's folder has to hold.
func TestEveryKind(t *testing.T) {
	kinds := Kinds()
	if !slices.IsSortedFunc(kinds, func(a, b connectors.Kind) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("kinds are not sorted by name")
	}
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			var c connectors.Common
			if err := yaml.Unmarshal([]byte(k.Sample), &c); err != nil {
				t.Fatalf("sample: %v", err)
			}
			if err := c.Check(); err != nil || c.Kind != k.Name || k.Doc == "" {
				t.Errorf("sample is of kind %q: %v; doc %q", c.Kind, err, k.Doc)
			}
			source, err := k.Open(connectors.Settings{
				Name: c.Name, Tenant: hub.DefaultTenant, Client: &http.Client{}, Log: slog.New(slog.DiscardHandler),
				Config: func(into any) error {
					d := yaml.NewDecoder(bytes.NewReader([]byte(k.Sample)))
					d.KnownFields(true)
					return d.Decode(into)
				},
			})
			if err != nil {
				t.Fatalf("open with the sample: %v", err)
			}
			if err := source.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			checkActions(t, k, source)
			if cases, err := os.ReadDir(filepath.Join("..", k.Name, "testdata/cases")); err != nil || len(cases) < 5 {
				t.Errorf("%d cases of inputs, want at least 5: %v", len(cases), err)
			}
			for _, name := range []string{"README.md", "sample.yaml", "testdata/cases"} {
				if _, err := os.Stat(filepath.Join("..", k.Name, name)); err != nil {
					t.Errorf("%s is missing: %v", name, err)
				}
			}
		})
	}
}

func checkActions(t *testing.T, k connectors.Kind, source connectors.Source) {
	t.Helper()
	a, ok := source.(connectors.Actor)
	if !ok {
		return
	}
	for _, spec := range a.Actions() {
		if !strings.HasPrefix(spec.Name, k.Name+".") || spec.Doc == "" {
			t.Errorf("action %q (%q): want a name that starts with %s. and a sentence", spec.Name, spec.Doc, k.Name)
		}
	}
}
