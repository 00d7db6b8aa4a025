package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	sim "github.com/tocsin/tocsin/test/sim/elastic"
)

// inProcess carries requests to a handler without sockets, so that time may be
// simulated. A handler that aborts cuts the connection.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			res, err = nil, io.ErrUnexpectedEOF
		}
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, r)
	return w.Result(), nil
}

const testURL = "http://elasticsearch.test:9200"

func newSink(t *testing.T, h http.Handler, s Settings) *Sink {
	t.Helper()
	s.URLs = []string{testURL}
	k, err := New(s, Deps{Client: &http.Client{Transport: inProcess{h}}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testEvents gives events of n alerts, each with the same changes in order.
func testEvents(t *testing.T, n int, types ...hub.EventType) [][]byte {
	t.Helper()
	return markedEvents(t, n, func(int, int) string { return "" }, types...)
}

// markedEvents adds to the title of alert i at change v what mark gives.
func markedEvents(t *testing.T, n int, mark func(i, v int) string, types ...hub.EventType) [][]byte {
	t.Helper()
	start := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
	var events [][]byte
	for i := range n {
		generation := int64(1)
		for v, typ := range types {
			if typ == hub.AlertReopened {
				generation++
			}
			at := start.Add(time.Duration(i*len(types)+v) * time.Second)
			a := &hub.Alert{
				ID: hub.AlertID(fmt.Sprintf("alt_%06d", i)), Tenant: "default", Title: fmt.Sprintf("alert %d", i),
				Type: "malware", Severity: hub.High, Status: hub.AlertOpen, AssetID: "host-1", Source: "test",
				FirstSeen: start, LastSeen: at, CreatedAt: start, UpdatedAt: at, Count: int64(v + 1),
				Generation: generation, Version: int64(v + 1), Payload: []byte(`{"file":"a.exe","nested":{"n":1}}`),
			}
			a.Title += mark(i, v)
			events = append(events, encode(t, &hub.Event{
				SpecVersion: "1.0", ID: hub.EventID(fmt.Sprintf("msg_%06d_%d", i, v)), Type: typ, Subject: string(a.ID), Time: at,
				Timestamp: at, Tenant: "default", Sequence: int64(len(events) + 1), Data: hub.EventData{Alert: a, Reason: "test"},
			}))
		}
	}
	return events
}

func encode(t *testing.T, ev *hub.Event) []byte {
	t.Helper()
	b, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// handleAll hands windows over until each is taken, as the bus does.
func handleAll(t *testing.T, k *Sink, events [][]byte, window int) (dead []DeadLetter) {
	t.Helper()
	for len(events) > 0 {
		n := min(window, len(events))
		for try := 0; ; try++ {
			d, err := k.Handle(t.Context(), events[:n])
			if err == nil {
				dead = append(dead, d...)
				break
			}
			var e *hub.Error
			if !errors.As(err, &e) || e.Kind != hub.Transient || e.RetryAfter <= 0 {
				t.Fatalf("Handle gave %v, want a transient error with RetryAfter", err)
			}
			if try == 100 {
				t.Fatalf("the window was refused %d times: %v", try, err)
			}
			time.Sleep(e.RetryAfter) // inside synctest
		}
		events = events[n:]
	}
	return dead
}

// The ledger test: whatever the far side does, in the end exactly the right
// documents are there, each once, and every other one is a dead letter with its
// reason.
func TestUnkindClusterEndsWithExactDocuments(t *testing.T) {
	for seed, alerts := range []int{3400, 300, 300, 300} { // the first makes 10,200 changes
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { unkind(t, uint64(seed), alerts) })
		})
	}
}

// markFirst spoils the first change of some alerts.
func markFirst(i, v int) string {
	switch {
	case v == 0 && i%101 == 7:
		return sim.MarkReject
	case v == 0 && i%103 == 9:
		return sim.MarkDivert
	}
	return ""
}

func unkind(t *testing.T, seed uint64, alerts int) {
	far := sim.New(sim.Options{Seed: seed, MaxBody: 150_000})
	k := newSink(t, far, Settings{})
	types := []hub.EventType{hub.AlertCreated, hub.AlertUpdated, hub.AlertReopened}
	events := markedEvents(t, alerts, markFirst, types...)

	dead := handleAll(t, k, events[:len(events)/2], 256)
	k = newSink(t, far, Settings{}) // a restart that repeats a window
	dead = append(dead, handleAll(t, k, events[len(events)/2-256:], 256)...)

	wantDead := map[string]string{} // by document id
	wantDocs := map[string]bool{}
	for i := range alerts {
		for v := range types {
			id := fmt.Sprintf("alt_%06d-%d-%d", i, 1+v/2, v+1)
			switch markFirst(i, v) {
			case sim.MarkReject:
				wantDead[id] = "document_parsing_exception"
			case sim.MarkDivert:
				wantDead[id] = "failure_store"
			default:
				wantDocs[id] = true
			}
		}
	}
	checkDead(t, dead, wantDead)
	checkDocs(t, far, wantDocs, alerts)
	if v := far.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
	s := far.Summary()
	if s.Faults < 3 || k.State().Retried == 0 {
		t.Errorf("the simulator was kind: %+v", s)
	}
}

// Windows of different alerts may be handled at the same time.
func TestWindowsMayOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Seed: 5})
		k := newSink(t, far, Settings{})
		events := testEvents(t, 200, hub.AlertCreated)
		var all sync.WaitGroup
		for window := range slices.Chunk(events, 50) {
			all.Go(func() {
				for {
					_, err := k.Handle(t.Context(), window)
					if err == nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		checkStream(t, far, 200)
		if s := k.State(); s.Documents < 400 {
			t.Errorf("state %+v, want 400 documents", s)
		}
	})
}

func checkDead(t *testing.T, dead []DeadLetter, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, d := range dead {
		if d.Index == stateIndex+"default" {
			continue // the state of a rejected alert, if it was the newest of its window
		}
		got[d.ID] = d.Type
		if d.Reason == "" || d.EventID == "" || !jsontext.Value(d.Doc).IsValid() || d.Status == 0 {
			t.Errorf("dead letter without evidence: %+v", d)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d documents are dead, want %d", len(got), len(want))
	}
	for id, typ := range want {
		if got[id] != typ {
			t.Errorf("document %s: dead letter of type %q, want %q", id, got[id], typ)
		}
	}
}

func checkDocs(t *testing.T, far *sim.Sim, want map[string]bool, alerts int) {
	t.Helper()
	docs := far.Documents(alertStream + "default")
	seen := map[string]int{}
	for _, d := range docs {
		seen[d.ID]++
	}
	for id := range want {
		if seen[id] != 1 {
			t.Errorf("document %s is there %d times, want once", id, seen[id])
		}
	}
	if len(docs) != len(want) {
		t.Errorf("the stream has %d documents, want %d", len(docs), len(want))
	}
	states := far.Documents(stateIndex + "default")
	if len(states) != alerts {
		t.Errorf("the state index has %d documents, want %d", len(states), alerts)
	}
	for _, d := range states {
		if d.Version != 3 {
			t.Errorf("state of %s has version %d, want 3", d.ID, d.Version)
		}
	}
}

// What Elastic's "External Alerts" rule asks: event.kind alert, by
// event.ingested. It must find each generation once and no other change.
func TestExternalAlertsRuleFindsEachGenerationOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Seed: 1})
		k := newSink(t, far, Settings{})
		events := testEvents(t, 5, hub.AlertCreated, hub.AlertUpdated, hub.AlertAcknowledgedEvent, hub.AlertResolvedEvent, hub.AlertReopened, hub.AlertDismissedEvent)
		began := time.Now()
		handleAll(t, k, events, 7)
		for range 3 { // repeated: nothing new
			far.Script(sim.Fault{Path: "_refresh", Rollover: true})
			for {
				if _, err := k.HandleAgain(t.Context(), events); err == nil {
					break
				}
				time.Sleep(time.Second)
			}
		}
		time.Sleep(2 * time.Second) // until it is searchable
		far.SetKind(true)

		query := fmt.Sprintf(`{"query":{"bool":{"filter":[{"term":{"event.kind":"alert"}},{"range":{"event.ingested":{"gte":%q}}}]}}}`, began.UTC().Format(time.RFC3339))
		if got, want := countDocs(t, far, "logs-*", query), 10; got != want {
			t.Errorf("the rule finds %d documents, want %d: created and reopened of 5 alerts", got, want)
		}
		if got, want := countDocs(t, far, "logs-*", ""), 30; got != want {
			t.Errorf("the stream has %d documents, want %d", got, want)
		}
	})
}

