package echelongraph

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
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

// blastPart is what a blast radius brings.
const blastPart = "blast"

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
	if t.Part == blastPart {
		return // a part of the graph, which is read as a whole
	}
	if _, known := w.Things[key]; known || len(w.Things) < w.source.cfg.MaxTracked {
		w.Things[key] = t
	}
}

// bury reports what two readings in a row have not seen. One is not enough:
// lists shift while they are read.
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

// each reads the next page of a list of the inventory.
func (w *pull) each(ctx context.Context, name string, take func(raw jsontext.Value)) (done bool, err error) {
	p, err := w.source.list(ctx, w.source.path(name), w.Page+1, nil)
	if err != nil {
		return false, err
	}
	w.clock(p.at)
	for _, raw := range p.Data {
		take(raw)
	}
	w.Page++
	w.Seen += len(p.Data)
	done = !p.more(w.Seen)
	w.Whole[name] = done
	return done, nil
}

// accounts reads the cloud accounts that EchelonGraph is connected to.
func (w *pull) accounts(ctx context.Context) (bool, error) {
	return w.each(ctx, "accounts", func(raw jsontext.Value) {
		var a struct {
			ID        inbound.Text `json:"id"`
			Provider  inbound.Text `json:"provider"`
			AccountID inbound.Text `json:"account_id"`
			Name      inbound.Text `json:"name"`
		}
		if json.Unmarshal(raw, &a) != nil || a.ID+a.AccountID == "" {
			return
		}
		keys := keysOf(string(a.AccountID), "echelongraph:"+string(a.ID))
		w.saw("accounts", hub.NodeReport{
			Kind: hub.NodeAccount, Keys: keys, SourceID: string(a.ID), Attributes: raw,
			Asset: hub.Asset{Type: string(a.Provider) + "_account", Provider: string(a.Provider), Account: string(a.AccountID), Name: string(a.Name)},
		})
		w.linked("accounts", w.source.asset, "monitors", keys[0])
	})
}

// assets reads the asset inventory. An account contains its assets.
func (w *pull) assets(ctx context.Context) (bool, error) {
	return w.each(ctx, "assets", func(raw jsontext.Value) {
		var a struct {
			ID        inbound.Text            `json:"id"`
			Name      inbound.Text            `json:"name"`
			Type      inbound.Text            `json:"type"`
			Provider  inbound.Text            `json:"provider"`
			AccountID inbound.Text            `json:"account_id"`
			Region    inbound.Text            `json:"region"`
			ARN       inbound.Text            `json:"arn"`
			RiskScore inbound.Number          `json:"risk_score"`
			Tags      map[string]inbound.Text `json:"tags"`
		}
		if json.Unmarshal(raw, &a) != nil || a.ID == "" {
			return
		}
		n := hub.NodeReport{
			Kind: hub.NodeAsset, Keys: keysOf(string(a.ID), string(a.ARN)), SourceID: string(a.ID), RiskScore: a.RiskScore.Bounded(0, 100), Attributes: raw,
			Asset: hub.Asset{Type: string(a.Type), Provider: string(a.Provider), Account: string(a.AccountID), Region: string(a.Region), Name: string(a.Name)},
		}
		for k, v := range a.Tags {
			if n.Tags == nil {
				n.Tags = map[string]string{}
			}
			n.Tags[k] = string(v)
		}
		w.saw("assets", n)
		if a.AccountID != "" {
			w.linked("assets", string(a.AccountID), "contains", string(a.ID))
		}
	})
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

// A graph is a part of the attack graph.
type graph struct {
	Nodes []jsontext.Value `json:"nodes"`
	Links []struct {
		Source inbound.Text `json:"source"`
		Target inbound.Text `json:"target"`
		Type   inbound.Text `json:"type"`
	} `json:"links"`
	Total *int `json:"total"`
}

// graph reads the attack graph. Nodes that are assets are told by the assets.
func (w *pull) graph(ctx context.Context) (bool, error) {
	var g graph
	answer, err := w.source.get(ctx, w.source.path("graph"), nil, &g)
	if err != nil {
		return false, err
	}
	w.clock(answer.At)
	w.draw("graph", g)
	w.Whole["graph"] = true
	return true, nil
}

// draw reports a graph's nodes and links.
func (w *pull) draw(part string, g graph) {
	for _, raw := range g.Nodes {
		var n struct {
			ID        inbound.Text   `json:"id"`
			Name      inbound.Text   `json:"name"`
			Type      inbound.Text   `json:"type"`
			RiskScore inbound.Number `json:"risk_score"`
		}
		if json.Unmarshal(raw, &n) != nil || n.ID == "" {
			continue
		}
		if known := w.Things[string(n.ID)].Part; known != "" && known != part {
			continue
		}
		w.saw(part, hub.NodeReport{
			Kind: nodeKind(string(n.Type)), Keys: []string{string(n.ID)}, SourceID: string(n.ID), RiskScore: n.RiskScore.Bounded(0, 100),
			Asset: hub.Asset{Type: string(n.Type), Provider: "echelongraph", Name: string(n.Name)},
		})
	}
	for _, l := range g.Links {
		kind := string(l.Type)
		if kind == "" {
			kind = "reaches"
		}
		if l.Source != "" && l.Target != "" {
			w.linked(part, string(l.Source), kind, string(l.Target))
		}
	}
}

// nodeKind maps a node's type.
func nodeKind(word string) hub.NodeKind {
	word = strings.ToLower(word)
	switch {
	case strings.Contains(word, "user") || strings.Contains(word, "role") || strings.Contains(word, "identity") || strings.Contains(word, "principal"):
		return hub.NodeUser
	case strings.Contains(word, "account") || strings.Contains(word, "subscription") || strings.Contains(word, "project"):
		return hub.NodeAccount
	case strings.Contains(word, "network") || strings.Contains(word, "internet") || strings.Contains(word, "subnet") || word == "ip":
		return hub.NodeNetwork
	}
	return hub.NodeAsset
}

// blast asks how far an attack on an asset can go, reports the way there, and
// gives the number of things that can be reached; "" if it cannot be told.
func (w *pull) blast(ctx context.Context, asset string) string {
	if n, asked := w.blasts[asset]; asked {
		return n
	}
	path := w.source.path("blast_radius")
	if path == "" {
		return ""
	}
	var g graph
	query := url.Values{"root": {asset}, "depth": {strconv.Itoa(w.source.cfg.BlastDepth)}}
	if _, err := w.source.get(ctx, path, query, &g); err != nil {
		return ""
	}
	w.draw(blastPart, g)
	n := len(g.Nodes)
	if g.Total != nil {
		n = *g.Total
	}
	w.blasts[asset] = fmt.Sprint(n)
	return w.blasts[asset]
}
