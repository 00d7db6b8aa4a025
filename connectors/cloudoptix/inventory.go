package cloudoptix

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A stock is where the reading of the inventory is, and what it has found.
type stock struct {
	Began   time.Time        `json:"began,omitzero"` // of the reading that runs or ran last
	Reads   bool             `json:"reads,omitempty"`
	Round   int              `json:"round,omitempty"`
	Todo    []string         `json:"todo,omitempty"`    // lists that are still to be read
	Page    int              `json:"page,omitempty"`    // of the first of them
	Skipped []string         `json:"skipped,omitempty"` // lists that could not be read
	Things  map[string]thing `json:"things,omitempty"`  // by their first key
}

// A thing is what is remembered of an entry of the inventory.
type thing struct {
	Kind  hub.NodeKind `json:"k"`
	List  string       `json:"l"`
	Round int          `json:"r"` // the last that saw it
}

const (
	// largePage is the most that the API gives in one page of the inventory; 100
	// is the least that may be asked for.
	largePage = 500
	// absences is how many readings in a row a thing must be missing from to be
	// gone: pages shift while they are read.
	absences = 2
)

// inventory reads the inventory if that is due, list by list: accounts first,
// because they tell which providers there are.
func (w *pull) inventory(ctx context.Context) error {
	i := &w.Inventory
	if !i.Reads && w.now.Sub(i.Began) < time.Duration(w.source.cfg.InventoryInterval) {
		return nil
	}
	if !i.Reads {
		accounts, err := w.accounts(ctx)
		if err != nil {
			return err
		}
		i.Began, i.Reads, i.Page, i.Skipped = w.now, true, 0, nil
		i.Round++
		i.Todo = w.lists(accounts)
		for _, a := range accounts {
			w.account(a)
		}
		if err := w.hand(false); err != nil {
			return err
		}
	}
	for len(i.Todo) > 0 {
		if err := w.shelf(ctx, i.Todo[0]); err != nil {
			return err
		}
	}
	w.absent()
	i.Reads = false
	return w.hand(false)
}

// lists names what to read for the providers that there are, as path, provider
// and type of containers.
func (w *pull) lists(accounts []account) []string {
	has := map[string]bool{}
	for _, a := range accounts {
		has[provider(string(a.Type))] = true
	}
	var out []string
	for _, l := range []struct{ provider, word, list string }{
		{"aws", "vms", "vms|AWS"},
		{"azure", "vms", "vms|Azure"},
		{"gcp", "vms", "vms|GCP"},
		{"aws", "users", "users|AWS"},
		{"azure", "users", "users|Azure"},
		{"gcp", "users", "users|GCP"},
		{"aws", "serverless", "serverless|AWS"},
		{"azure", "serverless", "serverless|Azure"},
		{"aws", "containers", "containers|eks"},
		{"azure", "containers", "containers|aks"},
		{"gcp", "containers", "containers|gke"},
		{"kubernetes", "containers", "containers|native"},
	} {
		switch {
		case !has[l.provider] || !slices.Contains(w.source.cfg.Inventory, l.word):
		case l.word == "containers":
			for _, t := range []string{"clusters", "nodes", "pods", "containers"} {
				out = append(out, l.list+"|"+t)
			}
		default:
			out = append(out, l.list)
		}
	}
	return out
}

// provider is how the hub names a provider.
func provider(word string) string {
	switch word = strings.ToLower(word); word {
	case "native", "k8s":
		return "kubernetes"
	}
	return word
}

