package app

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/test/sim/unkind"
	"github.com/tocsin/tocsin/test/sim/vigilare"
)

// assetPage is a list as the API shows it.
type assetPage[T any] struct {
	Data  []T     `json:"data"`
	Next  *string `json:"next_cursor"`
	Total *int64  `json:"total"`
}

// tell commits a page of a source.
func (r *running) tell(source string, page connectors.Page, cursor string) {
	r.t.Helper()
	c := &cursors{st: r.st, findings: r.App.findings, cluster: r.cluster}
	if err := c.Commit(r.t.Context(), hub.DefaultTenant, source, page, []byte(cursor)); err != nil {
		r.t.Fatal(err)
	}
}

// assetNames gives the names of a part of the inventory, in order.
func assetNames(all []api.AssetItem) (out []string) {
	for _, a := range all {
		out = append(out, a.Name)
	}
	return out
}

// entries gives how many audit entries an action has, and the last one's details.
func (r *running) entries(action string) (int, string) {
	r.t.Helper()
	logs := call[assetPage[hub.AuditEntry]](r, "GET", "/api/v1/audit/logs?action="+action, "", 200)
	if len(logs.Data) == 0 {
		return 0, ""
	}
	return len(logs.Data), string(logs.Data[0].Details)
}

func account(keys ...string) hub.NodeReport {
	return hub.NodeReport{Kind: hub.NodeAccount, Keys: keys, Asset: hub.Asset{Name: "Production", Account: keys[0]}}
}

