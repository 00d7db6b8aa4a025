package edgetelemetry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A thing is what is remembered of an entry or an edge of the inventory.
type thing struct {
	Part string       `json:"p"`           // the step that brought it
	Kind hub.NodeKind `json:"k,omitempty"` // "" for an edge, whose key is from, kind, to
	Walk uint64       `json:"w"`           // the last reading that saw it
}

// edgeSplit stands between the parts of an edge's key.
const edgeSplit = "\x1f"

func (w *pull) node(n hub.NodeReport) {
	n.SeenAt = w.now
	w.page.Nodes = append(w.page.Nodes, n)
}

func (w *pull) edge(from, kind, to string, gone bool) {
	w.page.Edges = append(w.page.Edges, hub.EdgeReport{From: from, To: to, Kind: kind, SeenAt: w.now, Gone: gone})
}

// saw reports a node and remembers it for when it is gone.
func (w *pull) saw(part string, n hub.NodeReport) {
	w.node(n)
	w.remember(n.Keys[0], thing{part, n.Kind, w.Walk})
}

// linked reports an edge and remembers it.
func (w *pull) linked(part, from, kind, to string) {
	w.edge(from, kind, to, false)
	w.remember(strings.Join([]string{from, kind, to}, edgeSplit), thing{part, "", w.Walk})
}

func (w *pull) remember(key string, t thing) {
	if _, known := w.Things[key]; known || len(w.Things) < w.source.cfg.MaxTracked {
		w.Things[key] = t
	}
}

// bury reports what two readings in a row have not seen. One is not enough: a
// graph is drawn anew there now and then.
func (w *pull) bury() {
	for key, t := range w.Things {
		if !w.Whole[t.Part] || t.Walk+1 >= w.Walk {
			continue
		}
		delete(w.Things, key)
		if parts := strings.Split(key, edgeSplit); t.Kind == "" && len(parts) == 3 {
			w.edge(parts[0], parts[1], parts[2], true)
		} else {
			w.node(hub.NodeReport{Kind: t.Kind, Keys: []string{key}, Gone: true})
		}
	}
}

// each reads a part of the inventory, which comes in one answer.
func (w *pull) each(ctx context.Context, part, path string, take func(fields, jsontext.Value)) (bool, error) {
	items, at, err := w.source.list(ctx, path, nil)
	if err != nil {
		return false, err
	}
	w.begin(at)
	for _, raw := range items {
		if f := readFields(raw); f != nil {
			take(f, raw)
		}
	}
	w.Whole[part] = true
	return true, nil
}

// users reads who can log in there.
func (w *pull) users(ctx context.Context) (bool, error) {
	return w.each(ctx, "users", "/users", func(f fields, raw jsontext.Value) {
		id, email := f.text("id"), strings.ToLower(f.text("email"))
		keys := keysOf(email, prefixed(id))
		if len(keys) == 0 {
			return
		}
		w.saw("users", hub.NodeReport{
			Kind: hub.NodeUser, Keys: keys, SourceID: id, Attributes: raw,
			Asset: hub.Asset{Type: "user", Provider: "edgetelemetry", Name: inbound.First(f.text("name"), email), Tags: tags(map[string]string{
				"roles": strings.Join(f.texts("roles"), ", "), "mfa_enabled": f.text("mfa_enabled"), "auth_method": f.text("auth_method"),
			})},
		})
		w.linked("users", keys[0], "can_access", w.source.asset)
	})
}

func prefixed(id string) string {
	if id == "" {
		return ""
	}
	return "edgetelemetry:" + id
}

func tags(all map[string]string) map[string]string {
	for k, v := range all {
		if v == "" {
			delete(all, k)
		}
	}
	return all
}

