package elastic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/test/services"
)

// A realCluster is a node that asks for a password and takes small requests only.
type realCluster struct {
	*services.ElasticsearchServer
	password string
}

// sink makes a sink for a namespace of the node that gives up soon.
func (c realCluster) sink(t *testing.T, namespace, password string) *Sink {
	t.Helper()
	k, err := New(Settings{
		URLs: []string{c.URL()}, Username: services.ElasticUser, Password: secret.New(password), Namespace: namespace,
		NoPipeline: true, NoGzip: true, Timeout: 2 * time.Second, Patience: time.Second,
	}, Deps{Client: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// call makes a request that must be answered with 200.
func (c realCluster) call(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(services.ElasticUser, c.password)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s %s answered %d %s (%v)", method, path, res.StatusCode, b, err)
	}
	return string(b)
}

// has checks how many documents are in the streams of a namespace.
func (c realCluster) has(t *testing.T, namespace string, want int) {
	t.Helper()
	c.call(t, "POST", "/logs-tocsin.*-"+namespace+"/_refresh", "")
	if got := c.call(t, "GET", "/logs-tocsin.*-"+namespace+"/_count?filter_path=count", ""); got != fmt.Sprintf(`{"count":%d}`, want) {
		t.Errorf("%s has %s documents, want %d", namespace, got, want)
	}
}

// refused hands over a window that the cluster cannot take now.
func refused(t *testing.T, k *Sink, events [][]byte) *hub.Error {
	t.Helper()
	dead, err := k.Handle(t.Context(), events)
	var e *hub.Error
	if !errors.As(err, &e) || e.Kind != hub.Transient || e.RetryAfter <= 0 || len(dead) > 0 {
		t.Fatalf("Handle gave %v and %d dead letters, want a transient error with RetryAfter", err, len(dead))
	}
	return e
}

// taken hands over a window that the cluster must take, in time.
func taken(t *testing.T, k *Sink, events [][]byte) []DeadLetter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		dead, err := k.Handle(ctx, events)
		if err == nil {
			return dead
		}
		if ctx.Err() != nil {
			t.Fatalf("the window is not taken: %v", err)
		}
	}
}

// What goes wrong with a real Elasticsearch is judged as the simulator says it
// would be, and afterwards every document is there once.
func TestRealElasticsearchFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Elasticsearch")
	}
	c := realCluster{password: "sesame open"}
	c.ElasticsearchServer = services.Elasticsearch(t, services.ElasticsearchOptions{
		Password: c.password, Settings: map[string]string{"http.max_content_length": "100kb"},
	})
	for _, f := range []struct {
		name string
		test func(*testing.T, realCluster)
	}{
		{"wrong password", realWrongPassword},
		{"too large", realTooLarge},
		{"unfit document", realUnfit},
		{"write block", realWriteBlock},
		{"no more shards", realNoMoreShards},
		{"template removed", realTemplateRemoved},
		{"hang", realHang},
		{"crash", realCrash},
	} {
		t.Run(f.name, func(t *testing.T) { f.test(t, c) })
	}
}

func realWrongPassword(t *testing.T, c realCluster) {
	k := c.sink(t, "password", "wrong")
	e := refused(t, k, testEvents(t, 2, hub.AlertCreated))
	if !strings.Contains(e.Msg, "credentials (401)") || k.State().Paused != e.Msg {
		t.Errorf("got %q, state %+v; want a pause for the credentials", e.Msg, k.State())
	}
}

func realTooLarge(t *testing.T, c realCluster) {
	k := c.sink(t, "large", c.password)
	big := encode(t, &hub.Event{ID: "msg_big", Type: hub.AlertUpdated, Data: hub.EventData{Alert: &hub.Alert{
		ID: "alt_big", Tenant: "default", Title: strings.Repeat("x", 200_000), Type: "custom", Generation: 1, Version: 1,
	}}})
	dead := taken(t, k, append(testEvents(t, 100, hub.AlertUpdated), big))
	if len(dead) != 2 || dead[0].Status != 413 || dead[0].EventID != "msg_big" {
		t.Errorf("dead letters %+v, want both documents of the event that is too large", dead)
	}
	c.has(t, "large", 100)
}