func countDocs(t *testing.T, h http.Handler, index, query string) int {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/"+index+"/_count", strings.NewReader(query)))
	var answer struct {
		Count int `json:"count"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatalf("_count answered %d %s (%v)", w.Code, w.Body, err)
	}
	return answer.Count
}

// A lost answer, and a rollover before the repetition: ids are unique in one
// backing index only, so the sink has to look first.
func TestRolloverAfterALostAnswerMakesNoSecondDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true})
		k := newSink(t, far, Settings{})
		events := testEvents(t, 3, hub.AlertCreated)
		handleAll(t, k, events[:1], 1)
		far.SetKind(false) // so that what is written is searchable only after a refresh
		far.Script(sim.Fault{Cut: sim.CutAfter}, sim.Fault{Path: "_refresh", Status: 403}, sim.Fault{Path: "_refresh", Rollover: true})
		handleAll(t, k, events, 3)
		checkStream(t, far, 3)
	})
}

// A search proves nothing before the refresh in front of it has worked, and a
// window that goes back to its caller is looked for when it comes again.
func TestWhatIsInDoubtIsLookedFor(t *testing.T) {
	for name, faults := range map[string][]sim.Fault{
		"refresh fails for now": {{Cut: sim.CutAfter}, {Path: "_refresh", Status: 503, Rollover: true}, {Path: "_refresh", Status: 429}},
		"the window goes back":  {{Cut: sim.CutAfter}, {Path: "_refresh", Status: 503, Times: 20, Rollover: true}},
		"credentials expire":    {{Cut: sim.CutAfter}, {Path: "_refresh", Status: 401, Times: 2, Rollover: true}},
		"just for the search":   {{Cut: sim.CutAfter}, {Path: "_search", Status: 401, Times: 2, Rollover: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := sim.New(sim.Options{Kind: true})
				k := newSink(t, far, Settings{Patience: 3 * time.Second})
				events := testEvents(t, 3, hub.AlertCreated)
				handleAll(t, k, events[:1], 1)
				far.SetKind(false)
				far.Script(faults...)
				handleAll(t, k, events, 3)
				checkStream(t, far, 3)
				if len(k.doubtful) > 0 {
					t.Errorf("in doubt still: %v", k.doubtful)
				}
			})
		})
	}
}

func checkStream(t *testing.T, far *sim.Sim, want int) {
	t.Helper()
	if got := far.Documents(alertStream + "default"); len(got) != want {
		t.Errorf("the stream has %d documents, want %d", len(got), want)
	}
	if v := far.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
}

func TestTooLargeRequestsAreSplitAndTheLimitIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true, MaxBody: 100_000})
		k := newSink(t, far, Settings{NoGzip: true})
		events := testEvents(t, 100, hub.AlertUpdated)
		big := hub.Event{ID: "msg_big", Type: hub.AlertUpdated, Data: hub.EventData{Alert: &hub.Alert{
			ID: "alt_big", Tenant: "default", Title: strings.Repeat("x", 200_000), Type: "custom", Generation: 1, Version: 1,
		}}}
		dead := handleAll(t, k, append(events[:50:50], encode(t, &big)), 100)
		if len(dead) != 2 || dead[0].Status != 413 || dead[0].ID != "alt_big-1-1" || dead[0].EventID != "msg_big" {
			t.Fatalf("dead letters %+v, want both documents of the event that is too large", dead)
		}
		handleAll(t, k, events[50:75], 100) // each 413 halves the limit
		before := len(far.History())
		handleAll(t, k, events[75:], 100)
		for _, r := range far.History()[before:] {
			if r.Status == 413 {
				t.Errorf("a body of more than the known limit was sent again: %+v", r)
			}
		}
		if got := len(far.Documents(alertStream + "default")); got != 100 {
			t.Errorf("the stream has %d documents, want 100", got)
		}
	})
}

func TestConfigurationFaultsPauseAndSayWhatToDo(t *testing.T) {
	cases := []struct {
		name   string
		fault  sim.Fault
		advice string
	}{
		{"401", sim.Fault{Status: 401, Times: -1}, "API key"},
		{"403", sim.Fault{Status: 403, Times: -1}, "rights"},
		{"404", sim.Fault{Status: 404, Times: -1}, "tocsin elastic setup"},
		{"403 on setup", sim.Fault{Status: 403, Times: -1, Path: "_component_template"}, "rights"},
		{"405", sim.Fault{Status: 405, Times: -1}, "405"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := sim.New(sim.Options{Kind: true})
				k := newSink(t, far, Settings{})
				far.Script(c.fault)
				events := testEvents(t, 2, hub.AlertUpdated)
				dead, err := k.Handle(t.Context(), events)
				var e *hub.Error
				if !errors.As(err, &e) || e.Kind != hub.Transient || len(dead) > 0 {
					t.Fatalf("Handle gave %v and %d dead letters, want a transient error", err, len(dead))
				}
				if !strings.Contains(e.Msg, c.advice) || !strings.Contains(e.Msg, "stay queued") {
					t.Errorf("the message %q does not say %q", e.Msg, c.advice)
				}
				if k.State().Paused != e.Msg {
					t.Errorf("state is %+v, want it paused", k.State())
				}
				far.Unscript()
				handleAll(t, k, events, 2)
				if s := k.State(); s.Paused != "" || s.Documents != 4 {
					t.Errorf("state is %+v, want 4 documents and no pause", s)
				}
			})
		})
	}
}

func TestRemovedPipelineIsInstalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true})
		k := newSink(t, far, Settings{})
		events := testEvents(t, 2, hub.AlertUpdated)
		handleAll(t, k, events[:1], 1)
		w := httptest.NewRecorder()
		far.ServeHTTP(w, httptest.NewRequest("DELETE", "/_ingest/pipeline/"+pipelineName, nil))
		handleAll(t, k, events, 2)
		checkStream(t, far, 2)
	})
}

func TestWithoutSetupAMissingTemplateHaltsInsteadOfMakingAnIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true})
		k := newSink(t, far, Settings{NoSetup: true})
		doc := Doc{Index: "tocsin-other", ID: "1", Body: []byte(`{"@timestamp":"2026-01-01T00:00:00Z"}`)}
		r, err := k.Write(t.Context(), []Doc{doc})
		if err == nil || r.Open != 1 || !strings.Contains(k.State().Paused, "tocsin elastic setup") {
			t.Errorf("Write gave %+v, %v; want it open and paused", r, err)
		}
		if n := len(far.Documents("*")); n != 0 {
			t.Errorf("%d documents were written", n)
		}
	})
}

func TestItemsRefusedForNowAreSentAgainAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			b, _ := io.ReadAll(r.Body)
			if !strings.Contains(r.URL.Path, "_bulk") {
				io.WriteString(w, `{}`)
				return
			}
			bodies = append(bodies, string(b))
			if len(bodies) == 1 {
				io.WriteString(w, `{"items":[{"create":{"_id":"a","status":201}},{"create":{"_id":"b","status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},{"create":{"_id":"c","status":409,"error":{"type":"version_conflict_engine_exception","reason":"there"}}}]}`)
				return
			}
			io.WriteString(w, `{"items":[{"create":{"_id":"b","status":201}}]}`)
		})
		k := newSink(t, h, Settings{NoSetup: true, NoGzip: true})
		r, err := k.Write(t.Context(), []Doc{{Index: "x", ID: "a", Body: []byte("{\n}")}, {Index: "x", ID: "b", Body: []byte(`{"b":1}`)}, {Index: "x", ID: "c", Body: []byte(`{}`)}})
		if err != nil || r.Open != 0 || !r.Done[0] || !r.Done[1] || !r.Done[2] {
			t.Fatalf("Write gave %+v, %v", r, err)
		}
		want := `{"create":{"_index":"x","_id":"b","require_data_stream":true}}` + "\n" + `{"b":1}` + "\n"
		if len(bodies) != 2 || bodies[1] != want {
			t.Errorf("second body is %q, want %q", bodies[1:], want)
		}
		if strings.Count(bodies[0], "\n") != 6 {
			t.Errorf("first body is not two lines a document: %q", bodies[0])
		}
	})
}

