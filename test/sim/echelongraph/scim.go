package echelongraph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A User is a SCIM 2.0 user, as far as the simulator keeps one.
type User struct {
	Schemas     []string `json:"schemas,omitempty"`
	ID          string   `json:"id,omitempty"`
	UserName    string   `json:"userName"`
	DisplayName string   `json:"displayName,omitempty"`
	Active      bool     `json:"active"`
	Emails      []email  `json:"emails,omitempty"`
}

type email struct {
	Value   string `json:"value"`
	Primary bool   `json:"primary,omitempty"`
}

// A Group is a SCIM 2.0 group.
type Group struct {
	Schemas     []string `json:"schemas,omitempty"`
	ID          string   `json:"id,omitempty"`
	DisplayName string   `json:"displayName"`
	Members     []Member `json:"members"`
}

// A Member is a user of a group.
type Member struct {
	Value string `json:"value"`
}

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

// scimList answers as RFC 7644 §3.4.2 says.
func scimList[T any](s *Sim, w http.ResponseWriter, r *http.Request, all []T) {
	if !s.query(w, r, "startIndex", "count", "filter") {
		return
	}
	start, ok := s.number(w, r, "startIndex", 1, 1, 1_000_000)
	if !ok {
		return
	}
	count, ok := s.number(w, r, "count", 100, 0, 1000)
	if !ok {
		return
	}
	from := min(start-1, len(all))
	out := append([]T{}, all[from:min(from+min(count, 100), len(all))]...)
	unkind.Answer(w, 200, map[string]any{
		"schemas":      []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"},
		"totalResults": len(all), "startIndex": start, "itemsPerPage": len(out), "Resources": out,
	})
}

func (s *Sim) listUsers(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.users
	if name, ok := strings.CutPrefix(r.URL.Query().Get("filter"), `userName eq "`); ok {
		all = slices.DeleteFunc(slices.Clone(all), func(u User) bool { return u.UserName != strings.TrimSuffix(name, `"`) })
	}
	scimList(s, w, r, all)
}

func (s *Sim) listGroups(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scimList(s, w, r, s.groups)
}

func (s *Sim) createUser(w http.ResponseWriter, r *http.Request) {
	var in User
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.UserName == "" || !slices.Contains(in.Schemas, userSchema) || in.ID != "" {
		s.wrong(w, r, 400, "userName and the schema of a user are required.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.users, func(u User) bool { return u.UserName == in.UserName }) {
		refuse(w, 409, "uniqueness: userName is taken.")
		return
	}
	in.ID = s.id("usr")
	s.users = append(s.users, in)
	unkind.Answer(w, 201, in)
}

func (s *Sim) putGroup(w http.ResponseWriter, r *http.Request) {
	var in Group
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.DisplayName == "" || !slices.Contains(in.Schemas, groupSchema) {
		s.wrong(w, r, 400, "displayName and the schema of a group are required.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g Group) bool { return g.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, 404, "There is no such group.")
		return
	}
	in.ID = s.groups[i].ID
	s.groups[i] = in
	unkind.Answer(w, 200, in)
}

// Users gives every user.
func (s *Sim) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.users)
}
