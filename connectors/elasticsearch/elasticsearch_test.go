package elasticsearch

import (
	"flag"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/elastic"
)

// The real Elasticsearch that tests share ends with the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/tocsin/tocsin/test/services.(*child).own"))
}

var update = flag.Bool("update", false, "write want.json of every case anew")

const base = "name: e\nkind: elasticsearch\nurls: [" + connectortest.BaseURL + "]\n"

func opened(t testing.TB, text string, client *http.Client) *Source {
	t.Helper()
	settings := connectortest.Settings(base + text)
	if client != nil {
		settings.Client = client
	}
	s, err := Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readCase maps the documents of a case, by its config.
func readCase(t testing.TB) connectortest.Read {
	return func(in []byte) (connectors.Batch, error) {
		var c struct {
			Config string         `json:"config"`
			Hits   []document.Hit `json:"hits"`
		}
		if err := json.Unmarshal(in, &c); err != nil {
			return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
		}
		s, err := Open(connectortest.Settings(base + c.Config))
		if err != nil {
			return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no config")
		}
		var b connectors.Batch
		for i := range c.Hits {
			if f, err := s.finding(&c.Hits[i]); err == nil && f != nil {
				b.Findings = append(b.Findings, *f)
			}
		}
		return b, nil
	}
}

func TestCases(t *testing.T) { connectortest.Cases(t, *update, readCase(t)) }

const apiKey = "a1ZKcTpzZWNyZXQtb2YtdGhlLWtleQ=="

// An elastic is the simulator in the kit's hands: an index of detection alerts
// whose status people change.
type elastic struct {
	*sim.Sim
	mu  sync.Mutex // guards all below
	ids []string
	was map[string]string
}

func (e *elastic) put(id, status string) {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	doc := map[string]any{"@timestamp": now, "kibana.alert.uuid": id, "kibana.alert.rule.name": "Rule", "kibana.alert.severity": "high", "kibana.alert.workflow_status": status, "host": map[string]string{"name": "h"}}
	if _, there := e.was[id]; there {
		for _, d := range e.Documents(".alerts-*") {
			if d.ID == id {
				_ = json.Unmarshal(d.Source, &doc)
			}
		}
		doc["kibana.alert.workflow_status"], doc[document.StatusUpdated] = status, now
	} else {
		e.ids = append(e.ids, id)
	}
	e.was[id] = seen(status, e.Put(".alerts-security.alerts-default", id, doc))
}

// seen is a document's state: each version is told once, whatever it says.
func seen(status string, version int64) string {
	return status + " in version " + string(rune('0'+version%10)) + string(rune('0'+version/10%10))
}

func far(seed uint64) connectortest.Far {
	e := &elastic{Sim: sim.New(sim.Options{Seed: seed, APIKey: apiKey}), was: map[string]string{}}
	n := 0
	return connectortest.Far{
		Handler: e.Sim, Kind: e.SetKind,
		Token: func(good bool) { e.SetAPIKey(map[bool]string{true: apiKey, false: "another"}[good]) },
		Add: func(count int) {
			e.mu.Lock()
			defer e.mu.Unlock()
			for range count {
				n++
				id := "alert-" + string(rune('a'+n%26)) + "-" + time.Duration(n).String()
				e.put(id, "open")
				if n%7 == 3 {
					e.put(id, "closed")
				}
			}
		},
		Change: func(r *rand.Rand) {
			e.mu.Lock()
			defer e.mu.Unlock()
			id := e.ids[r.IntN(len(e.ids))]
			e.put(id, []string{"open", "acknowledged", "closed"}[r.IntN(3)])
		},
		State: func() map[string]string {
			e.mu.Lock()
			defer e.mu.Unlock()
			state := map[string]string{}
			for id, s := range e.was {
				state[id] = s
			}
			return state
		},
		Violations: func() []string {
			if open := e.OpenPoints(); open > 20 {
				return append(e.Violations(), "more points in time are open than ever needed")
			}
			return e.Violations()
		},
	}
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: far, Secrets: []string{apiKey}, Items: 250,
		Open: func(client *http.Client, log *slog.Logger) (connectors.Source, error) {
			settings := connectortest.Settings(base + "api_key: " + apiKey + "\npage_size: 100\noverlap: 1m\n")
			settings.Client, settings.Log = client, log
			return Open(settings)
		},
		Seen: func(f hub.Finding) string { return seen(f.Labels["workflow_status"], f.SourceSequence) },
	})
}

