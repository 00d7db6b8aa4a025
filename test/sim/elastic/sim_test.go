package elastic

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// call makes a request and gives status and body; status 0 is a cut.
func call(t *testing.T, h http.Handler, method, path, body string) (status int, answer string) {
	t.Helper()
	defer func() {
		if recover() != nil {
			status, answer = 0, ""
		}
	}()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-ndjson")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !strings.HasPrefix(path, "/_sim/") && w.Header().Get("X-Elastic-Product") != "Elasticsearch" {
		t.Errorf("%s %s: no product header", method, path)
	}
	return w.Code, w.Body.String()
}

// ready gives a kind simulator with a template for logs-a.b-* whose pipeline
// stamps.
func ready(t *testing.T) *Sim {
	t.Helper()
	s := New(Options{Kind: true})
	for path, body := range map[string]string{
		"/_ingest/pipeline/p": `{"processors":[{"set":{"field":"event.ingested","value":"{{{_ingest.timestamp}}}"}}]}`,
		"/_index_template/t": `{"index_patterns":["logs-a.b-*"],"data_stream":{},"priority":600,"template":{
			"settings":{"index":{"final_pipeline":"p"}},
			"mappings":{"properties":{"@timestamp":{"type":"date"},"n":{"type":"long"},"ip":{"type":"ip"},"raw":{"type":"flattened"},
				"event":{"properties":{"ingested":{"type":"date"}}}}}}}`,
	} {
		if status, answer := call(t, s, "PUT", path, body); status != 200 {
			t.Fatalf("PUT %s answered %d %s", path, status, answer)
		}
	}
	return s
}

// Item answers, as a real 8.19 node gives them.
func TestBulkItems(t *testing.T) {
	const at = `"@timestamp":"2026-01-01T00:00:00Z"`
	deep := strings.Repeat(`{"a":`, 21) + "1" + strings.Repeat("}", 21)
	cases := []struct {
		name, action, doc string
		status            int
		want              string // in the item
	}{
		{"create", `{"create":{"_index":"logs-a.b-c","_id":"1","require_data_stream":true}}`, `{` + at + `}`, 201, `"result":"created"`},
		{"create again", `{"create":{"_index":"logs-a.b-c","_id":"1"}}`, `{` + at + `}`, 409, "version_conflict_engine_exception"},
		{"index in a stream", `{"index":{"_index":"logs-a.b-c","_id":"2"}}`, `{` + at + `}`, 400, "only write ops with an op_type of create"},
		{"no time", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{"n":1}`, 400, "timestamp field [@timestamp] is missing"},
		{"bad time", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{"@timestamp":"soon"}`, 400, "document_parsing_exception"},
		{"bad number", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"n":"x"}`, 400, "failed to parse field [n] of type [long]"},
		{"bad address", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"ip":"fe80::1%eth0"}`, 400, "of type [ip]"},
		{"flattened list", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"raw":[1]}`, 400, "of type [flattened]"},
		{"flattened too deep", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"raw":` + deep + `}`, 400, "of type [flattened]"},
		{"flattened NUL", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"raw":{"a\u0000":1}}`, 400, "of type [flattened]"},
		{"twice the same name", `{"create":{"_index":"logs-a.b-c","_id":"3"}}`, `{` + at + `,"raw":{"a":[{"b":1},2],"a":2}}`, 400, "Duplicate field 'a'"},
		{"equal names apart", `{"create":{"_index":"logs-a.b-c","_id":"4"}}`, `{` + at + `,"raw":{"a":[{"a":1},{"a":2}],"b":{"a":3}}}`, 201, "created"},
		{"stream required", `{"create":{"_index":"other","_id":"1","require_data_stream":true}}`, `{` + at + `}`, 404, "index_not_found_exception"},
		{"version 3", `{"index":{"_index":"cur","_id":"1","version":3,"version_type":"external"}}`, `{"a":3}`, 201, `"_version":3`},
		{"version 2", `{"index":{"_index":"cur","_id":"1","version":2,"version_type":"external"}}`, `{"a":2}`, 409, "higher or equal to the one provided [2]"},
		{"version 4", `{"index":{"_index":"cur","_id":"1","version":4,"version_type":"external"}}`, `{"a":4}`, 200, "updated"},
		{"marked", `{"create":{"_index":"logs-a.b-c","_id":"5"}}`, `{` + at + `,"m":"` + MarkReject + `"}`, 400, "document_parsing_exception"},
		{"diverted", `{"create":{"_index":"logs-a.b-c","_id":"6"}}`, `{` + at + `,"m":"` + MarkDivert + `"}`, 201, `"failure_store":"used"`},
	}
	s := ready(t)
	for _, c := range cases {
		status, answer := call(t, s, "POST", "/_bulk", c.action+"\n"+c.doc+"\n")
		var got struct {
			Items []map[string]struct{ Status int }
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 || len(got.Items) != 1 {
			t.Errorf("%s: %d %s", c.name, status, answer)
			continue
		}
		for _, item := range got.Items[0] {
			if item.Status != c.status || !strings.Contains(answer, c.want) {
				t.Errorf("%s: item %s, want status %d and %q", c.name, answer, c.status, c.want)
			}
		}
	}
	if got := len(s.Documents("logs-a.b-c")); got != 2 {
		t.Errorf("the stream has %d documents, want 2", got)
	}
}

func TestBulkRequestsRefusedAsAWhole(t *testing.T) {
	s := ready(t)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"no line feed at the end": {`{"create":{"_index":"logs-a.b-c"}}` + "\n{}", 400},
		"unknown parameter":       {`{"create":{"_index":"logs-a.b-c","bogus":1}}` + "\n{}\n", 400},
		"no action":               {"{}\n{}\n", 400},
		"no document":             {`{"create":{"_index":"logs-a.b-c"}}` + "\n", 400},
		"empty":                   {"", 400},
	} {
		if status, answer := call(t, s, "POST", "/_bulk", c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, answer, c.status)
		}
	}
	r := httptest.NewRequest("POST", "/_bulk", strings.NewReader("x\n"))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 406 {
		t.Errorf("text/plain: %d, want 406", w.Code)
	}
	small := New(Options{Kind: true, MaxBody: 10})
	if status, _ := call(t, small, "POST", "/_bulk", "more than ten bytes\n"); status != 413 {
		t.Errorf("too large: %d, want 413", status)
	}
}

func TestViolationsOfWhatASIEMNeeds(t *testing.T) {
	s := ready(t)
	call(t, s, "POST", "/_bulk", `{"create":{"_index":"logs-a.b-c","_id":"1"}}`+"\n"+
		`{"@timestamp":"2026-01-01T00:00:00Z","nonsense":1,"event":{"kind":"alarm","category":"web","severity":50}}`+"\n")
	call(t, s, "POST", "/_bulk", `{"create":{"_index":"logs-x-y","_id":"1","require_data_stream":true}}`+"\n"+`{"@timestamp":"2026-01-01T00:00:00Z"}`+"\n")
	all := strings.Join(s.Violations(), "\n")
	for _, want := range []string{
		"without require_data_stream", "nonsense", "event.kind has the value alarm", "event.category is no array", "event.severity has the value 50",
		"message is missing", "ecs.version is missing", "event.id is missing", "stock template", "event.ingested is missing", "is in no mapping",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no violation with %q in:\n%s", want, all)
		}
	}
}

func TestIDsAreUniqueOnlyWithinABackingIndex(t *testing.T) {
	s := ready(t)
	body := `{"create":{"_index":"logs-a.b-c","_id":"1","require_data_stream":true}}` + "\n" + `{"@timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	call(t, s, "POST", "/_bulk", body)
	call(t, s, "POST", "/logs-a.b-c/_rollover", "")
	call(t, s, "POST", "/_bulk", body)
	_, answer := call(t, s, "GET", "/logs-a.b-c/_count", "")
	if !strings.Contains(answer, `"count":2`) || !strings.Contains(strings.Join(s.Violations(), "\n"), "two backing indices") {
		t.Errorf("count %s, violations %q", answer, s.Violations())
	}
}

