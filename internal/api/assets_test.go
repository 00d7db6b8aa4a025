package api

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// fakeInventory remembers what it was asked.
type fakeInventory struct {
	nodes *hub.NodeFilter
	edges *hub.EdgeFilter
	pg    page.Request
	id    hub.AssetID
	depth int
}

func (f *fakeInventory) Assets(_ context.Context, _ hub.Principal, nf *hub.NodeFilter, pg page.Request) (List[AssetItem], error) {
	f.nodes, f.pg = nf, pg
	n := &hub.Node{ID: "ast_1", Kind: hub.NodeAsset, Keys: []string{"a"}, Asset: hub.Asset{Name: "web", Tags: map[string]string{"x": "y"}}}
	return List[AssetItem]{Data: []AssetItem{{Node: n, CrownJewel: true}}, Next: "c2"}, nil
}

func (f *fakeInventory) Asset(_ context.Context, _ hub.Principal, id hub.AssetID) (*AssetView, error) {
	f.id = id
	if id != "ast_1" {
		return nil, hub.E(hub.NotFound, "there is no asset")
	}
	return &AssetView{AssetItem: AssetItem{Node: &hub.Node{ID: id}}, Edges: []hub.Edge{}}, nil
}

func (f *fakeInventory) Nodes(_ context.Context, _ hub.TenantID, nf *hub.NodeFilter, pg page.Request) (List[hub.GraphNode], error) {
	f.nodes, f.pg = nf, pg
	return List[hub.GraphNode]{}, nil
}

func (f *fakeInventory) Edges(_ context.Context, _ hub.TenantID, ef *hub.EdgeFilter, pg page.Request) (List[hub.Edge], error) {
	f.edges, f.pg = ef, pg
	return List[hub.Edge]{}, nil
}

func (f *fakeInventory) BlastRadius(_ context.Context, _ hub.Principal, id hub.AssetID, depth int) (*hub.BlastRadius, error) {
	f.id, f.depth = id, depth
	return &hub.BlastRadius{Depth: depth, Reached: []hub.Reached{}, CrownJewels: []hub.AssetID{}}, nil
}

// What is asked for comes through, and what makes no sense is refused.
func TestInventoryParameters(t *testing.T) {
	inv := &fakeInventory{}
	s, _, _ := newServer(t, func(d *Deps) { d.Inventory = inv })
	there := new(false)
	for _, c := range []struct {
		path   string
		status int
		answer string // a part of it
		want   fakeInventory
	}{
		{"/assets", 200, `"has_more":true`, fakeInventory{nodes: &hub.NodeFilter{Gone: there}, pg: page.Request{Limit: 50}}},
		{"/assets", 200, `"name":"web","tags":{"x":"y"}`, fakeInventory{nodes: &hub.NodeFilter{Gone: there}, pg: page.Request{Limit: 50}}},
		{"/assets?kind=asset,user&type=vm&provider=aws&account=1&region=eu&source=a,b&gone=true&min_risk=70.5&q=web+1&limit=7&page=2", 200, `"crown_jewel":true`, fakeInventory{
			nodes: &hub.NodeFilter{
				Kind: []string{"asset", "user"}, Type: []string{"vm"}, Provider: []string{"aws"}, Account: []string{"1"}, Region: []string{"eu"},
				Source: []string{"a", "b"}, Gone: new(true), MinRisk: new(70.5), Query: "web 1",
			}, pg: page.Request{Limit: 7, Page: 2},
		}},
		{"/assets?kind=thing", 400, "kind must be", fakeInventory{}},
		{"/assets?gone=perhaps", 400, "gone must be", fakeInventory{}},
		{"/assets?min_risk=high", 400, "min_risk must be", fakeInventory{}},
		{"/assets?limit=201", 400, "limit must be", fakeInventory{}},
		{"/assets/ast_1", 200, `"edges":[],"more_edges":false`, fakeInventory{id: "ast_1"}},
		{"/assets/ast_2", 404, "there is no asset", fakeInventory{id: "ast_2"}},
		{"/graph/nodes?gone=any", 200, `{"data":[],"next_cursor":null,"has_more":false}`, fakeInventory{nodes: &hub.NodeFilter{}, pg: page.Request{Limit: 50}}},
		{"/graph/nodes?gone=0", 400, "gone must be", fakeInventory{}},
		{"/graph/edges?from=ast_1&to=ast_2&node=ast_3&kind=contains,x&source=s", 200, `"data":[]`, fakeInventory{
			edges: &hub.EdgeFilter{From: "ast_1", To: "ast_2", Node: "ast_3", Kind: []string{"contains", "x"}, Source: []string{"s"}}, pg: page.Request{Limit: 50},
		}},
		{"/graph/edges?page=0", 400, "page must be", fakeInventory{}},
		{"/graph/blast-radius/ast_1", 200, `"depth":3,"reached":[],"truncated":false`, fakeInventory{id: "ast_1", depth: 3}},
		{"/graph/blast-radius/ast_1?depth=10", 200, `"depth":10`, fakeInventory{id: "ast_1", depth: 10}},
		{"/graph/blast-radius/ast_1?depth=11", 400, "depth must be", fakeInventory{}},
		{"/graph/blast-radius/ast_1?depth=0", 400, "depth must be", fakeInventory{}},
		{"/graph/blast-radius/ast_1?depth=x", 400, "depth must be", fakeInventory{}},
	} {
		*inv = fakeInventory{}
		a := do(t, s, "GET", Base+c.path, "viewer", "")
		if a.status != c.status || !strings.Contains(a.body, c.answer) {
			t.Errorf("%s: got %d %s, want %d with %s", c.path, a.status, a.body, c.status, c.answer)
		}
		if diff := cmp.Diff(c.want, *inv, cmp.AllowUnexported(fakeInventory{})); diff != "" {
			t.Errorf("%s was asked for as (-want +got):\n%s", c.path, diff)
		}
	}
}

// The document shows the parts that are put together from others.
func TestInventoryIsDocumented(t *testing.T) {
	s, _, _ := newServer(t, nil)
	var doc struct {
		Paths      map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	a := do(t, s, "GET", Base+"/openapi.json", "", "")
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/assets", "/assets/{id}", "/graph/nodes", "/graph/edges", "/graph/blast-radius/{id}"} {
		if doc.Paths[Base+path] == nil {
			t.Errorf("%s is not in the document", path)
		}
	}
	for schema, fields := range map[string][]string{
		"AssetView":   {"id", "name", "keys", "sources", "crown_jewel", "active_alerts", "alerts", "findings", "edges", "more_edges"},
		"BlastRadius": {"root", "reached", "truncated", "alerts", "crown_jewels"},
		"Reached":     {"id", "name", "hops", "path", "crown_jewel"},
		"AlertView":   {"asset_node"},
	} {
		for _, f := range fields {
			if doc.Components.Schemas[schema].Properties[f] == nil {
				t.Errorf("the schema %s has no %s", schema, f)
			}
		}
	}
}
