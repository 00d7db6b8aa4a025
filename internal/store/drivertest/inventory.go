package drivertest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	godiff "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"pgregory.net/rapid"
)

// A said is a report by a source.
type said struct {
	source string
	hub.NodeReport
}

// drawReports draws reports on few keys, so that they meet. Times of one source
// differ if apart.
func drawReports(rt *rapid.T, apart bool) []said {
	var all []said
	for i := range rapid.IntRange(1, 14).Draw(rt, "reports") {
		at := rapid.IntRange(0, 6).Draw(rt, "at")
		if apart {
			at = 20*at + i
		}
		r := said{rapid.SampledFrom([]string{"one", "two", "three"}).Draw(rt, "source"), hub.NodeReport{
			Kind: rapid.SampledFrom([]hub.NodeKind{hub.NodeAsset, hub.NodeUser}).Draw(rt, "kind"),
			Keys: rapid.SliceOfNDistinct(rapid.StringMatching("[a-l]"), 1, 3, rapid.ID).Draw(rt, "keys"),
			Asset: hub.Asset{
				Name: rapid.SampledFrom([]string{"", "web-1", "db"}).Draw(rt, "name"), Account: rapid.SampledFrom([]string{"", "012-3"}).Draw(rt, "account"),
			},
			SeenAt: when.Add(time.Duration(at) * time.Second), Gone: rapid.IntRange(0, 3).Draw(rt, "gone") == 0,
		}}
		if rapid.Bool().Draw(rt, "scored") {
			r.RiskScore = new(float64(rapid.IntRange(0, 100).Draw(rt, "risk")))
		}
		if rapid.IntRange(0, 5).Draw(rt, "attributes") == 0 {
			r.Attributes = fmt.Appendf(nil, `{"at":%d}`, at)
		}
		all = append(all, r)
	}
	return all
}

