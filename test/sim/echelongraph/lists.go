package echelongraph

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// page answers with a page of what there is now, which need not be what there
// was when the page before was cut.
func page[T any](s *Sim, w http.ResponseWriter, r *http.Request, all []T) {
	n, ok := s.number(w, r, "page", 1, 1, 1_000_000)
	if !ok {
		return
	}
	limit, ok := s.number(w, r, "limit", 50, 1, 100)
	if !ok {
		return
	}
	start := min((n-1)*limit, len(all))
	end := min(start+limit, len(all))
	unkind.Answer(w, 200, map[string]any{"data": append([]T{}, all[start:end]...), "page": n, "limit": limit, "total": len(all)})
}

// lister answers with one of the lists of items.
func (s *Sim) lister(list string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.query(w, r, "severity", "status", "page", "limit") {
			return
		}
		severity, ok := s.word(w, r, "severity", severities)
		if !ok {
			return
		}
		status, ok := s.word(w, r, "status", statuses[list])
		if !ok {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var match []*Item
		for _, x := range *s.list(list) {
			if (severity == "" || x.Severity == severity) && (status == "" || x.Status == status) {
				match = append(match, x)
			}
		}
		page(s, w, r, match)
	}
}

func (s *Sim) listAssets(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "type", "region", "min_risk_score", "page", "limit") {
		return
	}
	q := r.URL.Query()
	floor, ok := s.number(w, r, "min_risk_score", 0, 0, 100)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var match []Asset
	for _, a := range s.assets {
		if q.Has("type") && a.Type != q.Get("type") || q.Has("region") && a.Region != q.Get("region") || a.RiskScore < float64(floor) {
			continue
		}
		match = append(match, a)
	}
	page(s, w, r, match)
}

func (s *Sim) listAccounts(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r, "page", "limit") {
		s.mu.Lock()
		defer s.mu.Unlock()
		page(s, w, r, s.accounts)
	}
}

func (s *Sim) listRules(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r, "page", "limit") {
		s.mu.Lock()
		defer s.mu.Unlock()
		page(s, w, r, s.rules)
	}
}

func (s *Sim) listCompliance(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r, "page", "limit") {
		s.mu.Lock()
		defer s.mu.Unlock()
		page(s, w, r, s.compliance)
	}
}

func (s *Sim) listRisk(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		s.mu.Lock()
		defer s.mu.Unlock()
		sum := 0.0
		for _, x := range s.risk {
			sum += x.Score
		}
		unkind.Answer(w, 200, map[string]any{"score": sum / float64(len(s.risk)), "categories": s.risk})
	}
}

func (s *Sim) listAudit(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "action", "user", "from", "to", "page", "limit") {
		return
	}
	q := r.URL.Query()
	var bounds [2]time.Time
	for i, name := range []string{"from", "to"} {
		t, err := time.Parse(time.RFC3339, q.Get(name))
		if q.Has(name) && err != nil {
			s.wrong(w, r, 400, "Parameter %s must be a time.", name)
			return
		}
		bounds[i] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var match []Entry
	for _, e := range s.audit {
		if q.Has("action") && e.Action != q.Get("action") || q.Has("user") && e.User != q.Get("user") ||
			q.Has("from") && e.CreatedAt.Before(bounds[0]) || q.Has("to") && e.CreatedAt.After(bounds[1]) {
			continue
		}
		match = append(match, e)
	}
	page(s, w, r, match)
}

// A node is one of the attack graph.
type node struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	RiskScore float64  `json:"risk_score"`
	Hops      *int     `json:"hops,omitempty"`
	Path      []string `json:"path,omitempty"`
}

func (s *Sim) node(id string) node {
	i := slices.IndexFunc(s.assets, func(a Asset) bool { return a.ID == id })
	if i < 0 {
		return node{ID: id, Name: id, Type: "external"}
	}
	a := s.assets[i]
	return node{ID: a.ID, Name: a.Name, Type: a.Type, RiskScore: a.RiskScore}
}

func (s *Sim) graph(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "root", "depth") {
		return
	}
	if _, ok := s.number(w, r, "depth", 0, 1, 20); !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if root := r.URL.Query().Get("root"); root != "" {
		depth, _ := strconv.Atoi(r.URL.Query().Get("depth"))
		nodes, links := s.reach(root, max(depth, 1))
		unkind.Answer(w, 200, map[string]any{"nodes": nodes, "links": links})
		return
	}
	ids := map[string]bool{}
	nodes := []node{}
	for _, l := range s.links {
		for _, id := range []string{l.Source, l.Target} {
			if !ids[id] {
				ids[id] = true
				nodes = append(nodes, s.node(id))
			}
		}
	}
	unkind.Answer(w, 200, map[string]any{"nodes": nodes, "links": append([]Link{}, s.links...)})
}

// reach gives what can be reached from root, nearest first.
func (s *Sim) reach(root string, depth int) (nodes []node, links []Link) {
	zero := 0
	first := s.node(root)
	first.Hops, first.Path = &zero, []string{root}
	nodes, links = []node{first}, []Link{}
	for i := 0; i < len(nodes); i++ {
		from := nodes[i]
		for _, l := range s.links {
			if l.Source != from.ID || *from.Hops == depth {
				continue
			}
			links = append(links, l)
			if slices.ContainsFunc(nodes, func(n node) bool { return n.ID == l.Target }) {
				continue
			}
			hops := *from.Hops + 1
			n := s.node(l.Target)
			n.Hops, n.Path = &hops, append(slices.Clone(from.Path), l.Target)
			nodes = append(nodes, n)
		}
	}
	return nodes, links
}

func (s *Sim) blastRadius(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "root", "depth") {
		return
	}
	depth, ok := s.number(w, r, "depth", 3, 1, 20)
	root := r.URL.Query().Get("root")
	if !ok {
		return
	}
	if root == "" {
		s.wrong(w, r, 400, "Parameter root is required.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.assets, func(a Asset) bool { return a.ID == root }) {
		refuse(w, 404, "There is no asset %s.", strings.ToValidUTF8(root, "?"))
		return
	}
	nodes, links := s.reach(root, depth)
	unkind.Answer(w, 200, map[string]any{"root": root, "depth": depth, "total": len(nodes) - 1, "nodes": nodes[1:], "links": links})
}
