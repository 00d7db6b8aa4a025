package vigilare

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

type tenant struct {
	ID        string    `json:"tenant_id"`
	Name      string    `json:"name"`
	Plan      string    `json:"plan"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

// A User is a member of the tenant's team. The first is who logs in.
type User struct {
	ID        string    `json:"user_id"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	Role      string    `json:"role"` // owner, admin, member or viewer
	CreatedAt time.Time `json:"created_at"`
}

func nameFault(name string) string {
	if n := len([]rune(name)); n < 1 || n > 200 {
		return "name must have 1 to 200 characters"
	}
	return ""
}

func emailFault(email string) string {
	if user, host, ok := strings.Cut(email, "@"); !ok || user == "" || host == "" {
		return "email is no address"
	}
	return ""
}

func (s *Sim) signup(w http.ResponseWriter, r *http.Request) {
	var in struct{ Email, Password, Name string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	fault := emailFault(in.Email)
	if len(in.Password) < 8 {
		fault = "password must have 8 characters at least"
	}
	if f := nameFault(in.Name); f != "" {
		fault = f
	}
	if fault != "" {
		s.wrong(w, r, 400, "%s", fault)
		return
	}
	s.mu.Lock()
	taken := slices.ContainsFunc(s.users, func(u User) bool { return u.Email == in.Email })
	tenant, user := s.id(), s.id()
	s.mu.Unlock()
	if taken {
		refuse(w, 409, "")
		return
	}
	unkind.Answer(w, 201, map[string]string{
		"tenant_id": tenant, "user_id": user, "message": "Account created successfully. You can now log in.",
	})
}

func (s *Sim) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Email, Password string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.Email == "" || in.Password == "" {
		s.wrong(w, r, 400, "email and password are required")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused || in.Email != s.options.Email || in.Password != s.options.Password {
		refuse(w, 401, "")
		return
	}
	id := s.token("id")
	access := s.token("access")
	s.tokens[id] = s.Now().Add(s.options.TokenLife)
	s.access[access] = true
	unkind.Answer(w, 200, map[string]any{
		"access_token": access, "id_token": id, "refresh_token": s.token("refresh"),
		"expires_in": int(s.options.TokenLife / time.Second), "token_type": "Bearer",
	})
}

// token looks like a JWT, and is told apart by its number.
func (s *Sim) token(use string) string {
	s.serial++
	part := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"token_use":%q,"jti":"%d"}`, use, s.serial))
	return "eyJhbGciOiJSUzI1NiJ9." + part + ".c2lnbmF0dXJl"
}

func (s *Sim) getMe(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, map[string]any{"user": s.users[0], "tenant": s.tenant})
}

func (s *Sim) patchMe(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if fault := nameFault(in.Name); fault != "" {
		s.wrong(w, r, 400, "%s", fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[0].Name = in.Name
	unkind.Answer(w, 200, map[string]string{"name": in.Name})
}

func (s *Sim) listUsers(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, map[string]any{"users": s.users, "total": len(s.users)})
}

// may refuses who has none of the roles; the caller holds the lock.
func (s *Sim) may(w http.ResponseWriter, roles ...string) bool {
	if slices.Contains(roles, s.users[0].Role) {
		return true
	}
	refuse(w, 403, "")
	return false
}

var givable = []string{"admin", "member", "viewer"}

func (s *Sim) invite(w http.ResponseWriter, r *http.Request) {
	in := struct{ Email, Name, Role string }{Role: "member"}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	fault := emailFault(in.Email)
	if in.Name == "" {
		fault = "name is required"
	}
	if !slices.Contains(givable, in.Role) {
		fault = "role must be admin, member or viewer"
	}
	if fault != "" {
		s.wrong(w, r, 400, "%s", fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.may(w, "owner", "admin") {
		return
	}
	if slices.ContainsFunc(s.users, func(u User) bool { return u.Email == in.Email }) {
		refuse(w, 409, "")
		return
	}
	u := User{ID: s.id(), Email: in.Email, Name: in.Name, Role: in.Role, CreatedAt: s.now()}
	s.users = append(s.users, u)
	unkind.Answer(w, 201, map[string]string{
		"user_id": u.ID, "email": u.Email, "name": u.Name, "role": u.Role,
		"message": "Invitation sent. The user will receive an email with login instructions.",
	})
}

func (s *Sim) userAt(id string) int {
	return slices.IndexFunc(s.users, func(u User) bool { return u.ID == id })
}

func (s *Sim) patchUser(w http.ResponseWriter, r *http.Request) {
	var in struct{ Role string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if !slices.Contains(givable, in.Role) {
		s.wrong(w, r, 400, "role must be admin, member or viewer")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.may(w, "owner") {
		return
	}
	i := s.userAt(r.PathValue("id"))
	switch {
	case i < 0:
		refuse(w, 404, "")
	case s.users[i].Role == "owner":
		refuse(w, 403, "the account owner role cannot be changed")
	default:
		s.users[i].Role = in.Role
		unkind.Answer(w, 200, map[string]any{"user_id": s.users[i].ID, "role": in.Role, "updated_at": s.now()})
	}
}

func (s *Sim) deleteUser(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.may(w, "owner", "admin") {
		return
	}
	i := s.userAt(r.PathValue("id"))
	switch {
	case i < 0:
		refuse(w, 404, "")
	case i == 0 || s.users[i].Role == "owner":
		refuse(w, 403, "cannot remove yourself or the account owner")
	default:
		s.users = slices.Delete(s.users, i, i+1)
		w.WriteHeader(204)
	}
}