// unfit is a document whose time cannot be read.
func unfit(namespace string) Doc {
	return Doc{Index: findingStream + namespace, ID: "unfit", Body: []byte(`{"@timestamp":"2026-01-01T00:00:00Z","event":{"start":"soon"}}`)}
}

func realUnfit(t *testing.T, c realCluster) {
	k := c.sink(t, "unfit", c.password)
	good := unfit("unfit")
	good.ID, good.Body = "good", []byte(`{"@timestamp":"2026-01-01T00:00:00Z"}`)
	r, err := k.Write(t.Context(), []Doc{unfit("unfit"), good})
	if err != nil || len(r.Dead) != 1 || r.Dead[0].ID != "unfit" || r.Dead[0].Status != 400 || r.Dead[0].Type != "document_parsing_exception" {
		t.Errorf("Write gave %+v, %v; want the unfit document dead", r, err)
	}
	c.has(t, "unfit", 1)
}

func realWriteBlock(t *testing.T, c realCluster) {
	k := c.sink(t, "blocked", c.password)
	events := testEvents(t, 3, hub.AlertCreated)
	taken(t, k, events[:1])
	c.call(t, "PUT", "/logs-tocsin.alert-blocked/_settings", `{"index.blocks.write":true}`)
	if e := refused(t, k, events); !strings.Contains(e.Msg, "block on the index") {
		t.Errorf("got %q, want advice to look for a block", e.Msg)
	}
	c.call(t, "PUT", "/logs-tocsin.alert-blocked/_settings", `{"index.blocks.write":null}`)
	taken(t, k, events)
	c.has(t, "blocked", 3)
}

func realNoMoreShards(t *testing.T, c realCluster) {
	k := c.sink(t, "shards", c.password)
	c.call(t, "PUT", "/_cluster/settings", `{"persistent":{"cluster.max_shards_per_node":1}}`)
	e := refused(t, k, testEvents(t, 2, hub.AlertCreated))
	c.call(t, "PUT", "/_cluster/settings", `{"persistent":{"cluster.max_shards_per_node":null}}`)
	if !strings.Contains(e.Msg, "validation_exception") {
		t.Errorf("got %q, want the cluster's limit", e.Msg)
	}
	taken(t, k, testEvents(t, 2, hub.AlertCreated))
	c.has(t, "shards", 2)
}

// Without its template a stream is not made up with other mappings: the
// template is installed again.
func realTemplateRemoved(t *testing.T, c realCluster) {
	k := c.sink(t, "bare", c.password)
	taken(t, k, testEvents(t, 1, hub.AlertCreated))
	c.call(t, "DELETE", "/_index_template/logs-tocsin.audit", "")
	doc := Doc{Index: auditStream + "bare", ID: "aud_1", Body: []byte(`{"@timestamp":"2026-01-01T00:00:00Z"}`)}
	if _, err := k.Write(t.Context(), []Doc{doc}); err == nil {
		t.Error("Write took a document whose stream has no template")
	}
	if r, err := k.Write(t.Context(), []Doc{doc}); err != nil || len(r.Dead) > 0 {
		t.Errorf("Write gave %+v, %v after installing the template again", r, err)
	}
	c.has(t, "bare", 2)
}

func realCrash(t *testing.T, c realCluster) {
	k := c.sink(t, "crash", c.password)
	events := testEvents(t, 200, hub.AlertCreated)
	taken(t, k, events[:100])
	c.Kill(t)
	refused(t, k, events[50:])
	if s := k.State(); s.Fault == "" || s.Paused != "" {
		t.Errorf("state is %+v, want a fault that passes", s)
	}
	c.Start(t)
	taken(t, k, events[50:])
	c.has(t, "crash", 200)
}

// A node that hangs may have taken what it did not answer.
func realHang(t *testing.T, c realCluster) {
	k := c.sink(t, "hang", c.password)
	events := testEvents(t, 50, hub.AlertCreated)
	taken(t, k, events[:10])
	c.Pause(t)
	refused(t, k, events)
	c.Resume(t)
	taken(t, k, events)
	c.has(t, "hang", 50)
}
