package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

var edgesTable = &table{"inv_edges", []string{"tenant", "id", "source", "kind", "from_key", "to_key", "seen_at", "gone"}}

// maxEdgeKind is how long the kind of an edge is at most, in bytes.
const maxEdgeKind = 200

// edgeID names what a source says of two keys.
func edgeID(tenant hub.TenantID, source, kind, from, to string) string {
	h := sha256.New()
	for _, part := range []string{string(tenant), source, kind, from, to} {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// A toldEdge is what was reported of one edge.
type toldEdge struct {
	id, kind, from, to string
	edgeState
}

// An edgeState is what was said last of an edge.
type edgeState struct {
	at   int64
	gone bool
}

// add adds another report, and tells whether it changes anything. Of two of one
// time, the one that does not say gone counts.
func (e *edgeState) add(o edgeState) bool {
	if o.at < e.at || o.at == e.at && (o.gone || !e.gone) {
		return false
	}
	*e = o
	return true
}

// readEdges puts the reports of each edge together.
func readEdges(tenant hub.TenantID, source string, reports []hub.EdgeReport) []toldEdge {
	edges, places := make([]toldEdge, 0, len(reports)), make(map[string]int, len(reports))
	for i := range reports {
		r := &reports[i]
		from, to, kind := hub.NodeKey(r.From), hub.NodeKey(r.To), strings.ToValidUTF8(r.Kind[:min(len(r.Kind), maxEdgeKind)], "")
		if from == "" || to == "" {
			continue
		}
		id, state := edgeID(tenant, source, kind, from, to), edgeState{hub.Micros(r.SeenAt), r.Gone}
		if at, before := places[id]; before {
			edges[at].add(state)
			continue
		}
		places[id] = len(edges)
		edges = append(edges, toldEdge{id, kind, from, to, state})
	}
	return edges
}

// putEdges stores edges, and tells how many are new, gone or back. Most were only
// seen again, many at one time.
func (tx *Tx) putEdges(tenant hub.TenantID, source string, edges []toldEdge) (changed int, err error) {
	ids := make([]any, len(edges))
	for i := range edges {
		ids[i] = edges[i].id
	}
	before := make(map[string]edgeState, len(ids))
	err = queryIn(&tx.Reader, "SELECT id, seen_at, gone FROM inv_edges WHERE tenant = $1 AND id IN (?)", []any{string(tenant)}, ids, func(v []any) error {
		before[v[0].(string)] = edgeState{v[1].(int64), v[2].(int64) != 0}
		return nil
	})
	if err != nil {
		return 0, err
	}
	moved := map[edgeState][]any{}
	for i := range edges {
		e := &edges[i]
		now, known := before[e.id]
		was := now
		switch {
		case !known:
			changed++
			tx.appendRow(edgesTable, string(tenant), e.id, source, e.kind, e.from, e.to, e.at, e.gone)
		case now.add(e.edgeState):
			moved[now] = append(moved[now], e.id)
			if now.gone != was.gone {
				changed++
			}
		}
	}
	for s, ids := range moved {
		if _, err := execIn(tx, "UPDATE inv_edges SET seen_at = $2, gone = $3 WHERE tenant = $1 AND id IN (?)", []any{string(tenant), s.at, s.gone}, ids); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// An EdgeRow is an edge in a list with its place: lists go by ID upwards, which
// means nothing otherwise.
type EdgeRow struct {
	hub.Edge
	ID string
}

// edgesFrom joins edges with the nodes at their ends. The order of the tables is
// the order in which they are looked in.
const edgesFrom = `FROM inv_edges e CROSS JOIN inv_keys f CROSS JOIN inv_keys t CROSS JOIN inv_nodes fn CROSS JOIN inv_nodes tn
	WHERE f.tenant = e.tenant AND f.key = e.from_key AND t.tenant = e.tenant AND t.key = e.to_key AND fn.tenant = e.tenant AND fn.id = f.node AND fn.gone = 0
	AND tn.tenant = e.tenant AND tn.id = t.node AND tn.gone = 0 AND e.gone = 0 AND `

// Edges gives up to limit edges behind the place after ("": from the start),
// after leaving out skip of them. Edges that are gone, or an end of which is gone
// or not known, are not told.
func (r *Reader) Edges(tenant hub.TenantID, f *hub.EdgeFilter, after string, skip, limit int) ([]EdgeRow, error) {
	c, err := r.edgeCondition(tenant, f)
	if err != nil || c == nil {
		return nil, err
	}
	if after != "" {
		c.add("e.id > ?", after)
	}
	c.args = append(c.args, int64(limit), int64(skip))
	var rows []EdgeRow
	err = r.q.Query(fmt.Sprintf("SELECT e.id, f.node, t.node, e.kind, e.source, e.seen_at, e.from_key, e.to_key %s%s ORDER BY e.id LIMIT $%d OFFSET $%d",
		edgesFrom, c.text(), len(c.args)-1, len(c.args)), c.args, func(v []any) error {
		rows = append(rows, EdgeRow{ID: v[0].(string), Edge: hub.Edge{
			From: hub.AssetID(v[1].(string)), To: hub.AssetID(v[2].(string)), Kind: v[3].(string), Source: v[4].(string),
			SeenAt: hub.FromMicros(v[5].(int64)), FromKey: v[6].(string), ToKey: v[7].(string),
		}})
		return nil
	})
	return rows, err
}

// CountEdges counts the edges that f takes.
func (r *Reader) CountEdges(tenant hub.TenantID, f *hub.EdgeFilter) (int64, error) {
	c, err := r.edgeCondition(tenant, f)
	if err != nil || c == nil {
		return 0, err
	}
	n := int64(0)
	_, err = r.one("SELECT count(*) "+edgesFrom+c.text(), c.args, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

// edgeCondition gives the conditions of f; nil if it takes nothing.
func (r *Reader) edgeCondition(tenant hub.TenantID, f *hub.EdgeFilter) (*condition, error) {
	c := new(condition)
	c.add("e.tenant = ?", string(tenant))
	c.in("e.kind", f.Kind)
	c.in("e.source", f.Source)
	for _, end := range []struct {
		id      hub.AssetID
		columns []string
	}{
		{f.From, []string{"e.from_key"}},
		{f.To, []string{"e.to_key"}},
		{f.Node, []string{"e.from_key", "e.to_key"}},
	} {
		if end.id == "" {
			continue
		}
		keys, err := r.keysOf(tenant, end.id)
		if err != nil || len(keys) == 0 {
			return nil, err
		}
		c.inAny(end.columns, keys)
	}
	return c, nil
}

// keysOf gives the keys of a node by the id that it has or had; none for an id
// that never was.
func (r *Reader) keysOf(tenant hub.TenantID, id hub.AssetID) ([]string, error) {
	id, err := r.NodeID(tenant, id)
	if hub.KindOf(err) == hub.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := r.NodeKeys(tenant, []hub.AssetID{id})
	return keys[id], err
}

// inAny demands that one of the columns has one of the values.
func (c *condition) inAny(columns []string, values []string) {
	var parts condition
	parts.args = c.args
	for _, column := range columns {
		parts.in(column, values)
	}
	c.args = parts.args
	c.where = append(c.where, "("+strings.Join(parts.where, " OR ")+")")
}
