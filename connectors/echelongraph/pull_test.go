package echelongraph

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestLifeOfAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		id := b.sim.AddItem("alerts", sim.Item{}).ID
		var last hub.Finding
		for i, step := range []struct{ status, severity, want string }{
			{"", "", "open high open"},
			{"", "", ""},
			{"", "critical", "open critical open"},
			{"acknowledged", "", "acknowledged critical open"},
			{"open", "", "open critical open"},
			{"resolved", "", "resolved critical resolved"},
			{"dismissed", "low", ""}, // closed is closed
			{"open", "", "open low open"},
			{"dismissed", "", "dismissed low resolved"},
			{"", "", ""},
		} {
			changed := time.Now()
			b.sim.Change("alerts", id, step.status, step.severity)
			b.pull(t)
			for _, f := range b.got.Findings {
				if !f.ObservedAt.After(last.ObservedAt) || i > 0 && f.ObservedAt.Sub(changed).Abs() > time.Second {
					t.Errorf("step %d: observed at %v, changed at %v, before that %v", i, f.ObservedAt, changed, last.ObservedAt)
				}
				if acked := f.Labels["echelongraph_status"] == "acknowledged"; acked == f.AcknowledgedAt.IsZero() {
					t.Errorf("step %d: acknowledged at %v", i, f.AcknowledgedAt)
				}
				last = f
			}
			if got := b.said("alert"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
	})
}

// TestQuietPullIsCheap counts the calls when nothing has changed.
func TestQuietPullIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.sim.Add(30)
		b.pull(t)
		b.pull(t)
		b.got = connectors.Page{}
		time.Sleep(30 * time.Minute)
		b.pull(t) // the token is renewed first
		if n := len(b.asked); n != 1+4*3+3 || len(b.got.Findings)+len(b.got.Nodes)+len(b.got.Edges) > 0 {
			t.Errorf("%d calls: %v\ngot %+v", n, b.asked, b.got)
		}
	})
}

func TestEnrichment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		vul := b.sim.AddItem("vulnerabilities", sim.Item{Severity: "critical"})
		alert := b.sim.AddItem("alerts", sim.Item{Severity: "critical", AssetID: "ast_web-1"})
		low := b.sim.AddItem("vulnerabilities", sim.Item{Severity: "low"})
		b.pull(t)
		f := b.finding(t, "vulnerability|"+vul.ID)
		if f.Labels["echelongraph_remediation"] != "Upgrade openssl to 3.0.99" || !strings.Contains(f.Description, "Remediation (priority ") {
			t.Errorf("vulnerability: %+v", f)
		}
		if f := b.finding(t, "vulnerability|"+low.ID); f.Labels["echelongraph_remediation"] != "" {
			t.Errorf("a low one was looked up too: %+v", f)
		}
		if f := b.finding(t, "alert|"+alert.ID); f.Labels["echelongraph_blast_radius"] != "3" {
			t.Errorf("alert: %+v", f)
		}
		b.edit = func(w http.ResponseWriter, r *http.Request) bool { // nobody waits for it
			if strings.Contains(r.URL.Path, "blast-radius") {
				http.Error(w, "down", http.StatusBadGateway)
				return true
			}
			return false
		}
		second := b.sim.AddItem("alerts", sim.Item{Severity: "critical", AssetID: "ast_api-1"})
		b.pull(t)
		if f := b.finding(t, "alert|"+second.ID); f.Labels["echelongraph_blast_radius"] != "" {
			t.Errorf("without a blast radius: %+v", f)
		}
	})
}

