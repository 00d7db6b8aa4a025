package edgetelemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestLifeOfAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		id := b.sim.AddAlert(sim.Alert{}).ID
		var last hub.Finding
		for i, step := range []struct{ status, severity, want string }{
			{"", "", "fired high open"},
			{"", "", ""},
			{"", "critical", "fired critical open"},
			{"acknowledged", "", "acknowledged critical open"},
			{"fired", "", "fired critical open"},
			{"resolved", "", "resolved critical resolved"},
			{"resolved", "low", ""}, // closed is closed
			{"fired", "", "fired low open"},
			{"resolved", "", "resolved low resolved"},
			{"", "", ""},
		} {
			changed := time.Now()
			b.sim.SetAlert(id, step.status, step.severity)
			b.pull(t)
			for _, f := range b.got.Findings {
				late := f.ObservedAt.Sub(changed)
				if !f.ObservedAt.After(last.ObservedAt) || i > 0 && (late < 0 || late > time.Minute+time.Second) {
					t.Errorf("step %d: observed at %v, changed at %v, before that %v", i, f.ObservedAt, changed, last.ObservedAt)
				}
				if acked := step.status == "acknowledged"; acked == f.AcknowledgedAt.IsZero() {
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

func TestLifeOfAnIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		old := b.sim.AddIncident(sim.Incident{CreatedAt: time.Now().Add(-90 * 24 * time.Hour)})
		for range 150 {
			b.sim.AddIncident(sim.Incident{Status: "resolved"})
		}
		b.pull(t)
		b.said("")
		for i, step := range []struct{ status, severity, want string }{
			{"investigating", "", "investigating high open"},
			{"", "", ""}, // updated_at alone is no news
			{"", "critical", "investigating critical open"},
			{"resolved", "", "resolved critical resolved"},
			{"open", "", "open critical open"},
		} {
			time.Sleep(20 * time.Minute) // behind the margin: it has to be looked for
			changed := time.Now()
			b.sim.SetIncident(old.ID, step.status, step.severity)
			b.pull(t)
			for _, f := range b.got.Findings {
				if f.ObservedAt.Sub(changed).Abs() > time.Second || f.AcknowledgedAt.IsZero() == (step.status == "investigating" || step.severity != "") {
					t.Errorf("step %d: observed at %v, changed at %v, acknowledged at %v", i, f.ObservedAt, changed, f.AcknowledgedAt)
				}
			}
			if got := b.said("incident"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
	})
}

// TestQuietPullIsCheap counts the calls when nothing has changed.
func TestQuietPullIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.sim.Add(40)
		b.pull(t)
		b.pull(t)
		b.got = connectors.Page{}
		time.Sleep(20 * time.Minute)
		b.pull(t)
		if n := len(b.asked); n != 9 || len(b.got.Findings)+len(b.got.Nodes)+len(b.got.Edges) > 0 {
			t.Errorf("%d calls: %v\ngot %+v", n, b.asked, b.got)
		}
	})
}

// TestLimitGrows: a list without an offset is asked for with a limit that grows,
// and no farther than is of use.
func TestLimitGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, ", history: 24h")
		long := time.Now().Add(-48 * time.Hour)
		for range 3000 {
			b.sim.AddAlert(sim.Alert{Status: "resolved", CreatedAt: long})
		}
		for range 250 {
			b.sim.AddAlert(sim.Alert{Severity: "low"})
		}
		b.pull(t)
		asked := fmt.Sprint(b.asked[1:5])
		if want := "[GET /alerting/alerts?limit=100 GET /alerting/rules GET /alerting/alerts?limit=400 GET /alerting/alerts?limit=400&status=fired]"; asked != want {
			t.Errorf("first pull asked %s, want %s", asked, want)
		}
		if got := strings.Count(b.said("alert"), "fired low open"); got != 250 {
			t.Errorf("%d alerts, want 250", got)
		}
		time.Sleep(time.Hour)
		oldest := b.sim.Alerts()[3000].ID
		b.sim.SetAlert(oldest, "resolved", "")
		b.pull(t)
		if got := b.said("alert"); got != "resolved low resolved" {
			t.Errorf("an old one that was resolved: %q", got)
		}
		if n := b.count("GET /alerting/alerts"); n != 4 {
			t.Errorf("%d calls for it: %v", n, b.asked)
		}
	})
}

