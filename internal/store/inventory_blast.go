package store

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tocsin/tocsin/hub"
)

// maxOut is how many connections are looked at of a few nodes at a time. What has
// more is cut short, and said to be.
const maxOut = 50_000

// outQuery gives the nodes that can be got to from some others in one hop.
const outQuery = `SELECT f.node, t.node, min(e.kind)
	FROM inv_keys f CROSS JOIN inv_edges e CROSS JOIN inv_keys t CROSS JOIN inv_nodes n
	WHERE f.tenant = $1 AND f.node IN (?) AND e.tenant = f.tenant AND e.from_key = f.key AND e.gone = 0 AND t.tenant = e.tenant AND t.key = e.to_key
	AND n.tenant = t.tenant AND n.id = t.node AND n.gone = 0
	GROUP BY f.node, t.node ORDER BY f.node, t.node LIMIT $2`

// BlastRadius follows the edges from a node, breadth first, up to depth hops and
// limit nodes. It asks a few times a hop, not a node, so that it may be called
// inside a transaction too, as when a playbook wants to know.
func (r *Reader) BlastRadius(tenant hub.TenantID, id hub.AssetID, depth, limit int) (*hub.BlastRadius, error) {
	id, err := r.NodeID(tenant, id)
	if err != nil {
		return nil, err
	}
	b := &blast{r: r, tenant: tenant, limit: limit, steps: map[hub.AssetID]hub.Step{id: {}}}
	for frontier := []hub.AssetID{id}; len(frontier) > 0 && len(b.hops) < depth && !b.truncated; {
		if frontier, err = b.hop(frontier); err != nil {
			return nil, err
		}
		b.hops = append(b.hops, frontier)
	}
	out := &hub.BlastRadius{Depth: depth, Truncated: b.truncated, Alerts: new(hub.SeverityCounts), Reached: []hub.Reached{}, CrownJewels: []hub.AssetID{}}
	return out, b.describe(out, id)
}

// A blast is the work on one blast radius.
type blast struct {
	r         *Reader
	tenant    hub.TenantID
	limit     int
	hops      [][]hub.AssetID          // what each hop reached, by id
	steps     map[hub.AssetID]hub.Step // by which a node was first reached
	truncated bool
}

