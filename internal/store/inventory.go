package store

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

var (
	nodesTable = &table{"inv_nodes", []string{
		"tenant", "id", "kind", "type", "provider", "account", "region", "name", "risk", "gone", "jewel", "search",
	}}
	keysTable  = &table{"inv_keys", []string{"tenant", "key", "node"}}
	wordsTable = &table{"inv_words", []string{"tenant", "source", "key", "node", "first_seen", "seen_at", "live_at", "gone", "doc"}}
)

// ofTenant says whose rows are wanted where ids are looked up, so that no index
// is taken by it: see the migration.
const ofTenant = "tenant || '' = $1"

// An Inventory is what a source reports, made ready outside of the transaction
// that takes it. It does not change.
type Inventory struct {
	tenant hub.TenantID
	source string
	nodes  []toldNode
	edges  []toldEdge
}

// A toldNode is what was reported under one first key.
type toldNode struct {
	word hub.NodeWord
	keys []string // the first among them
}

// NewInventory makes reports of a source ready. One without a key is of nothing,
// and left out.
func NewInventory(tenant hub.TenantID, source string, nodes []hub.NodeReport, edges []hub.EdgeReport) (*Inventory, error) {
	inv := &Inventory{tenant: tenant, source: source, nodes: make([]toldNode, 0, len(nodes)), edges: readEdges(tenant, source, edges)}
	places := make(map[string]int, len(nodes))
	for i := range nodes {
		keys := keysIn(&nodes[i])
		if len(keys) == 0 {
			continue
		}
		w, err := hub.WordOf(source, keys[0], &nodes[i])
		if err != nil {
			return nil, err
		}
		if at, before := places[keys[0]]; before {
			inv.nodes[at].word.Add(w)
			inv.nodes[at].keys = append(inv.nodes[at].keys, keys[1:]...)
			continue
		}
		places[keys[0]] = len(inv.nodes)
		inv.nodes = append(inv.nodes, toldNode{w, keys})
	}
	return inv, nil
}

// Size tells of how many nodes and edges it is.
func (inv *Inventory) Size() (nodes, edges int) { return len(inv.nodes), len(inv.edges) }

func keysIn(r *hub.NodeReport) []string {
	keys := make([]string, 0, len(r.Keys))
	for _, text := range r.Keys {
		if key := hub.NodeKey(text); key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// An InventoryChange counts what reports did to the inventory.
type InventoryChange struct {
	New     int // nodes that were not known
	Changed int // nodes of which something else is known now
	Merged  int // nodes that turned out to be another
	Edges   int // edges that are new, gone or back
}

// nodeValues are in the order of nodesTable.
func nodeValues(n *hub.Node) []any {
	return []any{
		string(n.Tenant), string(n.ID), string(n.Kind), n.Type, n.Provider, n.Account, n.Region, n.Name, n.RiskScore,
		n.Gone, n.IsCrownJewel(), searchText(n),
	}
}

// maxSearch is how much text of a node is looked in, in bytes.
const maxSearch = 8 << 10

// searchText is what a query of words looks in.
func searchText(n *hub.Node) string {
	parts := []string{string(n.ID), n.Name, n.Type, n.Account}
	parts = append(parts, n.Keys...)
	parts = append(parts, sortedTags(n.Tags)...)
	text := strings.ReplaceAll(strings.ToLower(strings.Join(parts, "\n")), "\x00", "")
	return text[:min(len(text), maxSearch)]
}

func sortedTags(tags map[string]string) []string {
	all := make([]string, 0, len(tags))
	for name, value := range tags {
		all = append(all, name+"="+value)
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

func anys[T ~string](all []T) []any {
	out := make([]any, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}