// Answers that are no evidence leave every document open.
func TestNoSuccessWithoutEvidence(t *testing.T) {
	answers := map[string]string{
		"empty":             ``,
		"no items":          `{"errors":false}`,
		"too few items":     `{"items":[{"create":{"_id":"a","status":201}}]}`,
		"another document":  `{"items":[{"create":{"_id":"a","status":201}},{"create":{"_id":"z","status":201}}]}`,
		"another operation": `{"items":[{"index":{"_id":"a","status":201}},{"index":{"_id":"b","status":201}}]}`,
		"no status":         `{"items":[{"create":{"_id":"a"}},{"create":{"_id":"b"}}]}`,
		"cut":               `{"items":[{"create":{"_id":"a","status":201}},{"create":`,
		"conflict of sorts": `{"items":[{"create":{"_id":"a","status":409,"error":{"type":"x"}}},{"create":{"_id":"b","status":409}}]}`,
	}
	for name, body := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Elastic-Product", "Elasticsearch")
					if strings.Contains(r.URL.Path, "_bulk") {
						io.WriteString(w, body)
						return
					}
					io.WriteString(w, `{}`)
				})
				k := newSink(t, h, Settings{NoSetup: true})
				r, err := k.Write(t.Context(), []Doc{{Index: "x", ID: "a", Body: []byte(`{}`)}, {Index: "x", ID: "b", Body: []byte(`{}`)}})
				if hub.KindOf(err) != hub.Transient || r.Open != 2 || len(r.Dead) != 0 {
					t.Errorf("Write gave %+v, %v; want both open", r, err)
				}
			})
		})
	}
}

