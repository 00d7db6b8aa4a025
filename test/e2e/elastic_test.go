package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// An Elasticsearch that is down for a whole run, and comes back, has in the end
// one document for each change of an alert and one for each alert, also if a node
// dies while it catches up; and nothing else has waited for it.
func TestElasticsearchCatchesUp(t *testing.T) {
	distributedOnly(t)
	es := services.Elasticsearch(t, services.ElasticsearchOptions{})
	prepareElastic(t, es.URL())
	es.Stop(t)
	tm := newTeam(t, 2, services.SharedKafka(t).Brokers())
	tm.indexInto(t, es.URL())
	tm.start(t)
	w := newWatcher(t, "elastic")
	if _, err := tm.nodes[0].Webhook(t.Context(), w.Receiver, "/changes", map[string]any{"events": []string{"alert.*"}}); err != nil {
		t.Fatal(err)
	}
	s := newSwarm("elastic", tm.nodes, 0)
	findings := s.exactly(t, 2000)
	problems := map[int]bool{}
	for i := range findings {
		problems[series(i)] = true
	}
	w.await(t, []string{"/changes"}, problems, time.Minute)
	checkInAlerts(t, tm.nodes[0], findings)
	quiet(t, tm.nodes[0], "webhook")
	changes := w.distinct("/changes")

	es.Start(t)
	back := time.Now()
	eventually(t, "the first document", time.Minute, func() bool { return documents(t, es.URL(), changeDocs) > 0 })
	t.Logf("first document %v after Elasticsearch was back", time.Since(back).Round(10*time.Millisecond))
	kill(t, tm.nodes[1]) // among its bulk requests, or after
	eventually(t, fmt.Sprintf("all %d changes are in Elasticsearch", changes), 90*time.Second, func() bool { return documents(t, es.URL(), changeDocs) >= changes })
	t.Logf("%d changes of %d alerts caught up with after %v", changes, len(problems), time.Since(back).Round(10*time.Millisecond))
	up(t, tm.nodes[1])
	last := s.more(t, 40) // what comes after all that is behind all that
	w.await(t, []string{"/changes"}, last, time.Minute)
	quiet(t, tm.nodes[0], "webhook")
	changes = w.distinct("/changes")
	for i := range last {
		problems[i] = true
	}
	eventually(t, "the last changes are in Elasticsearch", 90*time.Second, func() bool { return documents(t, es.URL(), changeDocs) >= changes })
	if got := documents(t, es.URL(), changeDocs); got != changes {
		t.Errorf("there are %d documents of changes, want %d", got, changes)
	}
	if got := documents(t, es.URL(), stateDocs); got != len(problems) {
		t.Errorf("there are %d documents of alerts, want %d", got, len(problems))
	}
	checkStates(t, es.URL())
	tm.verified(t)
}

const (
	changeDocs = "logs-tocsin.alert-e2e"
	stateDocs  = "tocsin-alerts-e2e"
)

// prepareElastic makes what `tocsin elastic setup` would: the distribution for
// tests has not all that this installs.
func prepareElastic(t *testing.T, url string) {
	t.Helper()
	for name, template := range map[string]string{
		"changes": `{"index_patterns":["logs-tocsin.*-*"],"priority":600,"data_stream":{},"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{"@timestamp":{"type":"date"}}}}}`,
		"states":  `{"index_patterns":["tocsin-alerts-*"],"priority":600,"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false}}}`,
	} {
		if status, text := askElastic(t, http.MethodPut, url+"/_index_template/"+name, template); status != http.StatusOK {
			t.Fatalf("make a template: %d %s", status, text)
		}
	}
}

// indexInto configures an Elasticsearch for all nodes.
func (tm *team) indexInto(t *testing.T, url string) {
	t.Helper()
	file := filepath.Join(tm.dir, "hub.yaml")
	text := fmt.Sprintf("endpoints:\n  - {name: siem, kind: elasticsearch, url: %q, namespace: e2e, setup: false}\n", url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range tm.nodes {
		h.Config = file
	}
}

func askElastic(t *testing.T, method, url, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, text
}

// documents counts; what does not exist has none.
func documents(t *testing.T, url, index string) int {
	t.Helper()
	if status, text := askElastic(t, http.MethodPost, url+"/"+index+"/_refresh", ""); status == http.StatusNotFound {
		return 0
	} else if status != http.StatusOK {
		t.Fatalf("refresh %s: %d %s", index, status, text)
	}
	status, text := askElastic(t, http.MethodGet, url+"/"+index+"/_count", "")
	var answer struct {
		Count int `json:"count"`
	}
	if err := json.Unmarshal(text, &answer); status != http.StatusOK || err != nil {
		t.Fatalf("count %s: %d %s (%v)", index, status, text, err)
	}
	return answer.Count
}

// checkStates checks that every alert stands in Elasticsearch as its last change
// left it: changes are numbered in their ids, and states have those numbers as
// their versions.
func checkStates(t *testing.T, url string) {
	t.Helper()
	last := map[string]int{}
	for _, doc := range search(t, url, changeDocs) {
		at := strings.LastIndex(doc.ID, "-")
		n, err := strconv.Atoi(doc.ID[at+1:])
		if err != nil {
			t.Fatalf("%q is not the id of a change", doc.ID)
		}
		alert, _, _ := strings.Cut(doc.ID, "-")
		last[alert] = max(last[alert], n)
	}
	for _, doc := range search(t, url, stateDocs) {
		if doc.Version != last[doc.ID] {
			t.Errorf("alert %s stands in Elasticsearch as change %d left it, and the last is %d", doc.ID, doc.Version, last[doc.ID])
		}
		delete(last, doc.ID)
	}
	if len(last) > 0 {
		t.Errorf("%d alerts have changes and no state", len(last))
	}
}

type document struct {
	ID      string `json:"_id"`
	Version int    `json:"_version"`
}

// search gives all documents, of which there are fewer than 10,000.
func search(t *testing.T, url, index string) []document {
	t.Helper()
	status, text := askElastic(t, http.MethodGet, fmt.Sprintf("%s/%s/_search?size=10000&_source=false&version=true", url, index), "")
	var answer struct {
		Hits struct {
			Hits []document `json:"hits"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(text, &answer); status != http.StatusOK || err != nil {
		t.Fatalf("search %s: %d %.300s (%v)", index, status, text, err)
	}
	return answer.Hits.Hits
}

// quiet waits until nothing is to be triaged or sent to a kind of endpoint.
func quiet(t *testing.T, h *rig.Hub, kind string) {
	t.Helper()
	eventually(t, "nothing is under way", time.Minute, func() bool {
		var m struct {
			Backlog    *int                      `json:"backlog"`
			Deliveries map[string]map[string]int `json:"deliveries"`
		}
		if err := h.Get(t.Context(), "/dashboard/metrics", &m); err != nil {
			t.Fatal(err)
		}
		open := m.Deliveries[kind]
		return m.Backlog != nil && *m.Backlog == 0 && open["pending"]+open["delivering"]+open["retrying"]+open["held"] == 0
	})
}
