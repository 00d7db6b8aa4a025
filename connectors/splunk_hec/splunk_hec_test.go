package splunkhec

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write want.json of every case anew")

func reader(r io.Reader) connectors.Reading { return plain().readEvents(r) }

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(reader)) }

func FuzzEvents(f *testing.F) { connectortest.Fuzz(f, connectortest.Of(reader)) }

func FuzzRaw(f *testing.F) {
	connectortest.Fuzz(f, func(in []byte) (connectors.Batch, error) {
		b, _, err := plain().readLines(in, meta{Host: "h"}).all()
		return b, err
	})
}

const (
	token   = "11111111-2222-3333-4444-555555555555"
	channel = "0AEEAC95-AC74-4aa9-B30D-6C4C0AC581BA"
)

// bench is a source with what it was able to store.
type bench struct {
	t      *testing.T
	s      *Source
	err    error
	stored []hub.Finding
}

func newBench(t *testing.T, settings string) *bench {
	t.Helper()
	s, err := Open(connectortest.Settings("name: s\nkind: splunk_hec\ntoken: " + token + "\nold_token: old-token\n" + settings))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, s: s}
}

func (b *bench) accept(_ context.Context, batch connectors.Batch) (connectors.Receipt, error) {
	if b.err != nil {
		return connectors.Receipt{}, b.err
	}
	b.stored = append(b.stored, batch.Findings...)
	return connectors.Receipt{Rejects: batch.Rejects}, nil
}

// ask makes a request; path may have a query, and header pairs follow.
func (b *bench) ask(method, path, body string, header ...string) (int, string) {
	b.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		b.t.Fatal(err)
	}
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	r := b.s.Serve(b.t.Context(), connectors.Request{Method: method, Path: path, Query: q, Header: h, Body: []byte(body)}, b.accept)
	return r.Status, string(r.Body)
}

const auth = "Authorization"