func TestWhatIsNotElasticsearchPauses(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{}`) })
	k := newSink(t, h, Settings{})
	_, err := k.Handle(t.Context(), testEvents(t, 1, hub.AlertUpdated))
	if err == nil || !strings.Contains(k.State().Paused, "not Elasticsearch") {
		t.Errorf("Handle gave %v, state %+v", err, k.State())
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true})
		k := newSink(t, far, Settings{})
		far.Script(sim.Fault{Status: 429, RetryAfter: "7"})
		start := time.Now()
		handleAll(t, k, testEvents(t, 1, hub.AlertUpdated), 1)
		if waited := time.Since(start); waited < 7*time.Second || waited > 8*time.Second {
			t.Errorf("waited %v, want 7s", waited)
		}
		far.Script(sim.Fault{Status: 429, RetryAfter: "120"})
		_, err := k.Handle(t.Context(), testEvents(t, 1, hub.AlertResolvedEvent))
		var e *hub.Error
		if !errors.As(err, &e) || e.RetryAfter != 2*time.Minute {
			t.Errorf("Handle gave %v, want the window back with RetryAfter 2m", err)
		}
	})
}

func TestACancelledContextGivesTheWindowBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Kind: true})
		far.Script(sim.Fault{Status: 503, Times: -1})
		k := newSink(t, far, Settings{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := k.Handle(ctx, testEvents(t, 1, hub.AlertUpdated))
		if !errors.Is(err, context.DeadlineExceeded) || hub.KindOf(err) != hub.Transient || time.Since(start) > 3*time.Second {
			t.Errorf("Handle gave %v after %v", err, time.Since(start))
		}
	})
}

func TestUnreadableEventsAreDeadLetters(t *testing.T) {
	far := sim.New(sim.Options{Kind: true})
	k := newSink(t, far, Settings{})
	dead, err := k.Handle(t.Context(), [][]byte{[]byte(`{"id":`), testEvents(t, 1, hub.AlertUpdated)[0]})
	if err != nil || len(dead) != 1 || dead[0].Type != "unreadable_event" || string(dead[0].Doc) != `{"id":` {
		t.Errorf("Handle gave %+v, %v", dead, err)
	}
	if s := k.State(); s.Documents != 2 || s.DeadLetters != 1 {
		t.Errorf("state %+v, want 2 documents and 1 dead letter", s)
	}
}

// Over a real connection, with compression, credentials and a real cut.
func TestOverTheNetwork(t *testing.T) {
	far := sim.New(sim.Options{Kind: true, APIKey: "a2V5OnNlY3JldA=="})
	srv := httptest.NewServer(far)
	defer srv.Close()
	k, err := New(Settings{URLs: []string{srv.URL}, APIKey: secret.New("a2V5OnNlY3JldA==")}, Deps{Client: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	far.Script(sim.Fault{Cut: sim.CutAfter}, sim.Fault{Cut: sim.CutBefore})
	dead, err := k.Handle(t.Context(), testEvents(t, 20, hub.AlertUpdated))
	if err != nil || len(dead) != 0 {
		t.Fatalf("Handle gave %v, %v", dead, err)
	}
	checkStream(t, far, 20)

	wrong, err := New(Settings{URLs: []string{srv.URL}, Username: "elastic", Password: secret.New("hunter2")}, Deps{Client: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrong.Handle(t.Context(), testEvents(t, 1, hub.AlertUpdated))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(wrong.State().Paused, "credentials") {
		t.Errorf("Handle gave %v, state %+v", err, wrong.State())
	}
	srv.Close()
	k.settings.Patience = 1
	if _, err := k.Handle(t.Context(), testEvents(t, 1, hub.AlertResolvedEvent)); hub.KindOf(err) != hub.Transient || k.State().Paused != "" || k.State().Fault == "" {
		t.Errorf("a cluster that is down: %v, state %+v", err, k.State())
	}
}

// Every document of every case, hostile ones included, is taken by a cluster
// with our templates, and every field of it is in a mapping.
func TestCasesFitTheTemplates(t *testing.T) {
	far := sim.New(sim.Options{Kind: true})
	k := newSink(t, far, Settings{})
	for name, docs := range readCases(t) {
		r, err := k.Write(t.Context(), docs)
		if err != nil || len(r.Dead) > 0 {
			t.Errorf("%s: %v, dead letters %+v", name, err, r.Dead)
		}
	}
	if v := far.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
}

func TestWithoutPipelineTheSinkStamps(t *testing.T) {
	far := sim.New(sim.Options{Kind: true})
	k := newSink(t, far, Settings{NoPipeline: true})
	if dead, err := k.Handle(t.Context(), testEvents(t, 2, hub.AlertUpdated)); err != nil || len(dead) > 0 {
		t.Fatalf("Handle gave %v, %v", dead, err)
	}
	checkStream(t, far, 2)
	for _, d := range far.Documents("*") {
		if !bytes.Contains(d.Source, []byte(`"event.ingested":"20`)) {
			t.Errorf("document %s is not stamped: %s", d.ID, d.Source)
		}
	}
}
