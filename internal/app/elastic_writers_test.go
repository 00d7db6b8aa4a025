package app

import (
	"net/http/httptest"
	"strings"
	"testing"

	sim "github.com/tocsin/tocsin/test/sim/elastic"
)

// An Elasticsearch that is made, changed, switched off and on and removed over the
// API is written to as it is, while the hub runs.
func TestElasticsearchComesAndGoes(t *testing.T) {
	one, other := sim.New(sim.Options{Kind: true}), sim.New(sim.Options{Kind: true})
	first, second := httptest.NewServer(one), httptest.NewServer(other)
	defer first.Close()
	defer second.Close()
	r := start(t, load(t, t.TempDir(), quick), withKey)
	made := call[hookView](r, "POST", "/api/v1/channels", `{"name":"siem","kind":"elasticsearch","url":"`+first.URL+`"}`, 201)
	path := "/api/v1/channels/" + string(made.ID)
	r.findings("a", 10)
	has := func(far *sim.Sim, n int) func() bool {
		return func() bool { return len(far.Documents(simAlerts)) == n && len(far.Documents(simFindings)) == n }
	}
	until(t, "the first has what is new", has(one, 10))
	call[any](r, "PATCH", path, `{"enabled":false}`, 200)
	r.findings("b", 10)
	call[any](r, "PATCH", path, `{"enabled":true}`, 200)
	until(t, "it has what came while it was switched off", has(one, 20))
	call[any](r, "PATCH", path, `{"url":"`+second.URL+`"}`, 200)
	r.findings("c", 10)
	until(t, "the second goes on after it", has(other, 10))
	if !has(one, 20)() {
		t.Errorf("the first has %d changes, want 20", len(one.Documents(simAlerts)))
	}
	metrics := func() bool {
		_, body := r.do("GET", "/metrics", testKey, "")
		return strings.Contains(body, `tocsin_elasticsearch_documents_total{endpoint="siem",stream="findings"} 10`)
	}
	until(t, "its metrics are those since the change", metrics)
	call[any](r, "DELETE", path, "", 204)
	until(t, "they are gone with it", func() bool { return !metrics() })
	for _, far := range []*sim.Sim{one, other} {
		if v := far.Violations(); len(v) > 0 {
			t.Errorf("violations: %q", v)
		}
	}
}
