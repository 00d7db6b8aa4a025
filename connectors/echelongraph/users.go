package echelongraph

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// maxUsers bounds how many users or groups are read.
const maxUsers = 100_000

// A scimUser is a user as SCIM 2.0 has it.
type scimUser struct {
	ID          inbound.Text `json:"id"`
	UserName    inbound.Text `json:"userName"`
	DisplayName inbound.Text `json:"displayName"`
	Active      *bool        `json:"active"`
	Emails      []struct {
		Value   inbound.Text `json:"value"`
		Primary bool         `json:"primary"`
	} `json:"emails"`

	raw jsontext.Value
}

// address is the user's e-mail, by which other sources know them too.
func (u scimUser) address() string {
	best := ""
	for _, e := range u.Emails {
		if best == "" || e.Primary {
			best = string(e.Value)
		}
	}
	if best == "" {
		best = string(u.UserName)
	}
	return strings.ToLower(best)
}

// users reads users and groups: few enough for one step.
func (w *pull) users(ctx context.Context) (done bool, err error) {
	groups := map[string][]string{}
	if path := w.source.path("groups"); path != "" {
		_, err := w.source.scim(ctx, path, func(raw jsontext.Value) {
			var g struct {
				Name    inbound.Text `json:"displayName"`
				Members []struct {
					Value inbound.Text `json:"value"`
				} `json:"members"`
			}
			if json.Unmarshal(raw, &g) != nil {
				return
			}
			for _, m := range g.Members {
				groups[string(m.Value)] = append(groups[string(m.Value)], string(g.Name))
			}
		})
		if err != nil && !optional("groups", err) {
			return false, err
		}
	}
	var users []scimUser
	at, err := w.source.scim(ctx, w.source.path("users"), func(raw jsontext.Value) {
		u := scimUser{raw: raw}
		if json.Unmarshal(raw, &u) == nil && u.ID != "" && u.address() != "" {
			users = append(users, u)
		}
	})
	if err != nil {
		return false, err
	}
	w.clock(at)
	for _, u := range users {
		w.user(u, groups[string(u.ID)])
	}
	w.Whole["users"] = true
	return true, nil
}

// user reports a user. One that is not active can do nothing any more.
func (w *pull) user(u scimUser, groups []string) {
	n := hub.NodeReport{
		Kind: hub.NodeUser, Keys: keysOf(u.address(), "echelongraph:"+string(u.ID)), SourceID: string(u.ID), Attributes: u.raw,
		Asset: hub.Asset{Type: "user", Provider: "echelongraph", Name: string(inbound.First(u.DisplayName, u.UserName))},
		Gone:  u.Active != nil && !*u.Active,
	}
	if len(groups) > 0 {
		n.Tags = map[string]string{"groups": strings.Join(groups, ", ")}
	}
	if n.Gone {
		delete(w.Things, n.Keys[0])
		w.node(n)
		return
	}
	w.saw("users", n)
	w.linked("users", n.Keys[0], "can_access", w.source.asset)
}

// scim goes through a list as RFC 7644 §3.4.2.4 pages it.
// It gives their clock.
func (s *Source) scim(ctx context.Context, path string, take func(raw jsontext.Value)) (at time.Time, err error) {
	for seen := 0; seen < maxUsers; {
		var out struct {
			Total     int              `json:"totalResults"`
			Resources []jsontext.Value `json:"Resources"`
		}
		query := url.Values{"startIndex": {strconv.Itoa(seen + 1)}, "count": {"100"}}
		answer, err := s.get(ctx, path, query, &out)
		if err != nil {
			return at, err
		}
		at = answer.At
		for _, raw := range out.Resources {
			take(raw)
		}
		seen += len(out.Resources)
		if len(out.Resources) == 0 || seen >= out.Total {
			return at, nil
		}
	}
	return at, nil
}