// hop gives what the nodes of frontier, which are in order, lead to for the first
// time, in order.
func (b *blast) hop(frontier []hub.AssetID) ([]hub.AssetID, error) {
	found := map[hub.AssetID]hub.Step{}
	for len(frontier) > 0 {
		n, rows := min(inSize(len(frontier)), len(frontier)), 0 // as many as one query takes
		part := frontier[:n]
		frontier = frontier[n:]
		err := queryIn(b.r, outQuery, []any{string(b.tenant), int64(maxOut)}, anys(part), func(v []any) error {
			rows++
			s := hub.Step{From: hub.AssetID(v[0].(string)), To: hub.AssetID(v[1].(string)), Kind: v[2].(string)}
			if _, before := b.steps[s.To]; before {
				return nil
			}
			if _, before := found[s.To]; !before { // the first is from the smallest id
				found[s.To] = s
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		b.truncated = b.truncated || rows >= maxOut
	}
	next := slices.Sorted(maps.Keys(found))
	if room := b.limit - (len(b.steps) - 1); len(next) > room {
		next, b.truncated = next[:room], true
	}
	for _, id := range next {
		b.steps[id] = found[id]
	}
	return next, nil
}

// describe fills in what is known of the nodes reached.
func (b *blast) describe(out *hub.BlastRadius, root hub.AssetID) error {
	all := append([]hub.AssetID{root}, slices.Concat(b.hops...)...)
	nodes, err := b.r.graphNodes(b.tenant, all)
	if err != nil {
		return err
	}
	alerts, err := b.r.ActiveAlerts(b.tenant, all[1:])
	if err != nil {
		return err
	}
	out.Root = nodes[root]
	if out.Root.CrownJewel {
		out.CrownJewels = append(out.CrownJewels, root)
	}
	for i, ids := range b.hops {
		for _, id := range ids {
			reached := hub.Reached{GraphNode: nodes[id], Hops: i + 1, Path: b.path(id, i+1), Alerts: alerts[id]}
			out.Reached = append(out.Reached, reached)
			if reached.CrownJewel {
				out.CrownJewels = append(out.CrownJewels, id)
			}
			if c := alerts[id]; c != nil {
				out.Alerts.Merge(*c)
			}
		}
	}
	out.CrownJewel = len(out.CrownJewels) > 0
	return nil
}

// path gives the way to a node that is so many hops away.
func (b *blast) path(id hub.AssetID, hops int) []hub.Step {
	path := make([]hub.Step, hops)
	for i := hops - 1; i >= 0; i-- {
		path[i] = b.steps[id]
		id = path[i].From
	}
	return path
}

func (r *Reader) graphNodes(tenant hub.TenantID, ids []hub.AssetID) (map[hub.AssetID]hub.GraphNode, error) {
	all := make(map[hub.AssetID]hub.GraphNode, len(ids))
	err := queryIn(r, graphQuery+" WHERE "+ofTenant+" AND id IN (?)", []any{string(tenant)}, anys(ids), func(v []any) error {
		n := graphRow(v)
		all[n.ID] = n
		return nil
	})
	return all, err
}

// alertsOfNode joins alerts with the nodes that they are about. The beginning of
// asset_id is what the index has.
const alertsOfNode = `FROM inv_keys k CROSS JOIN alerts a WHERE k.tenant = $1 AND k.node IN (?) AND a.tenant = k.tenant
	AND substr(a.asset_id, 1, 256) = substr(k.key, 1, 256) AND a.asset_id = k.key`

// ActiveAlerts counts the alerts on nodes that are open or being worked on; a
// node without is left out.
func (r *Reader) ActiveAlerts(tenant hub.TenantID, ids []hub.AssetID) (map[hub.AssetID]*hub.SeverityCounts, error) {
	counts := map[hub.AssetID]*hub.SeverityCounts{}
	err := queryIn(r, "SELECT k.node, a.severity, count(*) "+alertsOfNode+" AND a.status IN ('open', 'investigating') GROUP BY k.node, a.severity",
		[]any{string(tenant)}, anys(ids), func(v []any) error {
			id := hub.AssetID(v[0].(string))
			if counts[id] == nil {
				counts[id] = new(hub.SeverityCounts)
			}
			counts[id].Add(hub.Severity(v[1].(string)), v[2].(int64))
			return nil
		})
	return counts, err
}

// NodeAlerts gives up to limit alerts on a node, the last changed first.
func (r *Reader) NodeAlerts(tenant hub.TenantID, id hub.AssetID, limit int) ([]AlertRow, error) {
	var rows []AlertRow
	err := queryIn(r, "SELECT a.changed, a.doc "+alertsOfNode+" ORDER BY a.changed DESC LIMIT $2", []any{string(tenant), int64(limit)}, []any{string(id)}, func(v []any) error {
		a := new(hub.Alert)
		rows = append(rows, AlertRow{a, v[0].(int64)})
		return decode(bytesOf(v[1]), a)
	})
	return rows, err
}

// NewestFindings gives the findings that made the last changes of alerts: up to
// limit of each, the newest first.
func (r *Reader) NewestFindings(tenant hub.TenantID, alerts []hub.AlertID, limit int) ([]FindingRow, error) {
	var ids []hub.FindingID
	for _, alert := range alerts {
		own := len(ids)
		err := r.q.Query("SELECT doc FROM alert_changes WHERE alert_id = $1 AND tenant = $2 ORDER BY version DESC LIMIT $3", []any{string(alert), string(tenant), int64(limit)}, func(v []any) error {
			var c hub.Change
			err := decode(bytesOf(v[0]), &c)
			if room := limit - (len(ids) - own); room > 0 {
				ids = append(ids, c.Findings[max(0, len(c.Findings)-room):]...)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	rows, err := r.FindingsByID(tenant, ids)
	slices.SortFunc(rows, func(a, b FindingRow) int { return cmp.Compare(b.N, a.N) })
	return rows, err
}