// TestAnswers compares with the table of codes that Splunk documents.
func TestAnswers(t *testing.T) {
	const good = `{"event":{"title":"t","severity":"low"}}`
	splunk := "Splunk " + token
	for _, tt := range []struct {
		name, settings, method, path, body string
		header                             []string
		status                             int
		want                               string
		stored                             int
	}{
		{"event", "", "POST", "/event", good, []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 1},
		{"root", "", "POST", "", good, []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 1},
		{"version", "", "POST", "/event/1.0", good + good, []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 2},
		{"old token", "", "POST", "/event", good, []string{auth, "splunk old-token"}, 200, `{"text":"Success","code":0}`, 1},
		{"basic", "", "POST", "/event", good, []string{auth, "Basic eDoxMTExMTExMS0yMjIyLTMzMzMtNDQ0NC01NTU1NTU1NTU1NTU="}, 200, `{"text":"Success","code":0}`, 1},
		{"raw", "", "POST", "/raw?host=h&sourcetype=x", "one\n\ntwo\n", []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 2},
		{"raw with version", "", "POST", "/raw/1.0", "one", []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 1},
		{"no token", "", "POST", "/event", good, nil, 401, `{"text":"Token is required","code":2}`, 0},
		{"other scheme", "", "POST", "/event", good, []string{auth, "Bearer " + token}, 401, `{"text":"Invalid authorization","code":3}`, 0},
		{"scheme alone", "", "POST", "/event", good, []string{auth, "Splunk"}, 401, `{"text":"Invalid authorization","code":3}`, 0},
		{"wrong token", "", "POST", "/event", good, []string{auth, "Splunk no"}, 403, `{"text":"Invalid token","code":4}`, 0},
		{"query not enabled", "", "POST", "/event?token=" + token, good, nil, 400, `{"text":"Query string authorization is not enabled","code":16}`, 0},
		{"query", "query_token: true", "POST", "/event?token=" + token, good, nil, 200, `{"text":"Success","code":0}`, 1},
		{"wrong query", "query_token: true", "POST", "/event?token=x", good, nil, 403, `{"text":"Invalid token","code":4}`, 0},
		{"no data", "", "POST", "/event", " \n", []string{auth, splunk}, 400, `{"text":"No data","code":5}`, 0},
		{"raw, no data", "", "POST", "/raw", "\n", []string{auth, splunk}, 400, `{"text":"No data","code":5}`, 0},
		{"no JSON", "", "POST", "/event", "hello", []string{auth, splunk}, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, 0},
		{"third is cut", "", "POST", "/event", good + good + `{"event":`, []string{auth, splunk}, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":2}`, 2},
		{"second has no event", "", "POST", "/event", good + `{"host":"h"}` + good, []string{auth, splunk}, 400, `{"text":"Event field is required","code":12,"invalid-event-number":1}`, 2},
		{"blank event", "", "POST", "/event", `{"event":""}`, []string{auth, splunk}, 400, `{"text":"Event field cannot be blank","code":13,"invalid-event-number":0}`, 0},
		{"nested fields", "", "POST", "/event", `{"event":"e","fields":{"a":{}}}`, []string{auth, splunk}, 400, `{"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}`, 0},
		{"no channel", "ack: true", "POST", "/event", good, []string{auth, splunk}, 400, `{"text":"Data channel is missing","code":10}`, 0},
		{"bad channel", "", "POST", "/event?channel=me", good, []string{auth, splunk}, 400, `{"text":"Invalid data channel","code":11}`, 0},
		{"channel without ack", "", "POST", "/event?channel=" + channel, good, []string{auth, splunk}, 200, `{"text":"Success","code":0}`, 1},
		{"ack disabled", "", "POST", "/ack?channel=" + channel, `{"acks":[0]}`, []string{auth, splunk}, 400, `{"text":"ACK is disabled","code":14}`, 0},
		{"ack without channel", "ack: true", "POST", "/ack", `{"acks":[0]}`, []string{auth, splunk}, 400, `{"text":"Data channel is missing","code":10}`, 0},
		{"ack without body", "ack: true", "POST", "/ack?channel=" + channel, ``, []string{auth, splunk}, 400, `{"text":"No data","code":5}`, 0},
		{"ack of texts", "ack: true", "POST", "/ack?channel=" + channel, `{"acks":["a"]}`, []string{auth, splunk}, 400, `{"text":"Invalid data format","code":6}`, 0},
		{"ack without token", "ack: true", "POST", "/ack?channel=" + channel, `{"acks":[1]}`, nil, 401, `{"text":"Token is required","code":2}`, 0},
		{"health", "", "GET", "/health", "", nil, 200, `{"text":"HEC is healthy","code":17}`, 0},
		{"health with version", "", "GET", "/health/1.0", "", nil, 200, `{"text":"HEC is healthy","code":17}`, 0},
		{"get", "", "GET", "/event", "", []string{auth, splunk}, 405, `{"text":"Method Not Allowed","code":405}`, 0},
		{"elsewhere", "", "POST", "/mint", good, []string{auth, splunk}, 404, `{"text":"The requested URL was not found on this server.","code":404}`, 0},
	} {
		b := newBench(t, tt.settings)
		status, body := b.ask(tt.method, tt.path, tt.body, tt.header...)
		if status != tt.status || body != tt.want || len(b.stored) != tt.stored {
			t.Errorf("%s: %d %s, %d stored; want %d %s, %d", tt.name, status, body, len(b.stored), tt.status, tt.want, tt.stored)
		}
	}
}

func TestAcknowledgement(t *testing.T) {
	b := newBench(t, "ack: true")
	post := func(b *bench) uint64 {
		t.Helper()
		status, body := b.ask("POST", "/event", `{"event":"e"}`, auth, "Splunk "+token, "X-Splunk-Request-Channel", channel)
		var a struct {
			Text  string `json:"text"`
			AckID uint64 `json:"ackId"`
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 || a.Text != "Success" || !strings.Contains(body, `"ackId":`) {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		return a.AckID
	}
	query := func(b *bench, channel string, ids ...uint64) string {
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = strconv.FormatUint(id, 10)
		}
		_, body := b.ask("POST", "/ack?channel="+channel, `{"acks":[`+strings.Join(texts, ",")+`]}`, auth, "Splunk "+token)
		return body
	}
	one, two := post(b), post(b)
	if one == two || one >= 1<<53 || two >= 1<<53 {
		t.Errorf("ids %d and %d", one, two)
	}
	wrong := one ^ 1
	want, err := json.Marshal(map[string]any{"acks": map[string]bool{
		strconv.FormatUint(one, 10): true, strconv.FormatUint(two, 10): true, strconv.FormatUint(wrong, 10): false,
	}}, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	after := newBench(t, "ack: true") // a restart, or another node
	for _, b := range []*bench{b, after} {
		if got := query(b, strings.ToLower(channel), one, two, wrong); got != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := query(b, "0aeeac95-ac74-4aa9-b30d-6c4c0ac581bb", one); strings.Contains(got, "true") {
		t.Errorf("another channel's id is acknowledged: %s", got)
	}
	b.err = hub.E(hub.Transient, "no room")
	if status, body := b.ask("POST", "/event", `{"event":"e"}`, auth, "Splunk "+token, "X-Splunk-Request-Channel", channel); status != 503 || strings.Contains(body, "ackId") {
		t.Errorf("what is not stored is answered %d %s", status, body)
	}
}

func TestBusy(t *testing.T) {
	b := newBench(t, "")
	now := time.Now()
	b.s.now = func() time.Time { return now }
	event := func() (int, string) { return b.ask("POST", "/event", `{"event":"e"}`, auth, "Splunk "+token) }
	health := func() (int, string) { return b.ask("GET", "/health", "") }
	check := func(name string, ask func() (int, string), wantStatus int, wantBody string) {
		t.Helper()
		if status, body := ask(); status != wantStatus || body != wantBody {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, wantStatus, wantBody)
		}
	}
	b.err = &hub.Error{Kind: hub.Transient, Msg: "no room", RetryAfter: 3 * time.Second}
	check("full", event, 503, `{"text":"Server is busy","code":9}`)
	check("full", health, 503, `{"text":"HEC is unhealthy, queues are full","code":18}`)
	now = now.Add(11 * time.Second)
	check("a while later", health, 200, `{"text":"HEC is healthy","code":17}`)
	check("full again", event, 503, `{"text":"Server is busy","code":9}`)
	b.err = nil
	check("room again", event, 200, `{"text":"Success","code":0}`)
	check("room again", health, 200, `{"text":"HEC is healthy","code":17}`)
	b.err = io.ErrUnexpectedEOF
	check("a fault of ours", event, 500, `{"text":"Internal server error","code":8}`)
	b.err = nil
	check("too many", func() (int, string) {
		return b.ask("POST", "/raw", strings.Repeat("x\n", maxEvents+1), auth, "Splunk "+token)
	}, 413, `{"text":"Request entity too large","code":27}`)
}

func TestRules(t *testing.T) {
	const rules = `rules:
  - {name: noise, when: 'input.sourcetype == "noise"', drop: true}
  - {name: login, match: 'failed for (?P<user>\w+)', type: brute_force, severity: medium, asset: '${{ input.host }}', title: 'Failed logins of ${{ input.match.user }}'}
  - {name: louder, when: 'input.event.severity == "low"', severity: critical, labels: {raised: "${{ input.event.severity }}"}}
`
	body := `{"sourcetype":"noise","event":"x"}{"host":"h","event":"login failed for bob at 1"}{"host":"h","event":"login failed for bob at 2"}` +
		`{"host":"h","event":{"signature":"s","severity":"low"}}{"host":"h","event":"other"}`
	b := newBench(t, rules)
	if status, answer := b.ask("POST", "/event", body, auth, "Splunk "+token); status != 200 || len(b.stored) != 4 {
		t.Fatalf("%d %s, %d stored", status, answer, len(b.stored))
	}
	bob, again, louder := b.stored[0], b.stored[1], b.stored[2]
	if bob.Title != "Failed logins of bob" || bob.Type != "brute_force" || bob.Severity != hub.Medium || bob.AssetID != "h" || bob.SourceID != "login|h|bob" || again.SourceID != bob.SourceID {
		t.Errorf("login: %+v", bob)
	}
	if louder.Severity != hub.Critical || louder.Labels["raised"] != "low" || louder.Title != "s" {
		t.Errorf("louder: %+v", louder)
	}
	b = newBench(t, "only_rules: true\n"+rules)
	if status, _ := b.ask("POST", "/event", body, auth, "Splunk "+token); status != 200 || len(b.stored) != 3 || string(b.s.Report()) != `{"skipped":2}` {
		t.Errorf("only rules: %d, %d stored, %s", status, len(b.stored), b.s.Report())
	}
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"": "token: is required",
		"token: t\nrules: [{name: a, when: 'input.'}]":                      "rules[0]: when",
		"token: t\nrules: [{name: a, match: '('}]":                          "rules[0]: match",
		"token: t\nrules: [{name: a}]":                                      "want match, when or both",
		"token: t\nrules: [{match: x}]":                                     "name: is required",
		"token: t\nrules: [{name: a, match: x}, {name: a, match: y}]":       "rules[1]: name",
		"token: t\nrules: [{name: a, match: x, type: virus}]":               `"virus" is none of`,
		"token: t\nrules: [{name: a, match: x, severity: loud}]":            `"loud" is none of`,
		"token: t\nrules: [{name: a, match: x, title: '${{ finding.x }}'}]": "title",
		"token: t\nrules: [{name: a, match: x, status: gone}]":              "neither open nor resolved",
	} {
		if _, err := Kind().Open(connectortest.Settings("name: s\nkind: splunk_hec\n" + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestReceive(t *testing.T) {
	b := newBench(t, "")
	for body, want := range map[string]int{`{"event":"a"}{"event":"b"}`: 2, "CEF:0|v|p|1|c|n|5|\nplain": 2, `[{"event":"a"}]`: 1} {
		batch, err := b.s.Receive(t.Context(), connectors.Request{Header: http.Header{auth: {"Splunk " + token}}, Body: []byte(body)})
		if err != nil || len(batch.Findings) != want {
			t.Errorf("%q: %d findings, %v; want %d", body, len(batch.Findings), err, want)
		}
		if _, err := b.s.Receive(t.Context(), connectors.Request{Header: http.Header{auth: {"Splunk x"}}, Body: []byte(body)}); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("wrong token: %v", err)
		}
	}
}

func TestClaims(t *testing.T) {
	b := newBench(t, "")
	for header, want := range map[string]bool{"Splunk " + token: true, "Splunk old-token": true, "Splunk x": false, "": false, "Bearer " + token: false} {
		if got := b.s.Claims(connectors.Request{Header: http.Header{auth: {header}}}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	in, err := os.ReadFile("testdata/cases/cim-notable/in.json")
	if err != nil {
		b.Fatal(err)
	}
	s := plain()
	b.ReportAllocs()
	for b.Loop() {
		p := decode(in)
		if f, bad := s.findings(&p); bad != nil || len(f) != 1 {
			b.Fatal(bad)
		}
	}
}
