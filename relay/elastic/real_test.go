package elastic

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/test/services"
)

// realNode gives the URL of a real Elasticsearch: of TOCSIN_TEST_ELASTICSEARCH
// if that is set, else of one that is started here.
func realNode(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Elasticsearch")
	}
	if url := os.Getenv("TOCSIN_TEST_ELASTICSEARCH"); url != "" {
		return url
	}
	return services.SharedElasticsearch(t).URL()
}

// A real Elasticsearch takes every case and counts each generation once. The
// node may lack the ingest processors, as the distribution for plugin tests
// does: then event.ingested is stamped here.
func TestRealElasticsearch(t *testing.T) {
	url := realNode(t)
	client := &http.Client{}
	settings := Settings{URLs: []string{url}, Namespace: "t" + strconv.FormatInt(time.Now().UnixNano(), 36), Retention: Retention{Alerts: "30d"}}
	k, err := New(settings, Deps{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Setup(t.Context()); err != nil && strings.Contains(err.Error(), "No processor type") {
		settings.NoPipeline = true
		if k, err = New(settings, Deps{Client: client}); err != nil {
			t.Fatal(err)
		}
	}
	events := testEvents(t, 300, hub.AlertCreated, hub.AlertUpdated, hub.AlertReopened)
	for range 2 {
		dead, err := k.Handle(t.Context(), events)
		if err != nil || len(dead) > 0 {
			t.Fatalf("Handle gave %d dead letters, %v", len(dead), err)
		}
		ask(t, url+"/"+alertStream+settings.Namespace+"/_rollover", "") // the repetition must still make no second document
		k.settled.Store(0)
	}
	for name, docs := range readCases(t) {
		for i := range docs {
			docs[i].Index = strings.Replace(docs[i].Index, "-prod", "-"+settings.Namespace, 1)
			docs[i].ID += name
		}
		r, err := k.Write(t.Context(), docs)
		if err != nil || len(r.Dead) > 0 {
			t.Errorf("%s: %v, dead letters %+v", name, err, r.Dead)
		}
	}
	ask(t, url+"/*"+settings.Namespace+"/_refresh", "")
	for query, want := range map[string]int{
		`{"term":{"event.kind":"alert"}}`:          2*300 + 4, // the cases created, reopened, hostile, list-payload
		`{"exists":{"field":"event.ingested"}}`:    3*300 + 9,
		`{"term":{"tocsin.raw.nested.n":"1"}}`:     3 * 300,
		`{"range":{"event.severity":{"gte":73}}}`:  3*300 + 4, // created, updated, acknowledged, finding
		`{"term":{"labels.team":"web"}}`:           1,
		`{"term":{"related.ip":"203.0.113.0/24"}}`: 1,
	} {
		got := ask(t, url+"/logs-tocsin.*-"+settings.Namespace+"/_count?filter_path=count", `{"query":`+query+`}`)
		if got != fmt.Sprintf(`{"count":%d}`, want) {
			t.Errorf("%s finds %s, want %d", query, got, want)
		}
	}
	if got := ask(t, url+"/"+stateIndex+settings.Namespace+"/_count?filter_path=count", `{"query":{"term":{"tocsin.alert.version":3}}}`); got != `{"count":301}` {
		t.Errorf("states at version 3: %s, want 300 and the case acknowledged", got)
	}
}

func ask(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s answered %d %s (%v)", url, res.StatusCode, b, err)
	}
	return string(b)
}
