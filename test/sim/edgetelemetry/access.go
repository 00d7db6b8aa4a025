package edgetelemetry

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A User is one of the list. The first is who the hub logs in as.
type User struct {
	ID        string
	Email     string
	MFA       bool
	Method    string
	CreatedAt time.Time
	LastLogin time.Time

	roles           []string // ids
	password        string
	secret, pending string // of MFA
	backup          []string
}

// A Role is one of the list.
type Role struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Desc   string `json:"description"`
	System bool   `json:"is_system"`

	perms []string // ids
}

// A Permission is one of RBAC's.
type Permission struct {
	ID       string `json:"id"`
	Resource string `json:"resource"`
	Action   string `json:"action"`
	Desc     string `json:"description"`
}

// resources and their actions are the document's.
var resources = []struct {
	name    string
	actions []string
}{
	{"users", crud},
	{"roles", crud},
	{"incidents", crud},
	{"summaries", []string{"read"}},
	{"alerts", crud},
	{"alert_rules", crud},
	{"alert_channels", crud},
	{"settings", []string{"read", "update"}},
	{"audit_logs", []string{"read"}},
}

var crud = []string{"read", "create", "update", "delete"}

func (s *Sim) furnishAccess() {
	all, reads := []string{}, []string{}
	for _, r := range resources {
		for _, a := range r.actions {
			p := Permission{ID: s.id(), Resource: r.name, Action: a, Desc: a + " " + r.name}
			s.perms = append(s.perms, p)
			all = append(all, p.ID)
			if a == "read" {
				reads = append(reads, p.ID)
			}
		}
	}
	s.roles = []*Role{
		{ID: s.id(), Name: "admin", Desc: "Full system access", System: true, perms: all},
		{ID: s.id(), Name: "analyst", Desc: "View and analyze data", System: true, perms: reads},
	}
	s.users = []*User{
		{ID: s.id(), Email: s.options.Email, MFA: s.options.MFA, Method: "local", CreatedAt: s.now(), password: s.options.Password, secret: DefaultSecret, roles: []string{s.roles[0].ID}},
		{ID: s.id(), Email: "dana@example.com", Method: "local", CreatedAt: s.now(), password: "another-long-one", secret: DefaultSecret, roles: []string{s.roles[1].ID}},
	}
}

func (s *Sim) user(id string) *User {
	i := slices.IndexFunc(s.users, func(u *User) bool { return u.ID == id })
	if i < 0 {
		return nil
	}
	return s.users[i]
}

func (s *Sim) role(id string) *Role {
	i := slices.IndexFunc(s.roles, func(x *Role) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return s.roles[i]
}

func (s *Sim) roleNames(u *User) []string {
	names := []string{}
	for _, id := range u.roles {
		if x := s.role(id); x != nil {
			names = append(names, x.Name)
		}
	}
	return names
}

// permissions are a user's, such as users:read.
func (s *Sim) permissions(u *User) []string {
	out := []string{}
	for _, p := range s.perms {
		if slices.ContainsFunc(u.roles, func(id string) bool { x := s.role(id); return x != nil && slices.Contains(x.perms, p.ID) }) {
			out = append(out, p.Resource+":"+p.Action)
		}
	}
	return out
}

// shown is a user as the list has them.
func (s *Sim) shown(u *User) map[string]any {
	out := s.session(u)
	out["created_at"], out["last_login"] = u.CreatedAt, nil
	if !u.LastLogin.IsZero() {
		out["last_login"] = u.LastLogin
	}
	return out
}

// Users gives the addresses of every user with their roles.
func (s *Sim) Users() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for _, u := range s.users {
		out[u.Email] = s.roleNames(u)
	}
	return out
}

// UserID gives the id of a user by address, RoleID of a role by name.
func (s *Sim) UserID(email string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.Email == email {
			return u.ID
		}
	}
	return ""
}

// RoleID gives the id of a role by name.
func (s *Sim) RoleID(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.roles {
		if x.Name == name {
			return x.ID
		}
	}
	return ""
}

// PermissionID gives the id of a permission such as alerts:update.
func (s *Sim) PermissionID(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.perms {
		if p.Resource+":"+p.Action == name {
			return p.ID
		}
	}
	return ""
}

