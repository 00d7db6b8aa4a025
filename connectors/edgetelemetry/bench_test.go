package edgetelemetry

import (
	"context"
	"errors"
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
	sim "github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A bench is a source before a kind simulator, pulled by hand.
type bench struct {
	sim    *sim.Sim
	client *http.Client
	source *Source
	cursor []byte
	got    connectors.Page
	asked  []string // methods and paths with their queries
	edit   func(w http.ResponseWriter, r *http.Request) bool
}

// plain is a config without a second step.
var plain = strings.Replace(config1, ", totp_secret: "+sim.DefaultSecret, "", 1)

func opened(t *testing.T, text string, client *http.Client) *Source {
	t.Helper()
	s := connectortest.Settings(text)
	s.Client = client
	source, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func newBench(t *testing.T, o sim.Options, more string) *bench {
	o.Options = unkind.Options{Kind: true}
	b := &bench{sim: sim.New(o)}
	wire := connectortest.Connect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/api/v1"))
		if b.edit == nil || !b.edit(w, r) {
			b.sim.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(wire.Close)
	text := plain
	if o.MFA {
		text = config1
	}
	b.client = wire.Client()
	b.source = opened(t, strings.TrimSuffix(text, "}")+more+"}", b.client)
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
		k, _, _ := strings.Cut(f.SourceID, "|")
		if k != kind {
			continue
		}
		word := f.Labels["edgetelemetry_status"]
		if word == "" {
			word = f.Title
		}
		out = append(out, fmt.Sprintf("%s %s %s", word, f.Severity, f.Status))
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

// count is how many requests of the last pull had a method and path.
func (b *bench) count(prefix string) int {
	n := 0
	for _, a := range b.asked {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

// do performs an action as the fleet does.
func (b *bench) do(t *testing.T, action, params string) (string, error) {
	t.Helper()
	for _, spec := range b.source.Actions() {
		if spec.Name == "edgetelemetry."+action {
			if err := spec.Check(jsontext.Value(params)); err != nil {
				return "", err
			}
		}
	}
	v, err := b.source.Do(t.Context(), "edgetelemetry."+action, "key", jsontext.Value(params))
	return string(v), err
}

func retry(err error) time.Duration {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