// shelf reads a page of a list.
func (w *pull) shelf(ctx context.Context, list string) error {
	i := &w.Inventory
	parts := strings.Split(list, "|")
	query := url.Values{"page": {strconv.Itoa(i.Page)}, "size": {strconv.Itoa(largePage)}}
	if ids := w.source.cfg.AccountIDs; len(ids) > 0 {
		query.Set("accountIds", strings.Join(ids, ","))
	}
	if parts[0] == "containers" {
		query.Set("cloudProvider", parts[1])
		query.Set("containerType", parts[2])
	} else {
		query.Set("provider", parts[1])
	}
	got, at, err := w.source.list(ctx, "/"+parts[0], query)
	if kind := hub.KindOf(err); kind == hub.NotFound || kind == hub.Forbidden || kind == hub.Invalid {
		w.source.log.Warn("a part of the inventory cannot be read", "list", list, "error", err)
		i.Skipped = append(i.Skipped, list)
		i.Todo, i.Page = i.Todo[1:], 0
		return w.hand(false)
	}
	if err != nil {
		return err
	}
	w.now = at.Add(tick)
	for n, raw := range got.Data {
		w.item(list, n, raw)
	}
	if got.HasNext && len(got.Data) > 0 {
		i.Page++
	} else {
		i.Todo, i.Page = i.Todo[1:], 0
	}
	return w.hand(false)
}

// absent reports what is there no more.
func (w *pull) absent() {
	i := &w.Inventory
	for key, t := range i.Things {
		if slices.Contains(i.Skipped, t.List) {
			t.Round = i.Round
			i.Things[key] = t
		}
		if i.Round-t.Round >= absences {
			delete(i.Things, key)
			w.page.Nodes = append(w.page.Nodes, hub.NodeReport{Kind: t.Kind, Keys: []string{key}, SeenAt: w.now, Gone: true})
		}
	}
}

// node reports a thing with the keys that are not empty; false if there is none.
func (w *pull) node(list string, n hub.NodeReport) bool {
	var keys []string
	for _, k := range n.Keys {
		if k != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return false
	}
	n.Keys, n.SeenAt = keys, w.now
	w.page.Nodes = append(w.page.Nodes, n)
	w.Inventory.Things[keys[0]] = thing{n.Kind, list, w.Inventory.Round}
	return true
}

func (w *pull) edge(from, kind, to string) {
	if from != "" && to != "" && from != to {
		w.page.Edges = append(w.page.Edges, hub.EdgeReport{From: from, To: to, Kind: kind, SeenAt: w.now})
	}
}

// An account is an environment: an AWS account, a subscription, a project.
type account struct {
	ID      inbound.Text   `json:"accountId"`
	Type    inbound.Text   `json:"accountType"`
	Name    inbound.Text   `json:"name"`
	Subs    []inbound.Text `json:"subAccounts"`
	Tags    []inbound.Text `json:"tags"`
	Enabled *bool          `json:"isEnabled"`

	raw jsontext.Value
}

// accounts lists the environments. The document calls the list paginated, and
// names neither parameters nor members for that; it is an array.
func (w *pull) accounts(ctx context.Context) ([]account, error) {
	query := url.Values{}
	if ids := w.source.cfg.AccountIDs; len(ids) > 0 {
		query.Set("accountIds", strings.Join(ids, ","))
	}
	var all []jsontext.Value
	at, err := w.source.get(ctx, "/accounts", query, &all)
	if err != nil {
		return nil, err
	}
	w.now = at.Add(tick)
	var out []account
	for i, raw := range all {
		a := account{raw: raw}
		if json.Unmarshal(raw, &a) != nil || a.ID == "" {
			w.page.Refuse(i, raw, "an account without a usable id")
			continue
		}
		out = append(out, a)
	}
	return out, nil
}

func (w *pull) account(a account) {
	if !slices.Contains(w.source.cfg.Inventory, "accounts") {
		return
	}
	id, keys := string(a.ID), []string{string(a.ID)}
	if provider(string(a.Type)) == "aws" {
		keys = append(keys, "arn:aws:iam::"+id+":root")
	}
	tags := map[string]string{}
	for _, t := range a.Tags {
		tags[string(t)] = "true"
	}
	w.node("accounts", hub.NodeReport{
		Kind: hub.NodeAccount, Keys: keys, SourceID: id, Attributes: a.raw,
		Asset: hub.Asset{Type: "cloud_account", Provider: provider(string(a.Type)), Account: id, Name: string(a.Name), Tags: tags},
	})
	for _, sub := range a.Subs {
		w.edge(id, "contains", string(sub))
	}
}
