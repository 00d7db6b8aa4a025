package elasticsearch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
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

// real is a source at a real node, with indices of its own.
type real struct {
	t      *testing.T
	url    string
	name   string
	s      *Source
	client *http.Client
	cursor []byte
}

func newReal(t *testing.T, index, settings string) *real {
	t.Helper()
	r := &real{t: t, url: realNode(t), name: "t" + strconv.FormatInt(time.Now().UnixNano(), 36), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(r.client.CloseIdleConnections)
	text := "name: e\nkind: elasticsearch\nurls: ['" + r.url + "']\nindex: '" + strings.ReplaceAll(index, "NAME", r.name) + "'\n" + settings
	s := connectortest.Settings(text)
	s.Client = r.client
	var err error
	if r.s, err = Open(s); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask sends a request as somebody else's program would.
func (r *real) ask(method, path, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.t.Context()), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		r.t.Fatalf("%s %s: %d %s (%v)", method, path, res.StatusCode, answer, err)
	}
}

// pull gives what a pull tells, sorted.
func (r *real) pull() []string {
	r.t.Helper()
	ids, next := pulled(r.t, r.s, r.cursor)
	r.cursor = next
	slices.Sort(ids)
	return ids
}

func (r *real) want(why string, want ...string) {
	r.t.Helper()
	if got := r.pull(); !slices.Equal(got, want) {
		r.t.Errorf("%s: %v, want %v", why, got, want)
	}
}

// Elastic's detection alerts: hidden indices behind a hidden alias, many alerts
// of one time, a status that people change.
func TestRealDetectionAlerts(t *testing.T) {
	r := newReal(t, ".alerts-security.alerts-NAME*", "page_size: 7\nupdate_field: "+document.StatusUpdated+"\n")
	r.want("before there is an index")
	index := "/.internal.alerts-security.alerts-" + r.name + "-000001"
	r.ask("PUT", index, `{"settings":{"index.hidden":true,"number_of_shards":2},"aliases":{".alerts-security.alerts-`+r.name+`":{"is_hidden":true,"is_write_index":true}},
		"mappings":{"dynamic":false,"properties":{"@timestamp":{"type":"date"},"`+document.StatusUpdated+`":{"type":"date"}}}}`)
	t.Cleanup(func() { r.ask("DELETE", index, "") })
	if err := r.s.Test(t.Context()); err != nil {
		t.Errorf("test: %v", err)
	}
	var bulk strings.Builder
	var ids []string
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range 50 {
		id := fmt.Sprintf("a%02d", i)
		ids = append(ids, id)
		fmt.Fprintf(&bulk, `{"create":{"_id":%q}}`+"\n"+`{"@timestamp":%q,"kibana.alert.uuid":%q,"kibana.alert.rule.name":"Rule","kibana.alert.severity":"high","kibana.alert.workflow_status":"open","host":{"name":"h"}}`+"\n",
			id, now.Format(time.RFC3339Nano), id)
	}
	r.ask("POST", index+"/_bulk?refresh=true", bulk.String())
	r.want("fifty of one time, seven a page", ids...)
	r.want("nothing new")

	closed := func(id, status string) {
		r.ask("POST", index+"/_update/"+id+"?refresh=true", fmt.Sprintf(`{"doc":{"kibana.alert.workflow_status":%q,%q:%q}}`, status, document.StatusUpdated, time.Now().UTC().Format(time.RFC3339Nano)))
	}
	closed("a07", "closed")
	closed("a31", "closed")
	r.want("closed", "a07", "a31")
	r.want("nothing new after that")
	closed("a07", "open")
	r.want("opened again", "a07")

	result, err := r.s.Do(t.Context(), actionSearch, "k", jsontext.Value(`{"query":{"ids":{"values":["a07"]}},"fields":["kibana.alert.uuid"]}`))
	if err != nil || !strings.Contains(string(result), `"total":1`) || !strings.Contains(string(result), `"_source":{"kibana.alert.uuid":"a07"}`) {
		t.Errorf("search: %s, %v", result, err)
	}
	if _, err := r.s.Do(t.Context(), actionSearch, "k", jsontext.Value(`{"query":{"nonsense":{}}}`)); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a query that is none: %v", err)
	}
}

// Other documents: a data stream, times in nanoseconds, a query, a rollover.
func TestRealDataStream(t *testing.T) {
	r := newReal(t, "logs-NAME-*", "time_field: event.ingested\nquery: '{\"term\":{\"event.kind\":\"alert\"}}'\nmap: {type: network, severity: high}\n")
	stream := "/logs-" + r.name + "-default"
	r.ask("PUT", "/_index_template/"+r.name, `{"index_patterns":["logs-`+r.name+`-*"],"priority":900,"data_stream":{},"template":{"mappings":{"properties":{
		"@timestamp":{"type":"date"},"event":{"properties":{"ingested":{"type":"date_nanos"},"kind":{"type":"keyword"}}}}}}}`)
	put := func(id, kind string, ingested time.Time) {
		r.ask("PUT", stream+"/_create/"+id+"?refresh=true", fmt.Sprintf(`{"@timestamp":%q,"message":%q,"event":{"kind":%q,"ingested":%q}}`, ingested.Add(-time.Hour).UTC().Format(time.RFC3339), id, kind, ingested.UTC().Format(time.RFC3339Nano)))
	}
	now := time.Now()
	put("one", "alert", now.Add(-time.Minute))
	put("two", "event", now.Add(-time.Minute))
	r.want("what the query takes", "one")
	r.ask("POST", stream+"/_rollover", "")
	put("three", "alert", now.Add(-59*time.Second+time.Nanosecond))
	put("late", "alert", now.Add(-3*time.Minute))
	r.want("after a rollover, and late", "late", "three")
	r.want("nothing new")
	if got := r.s.Describe(r.cursor); !strings.HasPrefix(got, "event.ingested up to 20") {
		t.Errorf("cursor %q", got)
	}
}

func TestRealRefusals(t *testing.T) {
	r := newReal(t, "none-NAME", "")
	r.want("an index that does not exist yet")
	bad := newReal(t, "none-NAME*", "query: '{\"nonsense\":{}}'\n")
	bad.ask("PUT", "/none-"+bad.name, `{}`)
	t.Cleanup(func() { bad.ask("DELETE", "/none-"+bad.name, "") })
	if err := bad.s.Pull(t.Context(), nil, nil); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a query that is none: %v", err)
	}
}