func TestScores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for i, step := range []struct {
			do         func()
			compliance string
			risk       string
		}{
			{func() {}, "", ""},
			{func() { b.sim.SetCompliance("SOC 2", 89) }, "SOC 2 medium open", ""},
			{func() {}, "", ""},
			{func() { b.sim.SetCompliance("SOC 2", 60) }, "SOC 2 high open", ""},
			{func() { b.sim.SetCompliance("SOC 2", 90) }, "SOC 2 medium resolved", ""},
			{func() { b.sim.SetCompliance("SOC 2", 95) }, "", ""},
			{func() { b.sim.SetCompliance("SOC 2", 94.5) }, "", ""}, // less than drift_points
			{func() { b.sim.SetRisk("identity", 79) }, "", ""},
			{func() { b.sim.SetRisk("identity", 80) }, "", "identity high open"},
			{func() { b.sim.SetRisk("identity", 81) }, "", "identity high open"},
			{func() { b.sim.SetRisk("identity", 10) }, "", "identity high resolved"},
		} {
			step.do()
			b.pull(t)
			page := b.got
			compliance := b.said("compliance")
			b.got = page
			if risk := b.said("risk"); compliance != step.compliance || risk != step.risk {
				t.Errorf("step %d: %q and %q, want %q and %q", i, compliance, risk, step.compliance, step.risk)
			}
		}
		if r := string(b.source.Report()); !strings.Contains(r, `"framework":"SOC 2","score":94.5`) || !strings.Contains(r, `"categories"`) {
			t.Errorf("report %s", r)
		}
	})
}

func TestAuditTrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for range 250 {
			b.sim.AddEntry(sim.Entry{Action: "permission.granted", Resource: "usr_9"})
		}
		b.sim.AddEntry(sim.Entry{Action: "auth.login"})
		b.sim.AddEntry(sim.Entry{Action: "data.exported", User: "Eve@Example.com"})
		b.pull(t)
		f := b.got.Findings[len(b.got.Findings)-1]
		if n := len(b.got.Findings); n != 251 || f.Title != "permission.granted by dana@example.com" || f.AssetID != "dana@example.com" || f.DedupKey == "" {
			t.Errorf("%d findings, the last %+v", n, f)
		}
		b.got = connectors.Page{}
		b.pull(t)
		if n := len(b.got.Findings); n > 0 {
			t.Errorf("told again: %d", n)
		}
		b.sim.AddEntry(sim.Entry{Action: "auth.login", Outcome: "failure"})
		b.sim.AddEntry(sim.Entry{Action: "config.changed"})
		time.Sleep(3 * time.Hour)
		b.pull(t)
		b.pull(t)
		if got := b.said("audit"); strings.Count(got, "open") != 1 {
			t.Errorf("after three hours: %q", got)
		}
	})
}

func TestInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.pull(t)
		count := func() string {
			kinds, gone := map[hub.NodeKind]int{}, 0
			for _, n := range b.got.Nodes {
				kinds[n.Kind]++
				if n.Gone {
					gone++
				}
				if len(n.Keys) == 0 || n.SeenAt.IsZero() {
					t.Errorf("node %+v", n)
				}
			}
			edges, lost := len(b.got.Edges), 0
			for _, e := range b.got.Edges {
				if e.Gone {
					lost++
				}
			}
			b.got = connectors.Page{}
			return fmt.Sprintf("%d accounts, %d assets, %d users, %d gone; %d edges, %d gone", kinds[hub.NodeAccount], kinds[hub.NodeAsset], kinds[hub.NodeUser], gone, edges, lost)
		}
		// The organization and the account; 5 assets; 2 users. Edges: account and
		// users to the organization, account to assets, links.
		if got := count(); got != "2 accounts, 5 assets, 2 users, 0 gone; 12 edges, 0 gone" {
			t.Errorf("first: %s", got)
		}
		b.pull(t)
		if got := count(); got != "0 accounts, 0 assets, 0 users, 0 gone; 0 edges, 0 gone" {
			t.Errorf("a minute later: %s", got)
		}
		b.sim.RemoveAsset("ast_backups")
		b.sim.AddLink(sim.Link{Source: "internet", Target: "ast_web-1"})
		time.Sleep(time.Hour)
		b.pull(t)
		if got := count(); got != "2 accounts, 5 assets, 2 users, 0 gone; 11 edges, 0 gone" {
			t.Errorf("an hour later: %s", got) // one absence is not enough
		}
		time.Sleep(time.Hour)
		b.pull(t)
		if got := count(); got != "2 accounts, 6 assets, 2 users, 1 gone; 13 edges, 2 gone" {
			t.Errorf("two hours later: %s", got)
		}
	})
}

