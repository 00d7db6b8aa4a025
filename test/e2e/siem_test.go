package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// siemDocs is how many documents are written at least: few by default, and a
// million with TOCSIN_ES_FULL=1.
func siemDocs() int {
	if os.Getenv("TOCSIN_ES_FULL") == "1" {
		return 1_000_000
	}
	return 20_000
}

// Every finding, every change of an alert and every audit entry is in
// Elasticsearch exactly once, although the hub and Elasticsearch are killed in the
// middle and the streams roll over; what Elastic's rule for external alerts asks
// for finds each life of each alert once, and no other change.
func TestElasticsearchHasEverythingOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Elasticsearch")
	}
	p := newSiem(t)
	began := time.Now()
	p.load(0, p.assets*2/5)
	if err := p.hub.Kill(); err != nil {
		t.Fatal(err)
	}
	p.down = true
	p.rollover()
	p.load(p.assets*2/5, p.assets*3/5) // finds the hub down, and goes on when it is back
	p.es.Kill(t)
	p.load(p.assets*3/5, p.assets*4/5)
	p.es.Start(t)
	p.rollover()
	p.load(p.assets*4/5, p.assets)
	for _, kind := range []int{siemWorse, siemGone, siemBack} {
		p.again(kind)
	}
	accepted := time.Since(began)
	p.settle()
	total := p.check()
	took := time.Since(began)
	t.Logf("%d documents of %d findings in %v: %.0f a second; findings were accepted within %v, with a kill -9 of the hub and one of Elasticsearch",
		total, p.findings, took.Round(time.Second), float64(total)/took.Seconds(), accepted.Round(time.Second))
	if total < siemDocs() {
		t.Errorf("%d documents, want at least %d", total, siemDocs())
	}
}

// A siem is a hub with a real Elasticsearch.
type siem struct {
	*testing.T
	hub      *rig.Hub
	es       *services.ElasticsearchServer
	assets   int
	findings int // accepted
	batches  int
	down     bool // killed, and not started again
}

const siemBatch = 500

func newSiem(t *testing.T) *siem {
	o := services.ElasticsearchOptions{}
	if siemDocs() > 100_000 {
		o.JVM = []string{"-Xms2g", "-Xmx2g", "-XX:TieredStopAtLevel=4"}
	}
	// An asset makes at least a finding, a change and an audit entry; each tenth has
	// a finding more, and each twentieth two.
	p := &siem{T: t, es: services.Elasticsearch(t, o), assets: (siemDocs()/3/siemBatch + 1) * siemBatch}
	p.hub = newHub(t)
	p.hub.Config = filepath.Join(t.TempDir(), "hub.yaml")
	text := fmt.Sprintf("endpoints:\n  - {name: siem, kind: elasticsearch, url: %q, namespace: proof, pipeline: false}\n", p.es.URL())
	if err := os.WriteFile(p.hub.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, p.hub)
	return p
}

// What is found out about an asset.
const (
	siemFirst = iota
	siemWorse // of each tenth
	siemGone  // of each twentieth
	siemBack  // of these
)

func siemFinding(asset, kind int) string {
	severity, status := "medium", "open"
	switch kind {
	case siemWorse:
		severity = "critical"
	case siemGone:
		status = "resolved"
	}
	at := time.Date(2026, 8, 20, 10, kind, 0, 0, time.UTC).Format(time.RFC3339)
	return fmt.Sprintf(`{"type":"malware","asset_id":"host-%07d","severity":%q,"status":%q,"observed_at":%q,"title":"Dropper on host %d","payload":{"sha256":"%064x","path":"/tmp/x"}}`+"\n",
		asset, severity, status, at, asset, asset)
}

// load accepts the first finding of assets.
func (p *siem) load(from, to int) {
	p.Helper()
	for ; from < to; from += siemBatch {
		var b strings.Builder
		for i := from; i < min(from+siemBatch, to); i++ {
			b.WriteString(siemFinding(i, siemFirst))
			p.findings++
		}
		p.post(b.String())
	}
}

// again accepts a further finding of those assets that have one.
func (p *siem) again(kind int) {
	p.Helper()
	p.triaged()
	every, first := 20, 5
	if kind == siemWorse {
		every, first = 10, 0
	}
	var b strings.Builder
	for i, n := first, 0; i < p.assets; i += every {
		b.WriteString(siemFinding(i, kind))
		p.findings++
		if n++; n%siemBatch == 0 || i+every >= p.assets {
			p.post(b.String())
			b.Reset()
		}
	}
}

// post has a batch accepted once, however often it must be sent.
func (p *siem) post(batch string) {
	p.Helper()
	p.batches++
	for end := time.Now().Add(2 * time.Minute); ; {
		r, err := p.hub.Call(p.Context(), http.MethodPost, "/api/v1/findings/batch", batch, "Content-Type", "application/x-ndjson", "Idempotency-Key", fmt.Sprint("proof-", p.batches))
		if err == nil && r.Status == http.StatusAccepted {
			return
		}
		if err == nil && r.Status != http.StatusServiceUnavailable && r.Status != http.StatusTooManyRequests || time.Now().After(end) {
			p.Fatalf("batch %d: %+v, %v", p.batches, r, err)
		}
		if p.down {
			up(p.T, p.hub)
			p.down = false
		}
	}
}

