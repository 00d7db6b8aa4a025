package vigilare

import (
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A thing is what is remembered of an entry of the inventory.
type thing struct {
	Kind   hub.NodeKind `json:"kind"`
	ID     string       `json:"id"` // Vigilare's
	Digest []byte       `json:"digest"`
}

// nodesAtOnce is how many entries are handed over together.
const nodesAtOnce = 100

// inventory reports tenant, accounts and users: what is new or has changed, now
// and then all of it, and what is there no more.
func (w *pull) inventory(ctx context.Context, accounts []account) error {
	all := w.now.Sub(w.Reported) >= time.Duration(w.source.cfg.InventoryInterval)
	if all {
		m, err := w.source.fetchMe(ctx, false)
		if err != nil {
			return err
		}
		w.tenant(m)
	}
	seen := map[string]bool{w.Tenant: true}
	for _, a := range accounts {
		if err := w.account(ctx, a, all, seen); err != nil {
			return err
		}
		if len(w.page.Nodes) >= nodesAtOnce {
			if err := w.hand(true); err != nil {
				return err
			}
		}
	}
	complete, err := w.users(ctx, all, seen)
	if err != nil {
		return err
	}
	for key, t := range w.Things {
		if seen[key] || t.Kind == hub.NodeUser && !complete {
			continue
		}
		delete(w.Things, key)
		w.node(hub.NodeReport{Kind: t.Kind, Keys: []string{key}, SourceID: t.ID, Gone: true})
	}
	if all {
		w.Reported = w.now
	}
	return nil
}

func (w *pull) node(n hub.NodeReport) {
	n.SeenAt = w.now
	w.page.Nodes = append(w.page.Nodes, n)
}

func (w *pull) edge(from, to, kind string, gone bool) {
	w.page.Edges = append(w.page.Edges, hub.EdgeReport{From: from, To: to, Kind: kind, SeenAt: w.now, Gone: gone})
}

// changed remembers a thing, and says whether it is to be reported.
func (w *pull) changed(key string, kind hub.NodeKind, id string, all bool, parts ...string) bool {
	digest := connectors.DigestOf(parts...)
	old, known := w.Things[key]
	w.Things[key] = thing{kind, id, digest[:]}
	return all || !known || string(old.Digest) != string(digest[:])
}

func (w *pull) tenant(m me) {
	w.Tenant = "vigilare:" + m.Tenant.ID
	w.changed(w.Tenant, hub.NodeAccount, m.Tenant.ID, true, m.Tenant.Plan)
	w.node(hub.NodeReport{
		Kind: hub.NodeAccount, Keys: []string{w.Tenant}, SourceID: m.Tenant.ID, Attributes: attributes(m.Tenant),
		Asset: hub.Asset{Type: "vigilare_tenant", Provider: "vigilare", Name: m.Tenant.Name},
	})
}

// account reports an AWS account with its details.
func (w *pull) account(ctx context.Context, a account, all bool, seen map[string]bool) error {
	seen[a.ID] = true
	if !w.changed(a.ID, hub.NodeAccount, a.ID, all, string(a.raw)) {
		return nil
	}
	details := a.raw
	answer, err := w.source.api.Do(ctx, connectors.Call{Method: "GET", Path: "/accounts/" + a.ID})
	switch {
	case ignoreMissing(err) != nil:
		return err
	case err == nil && answer.Result().Kind() == '{':
		details = answer.Result()
	}
	n := hub.NodeReport{
		Kind: hub.NodeAccount, Keys: []string{a.ID, "arn:aws:iam::" + a.ID + ":root"}, SourceID: a.ID,
		Asset: *a.asset(), Attributes: details, Gone: a.Status == "DISCONNECTED",
	}
	if a.SRS != nil {
		n.RiskScore = risk(*a.SRS)
	}
	w.node(n)
	w.edge(w.Tenant, a.ID, "monitors", n.Gone)
	return nil
}

// A user is a member of the team.
type user struct {
	ID        string `json:"user_id"`
	Email     string `json:"email"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	CreatedAt string `json:"created_at,omitempty"`
}

// users reports the team; complete is false if it may not be read.
func (w *pull) users(ctx context.Context, all bool, seen map[string]bool) (complete bool, err error) {
	var out struct {
		Users []user `json:"users"`
	}
	if _, err := w.source.get(ctx, "/users", nil, &out); err != nil {
		return false, ignoreMissing(err)
	}
	for _, u := range out.Users {
		key := strings.ToLower(u.Email)
		if key == "" {
			key = u.ID
		}
		if key == "" {
			continue
		}
		seen[key] = true
		if !w.changed(key, hub.NodeUser, u.ID, all, u.ID, u.Name, u.Role) {
			continue
		}
		w.node(hub.NodeReport{
			Kind: hub.NodeUser, Keys: []string{key, "vigilare:" + u.ID}, SourceID: u.ID, Attributes: attributes(u),
			Asset: hub.Asset{Type: "user", Provider: "vigilare", Name: u.Name, Tags: map[string]string{"role": u.Role}},
		})
		w.edge(key, w.Tenant, "can_access", false)
	}
	return true, nil
}

func attributes(v any) jsontext.Value {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return b
}
