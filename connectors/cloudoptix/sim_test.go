package cloudoptix

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/cloudoptix"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A rig is a connector in front of the simulator, without a loop of its own.
type rig struct {
	*Source
	t    *testing.T
	sim  *sim.Sim
	wire *connectortest.Wire

	wake     func()
	accepted []hub.Finding
	cursor   []byte
}

// rigged runs a test in a bubble, with the simulator kind.
func rigged(t *testing.T, more string, test func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, sim: sim.New(sim.Options{Options: unkind.Options{Seed: 1, Kind: true}})}
		r.wire = connectortest.Connect(r.sim)
		t.Cleanup(r.wire.Close)
		r.open(more)
		test(r)
		for _, v := range r.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}

// open opens the connector, as a hub does that starts.
func (r *rig) open(more string) {
	r.t.Helper()
	s := connectortest.Settings(strings.TrimSuffix(config1, "}") + more + "}")
	s.Client = r.wire.Client()
	s.Wake = func() { r.wake() }
	s.Accept = func(_ context.Context, b connectors.Batch) (connectors.Receipt, error) {
		r.accepted = append(r.accepted, b.Findings...)
		return connectors.Receipt{}, nil
	}
	var err error
	if r.Source, err = Open(s); err != nil {
		r.t.Fatal(err)
	}
	r.wake = func() {}
}

// pull makes one whole pull.
func (r *rig) pull() connectors.Page {
	r.t.Helper()
	var page connectors.Page
	page, r.cursor = gather(r.t, r.Source, r.cursor)
	return page
}

func (r *rig) act(action, params string) string {
	r.t.Helper()
	answer, err := do(r.t, r.Source, action, params)
	if err != nil {
		r.t.Errorf("%s: %v", action, err)
	}
	return answer
}

// told gives findings as status, severity and a word of the title.
func told(findings []hub.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, seen(f)+": "+f.Title)
	}
	return strings.Join(out, "; ")
}

// TestUnseenChange changes alerts in ways that no scan has seen, where there are
// too many to read all of them in each pull: the counts tell.
func TestUnseenChange(t *testing.T) {
	rigged(t, ", read_all: 0", func(r *rig) {
		a := r.sim.AddAlert(sim.Alert{Summary: "First", Level: "HIGH"})
		b := r.sim.AddAlert(sim.Alert{Summary: "Second", Level: "LOW"})
		if got := told(r.pull().Findings); got != "open high: First; open low: Second" && got != "open low: Second; open high: First" {
			t.Errorf("at first: %s", got)
		}
		time.Sleep(20 * time.Minute)
		for _, step := range []struct {
			what   string
			change func()
			want   string
		}{
			{"nothing", func() {}, ""},
			{"suppressed", func() { r.sim.Suppress(a.ID, true) }, "resolved: First"},
			{"opened again", func() { r.sim.Suppress(a.ID, false) }, "open high: First"},
			{"rated anew", func() { r.sim.Rate(b.ID, "CRITICAL") }, "open critical: Second"},
		} {
			step.change()
			time.Sleep(time.Minute)
			if got := told(r.pull().Findings); got != step.want {
				t.Errorf("%s: %q, want %q", step.what, got, step.want)
			}
		}
		// One for the other leaves the counts as they are.
		r.sim.Rate(b.ID, "HIGH")
		r.sim.Suppress(b.ID, true)
		r.pull()
		swap := func(shut, open int64) {
			time.Sleep(20 * time.Minute)
			r.pull()
			r.sim.Suppress(shut, true)
			r.sim.Suppress(open, false)
		}
		swap(a.ID, b.ID)
		if got := told(r.pull().Findings); got != "resolved: First; open high: Second" {
			t.Errorf("one for the other: %q", got)
		}
		for range 60 { // too many to be listed each time
			r.sim.AddAlert(sim.Alert{Summary: "Old", State: "SUPPRESS", FirstSeen: time.Now().Add(-100 * time.Hour).UnixMilli()})
		}
		swap(b.ID, a.ID)
		if got := told(r.pull().Findings); got != "" {
			t.Errorf("one for the other among many, at once: %q", got)
		}
		time.Sleep(time.Hour)
		if got := told(r.pull().Findings); !strings.Contains(got, "resolved: Second") || !strings.Contains(got, "open high: First") {
			t.Errorf("one for the other among many, after rescan: %q", got)
		}
		if !strings.Contains(string(r.Report()), `"not_listed":0`) {
			t.Errorf("report: %s", r.Report())
		}
	})
}

// TestUnseenSwap does the last of these where each pull reads all.
func TestUnseenSwap(t *testing.T) {
	rigged(t, "", func(r *rig) {
		a, b := r.sim.AddAlert(sim.Alert{Summary: "First"}), r.sim.AddAlert(sim.Alert{Summary: "Second", State: "SUPPRESS"})
		r.pull()
		time.Sleep(20 * time.Minute)
		r.pull() // reads on from here
		time.Sleep(20 * time.Minute)
		r.sim.Suppress(a.ID, true)
		r.sim.Suppress(b.ID, false)
		if got := told(r.pull().Findings); !strings.Contains(got, "resolved: First") || !strings.Contains(got, "open high: Second") {
			t.Errorf("the next pull tells %q", got)
		}
	})
}

