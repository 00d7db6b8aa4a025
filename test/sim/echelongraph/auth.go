package echelongraph

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

const (
	stepLife    = 5 * time.Minute // of an mfa_token
	refreshLife = 24 * time.Hour
	codeEvery   = 30 // seconds
)

func (s *Sim) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Email, Password string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.Email == "" || in.Password == "" {
		s.wrong(w, r, 400, "email and password are required.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused || in.Email != s.options.Email || in.Password != s.options.Password {
		s.log(Entry{Action: "auth.login_failed", User: in.Email, Outcome: "failure"})
		refuse(w, 401, "Wrong email or password.")
		return
	}
	if s.options.MFA {
		token := s.id("mfa")
		s.steps[token] = s.Now().Add(stepLife)
		unkind.Answer(w, 200, map[string]any{"mfa_required": true, "mfa_token": token})
		return
	}
	s.pair(w)
}

// pair gives an access and a refresh token.
func (s *Sim) pair(w http.ResponseWriter) {
	access, refresh := s.id("eg_access"), s.id("eg_refresh")
	s.access[access] = s.Now().Add(s.options.TokenLife)
	s.refresh[refresh] = s.Now().Add(refreshLife)
	s.log(Entry{Action: "auth.login", User: s.options.Email})
	unkind.Answer(w, 200, map[string]any{
		"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": int(s.options.TokenLife / time.Second),
	})
}

func (s *Sim) mfa(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"mfa_token"`
		Code  string
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end, known := s.steps[in.Token]
	step, right := s.codeStep(in.Code)
	switch {
	case s.refused || !known || s.Now().After(end):
		refuse(w, 401, "The sign-in has expired; start again.")
	case !right || step <= s.lastCode:
		refuse(w, 401, "The code is wrong or was used already.")
	default:
		delete(s.steps, in.Token)
		s.lastCode = step
		s.pair(w)
	}
}

// codeStep finds the time step of a code: now, or one beside it.
func (s *Sim) codeStep(code string) (int64, bool) {
	now := s.Now().Unix() / codeEvery
	for _, step := range []int64{now, now - 1, now + 1} {
		if Code(DefaultSecret, step) == code {
			return step, true
		}
	}
	return 0, false
}

// Code gives the six digits of a time step.
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

func (s *Sim) renew(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"refresh_token"`
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end, known := s.refresh[in.Token]
	if s.refused || !known || s.Now().After(end) {
		refuse(w, 401, "The refresh token is not valid.")
		return
	}
	delete(s.refresh, in.Token)
	s.pair(w)
}
