package app

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
	sim "github.com/tocsin/tocsin/test/sim/elastic"
)

const (
	simAlerts   = "logs-tocsin.alert-default"
	simFindings = "logs-tocsin.finding-default"
	simAudit    = "logs-tocsin.audit-default"
)

func startSiem(t *testing.T, o sim.Options, more string) (*sim.Sim, string) {
	t.Helper()
	far := sim.New(o)
	srv := httptest.NewServer(far)
	t.Cleanup(srv.Close)
	return far, fmt.Sprintf("%sendpoints:\n  - {name: siem, kind: elasticsearch, url: '%s'%s}\n", quick, srv.URL, more)
}

// until waits for something that the hub does by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(60 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

func (r *running) auditSize() int {
	r.t.Helper()
	var head hub.AuditHead
	err := r.st.View(r.t.Context(), func(rd *store.Reader) (err error) {
		head, err = rd.AuditHead(hub.DefaultTenant)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return int(head.Size)
}

// Findings and the audit log are copied from the beginning, each once, also over a
// restart, and by a cluster that fails all the time.
func TestElasticsearchGetsFindingsAndAudit(t *testing.T) {
	far, cfg := startSiem(t, sim.Options{Seed: 3}, "")
	dir := t.TempDir()
	before := start(t, load(t, dir, quick), withKey) // what was there before the endpoint
	before.findings("early", 30)
	before.stop()
	r := start(t, load(t, dir, cfg), withKey)
	r.findings("a", 40)
	until(t, "the first findings are there", func() bool { return len(far.Documents(simFindings)) >= 70 })
	r.stop()
	r = start(t, load(t, dir, cfg), withKey)
	r.findings("b", 50)
	until(t, "everything is there", func() bool {
		return len(far.Documents(simFindings)) >= 120 && len(far.Documents(simAudit)) >= r.auditSize() && len(far.Documents(simAlerts)) >= 90
	})
	far.SetKind(true)
	if n, m := len(far.Documents(simFindings)), len(far.Documents(simAudit)); n != 120 || m != r.auditSize() {
		t.Errorf("%d findings and %d audit entries, want 120 and %d", n, m, r.auditSize())
	}
	checkChain(t, far)
	checkFindings(t, far)
	if v := far.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
}

// checkChain follows the hashes through what Elasticsearch has of the audit log.
func checkChain(t *testing.T, far *sim.Sim) {
	t.Helper()
	type entry struct {
		Tocsin struct {
			Audit struct {
				Sequence  int64  `json:"sequence"`
				Prev      string `json:"prev_hash"`
				Integrity string `json:"integrity_hash"`
			} `json:"audit"`
		} `json:"tocsin"`
		Event struct {
			Kind string `json:"kind"`
		} `json:"event"`
	}
	var all []entry
	for _, d := range far.Documents(simAudit) {
		var e entry
		if err := json.Unmarshal(d.Source, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return int(a.Tocsin.Audit.Sequence - b.Tocsin.Audit.Sequence) })
	for i, e := range all {
		a := e.Tocsin.Audit
		if a.Sequence != int64(i) || len(a.Integrity) != 64 || i > 0 && a.Prev != all[i-1].Tocsin.Audit.Integrity || e.Event.Kind != "event" {
			t.Fatalf("entry %d is %+v, which does not follow %+v", i, e, all[max(i-1, 0)])
		}
	}
}

func checkFindings(t *testing.T, far *sim.Sim) {
	t.Helper()
	for _, d := range far.Documents(simFindings) {
		if !bytes.Contains(d.Source, []byte(`"alert_id":"alt_`)) || !bytes.Contains(d.Source, []byte(`"outcome":"created"`)) || !bytes.Contains(d.Source, []byte(`"kind":"event"`)) {
			t.Fatalf("a finding is %s", d.Source)
		}
	}
}

// A stream that is not asked for is not written.
func TestElasticsearchGetsWhatItIsGiven(t *testing.T) {
	far, cfg := startSiem(t, sim.Options{Kind: true}, ", streams: [findings]")
	r := start(t, load(t, t.TempDir(), cfg), withKey)
	r.findings("a", 10)
	until(t, "the findings are there", func() bool { return len(far.Documents(simFindings)) == 10 })
	if a, b := len(far.Documents(simAlerts)), len(far.Documents(simAudit)); a != 0 || b != 0 {
		t.Errorf("%d changes and %d entries, want none", a, b)
	}
}

// Whoever must mend something is told, once, and when it is mended.
func TestElasticsearchPauses(t *testing.T) {
	far, cfg := startSiem(t, sim.Options{Kind: true}, "")
	f := newFar(t, nil)
	r := start(t, load(t, t.TempDir(), cfg), withKey)
	call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+f.URL+`","events":["endpoint.*"]}`, 201)
	far.Script(sim.Fault{Status: 401, Times: -1})
	r.findings("a", 5)
	f.eventually(t, "the pause is told", func() bool { return len(f.taken()) > 0 })
	if e := f.got[0]; e.Type != hub.EndpointDisabled || e.Data.Endpoint.Name != "siem" || !strings.Contains(e.Data.Reason, "credentials (401)") {
		t.Errorf("what is told is %s: %+v", e.Type, e.Data)
	}
	if testing.Short() {
		return // a paused sink looks again after half a minute
	}
	far.Unscript()
	until(t, "the end of it is told", func() bool { return len(f.taken()) > 1 })
	until(t, "everything is there", func() bool {
		return len(far.Documents(simFindings)) == 5 && len(far.Documents(simAlerts)) == 5 && len(far.Documents(simAudit)) == r.auditSize()
	})
	if e := f.got[1]; len(f.taken()) != 2 || e.Type != hub.EndpointRecovered {
		t.Errorf("told %d times, then %s", len(f.taken()), e.Type)
	}
}

// A finding that Elasticsearch refuses is a dead letter with its reason, and does
// not hold up those behind it.
func TestElasticsearchRefusesAFinding(t *testing.T) {
	far, cfg := startSiem(t, sim.Options{Kind: true}, ", streams: [findings]")
	r := start(t, load(t, t.TempDir(), cfg), withKey)
	for _, title := range []string{"good", sim.MarkReject, "good too"} {
		call[hub.Triage](r, "POST", "/api/v1/findings", `{"type":"xss","asset_id":"a","severity":"low","title":"`+title+`"}`, 202)
	}
	until(t, "the good ones are there", func() bool { return len(far.Documents(simFindings)) == 2 })
	var letters []bus.DeadLetter
	until(t, "there is a dead letter", func() bool {
		all, err := r.bus.(embeddedBus).DeadLetters(t.Context(), hub.DefaultTenant, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		letters = all
		return len(all) > 0
	})
	d := letters[0]
	if len(letters) != 1 || d.Stage != "elastic/siem/findings" || !strings.Contains(d.Reason, "document_parsing_exception") || !bytes.Contains(d.Payload, []byte(sim.MarkReject)) {
		t.Errorf("dead letters: %+v", letters)
	}
}

func TestSetupElastic(t *testing.T) {
	far, cfg := startSiem(t, sim.Options{Kind: true}, ", setup: false, retention: {alerts: 365d}")
	path := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(path, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	o := ElasticSetup{Config: path, Environ: []string{"TOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8"}, Out: new(bytes.Buffer)}
	for range 2 { // it may be repeated
		if done, err := SetupElastic(t.Context(), o); err != nil || len(done) != 1 || done[0] != "siem" {
			t.Fatalf("done for %v, %v", done, err)
		}
	}
	r := start(t, load(t, t.TempDir(), cfg), withKey) // which installs nothing itself
	r.findings("a", 3)
	until(t, "everything is there", func() bool { return len(far.Documents(simFindings)) == 3 && len(far.Documents(simAlerts)) == 3 })
	if v := far.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
	far.Script(sim.Fault{Path: "_ingest", Status: 403})
	if _, err := SetupElastic(t.Context(), o); err == nil || !strings.Contains(err.Error(), "endpoint siem: Elasticsearch says a right is missing (403)") {
		t.Errorf("without the right: %v", err)
	}
}