// keysOf gives the keys that are there, each once.
func keysOf(keys ...string) []string {
	var out []string
	for _, k := range keys {
		if k != "" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// nodes reads the graph's nodes.
func (w *pull) nodes(ctx context.Context) (bool, error) {
	return w.each(ctx, "nodes", "/graph/nodes", func(f fields, raw jsontext.Value) {
		if n, ok := readNode(f, raw); ok {
			w.saw("nodes", n)
		}
	})
}

// readNode maps a node. Its keys are its id, and what other sources know it by:
// names that are the same nowhere else.
func readNode(f fields, raw jsontext.Value) (hub.NodeReport, bool) {
	id, kind := f.text("id", "node_id"), f.text("node_type", "type", "kind", "entity_type")
	if id == "" {
		return hub.NodeReport{}, false
	}
	props := readFields(f["properties"])
	if props == nil {
		props = readFields(f["metadata"])
	}
	name := f.text("label", "name", "display_name", "hostname")
	email := inbound.First(f.text("email"), props.text("email"))
	if email == "" && strings.Contains(name, "@") {
		email = name
	}
	return hub.NodeReport{
		Kind: nodeKind(kind), Keys: keysOf(lower(id), strings.ToLower(email), inbound.First(f.text("arn"), props.text("arn")), props.text("instance_id")),
		SourceID: id, Attributes: raw, RiskScore: f.number("risk_score", "score").Bounded(0, 100),
		Asset: hub.Asset{
			Type: kind, Provider: inbound.First(props.text("provider"), "edgetelemetry"), Account: props.text("account_id", "account"),
			Region: props.text("region"), Name: name,
		},
	}, true
}

// nodeKind maps a node's type.
func nodeKind(word string) hub.NodeKind {
	word = strings.ToLower(word)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(word, p) })
	}
	switch {
	case has("identity", "user", "principal", "role", "person"):
		return hub.NodeUser
	case has("account", "subscription", "tenant", "project"):
		return hub.NodeAccount
	case has("network", "subnet", "internet", "address") || word == "ip":
		return hub.NodeNetwork
	}
	return hub.NodeAsset
}

// edges reads the graph's edges.
func (w *pull) edges(ctx context.Context) (bool, error) {
	return w.each(ctx, "edges", "/graph/edges", func(f fields, _ jsontext.Value) {
		if from, kind, to, ok := readEdge(f); ok {
			w.linked("edges", from, kind, to)
		}
	})
}

func readEdge(f fields) (from, kind, to string, ok bool) {
	from = lower(f.text("source_id", "source", "source_node_id", "from_node_id", "from_id", "from", "src"))
	to = lower(f.text("target_id", "target", "target_node_id", "to_node_id", "to_id", "to", "dst"))
	kind = inbound.First(f.text("edge_type", "type", "relationship", "relation", "kind", "label"), "reaches")
	return from, kind, to, from != "" && to != ""
}

// blast asks how far an attack on a node can go, reports the way there, and gives
// the number of nodes that can be reached; "" if it cannot be told.
func (w *pull) blast(ctx context.Context, node string) string {
	if n, asked := w.blasts[node]; asked {
		return n
	}
	data, _, err := w.source.get(ctx, "/graph/blast-radius/"+node, nil)
	if err != nil {
		return ""
	}
	f := readFields(data)
	reached := f.list("nodes", "affected_nodes", "reachable_nodes", "impacted_nodes")
	if items, ok := listIn(data); f == nil && ok {
		reached = items
	}
	for _, raw := range reached {
		if n, ok := readNode(readFields(raw), raw); ok && w.Things[n.Keys[0]].Part == "" {
			w.node(n)
		}
	}
	for _, raw := range f.list("edges", "links", "paths") {
		if from, kind, to, ok := readEdge(readFields(raw)); ok {
			w.edge(from, kind, to, false)
		}
	}
	n := float64(len(reached))
	if total := f.number("total", "total_affected", "affected_count", "count", "radius"); total.Given {
		n = total.Value
	}
	w.blasts[node] = fmt.Sprint(n)
	return w.blasts[node]
}