// TestHandover begins scans: the actions end when a stored cursor has them, so
// that a hub that starts anew follows them.
func TestHandover(t *testing.T) {
	rigged(t, "", func(r *rig) {
		wanted, done := make(chan struct{}, 1), make(chan struct{})
		r.wake = func() { wanted <- struct{}{} }
		r.sim.SetImage("acme/web:1", sim.Found{Critical: 1})
		go func() { // a pull that ends behind the first cursor, as a hub does that is killed
			defer close(done)
			<-wanted
			_ = r.Pull(r.t.Context(), r.cursor, func(_ connectors.Page, next []byte) error {
				if r.cursor != nil {
					return context.Canceled
				}
				r.cursor = next
				return nil
			})
		}()
		if got := r.act("scan_images_by_name", `{"repoURL":"r","imageNames":"acme/web:1"}`); !strings.Contains(got, `"followed":true`) {
			t.Errorf("an action whose scan was stored says %s", got)
		}
		<-done
		time.Sleep(time.Minute)
		r.open("")
		if got := told(r.pull().Findings); got != "open critical: Vulnerabilities in image docker.io/acme/web:1: 1 critical" {
			t.Errorf("after the restart: %q", got)
		}
	})
}

// TestAnotherNode acts where nobody pulls: the actions that ask for results bring
// the findings.
func TestAnotherNode(t *testing.T) {
	rigged(t, "", func(r *rig) {
		r.sim.SetImage("acme/web:1", sim.Found{High: 2})
		start := time.Now()
		task := r.act("scan_images_by_name", `{"repoURL":"r","imageNames":"acme/web:1"}`)
		if !strings.Contains(task, `"followed":false`) || !strings.Contains(task, `"taskId":"task-`) || time.Since(start) > 6*time.Second {
			t.Errorf("after %v the action says %s", time.Since(start), task)
		}
		scan := r.act("scan_iac", `{"files":[{"name":"main.tf","content":"0.0.0.0/0"}],"repo_url":"r","branch":"main"}`)
		r.act("image_scan_result", `{"taskId":"`+behind(task, `"taskId":"`)+`"}`)
		if len(r.accepted) > 0 {
			t.Errorf("a scan that is not done brought %s", told(r.accepted))
		}
		time.Sleep(time.Minute)
		r.act("image_scan_result", `{"taskId":"`+behind(task, `"taskId":"`)+`"}`)
		r.act("container_scan_result", `{"container":"acme/web:1"}`)
		r.act("iac_scan_status", `{"scan_id":"`+behind(scan, `"scan_id":"`)+`"}`)
		r.act("iac_scan_report", `{"scan_id":"`+behind(scan, `"scan_id":"`)+`","repo_url":"r","branch":"main"}`)
		const image = "open high: Vulnerabilities in image docker.io/acme/web:1: 2 high"
		if got, want := told(r.accepted), image+"; "+image+"; open high: Security group is open to the world"; got != want {
			t.Errorf("brought %q, want %q", got, want)
		}
		if r.accepted[0].SourceID != r.accepted[1].SourceID || r.accepted[2].AssetID != "r" {
			t.Errorf("identities: %q, %q; asset %q", r.accepted[0].SourceID, r.accepted[1].SourceID, r.accepted[2].AssetID)
		}
		// Whoever pulls from now on finds the same, for the scans are not old.
		if got := told(r.pull().Findings); got != image+"; open high: Security group is open to the world" {
			t.Errorf("a pull tells %q", got)
		}
	})
}

