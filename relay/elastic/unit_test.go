package elastic

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

func TestJudge(t *testing.T) {
	cases := []struct {
		name string
		it   item
		want verdict
	}{
		{"created", item{Status: 201}, done},
		{"updated", item{Status: 200}, done},
		{"created, failure store not used", item{Status: 201, FailureStore: "not_applicable_or_unknown"}, done},
		{"diverted", item{Status: 201, FailureStore: "used"}, dead},
		{"there already", item{Status: 409, Error: itemError{Type: "version_conflict_engine_exception"}}, done},
		{"another conflict", item{Status: 409, Error: itemError{Type: "x"}}, again},
		{"busy", item{Status: 429}, again},
		{"unavailable", item{Status: 503}, again},
		{"no answer", item{}, again},
		{"redirect", item{Status: 302}, again},
		{"bad document", item{Status: 400, Error: itemError{Type: "document_parsing_exception", Reason: "pipeline with id [x]"}}, dead},
		{"too many fields", item{Status: 400, Error: itemError{Type: "illegal_argument_exception", Reason: "Limit of total fields [1000] has been exceeded"}}, dead},
		{"pipeline gone", item{Status: 400, Error: itemError{Type: "illegal_argument_exception", Reason: "pipeline with id [x] does not exist"}}, halt},
		{"closed", item{Status: 400, Error: itemError{Type: "index_closed_exception"}}, halt},
		{"no shards left", item{Status: 400, Error: itemError{Type: "validation_exception", Reason: "Validation Failed: 1: this action would add [2] shards"}}, halt},
		{"no right", item{Status: 403, Error: itemError{Type: "security_exception"}}, halt},
		{"write block", item{Status: 403, Error: itemError{Type: "cluster_block_exception"}}, halt},
		{"no stream", item{Status: 404, Error: itemError{Type: "index_not_found_exception"}}, halt},
		{"too large", item{Status: 413}, dead},
	}
	for _, c := range cases {
		if got := judge(c.it); got != c.want {
			t.Errorf("%s: judge(%+v) = %d, want %d", c.name, c.it, got, c.want)
		}
	}
}

// Each status of a whole request is either waited out, split, or halts; and
// only an answer that proves that nothing was done leaves no doubt.
func TestFaultOfEveryStatus(t *testing.T) {
	for status := 300; status < 600; status++ {
		f := faultOf(&http.Response{StatusCode: status, Header: http.Header{}}, nil)
		wantHalt, wantSplit := true, false
		switch {
		case status == 408 || status == 429 || status >= 500:
			wantHalt = false
		case status == 400 || status == 413:
			wantHalt, wantSplit = false, true
		}
		if f.halt != wantHalt || f.split != wantSplit || f.unknown != (status >= 500) {
			t.Errorf("status %d: halt %v split %v unknown %v", status, f.halt, f.split, f.unknown)
		}
		if err := f.forCaller(); hub.KindOf(err) != hub.Transient {
			t.Errorf("status %d gives an error of kind %s", status, hub.KindOf(err))
		}
	}
	old := []byte(`{"error":{"type":"illegal_argument_exception","reason":"Action/metadata line [1] contains an unknown parameter [require_data_stream]"}}`)
	f := faultOf(&http.Response{StatusCode: 400, Header: http.Header{}}, old)
	if !f.halt || !strings.Contains(f.advice(), "too old") {
		t.Errorf("an old Elasticsearch: %+v, %s", f, f.advice())
	}
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-1": 0, "soon": 0,
		"Thu, 20 Aug 2026 10:00:09 GMT": 9 * time.Second, "Thu, 20 Aug 2026 09:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestSettingsFaultsComeTogether(t *testing.T) {
	err := Settings{
		URLs: []string{"elasticsearch:9200", "https://u:p@h", "https://h?x=1"}, Username: "u", Namespace: "Prod-1",
		Retention: Retention{Alerts: "1 year"}, Timeout: -1, Patience: -1,
	}.Check()
	e, is := err.(*hub.Error)
	if !is || e.Kind != hub.Invalid {
		t.Fatalf("Check gave %v", err)
	}
	got := map[string]bool{}
	for _, f := range e.Fields {
		got[f.Pointer] = true
	}
	for _, want := range []string{"/urls/0", "/urls/1", "/urls/2", "/username", "/namespace", "/retention/alerts", "/timeout", "/patience"} {
		if !got[want] {
			t.Errorf("no fault at %s: %+v", want, e.Fields)
		}
	}
	for name, valid := range map[string]bool{
		"": true, "prod": true, "ten_a.b": true, "a-b": false, "A": false, "a b": false, "a:b": false, "a,b": false, "a*": false,
		strings.Repeat("a", 100): true, strings.Repeat("a", 101): false,
	} {
		if got := namespaceFault(name) == ""; got != valid {
			t.Errorf("namespace %q: valid %v, want %v", name, got, valid)
		}
	}
}

// The sample has the keys that an endpoint of this kind takes.
func TestSampleIsValid(t *testing.T) {
	b, err := os.ReadFile("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Endpoints []struct {
			Name, Kind, Description, URL, Namespace, Username, Timeout string

			Enabled, Setup, Pipeline bool
			Streams                  []string
			Retention                map[string]string
			APIKey                   secret.Secret `yaml:"api_key"`
			Password                 secret.Secret
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&sample); err != nil || len(sample.Endpoints) == 0 {
		t.Fatalf("%d endpoints, %v", len(sample.Endpoints), err)
	}
	for _, e := range sample.Endpoints {
		s := Settings{URLs: []string{e.URL}, APIKey: e.APIKey, Username: e.Username, Password: e.Password, Namespace: e.Namespace}
		if err := s.Check(); err != nil || e.Kind != hub.KindElastic {
			t.Errorf("%s of kind %s: %v", e.Name, e.Kind, err)
		}
	}
}