// sameRT is same within a property, so that a failure is made small.
func sameRT(rt *rapid.T, what string, got, want any) {
	rt.Helper()
	if diff := godiff.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		rt.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func putInventory(tx *store.Tx, own hub.TenantID, source string, nodes []hub.NodeReport, edges []hub.EdgeReport) (store.InventoryChange, error) {
	inv, err := store.NewInventory(own, source, nodes, edges)
	if err != nil {
		return store.InventoryChange{}, err
	}
	return tx.PutInventory(inv)
}

// report stores reports in transactions of a few, each of one source.
func report(rt *rapid.T, s *store.Store, own hub.TenantID, all []said) {
	for len(all) > 0 {
		n := rapid.IntRange(1, len(all)).Draw(rt, "page")
		page := all[:n]
		all = all[n:]
		err := s.Do(rt.Context(), func(tx *store.Tx) error {
			for _, source := range []string{"one", "two", "three"} {
				var part []hub.NodeReport
				for _, r := range page {
					if r.source == source {
						part = append(part, r.NodeReport)
					}
				}
				if _, err := putInventory(tx, own, source, part, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	}
}

// allNodes gives every node, by walking the list by two.
func allNodes(rt *rapid.T, s *store.Store, own hub.TenantID, f *hub.NodeFilter) (all []*hub.Node) {
	err := s.View(rt.Context(), func(r *store.Reader) error {
		before := hub.AssetID("")
		for {
			part, err := r.Nodes(own, f, before, 0, 2)
			all = append(all, part...)
			if err != nil || len(part) < 2 {
				return err
			}
			before = part[1].ID
		}
	})
	if err != nil {
		rt.Fatal(err)
	}
	return all
}

// plainNodes gives nodes without what depends on when they were stored.
func plainNodes(all []*hub.Node) []string {
	var out []string
	for _, n := range all {
		c := *n
		c.ID, c.Tenant = "", ""
		if c.RiskScore != nil {
			c.Tags = map[string]string{"risk": fmt.Sprint(*c.RiskScore)}
			c.RiskScore = nil
		}
		out = append(out, fmt.Sprintf("%+v", c))
	}
	slices.Sort(out)
	return out
}

// However reports come, one by one or many at once and in whatever order, the
// same inventory comes of them.
func testInventoryOrder(t *testing.T, k Kit) {
	s, round := k.store(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++ // tenants of its own, so that one database does for all
		all := drawReports(rt, false)
		one, two := hub.TenantID(fmt.Sprint("a", round)), hub.TenantID(fmt.Sprint("b", round))
		report(rt, s, one, all)
		report(rt, s, two, rapid.Permutation(all).Draw(rt, "order"))
		sameRT(rt, "the inventory in another order", plainNodes(allNodes(rt, s, two, &hub.NodeFilter{})), plainNodes(allNodes(rt, s, one, &hub.NodeFilter{})))
		report(rt, s, one, all)
		sameRT(rt, "the inventory told again", plainNodes(allNodes(rt, s, one, &hub.NodeFilter{})), plainNodes(allNodes(rt, s, two, &hub.NodeFilter{})))
	})
}

// The inventory is that of a simple model.
func testInventoryModel(t *testing.T, k Kit) {
	s, round := k.store(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		own, all := hub.TenantID(fmt.Sprint("t", round)), drawReports(rt, true)
		ids := map[hub.AssetID]string{} // each id that ever was, and a key that it had
		for i := range all {
			report(rt, s, own, all[i:i+1])
			err := s.View(rt.Context(), func(r *store.Reader) error {
				now, err := r.NodesByKey(own, strings.Split("abcdefghijkl", ""))
				for key, id := range now {
					ids[id] = key
				}
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		nodes := allNodes(rt, s, own, &hub.NodeFilter{})
		var got []string
		byKey := map[string]*hub.Node{}
		for _, n := range nodes {
			got = append(got, summary(n.Keys, n.Gone, n.Name, n.RiskScore, n.Sources))
			for _, key := range n.Keys {
				byKey[key] = n
			}
		}
		slices.Sort(got)
		sameRT(rt, "the inventory of the model", got, model(all))
		checkIDs(rt, s, own, ids, byKey)
		checkFilters(rt, s, own, nodes)
	})
}

func summary(keys []string, gone bool, name string, risk *float64, sources []hub.NodeSource) string {
	score := -1.0
	if risk != nil {
		score = *risk
	}
	var from []string
	for _, s := range sources {
		from = append(from, fmt.Sprintf("%s %v %d-%d", s.Source, s.Gone, s.FirstSeen.Unix()-when.Unix(), s.LastSeen.Unix()-when.Unix()))
	}
	slices.Sort(from)
	return fmt.Sprintf("%v gone=%v name=%q risk=%v from %v", keys, gone, name, score, from)
}

// model does slowly what the store does: reports that share keys are pushed
// together until nothing changes, and what each source says under a first key is
// its newest report.
func model(all []said) []string {
	var groups [][]said
	for _, r := range all {
		group, rest := []said{r}, [][]said(nil)
		for _, g := range groups {
			if slices.ContainsFunc(g, func(o said) bool {
				return slices.ContainsFunc(o.Keys, func(k string) bool { return slices.Contains(r.Keys, k) })
			}) {
				group = append(group, g...)
			} else {
				rest = append(rest, g)
			}
		}
		groups = append(rest, group)
	}
	var out []string
	for _, g := range groups {
		out = append(out, modelNode(g))
	}
	slices.Sort(out)
	return out
}

func modelNode(g []said) string {
	slices.SortFunc(g, func(a, b said) int { return a.SeenAt.Compare(b.SeenAt) })
	keys, words := map[string]bool{}, map[string][]said{} // reports by source and first key, oldest first
	for _, r := range g {
		for _, k := range r.Keys {
			keys[k] = true
		}
		words[r.source+" "+r.Keys[0]] = append(words[r.source+" "+r.Keys[0]], r)
	}
	gone, sources := true, map[string]*hub.NodeSource{}
	var order []string
	for name, said := range words {
		order = append(order, name)
		last := said[len(said)-1]
		gone = gone && last.Gone
		src := sources[last.source]
		if src == nil {
			src = &hub.NodeSource{Source: last.source, FirstSeen: said[0].SeenAt, Gone: true}
			sources[last.source] = src
		}
		src.Gone = src.Gone && last.Gone
		if said[0].SeenAt.Before(src.FirstSeen) {
			src.FirstSeen = said[0].SeenAt
		}
		if at := details(said).SeenAt; at.After(src.LastSeen) {
			src.LastSeen = at
		}
	}
	isGone := func(name string) bool { return words[name][len(words[name])-1].Gone }
	slices.SortFunc(order, func(a, b string) int { // the longest known first, what is gone last
		if isGone(a) != isGone(b) {
			return map[bool]int{true: 1, false: -1}[isGone(a)]
		}
		return words[a][0].SeenAt.Compare(words[b][0].SeenAt)
	})
	name, risk := "", (*float64)(nil)
	for _, w := range order {
		d := details(words[w])
		name = cmp.Or(name, d.Name)
		if d.RiskScore != nil && (risk == nil || isGone(w) == gone && *d.RiskScore > *risk) {
			risk = d.RiskScore
		}
	}
	var list []hub.NodeSource
	for _, s := range sources {
		list = append(list, *s)
	}
	return summary(slices.Sorted(maps.Keys(keys)), gone, name, risk, list)
}

// details is the newest report that does not say gone, or the newest.
func details(said []said) said {
	for _, r := range slices.Backward(said) {
		if !r.Gone {
			return r
		}
	}
	return said[len(said)-1]
}

// checkIDs checks that every id that ever was leads to the node of its keys, and
// that of those that do the oldest is in use.
func checkIDs(rt *rapid.T, s *store.Store, own hub.TenantID, ids map[hub.AssetID]string, byKey map[string]*hub.Node) {
	oldest := map[hub.AssetID]hub.AssetID{}
	err := s.View(rt.Context(), func(r *store.Reader) error {
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			n, err := r.Node(own, id)
			if err != nil {
				return fmt.Errorf("the id %s, which was of %s: %w", id, ids[id], err)
			}
			if want := byKey[ids[id]].ID; n.ID != want {
				rt.Errorf("%s leads to %s, but %s is of %s", id, n.ID, ids[id], want)
			}
			if oldest[n.ID] == "" {
				oldest[n.ID] = id
			}
		}
		_, err := r.Node("other", slices.Collect(maps.Keys(ids))[0])
		if hub.KindOf(err) != hub.NotFound {
			rt.Errorf("another tenant's node gives %v", err)
		}
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	for id, first := range oldest {
		if id != first {
			rt.Errorf("%s is in use, but %s is older", id, first)
		}
	}
}

// checkFilters checks that lists and counts are what filtering the whole gives.
func checkFilters(rt *rapid.T, s *store.Store, own hub.TenantID, nodes []*hub.Node) {
	for i, c := range []struct {
		f    hub.NodeFilter
		want func(*hub.Node) bool
	}{
		{hub.NodeFilter{Kind: []string{"user"}}, func(n *hub.Node) bool { return n.Kind == hub.NodeUser }},
		{hub.NodeFilter{Gone: new(true)}, func(n *hub.Node) bool { return n.Gone }},
		{hub.NodeFilter{Gone: new(false), Account: []string{"012-3", "x"}}, func(n *hub.Node) bool { return !n.Gone && n.Account == "012-3" }},
		{hub.NodeFilter{Source: []string{"one", "two"}}, func(n *hub.Node) bool {
			return slices.ContainsFunc(n.Sources, func(s hub.NodeSource) bool { return s.Source != "three" })
		}},
		{hub.NodeFilter{MinRisk: new(50.0)}, func(n *hub.Node) bool { return n.RiskScore != nil && *n.RiskScore >= 50 }},
		{hub.NodeFilter{Query: "WEB- 012-"}, func(n *hub.Node) bool { return n.Name == "web-1" && n.Account == "012-3" }},
		{hub.NodeFilter{Query: "%"}, func(*hub.Node) bool { return false }},
		{hub.NodeFilter{Region: []string{"eu"}, Type: []string{"vm"}, Provider: []string{"aws"}}, func(*hub.Node) bool { return false }},
	} {
		var want []*hub.Node
		for _, n := range nodes {
			if c.want(n) {
				want = append(want, n)
			}
		}
		got := allNodes(rt, s, own, &c.f)
		if strings.Join(plainNodes(got), "\n") != strings.Join(plainNodes(want), "\n") {
			rt.Errorf("filter %d gives\n%v, want\n%v", i, plainNodes(got), plainNodes(want))
		}
		err := s.View(rt.Context(), func(r *store.Reader) error {
			n, err := r.CountNodes(own, &c.f)
			if int(n) != len(want) {
				rt.Errorf("filter %d counts %d, want %d", i, n, len(want))
			}
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
	}
}

// What a source brings comes back whole: long and odd keys, details, and the
// alerts on it.
func testInventoryRows(t *testing.T, k Kit) {
	s := k.store(t)
	long := strings.Repeat("k", 3000)
	r := hub.NodeReport{
		Kind: hub.NodeAsset, Keys: []string{"srv", "arn:x\x01", long, "", "srv"}, SourceID: "7", SeenAt: when, RiskScore: new(81.5),
		Asset:      hub.Asset{Type: "vm", Provider: "aws", Account: "1", Region: "eu", Name: "é \x00", Tags: map[string]string{"Crown-Jewel": "", "env": "prod"}},
		Attributes: []byte(`{"a":[1]}`),
	}
	gone := hub.NodeReport{Kind: hub.NodeAsset, Keys: []string{"srv"}, SeenAt: when.Add(time.Minute), Gone: true}
	ask := func(what string, change store.InventoryChange, reports ...hub.NodeReport) {
		t.Helper()
		var got store.InventoryChange
		do(t, s, func(tx *store.Tx) (err error) {
			got, err = putInventory(tx, tenant, "src", reports, nil)
			return err
		})
		same(t, what, got, change)
	}
	ask("a first report", store.InventoryChange{New: 1}, r, hub.NodeReport{Kind: "odd", SeenAt: when})
	ask("the report again", store.InventoryChange{}, r)
	later := r
	later.SeenAt = when.Add(time.Second)
	ask("the report later", store.InventoryChange{}, later)
	ask("the end", store.InventoryChange{Changed: 1}, gone)
	alert, done := sampleAlert(1), sampleAlert(2)
	done.Status = hub.AlertResolved
	do(t, s, func(tx *store.Tx) error {
		if _, err := putInventory(tx, tenant, "second", []hub.NodeReport{{Kind: hub.NodeAsset, Keys: []string{long}, SeenAt: when}}, nil); err != nil {
			return err
		}
		return errors.Join(putAlert(tx, alert, nil), putAlert(tx, done, nil))
	})
	view(t, s, func(rd *store.Reader) error {
		ids := must[map[string]hub.AssetID](t)(rd.NodesByKey(tenant, []string{"srv", "none"}))
		id := ids["srv"]
		same(t, "nodes by key", ids, map[string]hub.AssetID{"srv": id})
		n := must[*hub.Node](t)(rd.Node(tenant, id))
		want := &hub.Node{
			ID: id, Tenant: tenant, Kind: hub.NodeAsset, Keys: []string{"arn:x\x01", hub.NodeKey(long), "srv"}, Asset: r.Asset, RiskScore: r.RiskScore,
			Attributes: []byte(`{"src":{"a":[1]}}`), FirstSeen: when, LastSeen: later.SeenAt,
			Sources: []hub.NodeSource{
				{Source: "second", FirstSeen: when, LastSeen: when},
				{Source: "src", SourceID: "7", FirstSeen: when, LastSeen: later.SeenAt, Gone: true, GoneAt: gone.SeenAt},
			},
		}
		same(t, "node", n, want)
		counts := must[map[hub.AssetID]*hub.SeverityCounts](t)(rd.ActiveAlerts(tenant, []hub.AssetID{id, "ast_none"}))
		same(t, "active alerts", counts, map[hub.AssetID]*hub.SeverityCounts{id: {High: 1, Total: 1}})
		rows := must[[]store.AlertRow](t)(rd.NodeAlerts(tenant, id, 5))
		if len(rows) != 2 || rows[0].ID != done.ID || rows[1].ID != alert.ID {
			t.Errorf("the alerts of the node are %v", rows)
		}
		list := must[[]hub.GraphNode](t)(rd.GraphNodes(tenant, &hub.NodeFilter{Query: "crown-jewel PROD"}, "", 0, 5))
		if len(list) != 1 || !list[0].CrownJewel || *list[0].RiskScore != 81.5 || list[0].Name != r.Name {
			t.Errorf("the node in a list is %+v", list)
		}
		same(t, "kinds", must[map[hub.NodeKind]int64](t)(rd.NodeKinds()), map[hub.NodeKind]int64{hub.NodeAsset: 1})
		return nil
	})
}