func behind(text, before string) string {
	_, rest, _ := strings.Cut(text, before)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// TestMended scans templates again: what is gone is resolved, if the scan was of
// the same ones.
func TestMended(t *testing.T) {
	rigged(t, "", func(r *rig) {
		scan := func(branch, name, content string) string {
			r.act("scan_iac", `{"files":[{"name":"`+name+`","content":"`+content+`"}],"repo_url":"r","branch":"`+branch+`"}`)
			time.Sleep(time.Minute)
			return told(r.pull().Findings)
		}
		for _, step := range []struct{ branch, name, content, want string }{
			{"main", "a.tf", "0.0.0.0/0 public-read", "open critical: Bucket can be read by everybody; open high: Security group is open to the world"},
			{"main", "b.tf", "", ""},
			{"next", "a.tf", "", ""},
			{"main", "a.tf", "0.0.0.0/0", "open high: Security group is open to the world; resolved: Bucket can be read by everybody"},
			{"main", "a.tf", "", "resolved: Security group is open to the world"},
			{"main", "a.tf", "", ""},
		} {
			if got := scan(step.branch, step.name, step.content); got != step.want {
				t.Errorf("%s of %s with %q: %q, want %q", step.name, step.branch, step.content, got, step.want)
			}
		}
	})
}

// TestFailedScan keeps a scan that failed, and follows the others on.
func TestFailedScan(t *testing.T) {
	rigged(t, "", func(r *rig) {
		r.sim.FailScans(true)
		r.act("scan_images_by_name", `{"repoURL":"r","imageNames":"acme/web:1"}`)
		r.act("scan_iac", `{"files":[{"name":"a.tf","content":"b"}]}`)
		time.Sleep(time.Minute)
		page := r.pull()
		if len(page.Rejects) != 2 || !strings.Contains(page.Rejects[1].Error, "No template could be read") {
			t.Errorf("rejects: %+v", page.Rejects)
		}
	})
}

// TestActionsThere has the simulator judge every action that scans nothing.
func TestActionsThere(t *testing.T) {
	rigged(t, "", func(r *rig) {
		r.sim.AddAlert(sim.Alert{Summary: "Open to the world", Type: "Policy"})
		r.sim.AddTraffic("i-0a1b2c3d4e5f60001", 3)
		for _, tt := range []struct{ action, params, want string }{
			{"count_alerts", `{"lastSeenFrom":"` + time.Now().Add(-time.Hour).Format("2006-01-02T15:04:05-07:00") + `","alertType":"Policy","states":"OPEN"}`, `"total":1`},
			{"list_alerts", `{"days":1,"severity":"high","page":1,"size":50}`, `"alertSummary":"Open to the world"`},
			{"search", `{"searchKey":"AWS_HOST","filters":"instanceId=i-0a1b2c3d4e5f60001","size":10}`, `"instanceId":"i-0a1b2c3d4e5f60001"`},
			{"search", `{"searchKey":"ALERT","searchTerm":"alertSummary:Open*","page":1,"size":10}`, `"Open to the world"`},
			{"vpc_traffic", `{"accountId":"` + sim.DefaultAccount + `","vpcId":"vpc-1","isPageable":true,"page":1,"size":2}`, `"totalPages":2`},
			{"instance_traffic", `{"instanceId":"i-0a1b2c3d4e5f60001"}`, `"dstPort":"443"`},
			{"alert_on_outbound_ips", `{"ips":["198.51.100.7"]}`, ``},
			{"allow_ips", `{"ips":["10.0.0.0/8"],"accountIds":["` + sim.DefaultAccount + `"]}`, `"10.0.0.0/8"`},
		} {
			if got := r.act(tt.action, tt.params); !strings.Contains(got, tt.want) {
				t.Errorf("%s: %s, want %s", tt.action, got, tt.want)
			}
		}
		if outbound, allowed := r.sim.IPs(); len(outbound) != 1 || len(allowed) != 1 {
			t.Errorf("addresses there: %v, %v", outbound, allowed)
		}
		if err := r.Test(r.t.Context()); err != nil {
			t.Errorf("test: %v", err)
		}
		files := `"files":[{"name":"Dockerfile","content":"FROM acme/web:1\n"}],"repo_url":"r","branch":"main"`
		r.sim.SetQuota(0)
		if got := r.act("scan_images", `{`+files+`}`); !strings.Contains(got, `"quotaFull":true`) || !strings.Contains(got, `"followed":false`) {
			t.Errorf("images beyond the quota: %s", got)
		}
		r.sim.SetQuota(9)
		r.act("scan_images", `{`+files+`}`)
		if got := r.act("scan_images", `{`+files+`}`); !strings.Contains(got, `"duplicate":true`) {
			t.Errorf("the same again: %s", got)
		}
		r.act("scan_iac", `{`+files+`,"async":false,"save_results_to_account":true,"committer_name":"a","committer_email":"a@example.com"}`)
		if images, templates := r.sim.Tasks(); images != 1 || templates != 1 {
			t.Errorf("%d scans of images and %d of templates were begun", images, templates)
		}
		_, err := do(r.t, r.Source, "iac_scan_status", `{"scan_id":"none"}`)
		if hub.KindOf(err) != hub.NotFound {
			t.Errorf("a scan that is not there: %v", err)
		}
		r.sim.Refuse(true)
		if _, err = do(r.t, r.Source, "count_alerts", `{}`); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("with an expired key: %v", err)
		}
	})
}

// TestUnusable keeps an alert that cannot be used, and takes those around it.
func TestUnusable(t *testing.T) {
	list := `{"data":[{"id":1,"alertSummary":"a"},{"alertSummary":"no id"},7,{"id":2,"alertSummary":"b"}],"totalPages":1}`
	_, source := scripted(t, map[string]string{"/alerts/count": `{"total":4}`, "/alerts": list, "/accounts": "[]"})
	page, _ := gather(t, source, nil)
	if len(page.Findings) != 2 || len(page.Rejects) < 2 {
		t.Fatalf("%d findings, rejects %+v", len(page.Findings), page.Rejects)
	}
	if r := page.Rejects[1]; r.Index != 2 || string(r.Item) != "7" || !strings.Contains(r.Error, "id") {
		t.Errorf("reject %+v", r)
	}
}
