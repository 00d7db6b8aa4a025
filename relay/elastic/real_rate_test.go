package elastic

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// How many documents a second the sink gets into a real Elasticsearch, against
// what a loader gets that sends the same bodies, encoded beforehand, over one
// connection and looks at nothing but the status. It runs with
// TOCSIN_ES_BENCH=<alerts>.
func TestRealElasticsearchRate(t *testing.T) {
	alerts, err := strconv.Atoi(os.Getenv("TOCSIN_ES_BENCH"))
	if err != nil {
		t.Skip("set TOCSIN_ES_BENCH to a number of alerts")
	}
	url := realNode(t)
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	events := testEvents(t, alerts, hub.AlertCreated, hub.AlertUpdated)
	const window = 1500 // about 1 MB of events
	sink := func(namespace string) *Sink {
		k, err := New(Settings{URLs: []string{url}, Namespace: namespace + run, NoPipeline: true, NoGzip: true}, Deps{Client: &http.Client{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		return k
	}
	plain := sink("plain")
	var bodies [][]byte
	docs := 0
	for from := 0; from < len(events); from += window {
		d, _ := plain.mapping.window(events[from:min(from+window, len(events))])
		l := newLedger(d, false)
		for next := 0; ; {
			var lines []int
			if lines, next = l.pending(next, FlushBytes); len(lines) == 0 {
				break
			}
			bodies = append(bodies, l.body(lines, nil))
			docs += len(lines)
		}
	}
	for _, namespace := range []string{"warm", "a", "b"} { // in turns, because the machine is not ours alone
		target := "plain" + run
		for i := range bodies {
			bodies[i] = bytes.ReplaceAll(bodies[i], []byte(target), []byte(namespace+"n"+run))
		}
		began := time.Now()
		for _, b := range bodies {
			load(t, url, b)
		}
		loader := time.Since(began)
		for i := range bodies {
			bodies[i] = bytes.ReplaceAll(bodies[i], []byte(namespace+"n"+run), []byte(target))
		}
		k := sink(namespace)
		began = time.Now()
		for from := 0; from < len(events); from += window {
			if dead, err := k.Handle(t.Context(), events[from:min(from+window, len(events))]); err != nil || len(dead) > 0 {
				t.Fatalf("%v, %d dead letters", err, len(dead))
			}
		}
		ours := time.Since(began)
		rate := func(d time.Duration) string { return fmt.Sprintf("%.0f/s", float64(docs)/d.Seconds()) }
		t.Logf("%s: %d documents of %d events: sink %s, loader %s, %.0f %%", namespace, docs, len(events), rate(ours), rate(loader), 100*loader.Seconds()/ours.Seconds())
	}
}

func load(t *testing.T, url string, body []byte) {
	t.Helper()
	res, err := http.Post(url+"/_bulk?filter_path=errors", "application/x-ndjson", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.Read(buf)
		answer.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if res.StatusCode != http.StatusOK || answer.String() != `{"errors":false}` {
		t.Fatalf("the loader is answered %d %s", res.StatusCode, answer.String())
	}
}