// TestAnyOrder: a list that is not newest first is read to its end, or what is new
// could be behind what is old.
func TestAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{Unordered: true}, ", history: 24h")
		for i := range 900 {
			at := time.Now().Add(-48 * time.Hour)
			if i%3 == 0 {
				at = time.Now()
			}
			b.sim.AddAlert(sim.Alert{Severity: "low", Status: "resolved", CreatedAt: at})
		}
		b.pull(t)
		if got := strings.Count(b.said("alert"), "resolved low"); got != 300 || b.count("GET /alerting/alerts?limit=1600") != 1 {
			t.Errorf("%d alerts told, want 300; asked %v", got, b.asked)
		}
	})
}

// TestMoreThanCanBeSeen: what max_results hides is told to people, and does not
// keep the rest from coming.
func TestMoreThanCanBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, ", max_results: 200")
		for range 205 {
			b.sim.AddAlert(sim.Alert{Severity: "low"})
		}
		for i := range 3 {
			time.Sleep(time.Minute)
			err := b.try(t.Context())
			if hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "max_results") {
				t.Fatalf("pull %d: %v", i, err)
			}
		}
		if got := strings.Count(b.said("alert"), "open"); got != 200 {
			t.Errorf("%d alerts told, want the 200 newest", got)
		}
		for _, a := range b.sim.Alerts()[150:] {
			b.sim.SetAlert(a.ID, "resolved", "")
		}
		b.pull(t)
		if got := b.said("alert"); strings.Count(got, "fired low open") != 5 || strings.Count(got, "resolved") != 2*55 {
			t.Errorf("when there is room: %q", got)
		}
	})
}

// TestAnswerTooLarge: one above 16 MiB is asked for again with half the limit.
func TestAnswerTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		text := strings.Repeat("x", 100_000)
		for range 240 {
			b.sim.AddAlert(sim.Alert{Severity: "low", Desc: text})
		}
		time.Sleep(time.Minute)
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "16 MiB") {
			t.Errorf("more than can be taken: %v", err)
		}
		if got := strings.Count(b.said("alert"), "open"); got < 100 {
			t.Errorf("%d alerts, want 100 at least; asked %v", got, b.asked)
		}
	})
}

// TestLimitOfTheirs: an answer that their own limit cut is told of.
func TestLimitOfTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{MaxLimit: 200}, "")
		for range 210 {
			b.sim.AddAlert(sim.Alert{Severity: "low"})
		}
		b.pull(t)
		if r := string(b.source.Report()); !strings.Contains(r, "asked for 400, there came 200") {
			t.Errorf("report %s", r)
		}
		for _, a := range b.sim.Alerts()[100:] {
			b.sim.SetAlert(a.ID, "resolved", "")
		}
		b.sim.AddAlert(sim.Alert{Severity: "low"})
		b.pull(t)
		if r := string(b.source.Report()); strings.Contains(r, "beyond a limit") {
			t.Errorf("when there are fewer: %s", r)
		}
	})
}