// TestWhatIsRefusedIsLeftOut: a plan need not have everything.
func TestWhatIsRefusedIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/v1/alerts") && r.Method == http.MethodGet {
				unkind.Answer(w, 403, map[string]string{"error": "forbidden", "message": "not on your plan"})
				return true
			}
			return false
		}
		b.sim.AddItem("alerts", sim.Item{Severity: "low"})
		b.pull(t)
		if got := b.said("alert"); got != "open low open" {
			t.Errorf("alerts: %q", got)
		}
		if r := string(b.source.Report()); !strings.Contains(r, "left_out") || !strings.Contains(r, "not on your plan") {
			t.Errorf("report %s", r)
		}
		b.edit = nil
		time.Sleep(time.Hour)
		b.pull(t)
		if r := string(b.source.Report()); strings.Contains(r, "left_out") {
			t.Errorf("when all is back: %s", r)
		}
	})
}

func TestPathsCanBeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, `, paths: {alerts: /v9/alarms, users: "-", graph: "-", blast_radius: "-"}`)
		b.edit = func(_ http.ResponseWriter, r *http.Request) bool {
			r.URL.Path = strings.Replace(r.URL.Path, "/v9/alarms", "/alerts", 1)
			return false
		}
		b.sim.AddItem("alerts", sim.Item{})
		b.pull(t)
		if got := b.said("alert"); got != "open high open" {
			t.Errorf("alerts: %q", got)
		}
		for _, a := range b.asked {
			if strings.Contains(a, "scim/v2/Users") || strings.Contains(a, "graph") {
				t.Errorf("asked for what is left out: %s", a)
			}
		}
		for _, spec := range b.source.Actions() {
			if spec.Name == "echelongraph.create_user" || spec.Name == "echelongraph.blast_radius" {
				t.Errorf("offers %s", spec.Name)
			}
		}
	})
}

// TestListsWithoutPromises: no total, no times, another order, odd items.
func TestListsWithoutPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, ", page_size: 2")
		status := "open"
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/alerts" {
				return false
			}
			q := r.URL.Query()
			if s := q.Get("status"); s != "" && s != status {
				fmt.Fprint(w, `{"data":[]}`)
				return true
			}
			item := func(id string) string { return `{"id":"` + id + `","severity":"high","status":"` + status + `"}` }
			fmt.Fprint(w, map[string]string{
				"1": `{"data":[` + item("a") + `,5]}`, "2": `{"data":[{"title":"no id"},` + item("b") + `]}`, "3": `{"data":[` + item("c") + `]}`,
			}[q.Get("page")])
			if q.Get("page") == "4" {
				fmt.Fprint(w, `{"data":[]}`)
			}
			return true
		}
		for i, want := range []string{"open high open, open high open, open high open", "", "resolved high resolved, resolved high resolved, resolved high resolved", ""} {
			if i == 2 {
				status = "resolved"
			}
			b.pull(t)
			if got := b.said("alert"); got != want {
				t.Errorf("pull %d: %q, want %q", i, got, want)
			}
		}
	})
}

func TestCursorOfAnotherVersionIsRefused(t *testing.T) {
	b := &bench{source: opened(t, config1, &http.Client{}, nil)}
	for _, cursor := range []string{`{"v":2}`, `{"v":1,"memory":{"alerts":"AAAA"}}`, `{`} {
		b.cursor = []byte(cursor)
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Internal || b.source.Describe(b.cursor) != "unreadable" {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
