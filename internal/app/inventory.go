package app

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// maxBlast is how many things a blast radius tells of.
	maxBlast = 5000

	shownAssetAlerts = 50
	shownAssetEdges  = 200
	// An asset's findings are the newest few of each of its last alerts.
	assetFindingsOf    = 20
	assetFindingsEach  = 5
	shownAssetFindings = 50
)

// reported makes what a page says of the inventory ready to be stored; nil if it
// says nothing. No report is of a later time than now: the clock of a source that
// is ahead would else keep out what it says when it is put right.
func reported(t hub.TenantID, source string, pg connectors.Page, now time.Time) (*store.Inventory, error) {
	if len(pg.Nodes)+len(pg.Edges) == 0 {
		return nil, nil
	}
	nodes, edges := make([]hub.NodeReport, len(pg.Nodes)), make([]hub.EdgeReport, len(pg.Edges))
	for i, n := range pg.Nodes {
		nodes[i] = n
		nodes[i].SeenAt = notAfter(n.SeenAt, now)
	}
	for i, e := range pg.Edges {
		edges[i] = e
		edges[i].SeenAt = notAfter(e.SeenAt, now)
	}
	return store.NewInventory(t, source, nodes, edges)
}

func notAfter(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// putInventory stores what a source said, with one audit entry for all of it.
func putInventory(tx *store.Tx, p hub.Principal, inv *store.Inventory) error {
	c, err := tx.PutInventory(inv)
	if err != nil {
		return err
	}
	nodes, edges := inv.Size()
	e := hub.Audited(p, "inventory.report", "connector", p.ID)
	e.Details = new(hub.Details).Int("changed", int64(c.Changed)).Int("edges", int64(edges)).Int("edges_changed", int64(c.Edges)).
		Int("merged", int64(c.Merged)).Int("new", int64(c.New)).Int("nodes", int64(nodes)).Value()
	tx.Audit(e)
	return nil
}

// inventory shows what the sources say there is.
type inventory struct{ st *store.Store }

var _ api.Inventory = (*inventory)(nil)

// newInventory shows the inventory, its size in the metrics too.
func newInventory(st *store.Store, reg prometheus.Registerer) *inventory {
	reg.MustRegister(&inventorySize{st: st, desc: prometheus.NewDesc("tocsin_inventory_nodes", "Entries of the inventory that are not gone, by kind.", []string{"kind"}, nil)})
	return &inventory{st}
}

// Assets shows entries, the last found first.
func (i *inventory) Assets(ctx context.Context, p hub.Principal, f *hub.NodeFilter, pg page.Request) (api.List[api.AssetItem], error) {
	return nodePage(ctx, i.st, p.Tenant, f, pg, func(r *store.Reader, before hub.AssetID) ([]api.AssetItem, error) {
		nodes, err := r.Nodes(p.Tenant, f, before, pg.Skip(), pg.Limit+1)
		if err != nil {
			return nil, err
		}
		return assetItems(r, p, nodes)
	}, func(a api.AssetItem) hub.AssetID { return a.ID })
}

// Nodes is Assets in short.
func (i *inventory) Nodes(ctx context.Context, t hub.TenantID, f *hub.NodeFilter, pg page.Request) (api.List[hub.GraphNode], error) {
	return nodePage(ctx, i.st, t, f, pg, func(r *store.Reader, before hub.AssetID) ([]hub.GraphNode, error) {
		return r.GraphNodes(t, f, before, pg.Skip(), pg.Limit+1)
	}, func(n hub.GraphNode) hub.AssetID { return n.ID })
}

// nodePage gives a part of a list of nodes; rows reads one more than it has.
func nodePage[T any](ctx context.Context, st *store.Store, t hub.TenantID, f *hub.NodeFilter, pg page.Request,
	rows func(*store.Reader, hub.AssetID) ([]T, error), id func(T) hub.AssetID,
) (api.List[T], error) {
	var out api.List[T]
	before, err := page.Decode("assets", pg.After)
	if err != nil {
		return out, err
	}
	err = st.View(ctx, func(r *store.Reader) (err error) {
		if out.Data, err = rows(r, hub.AssetID(before)); err == nil && pg.Page > 0 {
			out.Total = new(int64(0))
			*out.Total, err = r.CountNodes(t, f)
		}
		return err
	})
	if len(out.Data) > pg.Limit {
		out.Data = out.Data[:pg.Limit]
		out.Next = page.Encode("assets", string(id(out.Data[pg.Limit-1])))
	}
	return out, err
}

// assetItems gives nodes as lists show them.
func assetItems(r *store.Reader, p hub.Principal, nodes []*hub.Node) ([]api.AssetItem, error) {
	items, ids := make([]api.AssetItem, len(nodes)), make([]hub.AssetID, len(nodes))
	for i, n := range nodes {
		n.Attributes = nil
		items[i], ids[i] = api.AssetItem{Node: n, CrownJewel: n.IsCrownJewel()}, n.ID
	}
	if !p.Can("alerts:read") {
		return items, nil
	}
	counts, err := r.ActiveAlerts(p.Tenant, ids)
	for i, id := range ids {
		if items[i].Alerts = counts[id]; counts[id] == nil {
			items[i].Alerts = new(hub.SeverityCounts)
		}
	}
	return items, err
}

// Asset shows one entry with what is known around it.
func (i *inventory) Asset(ctx context.Context, p hub.Principal, id hub.AssetID) (v *api.AssetView, err error) {
	err = i.st.View(ctx, func(r *store.Reader) error {
		n, err := r.Node(p.Tenant, id)
		if err != nil {
			return err
		}
		attributes := n.Attributes
		items, err := assetItems(r, p, []*hub.Node{n})
		if err != nil {
			return err
		}
		v = &api.AssetView{AssetItem: items[0], Edges: []hub.Edge{}}
		v.Attributes = attributes
		if err := around(r, p, v); err != nil {
			return err
		}
		rows, err := r.Edges(p.Tenant, &hub.EdgeFilter{Node: n.ID}, "", 0, shownAssetEdges+1)
		v.MoreEdges = len(rows) > shownAssetEdges
		for _, row := range rows[:min(len(rows), shownAssetEdges)] {
			v.Edges = append(v.Edges, row.Edge)
		}
		return err
	})
	return v, err
}

// around adds the last alerts and their findings, as far as p may read them.
func around(r *store.Reader, p hub.Principal, v *api.AssetView) error {
	if !p.Can("alerts:read") {
		return nil
	}
	rows, err := r.NodeAlerts(p.Tenant, v.ID, shownAssetAlerts)
	if err != nil {
		return err
	}
	var ids []hub.AlertID
	for _, row := range rows {
		v.LastAlerts, ids = append(v.LastAlerts, row.Alert), append(ids, row.ID)
	}
	if !p.Can("findings:read") {
		return nil
	}
	found, err := r.NewestFindings(p.Tenant, ids[:min(len(ids), assetFindingsOf)], assetFindingsEach)
	if err != nil {
		return err
	}
	v.LastFindings, err = findingViews(found[:min(len(found), shownAssetFindings)])
	return err
}

// Edges shows edges between what is there.
func (i *inventory) Edges(ctx context.Context, t hub.TenantID, f *hub.EdgeFilter, pg page.Request) (api.List[hub.Edge], error) {
	var out api.List[hub.Edge]
	after, err := page.Decode("edges", pg.After)
	if err != nil {
		return out, err
	}
	var rows []store.EdgeRow
	err = i.st.View(ctx, func(r *store.Reader) (err error) {
		if rows, err = r.Edges(t, f, after, pg.Skip(), pg.Limit+1); err == nil && pg.Page > 0 {
			out.Total = new(int64(0))
			*out.Total, err = r.CountEdges(t, f)
		}
		return err
	})
	if len(rows) > pg.Limit {
		rows = rows[:pg.Limit]
		out.Next = page.Encode("edges", rows[pg.Limit-1].ID)
	}
	for _, row := range rows {
		out.Data = append(out.Data, row.Edge)
	}
	return out, err
}

// BlastRadius shows how far an attack can go.
func (i *inventory) BlastRadius(ctx context.Context, p hub.Principal, id hub.AssetID, depth int) (b *hub.BlastRadius, err error) {
	err = i.st.View(ctx, func(r *store.Reader) (err error) {
		b, err = r.BlastRadius(p.Tenant, id, depth, maxBlast)
		return err
	})
	if err == nil && !p.Can("alerts:read") {
		b.Alerts = nil
		for n := range b.Reached {
			b.Reached[n].Alerts = nil
		}
	}
	return b, err
}

// An inventorySize is the metric of how large the inventory is. It is counted
// when it is asked for, but not more often than makes sense.
type inventorySize struct {
	st   *store.Store
	desc *prometheus.Desc

	mu     sync.Mutex // guards what follows
	at     time.Time
	counts map[hub.NodeKind]int64
}

// countEvery is how old a count may be that is shown.
const countEvery = 30 * time.Second

// Describe implements [prometheus.Collector].
func (s *inventorySize) Describe(ch chan<- *prometheus.Desc) { ch <- s.desc }

// Collect implements [prometheus.Collector].
func (s *inventorySize) Collect(ch chan<- prometheus.Metric) {
	for kind, n := range s.count() {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), string(kind))
	}
}

func (s *inventorySize) count() map[hub.NodeKind]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < countEvery {
		return s.counts
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		s.counts, err = r.NodeKinds()
		return err
	})
	if err != nil {
		return nil // the metric is missing until the store can be read again
	}
	s.at = time.Now()
	return s.counts
}
