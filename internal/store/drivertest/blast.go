package drivertest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"pgregory.net/rapid"
)

// A drawn is a small graph: nodes n0, n1 …, each with a second key m0, m1 …
type drawn struct {
	nodes   []hub.NodeReport
	edges   []hub.EdgeReport
	sources []string // of each edge
}

func drawGraph(rt *rapid.T) *drawn {
	g, n := new(drawn), rapid.IntRange(1, 9).Draw(rt, "nodes")
	key := func(name string) string {
		return rapid.SampledFrom([]string{"n", "m"}).Draw(rt, "key") + fmt.Sprint(rapid.IntRange(0, n).Draw(rt, name)) // n is of nothing
	}
	for i := range n {
		r := hub.NodeReport{Keys: []string{fmt.Sprint("n", i), fmt.Sprint("m", i)}, SeenAt: when, Gone: rapid.IntRange(0, 7).Draw(rt, "gone") == 0}
		if rapid.IntRange(0, 5).Draw(rt, "jewel") == 0 {
			r.Tags = map[string]string{"crown_jewel": "true"}
		}
		g.nodes = append(g.nodes, r)
	}
	for range rapid.IntRange(0, 3*n).Draw(rt, "edges") {
		g.edges = append(g.edges, hub.EdgeReport{
			From: key("from"), To: key("to"), Kind: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "kind"),
			SeenAt: when.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "at")) * time.Second), Gone: rapid.IntRange(0, 3).Draw(rt, "over") == 0,
		})
		g.sources = append(g.sources, rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "source"))
	}
	return g
}

