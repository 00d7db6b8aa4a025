package edgetelemetry

import (
	"net/http"
	"slices"
)

func (s *Sim) listNodes(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, append([]Node{}, s.nodes...))
}

func (s *Sim) listEdges(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, append([]Edge{}, s.edges...))
}

// A reached is a node with how many edges lead to it.
type reached struct {
	Node
	Depth int `json:"depth"`
}

func (s *Sim) blastRadius(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	root := r.PathValue("id")
	if !slices.ContainsFunc(s.nodes, func(n Node) bool { return n.ID == root }) {
		refuse(w, 404, "node")
		return
	}
	nodes, edges := s.reach(root)
	give(w, 200, map[string]any{"node_id": root, "total": len(nodes), "nodes": nodes, "edges": edges})
}

// reach gives what can be reached from root, nearest first.
func (s *Sim) reach(root string) (nodes []reached, edges []Edge) {
	nodes, edges = []reached{}, []Edge{}
	depth := map[string]int{root: 0}
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		for _, e := range s.edges {
			if e.Source != queue[0] {
				continue
			}
			edges = append(edges, e)
			if _, seen := depth[e.Target]; seen {
				continue
			}
			depth[e.Target] = depth[queue[0]] + 1
			queue = append(queue, e.Target)
			if i := slices.IndexFunc(s.nodes, func(n Node) bool { return n.ID == e.Target }); i >= 0 {
				nodes = append(nodes, reached{s.nodes[i], depth[e.Target]})
			}
		}
	}
	return nodes, edges
}

func (s *Sim) metrics(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	anomalies, agents := 0, map[string]bool{}
	for _, x := range s.summaries {
		anomalies += x.Anomalies
		agents[x.AgentID] = true
	}
	give(w, 200, map[string]any{
		"summaries_received": s.received, "anomalies_received": anomalies, "incidents_created": len(s.incidents),
		"data_reduction_percent": 99.0, "active_agents": len(agents),
	})
}

func (s *Sim) listSummaries(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list(s, w, r, s.summaries, s.options.Summaries, func(*Summary) bool { return true })
}