// pulled is one pull from a cursor.
func pulled(t *testing.T, s *Source, cursor []byte) (ids []string, next []byte) {
	t.Helper()
	next = cursor
	err := s.Pull(t.Context(), cursor, func(p connectors.Page, c []byte) error {
		for _, f := range p.Findings {
			ids = append(ids, f.SourceID)
		}
		next = append([]byte(nil), c...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, next
}

// bench joins a source to a kind simulator, within a bubble.
func bench(t *testing.T, text string, f func(*testing.T, *Source, *sim.Sim, *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		e := sim.New(sim.Options{Kind: true})
		wire := connectortest.Connect(e)
		defer wire.Close()
		f(t, opened(t, text, wire.Client()), e, wire.Client())
	})
}

func at(t time.Time) map[string]any {
	return map[string]any{"@timestamp": t.UTC().Format(time.RFC3339Nano), "message": "m", "host": map[string]string{"name": "h"}}
}

// A document that becomes searchable later than it says is found within the
// overlap, and nothing is told twice.
func TestLateDocuments(t *testing.T) {
	bench(t, "index: logs-*\noverlap: 5m\n", func(t *testing.T, s *Source, e *sim.Sim, _ *http.Client) {
		start := time.Now()
		e.Put("logs-a", "one", at(start))
		ids, cursor := pulled(t, s, nil)
		if strings.Join(ids, " ") != "one" {
			t.Fatalf("first pull: %v", ids)
		}
		time.Sleep(10 * time.Minute)
		e.Put("logs-a", "two", at(start.Add(9*time.Minute)))
		ids, cursor = pulled(t, s, cursor)
		if strings.Join(ids, " ") != "two" {
			t.Fatalf("second pull: %v", ids)
		}
		e.Put("logs-b", "late", at(start.Add(5*time.Minute)))
		e.Put("logs-b", "too late", at(start.Add(3*time.Minute)))
		e.Put("logs-a", "two", at(start.Add(9*time.Minute))) // another version
		ids, cursor = pulled(t, s, cursor)
		if strings.Join(ids, " ") != "late two" {
			t.Errorf("late ones: %v, want the one within the overlap and the new version", ids)
		}
		ids, again := pulled(t, s, cursor)
		if len(ids) > 0 || string(again) != string(cursor) {
			t.Errorf("a quiet pull: %v, cursor moved: %v", ids, string(again) != string(cursor))
		}
		e.Put("logs-a", "of the future", at(start.Add(time.Hour)))
		e.Put("logs-a", "of now", at(start.Add(10*time.Minute)))
		ids, cursor = pulled(t, s, cursor)
		if strings.Join(ids, " ") != "of now of the future" {
			t.Errorf("with one of the future: %v", ids)
		}
		e.Put("logs-a", "of now too", at(start.Add(10*time.Minute)))
		if ids, _ = pulled(t, s, cursor); strings.Join(ids, " ") != "of now too" {
			t.Errorf("a time to come hid what came before it: %v", ids)
		}
		if e.OpenPoints() != 0 {
			t.Errorf("%d points in time were left open", e.OpenPoints())
		}
	})
}

// Many documents of one time go over several pages, and a pull that was broken
// off between them goes on without a repeat.
func TestPagesOfOneTime(t *testing.T) {
	bench(t, "index: logs-*\npage_size: 10\n", func(t *testing.T, s *Source, e *sim.Sim, client *http.Client) {
		now := time.Now()
		for i := range 35 {
			e.Put("logs-a", string(rune('A'+i)), at(now))
		}
		var ids []string
		var cursor []byte
		full := hub.E(hub.Transient, "no room")
		err := s.Pull(t.Context(), nil, func(p connectors.Page, c []byte) error {
			if len(ids) == 20 {
				return full
			}
			for _, f := range p.Findings {
				ids = append(ids, f.SourceID)
			}
			cursor = append([]byte(nil), c...)
			return nil
		})
		if hub.KindOf(err) != hub.Transient || len(ids) != 20 {
			t.Fatalf("%v after %d", err, len(ids))
		}
		rest, _ := pulled(t, opened(t, "index: logs-*\npage_size: 10\n", client), cursor)
		all := strings.Join(append(ids, rest...), "")
		if len(all) != 35 || strings.Count(all, "A") != 1 {
			t.Errorf("told %q", all)
		}
	})
}

func TestFirstPullGoesBackAsFarAsHistory(t *testing.T) {
	bench(t, "index: logs-*\nhistory: 2h\noverlap: 0s\nquery: '{\"term\":{\"message\":\"m\"}}'\n", func(t *testing.T, s *Source, e *sim.Sim, _ *http.Client) {
		now := time.Now()
		e.Put("logs-a", "old", at(now.Add(-3*time.Hour)))
		e.Put("logs-a", "new", at(now.Add(-time.Hour)))
		other := at(now)
		other["message"] = "not asked for"
		e.Put("logs-a", "other", other)
		if ids, _ := pulled(t, s, nil); strings.Join(ids, " ") != "new" {
			t.Errorf("got %v, want what is two hours old at most", ids)
		}
	})
}

func TestAnswersThatAreTooLarge(t *testing.T) {
	var sizes []string
	big := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/_pit"):
			_, _ = io.WriteString(w, `{"id":"p"}`)
		case strings.Contains(string(body), `"size":8`), strings.Contains(string(body), `"size":4`):
			sizes = append(sizes, "large")
			for range maxAnswer>>20 + 1 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		default:
			sizes = append(sizes, "small")
			_, _ = io.WriteString(w, `{"hits":{"hits":[]}}`)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		wire := connectortest.Connect(big)
		defer wire.Close()
		s := opened(t, "page_size: 8\nupdate_field: '@timestamp'\n", wire.Client())
		if ids, _ := pulled(t, s, nil); len(ids) != 0 || strings.Join(sizes, " ") != "large large small" {
			t.Errorf("asked %v", sizes)
		}
	})
}