// What two sources say is one inventory, with the alerts on it and the ways
// through it.
func TestInventoryOverTheAPI(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r.tell("cloud", connectors.Page{
		Nodes: []hub.NodeReport{
			account("1234"),
			{Kind: hub.NodeAsset, Keys: []string{"i-1", "arn:i-1"}, SeenAt: at, Asset: hub.Asset{Name: "web", Type: "vm"}, RiskScore: new(40.0), Attributes: []byte(`{"image":"x"}`)},
			{Kind: hub.NodeAsset, Keys: []string{"bucket"}, SeenAt: at, Asset: hub.Asset{Name: "customers", Tags: map[string]string{"crown_jewel": "true"}}, RiskScore: new(90.0)},
		},
		Edges: []hub.EdgeReport{{From: "1234", To: "i-1", Kind: "contains", SeenAt: at}, {From: "i-1", To: "bucket", Kind: "can_access", SeenAt: at}, {From: "bucket", To: "nobody", Kind: "exposes", SeenAt: at}},
	}, "c1")
	r.tell("scanner", connectors.Page{Nodes: []hub.NodeReport{{Kind: hub.NodeAsset, Keys: []string{"host-7"}, SeenAt: at.Add(time.Hour), Asset: hub.Asset{Name: "host-7", Region: "eu"}}}}, "c1")
	apart := call[assetPage[api.AssetItem]](r, "GET", "/api/v1/assets?source=scanner", "", 200)
	if len(apart.Data) != 1 || apart.Data[0].Region != "eu" {
		t.Fatalf("the scanner brought %+v", apart.Data)
	}
	for i, asset := range []string{"arn:i-1", "bucket", "host-7", "elsewhere"} {
		body := fmt.Sprintf(`{"type":"malware","asset_id":%q,"severity":%q}`, asset, []string{"low", "critical", "high", "high"}[i])
		call[any](r, "POST", "/api/v1/findings?wait=true", body, 200)
	}

	// The scanner's host is the cloud's machine, it turns out.
	r.tell("scanner", connectors.Page{Nodes: []hub.NodeReport{{Kind: hub.NodeAsset, Keys: []string{"host-7", "arn:i-1"}, SeenAt: at.Add(2 * time.Hour), Asset: hub.Asset{Name: "host-7", Region: "eu"}}}}, "c2")
	all := call[assetPage[api.AssetItem]](r, "GET", "/api/v1/assets", "", 200)
	if got := assetNames(all.Data); !slices.Equal(got, []string{"customers", "web", "Production"}) || all.Data[1].Attributes != nil || *all.Data[1].Alerts != (hub.SeverityCounts{Low: 1, High: 1, Total: 2}) {
		t.Fatalf("the inventory is %v, with alerts %+v", got, all.Data[1].Alerts)
	}
	bucket, web, prod := all.Data[0].ID, all.Data[1].ID, all.Data[2].ID
	v := call[api.AssetView](r, "GET", "/api/v1/assets/"+string(apart.Data[0].ID), "", 200) // as it was called before
	if v.ID != web || v.Name != "web" || v.Region != "eu" || string(v.Attributes) != `{"cloud":{"image":"x"}}` || len(v.Sources) != 2 {
		t.Errorf("the host is now %+v", v.Node)
	}
	if len(v.LastAlerts) != 2 || len(v.LastFindings) != 2 || v.LastFindings[0].AssetID != "host-7" || len(v.Edges) != 2 || v.MoreEdges {
		t.Errorf("around it are the alerts %v, findings %v, edges %v", v.LastAlerts, v.LastFindings, v.Edges)
	}
	alert := call[api.AlertView](r, "GET", "/api/v1/alerts/"+string(v.LastAlerts[0].ID), "", 200)
	if alert.AssetNode != web {
		t.Errorf("the alert is about %q, want %q", alert.AssetNode, web)
	}
	r.lists(t, web, bucket)

	b := call[hub.BlastRadius](r, "GET", "/api/v1/graph/blast-radius/"+string(prod), "", 200)
	if len(b.Reached) != 2 || b.Reached[1].ID != bucket || b.Reached[1].Hops != 2 || b.Reached[1].Path[1] != (hub.Step{From: web, Kind: "can_access", To: bucket}) ||
		*b.Alerts != (hub.SeverityCounts{Critical: 1, High: 1, Low: 1, Total: 3}) || !b.CrownJewel || b.Truncated {
		t.Errorf("the blast radius of the account is %+v", b)
	}
	near := call[hub.BlastRadius](r, "GET", "/api/v1/graph/blast-radius/"+string(prod)+"?depth=1", "", 200)
	if len(near.Reached) != 1 || near.CrownJewel {
		t.Errorf("one hop from the account is %+v", near)
	}
	if n, details := r.entries("inventory.report"); n != 3 || details != `{"changed":1,"edges":0,"edges_changed":0,"merged":1,"new":0,"nodes":1}` {
		t.Errorf("three pages made %d audit entries, the last %s", n, details)
	}
	if _, body := r.do("GET", "/metrics", testKey, ""); !strings.Contains(body, `tocsin_inventory_nodes{kind="asset"} 2`) || !strings.Contains(body, `tocsin_inventory_nodes{kind="account"} 1`) {
		t.Error("the metrics do not tell of 2 assets and an account")
	}
	call[any](r, "GET", "/api/v1/assets/ast_none", "", 404)
	call[any](r, "GET", "/api/v1/graph/blast-radius/ast_none", "", 404)
}

// lists pages through assets and edges.
func (r *running) lists(t *testing.T, web, bucket hub.AssetID) {
	t.Helper()
	var walked []string
	for after := ""; ; {
		p := call[assetPage[api.AssetItem]](r, "GET", "/api/v1/assets?limit=2&after="+after, "", 200)
		walked = append(walked, assetNames(p.Data)...)
		if p.Next == nil {
			break
		}
		after = *p.Next
	}
	if !slices.Equal(walked, []string{"customers", "web", "Production"}) {
		t.Errorf("walking the list gives %v", walked)
	}
	if p := call[assetPage[hub.GraphNode]](r, "GET", "/api/v1/graph/nodes?page=2&limit=1&min_risk=40", "", 200); *p.Total != 2 || len(p.Data) != 1 || p.Data[0].ID != web {
		t.Errorf("the second node with a risk of 40 is %+v", p.Data)
	}
	edges := call[assetPage[hub.Edge]](r, "GET", "/api/v1/graph/edges?page=1", "", 200)
	if *edges.Total != 2 {
		t.Errorf("there are %d edges, want 2: one goes nowhere", *edges.Total)
	}
	one := call[assetPage[hub.Edge]](r, "GET", "/api/v1/graph/edges?limit=1", "", 200)
	two := call[assetPage[hub.Edge]](r, "GET", "/api/v1/graph/edges?limit=1&after="+*one.Next, "", 200)
	if len(two.Data) != 1 || two.Data[0] == one.Data[0] || two.Next != nil {
		t.Errorf("walking the edges gives %v, then %v", one, two)
	}
	if p := call[assetPage[hub.Edge]](r, "GET", "/api/v1/graph/edges?to="+string(bucket), "", 200); len(p.Data) != 1 || p.Data[0].From != web || p.Data[0].FromKey != "i-1" || p.Data[0].Source != "cloud" {
		t.Errorf("to the bucket go %+v", p.Data)
	}
	call[any](r, "GET", "/api/v1/graph/edges?after="+string(*one.Next)+"x", "", 400)
}