// store stores the graph in some order, the edges before the nodes or after, and
// gives the ids of the nodes.
func (g *drawn) store(rt *rapid.T, s *store.Store, own hub.TenantID) map[string]hub.AssetID {
	nodes := func() {
		rtDo(rt, s, func(tx *store.Tx) error {
			_, err := putInventory(tx, own, "one", g.nodes, nil)
			return err
		})
	}
	first := rapid.Bool().Draw(rt, "nodes first")
	if first {
		nodes()
	}
	order := make([]int, len(g.edges))
	for i := range order {
		order[i] = i
	}
	order = rapid.Permutation(order).Draw(rt, "order")
	for len(order) > 0 {
		part := order[:rapid.IntRange(1, len(order)).Draw(rt, "part")]
		order = order[len(part):]
		rtDo(rt, s, func(tx *store.Tx) error {
			for _, source := range []string{"one", "two"} {
				var edges []hub.EdgeReport
				for _, i := range part {
					if g.sources[i] == source {
						edges = append(edges, g.edges[i])
					}
				}
				if _, err := putInventory(tx, own, source, nil, edges); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if !first {
		nodes()
	}
	var ids map[string]hub.AssetID
	rtView(rt, s, func(r *store.Reader) (err error) {
		var keys []string
		for _, n := range g.nodes {
			keys = append(keys, n.Keys...)
		}
		ids, err = r.NodesByKey(own, keys)
		return err
	})
	return ids
}

func rtDo(rt *rapid.T, s *store.Store, fn func(*store.Tx) error) {
	if err := s.Do(rt.Context(), fn); err != nil {
		rt.Fatal(err)
	}
}

func rtView(rt *rapid.T, s *store.Store, fn func(*store.Reader) error) {
	if err := s.View(rt.Context(), fn); err != nil {
		rt.Fatal(err)
	}
}

// live gives the edges that hold, as from, kind, to, source.
func (g *drawn) live(ids map[string]hub.AssetID) [][4]string {
	gone := map[hub.AssetID]bool{}
	for _, n := range g.nodes {
		gone[ids[n.Keys[0]]] = n.Gone
	}
	newest := map[[4]string]hub.EdgeReport{}
	for i, e := range g.edges {
		at := [4]string{e.From, e.Kind, e.To, g.sources[i]}
		if old, known := newest[at]; !known || e.SeenAt.After(old.SeenAt) || e.SeenAt.Equal(old.SeenAt) && !e.Gone {
			newest[at] = e
		}
	}
	var all [][4]string
	for at, e := range newest {
		from, to := ids[e.From], ids[e.To]
		if e.Gone || from == "" || to == "" || gone[to] {
			continue
		}
		all = append(all, [4]string{string(from), at[1], string(to), at[3]})
	}
	slices.SortFunc(all, func(a, b [4]string) int { return slices.Compare(a[:], b[:]) })
	return all
}

// Edges and blast radius are what looking at every edge over and over gives.
func testBlast(t *testing.T, k Kit) {
	s, round := k.store(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		own, g := hub.TenantID(fmt.Sprint("t", round)), drawGraph(rt)
		ids := g.store(rt, s, own)
		edges := g.live(ids)
		root, depth, limit := ids["n0"], rapid.IntRange(1, 6).Draw(rt, "depth"), rapid.IntRange(1, 9).Draw(rt, "limit")
		rtView(rt, s, func(r *store.Reader) error {
			got, err := r.BlastRadius(own, root, depth, limit)
			if err != nil {
				return err
			}
			want, truncated := slowBlast(edges, root, depth, limit)
			var paths []string
			for _, x := range got.Reached {
				paths = append(paths, fmt.Sprint(x.ID, x.Hops, x.Path))
			}
			sameRT(rt, "the blast radius", paths, want)
			if got.Truncated != truncated || got.Root.ID != root || got.Depth != depth {
				rt.Errorf("of %s to the depth %d: got %+v, want truncated %v", root, depth, got, truncated)
			}
			checkJewels(rt, g, ids, got)
			checkEdges(rt, r, own, g, ids, edges)
			return nil
		})
	})
}

// slowBlast walks every path that is short enough.
func slowBlast(edges [][4]string, root hub.AssetID, depth, limit int) (all []string, truncated bool) {
	best := map[hub.AssetID][]hub.Step{root: {}}
	hops := [][]hub.AssetID{{root}}
	for range depth {
		next := map[hub.AssetID][]hub.Step{}
		for _, from := range hops[len(hops)-1] { // by id
			for _, e := range edges { // by from, kind, to
				to := hub.AssetID(e[2])
				if _, known := best[to]; e[0] != string(from) || known {
					continue
				}
				if old, known := next[to]; known && (old[len(old)-1].From != from || old[len(old)-1].Kind <= e[1]) {
					continue
				}
				next[to] = append(slices.Clone(best[from]), hub.Step{From: from, Kind: e[1], To: to})
			}
		}
		ids := slices.Sorted(maps.Keys(next))
		if room := limit - len(all); len(ids) > room {
			ids, truncated = ids[:room], true
		}
		for _, id := range ids {
			best[id] = next[id]
			all = append(all, fmt.Sprint(id, len(best[id]), best[id]))
		}
		hops = append(hops, ids)
		if truncated {
			break
		}
	}
	return all, truncated
}

func checkJewels(rt *rapid.T, g *drawn, ids map[string]hub.AssetID, got *hub.BlastRadius) {
	var want []hub.AssetID
	for _, id := range append([]hub.AssetID{got.Root.ID}, reachedIDs(got)...) {
		for _, n := range g.nodes {
			if ids[n.Keys[0]] == id && n.Tags != nil {
				want = append(want, id)
			}
		}
	}
	if !slices.Equal(want, got.CrownJewels) || got.CrownJewel != (len(want) > 0) {
		rt.Errorf("the crown jewels are %v, want %v", got.CrownJewels, want)
	}
}

func reachedIDs(b *hub.BlastRadius) (ids []hub.AssetID) {
	for _, r := range b.Reached {
		ids = append(ids, r.ID)
	}
	return ids
}

// checkEdges compares the lists of edges, by two and filtered, with the graph's.
func checkEdges(rt *rapid.T, r *store.Reader, own hub.TenantID, g *drawn, ids map[string]hub.AssetID, live [][4]string) {
	gone := map[string]bool{}
	for _, n := range g.nodes {
		gone[string(ids[n.Keys[0]])] = n.Gone
	}
	root := ids["n0"]
	for i, c := range []struct {
		f    hub.EdgeFilter
		want func(e [4]string) bool
	}{
		{hub.EdgeFilter{}, func([4]string) bool { return true }},
		{hub.EdgeFilter{From: root}, func(e [4]string) bool { return e[0] == string(root) }},
		{hub.EdgeFilter{To: root, Kind: []string{"b"}}, func(e [4]string) bool { return e[2] == string(root) && e[1] == "b" }},
		{hub.EdgeFilter{Node: root}, func(e [4]string) bool { return e[0] == string(root) || e[2] == string(root) }},
		{hub.EdgeFilter{Source: []string{"two"}}, func(e [4]string) bool { return e[3] == "two" }},
		{hub.EdgeFilter{Node: "ast_none"}, func([4]string) bool { return false }},
	} {
		var want, got [][4]string
		for _, e := range live {
			if !gone[e[0]] && c.want(e) {
				want = append(want, e)
			}
		}
		for after := ""; ; {
			part, err := r.Edges(own, &c.f, after, 0, 2)
			if err != nil {
				rt.Fatal(err)
			}
			for _, e := range part {
				got = append(got, [4]string{string(e.From), e.Kind, string(e.To), e.Source})
				after = e.ID
			}
			if len(part) < 2 {
				break
			}
		}
		slices.SortFunc(got, func(a, b [4]string) int { return slices.Compare(a[:], b[:]) })
		n, err := r.CountEdges(own, &c.f)
		if err != nil || !slices.Equal(got, want) || int(n) != len(want) {
			rt.Errorf("filter %d gives %d edges\n%v, want\n%v; error %v", i, n, got, want, err)
		}
	}
}
