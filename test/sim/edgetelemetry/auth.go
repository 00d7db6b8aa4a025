package edgetelemetry

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const codeEvery = 30 // seconds

// A grant is what a token is good for.
type grant struct {
	user string // id
	end  time.Time
}

// session is what a login shows of a user.
func (s *Sim) session(u *User) map[string]any {
	return map[string]any{
		"id": u.ID, "email": u.Email, "roles": s.roleNames(u), "permissions": s.permissions(u), "mfa_enabled": u.MFA, "auth_method": u.Method,
	}
}

func (s *Sim) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Email, Password string
		Code            string `json:"mfa_code"`
	}
	if !s.body(w, r, &in) {
		return
	}
	if in.Email == "" || in.Password == "" {
		s.wrong(w, r, 422, "email and password are required")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.users, func(u *User) bool { return u.Email == in.Email && u.password == in.Password })
	if s.refused || i < 0 {
		s.log(Entry{Action: "login", ResourceType: "auth", UserEmail: in.Email, Status: 401, Method: r.Method, Path: r.URL.Path})
		refuse(w, 401, "Invalid email or password")
		return
	}
	u := s.users[i]
	if u.MFA && in.Code == "" {
		give(w, 200, map[string]any{"token": nil, "user": nil, "requires_mfa": true})
		return
	}
	if u.MFA && !s.takes(u, in.Code) {
		s.log(Entry{Action: "login", ResourceType: "auth", UserEmail: in.Email, Status: 401, Method: r.Method, Path: r.URL.Path})
		refuse(w, 401, "Invalid MFA code")
		return
	}
	u.LastLogin = s.now()
	s.log(Entry{Action: "login", ResourceType: "auth", UserEmail: in.Email, Status: 200, Method: r.Method, Path: r.URL.Path})
	give(w, 200, map[string]any{"token": s.token(u), "user": s.session(u), "requires_mfa": false})
}

// takes checks a code of an authenticator, or one of the backup codes; each is
// good once.
func (s *Sim) takes(u *User, code string) bool {
	if i := slices.Index(u.backup, code); i >= 0 {
		u.backup = slices.Delete(u.backup, i, i+1)
		return true
	}
	now := s.Now().Unix() / codeEvery
	for _, step := range []int64{now, now - 1, now + 1} {
		if step > s.lastCode && Code(u.secret, step) == code {
			s.lastCode = step
			return true
		}
	}
	return false
}

// Code gives the six digits of a time step (RFC 6238).
func Code(secret string, step int64) string {
	key, err := base32.StdEncoding.DecodeString(secret)
	if err != nil {
		panic(err) // a fault of the simulator
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// token makes a JWT.
func (s *Sim) token(u *User) string {
	s.serial++
	now := s.Now()
	end := now.Add(s.options.TokenLife).Truncate(time.Second)
	claims := fmt.Appendf(nil, `{"sub":%q,"email":%q,"iat":%d,"exp":%d,"jti":"%d"}`, u.ID, u.Email, now.Unix(), end.Unix(), s.serial)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte("key of the simulator"))
	mac.Write([]byte(text))
	text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	s.tokens[text] = grant{u.ID, end}
	return text
}

// holder gives whose token it is, nil for one that is not good.
func (s *Sim) holder(token string) *User {
	g, known := s.tokens[token]
	if !known || !s.Now().Before(g.end) {
		return nil
	}
	return s.user(g.user)
}

func bearer(r *http.Request) string { return r.Header.Get("Authorization")[len("Bearer "):] }

// caller is whose token the request carries; the token may have ended since it
// was checked.
func (s *Sim) caller(r *http.Request) *User {
	if u := s.holder(bearer(r)); u != nil {
		return u
	}
	return s.users[0]
}

func (s *Sim) logout(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, bearer(r))
	give(w, 200, nil)
}

func (s *Sim) refresh(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.holder(bearer(r))
	if u == nil {
		refuse(w, 401, "")
		return
	}
	delete(s.tokens, bearer(r))
	give(w, 200, map[string]any{"token": s.token(u)})
}

func (s *Sim) me(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, s.session(s.caller(r)))
}

func (s *Sim) mfaSetup(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.caller(r)
	u.pending, u.backup = "JBSWY3DPEHPK3PXP", []string{"A1B2C3D4", "E5F6G7H8"}
	give(w, 200, map[string]any{
		"secret": u.pending, "qr_code_uri": "otpauth://totp/EdgeAI:" + u.Email + "?secret=" + u.pending, "backup_codes": u.backup,
	})
}

func (s *Sim) mfaEnable(w http.ResponseWriter, r *http.Request) {
	var in struct{ Code string }
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.caller(r)
	if u.pending == "" {
		refuse(w, 400, "MFA was not set up")
		return
	}
	now := s.Now().Unix() / codeEvery
	if !slices.Contains([]string{Code(u.pending, now), Code(u.pending, now-1)}, in.Code) {
		refuse(w, 400, "Invalid MFA code")
		return
	}
	u.secret, u.pending, u.MFA = u.pending, "", true
	give(w, 200, nil)
}

func (s *Sim) mfaDisable(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller(r).MFA = false
	give(w, 200, nil)
}

type provider struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Type    string   `json:"provider_type"`
	Issuer  string   `json:"issuer_url"`
	Scopes  []string `json:"scopes"`
	Active  bool     `json:"is_active"`
	Default bool     `json:"is_default"`
}

func (s *Sim) listProviders(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, s.providers)
}

func (s *Sim) provider(w http.ResponseWriter, r *http.Request) (provider, bool) {
	i := slices.IndexFunc(s.providers, func(p provider) bool { return p.ID == r.PathValue("id") })
	switch {
	case i < 0:
		refuse(w, 404, "SSO provider")
		return provider{}, false
	case s.providers[i].Name == "Broken":
		refuse(w, 502, "")
		return provider{}, false
	}
	return s.providers[i], true
}

func (s *Sim) ssoLogin(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.provider(w, r); ok {
		give(w, 200, map[string]string{"authorization_url": p.Issuer + "/authorize", "state": s.id()})
	}
}

func (s *Sim) ssoCallback(w http.ResponseWriter, r *http.Request) {
	var in struct{ Code string }
	if !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.provider(w, r); !ok {
		return
	}
	if in.Code != "authorization-code-from-idp" {
		refuse(w, 401, "the code is not valid")
		return
	}
	give(w, 200, map[string]any{"token": s.token(s.users[0]), "user": s.session(s.users[0]), "requires_mfa": false})
}

// Expire ends every token, as if its time were over.
func (s *Sim) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Refuse ends every token and refuses logins, until told otherwise.
func (s *Sim) Refuse(refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused = refused; refused {
		clear(s.tokens)
	}
}
