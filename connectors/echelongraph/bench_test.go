package echelongraph

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A bench is a source before a kind simulator, pulled by hand.
type bench struct {
	sim    *sim.Sim
	source *Source
	woken  int
	cursor []byte
	got    connectors.Page
	asked  []string // paths with their queries
	edit   func(w http.ResponseWriter, r *http.Request) bool
}

func opened(t *testing.T, text string, client *http.Client, wake func()) *Source {
	t.Helper()
	s := connectortest.Settings(text)
	s.Client, s.Wake = client, wake
	source, err := open(s)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func newBench(t *testing.T, o sim.Options, more string) *bench {
	o.Options = unkind.Options{Kind: true}
	b := &bench{sim: sim.New(o)}
	wire := connectortest.Connect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.Method+" "+r.URL.RequestURI())
		if b.edit == nil || !b.edit(w, r) {
			b.sim.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(wire.Close)
	b.source = opened(t, strings.TrimSuffix(config1, "}")+more+"}", wire.Client(), func() { b.woken++ })
	return b
}

func (b *bench) try(ctx context.Context) error {
	b.asked = nil
	return b.source.Pull(ctx, b.cursor, func(page connectors.Page, next []byte) error {
		b.got.Findings = append(b.got.Findings, page.Findings...)
		b.got.Nodes, b.got.Edges = append(b.got.Nodes, page.Nodes...), append(b.got.Edges, page.Edges...)
		b.cursor = next
		return nil
	})
}

// pull pulls once, a minute after what came before.
func (b *bench) pull(t *testing.T) {
	t.Helper()
	time.Sleep(time.Minute)
	if err := b.try(t.Context()); err != nil {
		t.Fatalf("pull: %v", err)
	}
	b.fine(t)
}

func (b *bench) fine(t *testing.T) {
	t.Helper()
	for _, v := range b.sim.Violations() {
		t.Errorf("violation: %s", v)
	}
}

// said gives the findings of a kind since the last call in short.
func (b *bench) said(kind string) string {
	var out []string
	for _, f := range b.got.Findings {
		if k, rest, _ := strings.Cut(f.SourceID, "|"); k == kind {
			word := f.Labels["echelongraph_status"]
			if word == "" {
				word = rest
			}
			out = append(out, fmt.Sprintf("%s %s %s", word, f.Severity, f.Status))
		}
	}
	b.got = connectors.Page{}
	return strings.Join(out, ", ")
}

func (b *bench) finding(t *testing.T, sourceID string) hub.Finding {
	t.Helper()
	i := slices.IndexFunc(b.got.Findings, func(f hub.Finding) bool { return f.SourceID == sourceID })
	if i < 0 {
		t.Fatalf("no finding %s among %d", sourceID, len(b.got.Findings))
	}
	return b.got.Findings[i]
}

// do performs an action as the fleet does.
func (b *bench) do(t *testing.T, action, key, params string) (string, error) {
	t.Helper()
	for _, spec := range b.source.Actions() {
		if spec.Name == "echelongraph."+action {
			if err := spec.Check(jsontext.Value(params)); err != nil {
				return "", err
			}
		}
	}
	v, err := b.source.Do(t.Context(), "echelongraph."+action, key, jsontext.Value(params))
	return string(v), err
}