func TestEnrichment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		n := b.sim.Nodes()
		x := b.sim.AddIncident(sim.Incident{Severity: "critical", NodeID: n[0].ID})
		a := b.sim.AddAlert(sim.Alert{Severity: "critical", IncidentID: &x.ID, Context: map[string]any{"node_id": n[1].ID}})
		low := b.sim.AddIncident(sim.Incident{Severity: "low", NodeID: n[2].ID})
		b.pull(t)
		if f := b.finding(t, "alert|"+a.ID); f.Labels["edgetelemetry_blast_radius"] != "2" || f.Labels["edgetelemetry_rule"] != "High Risk Alert" ||
			f.Labels["edgetelemetry_incident_id"] != x.ID || f.AssetID != n[1].ID {
			t.Errorf("alert: %+v", f)
		}
		f := b.finding(t, "incident|"+x.ID)
		if f.Labels["edgetelemetry_blast_radius"] != "3" || !strings.Contains(string(f.Payload), a.ID) || f.AssetID != n[0].ID || f.Labels["edgetelemetry_nodes"] != n[0].ID {
			t.Errorf("incident: %+v", f)
		}
		if b.count("GET /incidents/"+low.ID) > 0 || b.count("GET /alerting/rules") != 1 {
			t.Errorf("asked %v", b.asked)
		}
		b.edit = func(w http.ResponseWriter, r *http.Request) bool { // nobody waits for it
			if strings.Contains(r.URL.Path, "blast-radius") || strings.Contains(r.URL.Path, "/incidents/") || strings.HasSuffix(r.URL.Path, "/rules") {
				unkind.Answer(w, http.StatusInternalServerError, map[string]any{"success": false, "error": "down"})
				return true
			}
			return false
		}
		second := b.sim.AddAlert(sim.Alert{Severity: "critical", Context: map[string]any{"node_id": n[2].ID}})
		b.sim.AddIncident(sim.Incident{Severity: "critical", NodeID: n[0].ID})
		b.pull(t)
		if f := b.finding(t, "alert|"+second.ID); f.Labels["edgetelemetry_blast_radius"] != "" || f.Labels["edgetelemetry_rule"] != "" {
			t.Errorf("without what stands beside: %+v", f)
		}
		b.edit = nil
		b.source.cfg.BlastRadius = new(bool)
		b.sim.AddAlert(sim.Alert{Severity: "critical", Context: map[string]any{"node_id": n[3].ID}})
		b.pull(t)
		if b.count("GET /graph/blast-radius") > 0 {
			t.Errorf("turned off: %v", b.asked)
		}
	})
}

func TestMoreThanCanBeRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, ", max_tracked: 5")
		for range 7 {
			b.sim.AddAlert(sim.Alert{Severity: "low"})
		}
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "more open alerts than max_tracked allows") {
			t.Errorf("%v", err)
		}
		if got := strings.Count(b.said("alert"), "fired low open"); got < 7 {
			t.Errorf("%d alerts told, want all 7", got)
		}
	})
}

func TestSummaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{Summaries: 5}, "")
		for i, step := range []struct {
			anomalies int
			risk      float64
			agent     string
			want      string
		}{
			{0, 10, "a", ""},
			{2, 10, "a", "Anomalies at a medium open"},
			{0, 69, "b", ""},
			{1, 95, "a", "Anomalies at a critical open"},
			{0, 0, "a", "No more anomalies at a medium resolved"},
			{0, 0, "a", ""},
			{0, 70, "b", "Anomalies at b high open"},
		} {
			b.sim.AddSummary(sim.Summary{AgentID: step.agent, Anomalies: step.anomalies, RiskScore: step.risk})
			b.pull(t)
			if got := b.said("summary"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
		b.pull(t)
		if got := b.said("summary"); got != "" {
			t.Errorf("told again: %q", got)
		}
		if r := string(b.source.Report()); strings.Contains(r, "shorten interval") || !strings.Contains(r, `"summaries_received":7`) {
			t.Errorf("report %s", r)
		}
		for range 6 { // more than one answer holds
			b.sim.AddSummary(sim.Summary{AgentID: "c"})
		}
		b.pull(t)
		if r := string(b.source.Report()); !strings.Contains(r, "shorten interval") {
			t.Errorf("report %s", r)
		}
	})
}

func TestAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for range 250 {
			b.sim.AddEntry(sim.Entry{Action: "assign_role"})
		}
		b.sim.AddEntry(sim.Entry{Action: "login"})
		b.sim.AddEntry(sim.Entry{Action: "view_incident", Status: 403})
		b.sim.AddEntry(sim.Entry{Action: "delete_user", UserEmail: sim.DefaultEmail})
		b.pull(t)
		if n := len(b.got.Findings); n != 251 || b.count("GET /audit/logs") != 4 {
			t.Errorf("%d findings, asked %v", n, b.asked)
		}
		b.got = connectors.Page{}
		b.pull(t)
		if n := len(b.got.Findings); n > 0 {
			t.Errorf("told again: %d", n)
		}
		b.sim.AddEntry(sim.Entry{Action: "login", UserEmail: sim.DefaultEmail, Status: 401})
		time.Sleep(3 * time.Hour)
		b.pull(t)
		b.pull(t)
		if got := b.said("audit"); got != "login by "+sim.DefaultEmail+" was refused with 401 medium open" {
			t.Errorf("after three hours: %q", got)
		}
		b = newBench(t, sim.Options{}, ", audit_actions: []")
		b.sim.AddEntry(sim.Entry{Action: "delete_user"})
		b.pull(t)
		if b.count("GET /audit/logs") > 0 {
			t.Errorf("turned off: %v", b.asked)
		}
	})
}

// TestOffsetIsNotHeeded: a log that gives the same again and again ends.
func TestOffsetIsNotHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		for range 150 {
			b.sim.AddEntry(sim.Entry{Action: "delete_user"})
		}
		b.edit = func(_ http.ResponseWriter, r *http.Request) bool {
			if q := r.URL.Query(); q.Has("offset") {
				q.Set("offset", "0")
				r.URL.RawQuery = q.Encode()
			}
			return false
		}
		b.pull(t)
		if r := string(b.source.Report()); b.count("GET /audit/logs") != 2 || len(b.got.Findings) != 99 || !strings.Contains(r, "whatever the offset") {
			t.Errorf("%d findings, asked %v; report %s", len(b.got.Findings), b.asked, r)
		}
		b.edit = nil
		b.pull(t)
		if r := string(b.source.Report()); strings.Contains(r, "whatever the offset") {
			t.Errorf("when it is heeded: %s", r)
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
			return fmt.Sprintf("%d accounts, %d assets, %d users, %d networks, %d gone; %d edges, %d gone",
				kinds[hub.NodeAccount], kinds[hub.NodeAsset], kinds[hub.NodeUser], kinds[hub.NodeNetwork], gone, edges, lost)
		}
		if i := slices.IndexFunc(b.got.Nodes, func(n hub.NodeReport) bool { return slices.Contains(n.Keys, "dana@example.com") }); i < 0 ||
			b.got.Nodes[i].Tags["roles"] != "analyst" || b.got.Nodes[i].Tags["mfa_enabled"] != "false" {
			t.Errorf("dana: %d %+v", i, b.got.Nodes)
		}
		// The installation; three things; two users and an identity; a network.
		// Edges: users to the installation, and three of the graph.
		if got := count(); got != "1 accounts, 3 assets, 3 users, 1 networks, 0 gone; 5 edges, 0 gone" {
			t.Errorf("first: %s", got)
		}
		b.pull(t)
		if got := count(); got != "0 accounts, 0 assets, 0 users, 0 networks, 0 gone; 0 edges, 0 gone" {
			t.Errorf("a minute later: %s", got)
		}
		n := b.sim.Nodes()
		b.sim.RemoveNode(n[3].ID)
		b.sim.Connect(n[4].ID, n[1].ID, "exposes")
		b.sim.AddSummary(sim.Summary{AgentID: "agent-9"})
		time.Sleep(time.Hour)
		b.pull(t)
		if got := count(); got != "1 accounts, 3 assets, 3 users, 1 networks, 0 gone; 6 edges, 0 gone" {
			t.Errorf("an hour later: %s", got) // one absence is not enough; the agent is new
		}
		time.Sleep(time.Hour)
		b.pull(t)
		if got := count(); got != "1 accounts, 3 assets, 3 users, 1 networks, 1 gone; 6 edges, 1 gone" {
			t.Errorf("two hours later: %s", got)
		}
		for _, want := range []string{`"version":"0.2.0"`, `"grpc":"listening"`, `"active_agents":1`, `"permissions":["users:read"`, `"total_count"`} {
			if r := string(b.source.Report()); !strings.Contains(r, want) {
				t.Errorf("report %s lacks %s", r, want)
			}
		}
	})
}