func TestPrintedSetupIsCompleteAndStable(t *testing.T) {
	var first, second bytes.Buffer
	s := Settings{Retention: Retention{Alerts: "365d"}}
	if err := Print(&first, s); err != nil {
		t.Fatal(err)
	}
	if err := Print(&second, s); err != nil || first.String() != second.String() {
		t.Error("printing twice gives two texts")
	}
	for _, want := range []string{
		"PUT /_ingest/pipeline/logs-tocsin\n", "PUT /_index_template/logs-tocsin.alert\n", "PUT /_index_template/logs-tocsin.finding\n",
		"PUT /_index_template/logs-tocsin.audit\n", "PUT /_index_template/tocsin-alerts\n", `"data_retention": "365d"`, `"priority": 600`,
		`"final_pipeline": "logs-tocsin"`, `"data_stream": {}`, "{{{_ingest.timestamp}}}",
	} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the printed setup lacks %q", want)
		}
	}
	for _, r := range Resources(s) {
		if !jsontext.Value(r.Body).IsValid() {
			t.Errorf("%s is not JSON: %s", r.Path, r.Body)
		}
	}
}

func TestMetricsFollowTheState(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	k, err := New(Settings{URLs: []string{testURL}}, Deps{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	k.done.Add(3)
	k.mu.Lock()
	k.state.Paused = "x"
	k.mu.Unlock()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	if got["tocsin_elasticsearch_documents_total"] != 3 || got["tocsin_elasticsearch_paused"] != 1 || len(got) != 6 {
		t.Errorf("metrics are %v", got)
	}
}

// Whatever a vendor sends, raw is an object that a flattened field takes, and
// what such a field takes anyway is not changed.
func TestRawAlwaysFlattens(t *testing.T) {
	name := rapid.OneOf(rapid.StringN(0, 6, -1), rapid.StringMatching(`k{255,262}`), rapid.Just("nul\x00"), rapid.Just("\u2028\n"))
	rapid.Check(t, func(t *rapid.T) {
		in := genJSON(t, name, rapid.IntRange(0, 25).Draw(t, "depth"))
		w := builder{b: []byte{'{'}}
		w.raw("raw", in)
		w.b = append(w.b, '}')
		if bytes.IndexByte(w.b, '\n') >= 0 {
			t.Fatalf("more than one line: %s", w.b)
		}
		var out struct {
			Raw map[string]any `json:"raw"`
		}
		if err := json.Unmarshal(w.b, &out); err != nil {
			t.Fatalf("raw of %s is %s: %v", in, w.b, err)
		}
		if fault := flattenFault(out.Raw, 1, rawName+25); fault != "" {
			t.Fatalf("raw of %s: %s", in, fault)
		}
		var plain any
		_ = json.Unmarshal(in, &plain)
		if object, is := plain.(map[string]any); is && len(object) > 0 && flattenFault(object, 1, rawName) == "" {
			if got, want := canonical(t, w.b[len(`{"raw":`):len(w.b)-1]), canonical(t, in); got != want {
				t.Fatalf("raw changed %s to %s without need", want, got)
			}
		}
	})
}

func canonical(t *rapid.T, v jsontext.Value) string {
	v = v.Clone()
	if err := v.Canonicalize(); err != nil {
		t.Fatalf("%s: %v", v, err)
	}
	return string(v)
}

// flattenFault is the limits of a flattened field in other words.
func flattenFault(v any, depth, name int) string {
	switch v := v.(type) {
	case map[string]any:
		if depth > 20 {
			return "too deep"
		}
		for n, e := range v {
			if strings.Contains(n, "\x00") || len(n) > name {
				return "name"
			}
			if f := flattenFault(e, depth+1, name); f != "" {
				return f
			}
		}
	case []any:
		if depth > 20 {
			return "too deep"
		}
		for _, e := range v {
			if f := flattenFault(e, depth+1, name); f != "" {
				return f
			}
		}
	}
	return ""
}

// genJSON draws a value that is depth levels deep at its deepest.
func genJSON(t *rapid.T, name *rapid.Generator[string], depth int) jsontext.Value {
	v, err := json.Marshal(genValue(t, name, depth), json.Deterministic(true))
	if err != nil {
		t.Fatalf("generated value: %v", err)
	}
	if rapid.Bool().Draw(t, "indented") {
		x := jsontext.Value(v)
		_ = x.Indent()
		return x
	}
	return v
}

func genValue(t *rapid.T, name *rapid.Generator[string], depth int) any {
	if depth == 0 {
		return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any](1.5), rapid.Just[any]("a\\\"{[\x00"), rapid.Just[any]("text")).Draw(t, "leaf")
	}
	child := genValue(t, name, depth-1)
	if rapid.IntRange(0, 3).Draw(t, "list") == 0 {
		return []any{child, 1}
	}
	return map[string]any{name.Draw(t, "name"): child, name.Draw(t, "other"): "x"}
}