func TestAShardThatFails(t *testing.T) {
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		if strings.HasSuffix(r.URL.Path, "/_pit") {
			_, _ = io.WriteString(w, `{"id":"p"}`)
			return
		}
		_, _ = io.WriteString(w, `{"timed_out":false,"_shards":{"total":2,"failed":1},"hits":{"hits":[]}}`)
	})
	synctest.Test(t, func(t *testing.T) {
		wire := connectortest.Connect(broken)
		defer wire.Close()
		err := opened(t, "", wire.Client()).Pull(t.Context(), nil, func(connectors.Page, []byte) error { return nil })
		if hub.KindOf(err) != hub.Transient {
			t.Errorf("what a failed shard holds was passed over: %v", err)
		}
	})
}

func TestSearchAction(t *testing.T) {
	bench(t, "index: logs-*\n", func(t *testing.T, s *Source, e *sim.Sim, _ *http.Client) {
		e.Put("logs-a", "one", at(time.Now()))
		for params, want := range map[string]string{
			`{"query":{"term":{"message":"m"}}}`:                    `{"hits":[{"_index":"logs-a","_id":"one","_source":{`,
			`{"query":{"term":{"message":"x"}}}`:                    `{"hits":[],"total":0}`,
			`{"query":{"term":{"message":"m"}},"index":"none-*"}`:   `{"hits":[],"total":0}`,
			`{"query":{"match_all":{}},"size":1000}`:                "/size",
			`{"query":{"match_all":{}},"index":"a/../_cluster"}`:    "/index",
			`{"query":{"match_all":{}},"index":"_all/_search?x=y"}`: "/index",
		} {
			got, err := s.Do(t.Context(), actionSearch, "k", jsontext.Value(params))
			if !strings.HasPrefix(string(got), want) && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %s, %v; want %s", params, got, err, want)
			}
		}
		if err := s.Test(t.Context()); err != nil {
			t.Errorf("test: %v", err)
		}
		e.SetAPIKey("needed")
		if err := s.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("test without a key: %v", err)
		}
	})
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"urls: []": "urls: want at least one", "urls: ['http://u:p@h:9200']": "urls[0]", "urls: [h]": "urls[0]",
		"urls: ['http://h']\nusername: u":               "username and password",
		"urls: ['http://h']\nindex: a/b":                "index",
		"urls: ['http://h']\nquery: '[1]'":              "query",
		"urls: ['http://h']\nquery: '{\"a\":'":          "query",
		"urls: ['http://h']\npage_size: 20000":          "page_size",
		"urls: ['http://h']\noverlap: 48h":              "overlap",
		"urls: ['http://h']\nwhen: input.":              "when",
		"urls: ['http://h']\nmap: {severity: loud}":     "map: severity",
		"urls: ['http://h']\nmap: {title: '${{ x }}'}":  "map: title",
		"urls: ['http://h']\nmap: {status: 'finished'}": "map: status",
	} {
		if _, err := Kind().Open(connectortest.Settings("name: e\nkind: elasticsearch\n" + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestCursor(t *testing.T) {
	s := opened(t, "", nil)
	for _, bad := range []string{"{", `{"v":2}`, `{"v":1,"seen":"AAA="}`} {
		if err := s.Pull(t.Context(), []byte(bad), nil); hub.KindOf(err) != hub.Internal {
			t.Errorf("%s: %v", bad, err)
		}
		if got := s.Describe([]byte(bad)); got != "unreadable" {
			t.Errorf("%s is shown as %q", bad, got)
		}
	}
	p, err := restore(nil, s.fields(), time.UnixMilli(1795168800000))
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1795168800000)
	for i := range maxSeen + 10 {
		p.see(&p.walks[0], key(i), now.Add(time.Duration(i)))
	}
	again, err := restore(p.store(), s.fields(), time.Time{})
	if err != nil || len(again.told) != maxSeen || again.told[key(0)] || !again.told[key(maxSeen)] {
		t.Errorf("%v: %d remembered, want %d, the newest", err, len(again.told), maxSeen)
	}
	if got := s.Describe(p.store()); got != "@timestamp up to 2026-11-20T10:00:00Z, kibana.alert.workflow_status_updated_at up to 2026-11-20T10:00:00Z; 50000 documents remembered" {
		t.Errorf("shown as %q", got)
	}
}