// TestWhatIsRefusedIsLeftOut: a user need not be allowed everything.
func TestWhatIsRefusedIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.sim.Permit("alerts:read")
		b.sim.Add(20)
		b.pull(t)
		if got := strings.Count(b.said("alert"), "open"); got != 13 {
			t.Errorf("%d alerts, want 13", got)
		}
		r := string(b.source.Report())
		for _, want := range []string{"incidents:read; give its role that", "summaries:read", "audit_logs:read", "users:read", "the hub's user lacks alerts:update, alert_rules:read"} {
			if !strings.Contains(r, want) {
				t.Errorf("report %s lacks %s", r, want)
			}
		}
		b.sim.Permit(wanted...)
		time.Sleep(time.Hour)
		b.pull(t)
		if r := string(b.source.Report()); strings.Contains(r, "left_out") {
			t.Errorf("when all is allowed: %s", r)
		}
		if got := strings.Count(b.said("incident"), ",") + 1; got != 5 {
			t.Errorf("%d incidents then, want 5", got)
		}
		b.sim.Permit("incidents:read")
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Forbidden || !strings.Contains(err.Error(), "alerts:read") {
			t.Errorf("without alerts:read: %v", err)
		}
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Forbidden {
			t.Errorf("test without alerts:read: %v", err)
		}
	})
}

// TestListsInOtherShapes: what the document does not show is taken as it comes.
func TestListsInOtherShapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		answers := map[string]string{
			"/api/v1/incidents":           `{"success":true,"data":{"incidents":[{"incident_id":"i","name":"N","state":"OPEN","host":"h","detected_at":1771848000},7,{"title":"no id"}],"total":1}}`,
			"/api/v1/dashboard/summaries": `[{"agent":"a","timestamp":"2026-02-23 12:00:00","is_anomaly":true}]`,
			"/api/v1/graph/nodes":         `{"data":{"nodes":[{"node_id":"n","type":"subnet","name":"dmz"},{"id":"u","kind":"User","label":"Eve@Example.com"},{}]}}`,
			"/api/v1/graph/edges":         `{"success":true,"data":[{"from":"n","to":"u","relationship":"routes"},{"source":"n"}]}`,
			"/api/v1/users":               `{"success":true,"data":null}`,
		}
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if body := answers[r.URL.Path]; body != "" {
				fmt.Fprint(w, body)
				return true
			}
			return false
		}
		b.pull(t)
		if f := b.finding(t, "incident|i"); f.AssetID != "h" || f.Title != "N" || f.Severity != hub.High || f.ObservedAt.Unix() != 1771848000 {
			t.Errorf("incident %+v", f)
		}
		if f := b.finding(t, "summary|a@2026-02-23T12:00:00Z"); f.Status != hub.FindingOpen {
			t.Errorf("summary %+v", f)
		}
		var keys []string
		for _, n := range b.got.Nodes {
			keys = append(keys, string(n.Kind)+":"+strings.Join(n.Keys, ","))
		}
		if !slices.Contains(keys, "network:n") || !slices.Contains(keys, "user:u,eve@example.com") {
			t.Errorf("nodes %v", keys)
		}
		if !slices.ContainsFunc(b.got.Edges, func(e hub.EdgeReport) bool { return e.From == "n" && e.To == "u" && e.Kind == "routes" }) {
			t.Errorf("edges %+v", b.got.Edges)
		}
		answers["/api/v1/incidents"] = `{"success":true,"data":"none"}`
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Transient || !strings.Contains(err.Error(), "no list") {
			t.Errorf("no list: %v", err)
		}
		answers["/api/v1/incidents"] = `{"success":false,"data":null,"error":"Internal Server Error"}`
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Transient || !strings.Contains(err.Error(), "says that it failed") {
			t.Errorf("200 that says that it failed: %v", err)
		}
	})
}

func TestCursorOfAnotherVersionIsRefused(t *testing.T) {
	b := &bench{source: opened(t, config1, &http.Client{})}
	for _, cursor := range []string{`{"v":2}`, `{"v":1,"memory":{"alerts":"AAAA"}}`, `{`} {
		b.cursor = []byte(cursor)
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Internal || b.source.Describe(b.cursor) != "unreadable" {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
