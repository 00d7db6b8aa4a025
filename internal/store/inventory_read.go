package store

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

const wordsQuery = "SELECT node, source, key, first_seen, seen_at, live_at, gone, doc FROM inv_words"

func wordRow(v []any) (hub.AssetID, hub.NodeWord) {
	return hub.AssetID(v[0].(string)), hub.NodeWord{
		Source: v[1].(string), Key: v[2].(string), FirstSeen: hub.FromMicros(v[3].(int64)), SeenAt: hub.FromMicros(v[4].(int64)),
		LiveAt: hub.FromMicros(v[5].(int64)), Gone: v[6].(int64) != 0, Doc: bytesOf(v[7]),
	}
}

// nodes puts stored nodes together.
func (r *Reader) nodes(tenant hub.TenantID, ids []hub.AssetID) (map[hub.AssetID]*hub.Node, error) {
	keys, err := r.NodeKeys(tenant, ids)
	if err != nil {
		return nil, err
	}
	words := make(map[hub.AssetID][]hub.NodeWord, len(ids))
	err = queryIn(r, wordsQuery+" WHERE tenant = $1 AND node IN (?)", []any{string(tenant)}, anys(ids), func(v []any) error {
		id, w := wordRow(v)
		words[id] = append(words[id], w)
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make(map[hub.AssetID]*hub.Node, len(words))
	for id, own := range words {
		if all[id], err = hub.NodeOf(tenant, id, keys[id], own); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// NodeKeys gives the keys of nodes.
func (r *Reader) NodeKeys(tenant hub.TenantID, ids []hub.AssetID) (map[hub.AssetID][]string, error) {
	keys := make(map[hub.AssetID][]string, len(ids))
	err := queryIn(r, "SELECT node, key FROM inv_keys WHERE tenant = $1 AND node IN (?)", []any{string(tenant)}, anys(ids), func(v []any) error {
		id := hub.AssetID(v[0].(string))
		keys[id] = append(keys[id], v[1].(string))
		return nil
	})
	return keys, err
}

// NodesByKey gives the nodes that have the keys; those of nothing are left out.
func (r *Reader) NodesByKey(tenant hub.TenantID, keys []string) (map[string]hub.AssetID, error) {
	found := make(map[string]hub.AssetID, len(keys))
	err := queryIn(r, "SELECT key, node FROM inv_keys WHERE tenant = $1 AND key IN (?)", []any{string(tenant)}, anys(keys), func(v []any) error {
		found[v[0].(string)] = hub.AssetID(v[1].(string))
		return nil
	})
	return found, err
}

// NodeID gives the id that a node has now: one that was made part of another
// leads there. An id that never was is not found.
func (r *Reader) NodeID(tenant hub.TenantID, id hub.AssetID) (hub.AssetID, error) {
	now := hub.AssetID("")
	_, err := r.one("SELECT id FROM inv_nodes WHERE tenant = $1 AND id = $2 UNION ALL SELECT node FROM inv_moved WHERE tenant = $1 AND id = $2",
		[]any{string(tenant), string(id)}, func(v []any) error {
			now = hub.AssetID(v[0].(string))
			return nil
		})
	if err == nil && now == "" {
		err = notFound("asset", id)
	}
	return now, err
}

// Node gives one entry of the inventory.
func (r *Reader) Node(tenant hub.TenantID, id hub.AssetID) (*hub.Node, error) {
	id, err := r.NodeID(tenant, id)
	if err != nil {
		return nil, err
	}
	all, err := r.nodes(tenant, []hub.AssetID{id})
	if err == nil && all[id] == nil {
		err = fmt.Errorf("node %s has no words", id)
	}
	return all[id], err
}

const graphQuery = "SELECT id, kind, type, provider, account, region, name, risk, gone, jewel FROM inv_nodes"

func graphRow(v []any) hub.GraphNode {
	n := hub.GraphNode{
		ID: hub.AssetID(v[0].(string)), Kind: hub.NodeKind(v[1].(string)), Type: v[2].(string), Provider: v[3].(string), Account: v[4].(string),
		Region: v[5].(string), Name: v[6].(string), Gone: v[8].(int64) != 0, CrownJewel: v[9].(int64) != 0,
	}
	if risk, ok := v[7].(float64); ok {
		n.RiskScore = &risk
	}
	return n
}

// GraphNodes gives up to limit nodes that f takes with ids below before ("": from
// the newest), the newest first, after leaving out skip of them.
func (r *Reader) GraphNodes(tenant hub.TenantID, f *hub.NodeFilter, before hub.AssetID, skip, limit int) ([]hub.GraphNode, error) {
	c := nodeCondition(tenant, f)
	if before != "" {
		c.add("id < ?", string(before))
	}
	c.args = append(c.args, int64(limit), int64(skip))
	var all []hub.GraphNode
	err := r.q.Query(fmt.Sprintf("%s WHERE %s ORDER BY tenant DESC, id DESC LIMIT $%d OFFSET $%d", graphQuery, c.text(), len(c.args)-1, len(c.args)), c.args, func(v []any) error {
		all = append(all, graphRow(v))
		return nil
	})
	return all, err
}

// Nodes is [Reader.GraphNodes] with all that is known of the nodes.
func (r *Reader) Nodes(tenant hub.TenantID, f *hub.NodeFilter, before hub.AssetID, skip, limit int) ([]*hub.Node, error) {
	rows, err := r.GraphNodes(tenant, f, before, skip, limit)
	if err != nil {
		return nil, err
	}
	ids := make([]hub.AssetID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	found, err := r.nodes(tenant, ids)
	all := make([]*hub.Node, 0, len(ids))
	for _, id := range ids {
		if n := found[id]; n != nil {
			all = append(all, n)
		}
	}
	return all, err
}

// CountNodes counts the nodes that f takes.
func (r *Reader) CountNodes(tenant hub.TenantID, f *hub.NodeFilter) (int64, error) {
	c, n := nodeCondition(tenant, f), int64(0)
	_, err := r.one("SELECT count(*) FROM inv_nodes WHERE "+c.text(), c.args, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

// NodeKinds counts the nodes of all tenants that are not gone, by kind.
func (r *Reader) NodeKinds() (map[hub.NodeKind]int64, error) {
	counts := map[hub.NodeKind]int64{}
	err := r.q.Query("SELECT kind, count(*) FROM inv_nodes WHERE gone = 0 GROUP BY kind", nil, func(v []any) error {
		counts[hub.NodeKind(v[0].(string))] = v[1].(int64)
		return nil
	})
	return counts, err
}

func nodeCondition(tenant hub.TenantID, f *hub.NodeFilter) *condition {
	c := new(condition)
	c.add("tenant = ?", string(tenant))
	if f.Gone != nil {
		c.add("gone = ?", *f.Gone)
	}
	c.in("kind", f.Kind)
	c.in("type", f.Type)
	c.in("provider", f.Provider)
	c.in("account", f.Account)
	c.in("region", f.Region)
	if f.MinRisk != nil {
		c.add("risk >= ?", *f.MinRisk)
	}
	for _, word := range strings.Fields(strings.ReplaceAll(strings.ToLower(f.Query), "\x00", "")) {
		c.add(`search LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(word)+"%")
	}
	if len(f.Source) > 0 {
		c.in("EXISTS (SELECT 1 FROM inv_words w WHERE w.tenant = inv_nodes.tenant AND w.node = inv_nodes.id AND w.source", f.Source)
		c.where[len(c.where)-1] += ")"
	}
	return c
}
