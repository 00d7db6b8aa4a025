package edgetelemetry

import (
	"net/http"
	"slices"
)

func (s *Sim) listRoles(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, s.roles)
}

func (s *Sim) createRole(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name string `json:"name"`
		Desc string `json:"description"`
	}
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case in.Name == "":
		s.wrong(w, r, 422, "name is required")
	case slices.ContainsFunc(s.roles, func(x *Role) bool { return x.Name == in.Name }):
		refuse(w, 422, "name is taken")
	default:
		x := &Role{ID: s.id(), Name: in.Name, Desc: in.Desc}
		s.roles = append(s.roles, x)
		s.act(r, "create_role", "roles", x.ID)
		give(w, 201, x)
	}
}

// named gives the role that the path names; it has answered if it gives nil.
func (s *Sim) named(w http.ResponseWriter, r *http.Request) *Role {
	x := s.role(r.PathValue("id"))
	if x == nil {
		refuse(w, 404, "role")
	}
	return x
}

func (s *Sim) held(x *Role) []Permission {
	out := []Permission{}
	for _, p := range s.perms {
		if slices.Contains(x.perms, p.ID) {
			out = append(out, p)
		}
	}
	return out
}

func (s *Sim) getRole(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.named(w, r); x != nil {
		give(w, 200, map[string]any{"id": x.ID, "name": x.Name, "description": x.Desc, "is_system": x.System, "permissions": s.held(x)})
	}
}

func (s *Sim) rolePermissions(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.named(w, r); x != nil {
		give(w, 200, s.held(x))
	}
}

func (s *Sim) deleteRole(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.named(w, r)
	switch {
	case x == nil:
	case x.System:
		refuse(w, 400, "a role of the system cannot be deleted")
	default:
		s.roles = slices.DeleteFunc(s.roles, func(o *Role) bool { return o == x })
		s.act(r, "delete_role", "roles", x.ID)
		give(w, 200, nil)
	}
}

func (s *Sim) grantPermission(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ID string `json:"permission_id"`
	}
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.named(w, r)
	switch {
	case x == nil:
	case !slices.ContainsFunc(s.perms, func(p Permission) bool { return p.ID == in.ID }):
		refuse(w, 404, "permission")
	case slices.Contains(x.perms, in.ID):
		refuse(w, 400, "the role already has the permission")
	default:
		x.perms = append(x.perms, in.ID)
		s.act(r, "grant_permission", "roles", x.ID)
		give(w, 200, s.held(x))
	}
}