func TestFilterPath(t *testing.T) {
	s := ready(t)
	body := `{"create":{"_index":"logs-a.b-c","_id":"1"}}` + "\n" + `{"@timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	_, answer := call(t, s, "POST", "/_bulk?filter_path=items.*._id,items.*.status,items.*.error.type", body+body)
	want := `{"items":[{"create":{"_id":"1","status":201}},{"create":{"_id":"1","error":{"type":"version_conflict_engine_exception"},"status":409}}]}`
	if strings.TrimSpace(answer) != want {
		t.Errorf("got %s, want %s", answer, want)
	}
}

func TestSteering(t *testing.T) {
	s := ready(t)
	body := `{"create":{"_index":"logs-a.b-c","_id":"1"}}` + "\n" + `{"@timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	call(t, s, "POST", "/_sim/script", `[{"status":503},{"cut":"before"},{"cut":"after"}]`)
	for n, want := range []int{503, 0, 0, 200} {
		if status, _ := call(t, s, "POST", "/_bulk", body); status != want {
			t.Errorf("request %d answered %d, want %d", n, status, want)
		}
		if got, want := len(s.Documents("*")), min(1, n/2); got != want {
			t.Errorf("after request %d there are %d documents, want %d", n, got, want)
		}
	}
	_, answer := call(t, s, "GET", "/_sim/summary", "")
	if !strings.Contains(answer, `"faults":3`) {
		t.Errorf("summary %s, want 3 faults", answer)
	}
	if status, _ := call(t, s, "POST", "/_sim/nothing", ""); status != 404 {
		t.Errorf("unknown control answered %d", status)
	}
}

func TestUnkindByDefaultAndTheSameForASeed(t *testing.T) {
	run := func(seed uint64) (statuses []int) {
		s := New(Options{Seed: seed})
		for range 200 {
			status, _ := call(t, s, "POST", "/_bulk", `{"index":{"_index":"x","_id":"1"}}`+"\n{}\n")
			statuses = append(statuses, status)
		}
		return statuses
	}
	seen := map[int]int{}
	a, b := run(3), run(3)
	for i := range a {
		seen[a[i]]++
		if a[i] != b[i] {
			t.Fatalf("request %d answered %d and %d for the same seed", i, a[i], b[i])
		}
	}
	for _, status := range []int{0, 200, 429, 502, 503} {
		if seen[status] == 0 {
			t.Errorf("no answer %d in %v", status, seen)
		}
	}
}