// triaged waits until there is nothing left to triage.
func (p *siem) triaged() (entries int) {
	p.Helper()
	eventually(p.T, "all findings are triaged", 20*time.Minute, func() bool {
		var m struct {
			Backlog  *int `json:"backlog"`
			Findings int  `json:"findings"`
			Entries  int  `json:"audit_entries"`
		}
		if err := p.hub.Get(p.Context(), "/dashboard/metrics", &m); err != nil {
			p.Fatal(err)
		}
		entries = m.Entries
		if m.Backlog != nil && *m.Backlog == 0 && m.Findings == p.findings {
			return true
		}
		time.Sleep(p.pace())
		return false
	})
	return entries
}

// pace is how long to wait between two looks: each counts all there is, at the cost
// of those who are looked at.
func (p *siem) pace() time.Duration { return time.Duration(p.assets) * 10 * time.Microsecond }

// want is what must be there, by index.
func (p *siem) want() map[string]int {
	worse, gone := (p.assets+9)/10, (p.assets+14)/20
	return map[string]int{
		"logs-tocsin.alert-proof": p.assets + worse + 2*gone, "logs-tocsin.finding-proof": p.findings,
		"logs-tocsin.audit-proof": p.triaged(), "tocsin-alerts-proof": p.assets,
	}
}

// settle waits until Elasticsearch has as much as it must.
func (p *siem) settle() {
	p.Helper()
	eventually(p.T, "everything is in Elasticsearch", 20*time.Minute, func() bool {
		for index, n := range p.want() {
			if documents(p.T, p.es.URL(), index) < n {
				time.Sleep(p.pace())
				return false
			}
		}
		return true
	})
}

// check looks at every document. It gives how many there are in data streams.
func (p *siem) check() (total int) {
	p.Helper()
	for index, n := range p.want() {
		if !strings.HasPrefix(index, "logs-") {
			if got := documents(p.T, p.es.URL(), index); got != n {
				p.Errorf("%s has %d documents, want %d", index, got, n)
			}
			continue
		}
		got := p.ids(index, `{"match_all":{}}`)
		if len(got) != n {
			p.Errorf("%s has %d documents, want %d", index, len(got), n)
		}
		total += len(got)
	}
	lives := map[string]int{}
	for _, id := range p.ids("logs-*", `{"bool":{"filter":[{"term":{"event.kind":"alert"}},{"range":{"event.ingested":{"gte":"now-1d"}}}]}}`) {
		life := id[:strings.LastIndex(id, "-")] // without the number of the change
		if lives[life]++; lives[life] > 1 {
			p.Errorf("the rule for external alerts finds %s %d times", life, lives[life])
		}
	}
	if want := p.assets + (p.assets+14)/20; len(lives) != want {
		p.Errorf("the rule for external alerts finds %d lives of alerts, want %d", len(lives), want)
	}
	return total
}

// ids gives the event.id of every document that a query finds, and checks that
// none is there twice.
func (p *siem) ids(index, query string) []string {
	p.Helper()
	var all []string
	after := ""
	for {
		body := `{"size":10000,"track_total_hits":false,"_source":false,"sort":[{"event.id":"asc"}],"query":` + query + after + `}`
		status, text := askElastic(p.T, http.MethodPost, p.es.URL()+"/"+index+"/_search?filter_path=hits.hits._id,hits.hits.sort", body)
		var answer struct {
			Hits struct {
				Hits []struct {
					ID   string   `json:"_id"`
					Sort []string `json:"sort"`
				} `json:"hits"`
			} `json:"hits"`
		}
		if err := json.Unmarshal(text, &answer); status != http.StatusOK || err != nil {
			p.Fatalf("search %s: %d %.300s (%v)", index, status, text, err)
		}
		hits := answer.Hits.Hits
		for _, h := range hits {
			if h.ID != h.Sort[0] {
				p.Errorf("document %s of %s says that it is %s", h.ID, index, h.Sort[0])
			}
			if n := len(all); n > 0 && all[n-1] == h.ID {
				p.Errorf("document %s is in %s twice", h.ID, index)
			}
			all = append(all, h.ID)
		}
		if len(hits) < 10000 {
			return all
		}
		after = `,"search_after":["` + hits[len(hits)-1].ID + `"]`
	}
}

// rollover gives every stream a new index, in which the ids of the one before it
// are no ids any more.
func (p *siem) rollover() {
	p.Helper()
	for _, stream := range []string{"alert", "finding", "audit"} {
		if status, text := askElastic(p.T, http.MethodPost, p.es.URL()+"/logs-tocsin."+stream+"-proof/_rollover", ""); status != http.StatusOK && status != http.StatusNotFound {
			p.Fatalf("rollover: %d %s", status, text)
		}
	}
}