// Roles is how many roles there are.
func (s *Sim) Roles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.roles)
}

// Permit gives the hub's user a role of its own with these permissions only.
func (s *Sim) Permit(permissions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &Role{ID: s.id(), Name: "hub"}
	for _, p := range s.perms {
		if slices.Contains(permissions, p.Resource+":"+p.Action) {
			x.perms = append(x.perms, p.ID)
		}
	}
	s.roles = append(s.roles, x)
	s.users[0].roles = []string{x.ID}
}

func (s *Sim) listUsers(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for _, u := range s.users {
		out = append(out, s.shown(u))
	}
	give(w, 200, out)
}

func (s *Sim) createUser(w http.ResponseWriter, r *http.Request) {
	var in struct{ Email, Password, Role string }
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.roles, func(x *Role) bool { return x.Name == in.Role })
	switch {
	case !strings.Contains(strings.Trim(in.Email, "@"), "@") || len(in.Password) < 8:
		s.wrong(w, r, 422, "email or password is not valid")
	case i < 0:
		refuse(w, 422, "role is none")
	case slices.ContainsFunc(s.users, func(u *User) bool { return u.Email == in.Email }):
		refuse(w, 422, "email is taken")
	default:
		u := &User{ID: s.id(), Email: in.Email, Method: "local", CreatedAt: s.now(), password: in.Password, secret: DefaultSecret, roles: []string{s.roles[i].ID}}
		s.users = append(s.users, u)
		s.act(r, "create_user", "users", u.ID)
		give(w, 201, s.shown(u))
	}
}

// here gives the user that the path names; it has answered if it gives nil.
func (s *Sim) here(w http.ResponseWriter, r *http.Request) *User {
	u := s.user(r.PathValue("id"))
	if u == nil {
		refuse(w, 404, "user")
	}
	return u
}

func (s *Sim) getUser(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.here(w, r); u != nil {
		give(w, 200, s.shown(u))
	}
}

func (s *Sim) deleteUser(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.here(w, r); u != nil {
		s.users = slices.DeleteFunc(s.users, func(x *User) bool { return x == u })
		s.act(r, "delete_user", "users", u.ID)
		give(w, 200, nil)
	}
}

func (s *Sim) giveRole(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RoleID string `json:"role_id"`
	}
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.here(w, r)
	switch {
	case u == nil:
	case s.role(in.RoleID) == nil:
		refuse(w, 404, "role")
	case slices.Contains(u.roles, in.RoleID):
		refuse(w, 400, "the user already has the role")
	default:
		u.roles = append(u.roles, in.RoleID)
		s.act(r, "assign_role", "users", u.ID)
		give(w, 200, s.shown(u))
	}
}

func (s *Sim) takeRole(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.here(w, r)
	if u == nil {
		return
	}
	i := slices.Index(u.roles, r.PathValue("role"))
	if i < 0 {
		refuse(w, 404, "role")
		return
	}
	u.roles = slices.Delete(u.roles, i, i+1)
	s.act(r, "remove_role", "users", u.ID)
	give(w, 200, nil)
}

// act logs what the caller has done.
func (s *Sim) act(r *http.Request, action, resource, id string) {
	s.log(Entry{Action: action, ResourceType: resource, ResourceID: &id, UserEmail: s.caller(r).Email, Status: 200, Method: r.Method, Path: r.URL.Path})
}

// log adds an entry; what is not given is filled in.
func (s *Sim) log(e Entry) *Entry {
	e.ID, e.UserEmail = cmp.Or(e.ID, s.id()), cmp.Or(e.UserEmail, "dana@example.com")
	e.Action, e.ResourceType, e.Status = cmp.Or(e.Action, "login"), cmp.Or(e.ResourceType, "users"), cmp.Or(e.Status, 200)
	e.IP, e.Agent, e.Hash = cmp.Or(e.IP, "192.168.1.1"), cmp.Or(e.Agent, "Mozilla/5.0"), "abc123"
	if e.Timestamp.IsZero() {
		e.Timestamp = s.now()
	}
	for _, u := range s.users {
		if u.Email == e.UserEmail {
			e.user = u.ID
		}
	}
	s.audit = append(s.audit, &e)
	return &e
}