// Who may not read alerts sees none in the inventory.
func TestInventoryWithoutAlerts(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	r.tell("cloud", connectors.Page{Nodes: []hub.NodeReport{account("a"), account("b")}, Edges: []hub.EdgeReport{{From: "a", To: "b", Kind: "contains"}}}, "c")
	call[any](r, "POST", "/api/v1/findings?wait=true", `{"type":"malware","asset_id":"b","severity":"high"}`, 200)
	inv, p := &inventory{r.st}, hub.Principal{Tenant: hub.DefaultTenant, Permissions: []string{"assets:read"}}
	ids := map[string]hub.AssetID{}
	if err := r.st.View(t.Context(), func(rd *store.Reader) (err error) {
		ids, err = rd.NodesByKey(hub.DefaultTenant, []string{"a", "b"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, may := range []bool{false, true} {
		if may {
			p.Permissions = append(p.Permissions, "alerts:read", "findings:read")
		}
		v, err := inv.Asset(t.Context(), p, ids["b"])
		if err != nil {
			t.Fatal(err)
		}
		b, err := inv.BlastRadius(t.Context(), p, ids["a"], 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := []bool{v.Alerts != nil, v.LastAlerts != nil, v.LastFindings != nil, b.Alerts != nil, b.Reached[0].Alerts != nil}; slices.Contains(got, !may) {
			t.Errorf("with the permissions %v it sees %v", p.Permissions, got)
		}
	}
}

// A report is of now at the latest, whatever the source's clock says.
func TestReportsFromTheFuture(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	ahead := account("a")
	ahead.SeenAt, ahead.Name = time.Now().Add(24*time.Hour), "before"
	r.tell("cloud", connectors.Page{Nodes: []hub.NodeReport{ahead}}, "c1")
	later := account("a")
	later.Name = "after"
	r.tell("cloud", connectors.Page{Nodes: []hub.NodeReport{later}}, "c2")
	if got := assetNames(call[assetPage[api.AssetItem]](r, "GET", "/api/v1/assets", "", 200).Data); !slices.Equal(got, []string{"after"}) {
		t.Errorf("the name is %v, want that of the second report", got)
	}
}

// A connector's pull fills the inventory.
func TestInventoryOfAConnector(t *testing.T) {
	far := httptest.NewServer(vigilare.New(vigilare.Options{Options: unkind.Options{Seed: 1}}))
	t.Cleanup(far.Close)
	r := start(t, load(t, t.TempDir(), fmt.Sprintf("connectors: [{name: vigilare, kind: vigilare, base_url: '%s', email: %s, password: %s, interval: 5s}]",
		far.URL, vigilare.DefaultEmail, vigilare.DefaultPassword)), withKey)
	deadline := time.Now().Add(20 * time.Second)
	var list assetPage[api.AssetItem]
	for time.Now().Before(deadline) && len(list.Data) == 0 {
		list = call[assetPage[api.AssetItem]](r, "GET", "/api/v1/assets?kind=account&q="+vigilare.DefaultAccount, "", 200)
	}
	if len(list.Data) != 1 || list.Data[0].RiskScore == nil || !slices.Contains(list.Data[0].Keys, "arn:aws:iam::"+vigilare.DefaultAccount+":root") {
		t.Fatalf("of the account there is %+v", list.Data)
	}
	edges := call[assetPage[hub.Edge]](r, "GET", "/api/v1/graph/edges?to="+string(list.Data[0].ID), "", 200)
	if len(edges.Data) != 1 || edges.Data[0].Kind != "monitors" || edges.Data[0].Source != "vigilare" {
		t.Errorf("to the account go %+v", edges.Data)
	}
}
