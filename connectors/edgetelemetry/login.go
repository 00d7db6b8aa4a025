package edgetelemetry

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// A pace counts requests for authentication: EdgeAI takes ten a minute, and does
// not tell after a cut connection how many are left.
type pace struct {
	mu   sync.Mutex // guards made
	made []time.Time
}

// authPerMinute leaves two of the ten for what is not counted here: a repeat
// after a refused token, and a process that has ended just now.
const authPerMinute = 8

// take counts a request, or says when one may be made.
func (p *pace) take(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.made) > 0 && now.Sub(p.made[0]) >= time.Minute {
		p.made = p.made[1:]
	}
	if len(p.made) < authPerMinute {
		p.made = append(p.made, now)
		return nil
	}
	err := hub.E(hub.RateLimited, vendor+" takes ten requests for authentication a minute; the connector goes on by itself")
	err.RetryAfter = p.made[0].Add(time.Minute).Sub(now)
	return err
}

// A grant is what a login or a refresh gives.
type grant struct {
	Token       secret.Secret  `json:"token"`
	Access      secret.Secret  `json:"access_token"` // as others word it
	User        jsontext.Value `json:"user"`
	RequiresMFA bool           `json:"requires_mfa"`

	at time.Time // their clock
}

// login gives a token for email, password and, where there is a secret for it, a
// code.
func (s *Source) login(ctx context.Context) (connectors.Tokens, error) {
	in := map[string]string{"email": s.cfg.Email, "password": s.cfg.Password.Reveal()}
	second := !s.cfg.TOTPSecret.IsZero()
	if second {
		at, err := s.theirTime(ctx)
		if err != nil {
			return connectors.Tokens{}, err
		}
		if in["mfa_code"], err = s.codes.Next(at); err != nil {
			return connectors.Tokens{}, err
		}
	}
	body, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return connectors.Tokens{}, hub.Wrap(hub.Invalid, err, "the credential cannot be sent as JSON")
	}
	g, err := s.ask(ctx, connectors.Call{Method: http.MethodPost, Path: "/auth/login", Body: body, Open: true, Urgent: true})
	switch {
	case err == nil && g.RequiresMFA && !second:
		return connectors.Tokens{}, hub.E(hub.Unauthorized, vendor+" wants a second step for this user; set totp_secret")
	case err == nil && g.RequiresMFA:
		err = hub.E(hub.Unauthorized, "the code was not taken")
	}
	if second {
		err = s.judge(err)
	}
	if err != nil {
		return connectors.Tokens{}, err
	}
	s.keep("user", g.User)
	return g.tokens()
}

// judge tells what became of a login with a code. A refusal is taken for one of
// the code, and tried with the next, unless their text says that it is not.
func (s *Source) judge(err error) error {
	if says(err, "password", "credential") && !says(err, "code", "mfa") {
		return err
	}
	out := s.codes.Outcome(err)
	if hub.KindOf(out) == hub.Unauthorized && !says(err, "code", "mfa") {
		return err // which names all that may be wrong
	}
	return out
}

// says reports whether their text to a refused login has one of the words.
func says(err error, words ...string) bool {
	var e *hub.Error
	if !errors.As(err, &e) {
		return false
	}
	text := e.Msg
	if e.Err != nil {
		text = e.Err.Error() // status, path and their answer
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(text), w) })
}

// renew exchanges a token for a newer one, which works while it is good. One
// that has ended is not even tried: requests for authentication are few.
func (s *Source) renew(ctx context.Context, old connectors.Tokens) (connectors.Tokens, error) {
	if !old.Expires.IsZero() && !time.Now().Before(old.Expires) {
		return connectors.Tokens{}, hub.E(hub.Unauthorized, "the token has ended")
	}
	g, err := s.ask(ctx, connectors.Call{Method: http.MethodPost, Path: "/auth/refresh", Token: old.Access, Urgent: true})
	if err != nil {
		return connectors.Tokens{}, err
	}
	return g.tokens()
}

// ask makes a request for authentication that gives a token.
func (s *Source) ask(ctx context.Context, c connectors.Call) (grant, error) {
	if err := s.pace.take(time.Now()); err != nil {
		return grant{}, err
	}
	answer, err := s.auth.Do(ctx, c)
	if err != nil {
		return grant{}, err
	}
	s.note(answer)
	g := grant{at: answer.At}
	data, err := open(c.Method, answer)
	if err != nil {
		return grant{}, err
	}
	if data.Kind() == '"' { // the document does not show what a refresh gives
		g.Token = secret.New(connectors.Text(data))
		return g, nil
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return grant{}, hub.E(hub.Transient, vendor+" answered "+c.Path+" with what cannot be read; check base_url")
	}
	if g.Token.IsZero() {
		g.Token = g.Access
	}
	return g, nil
}

// tokens keeps the token twice, because a token is exchanged for its own successor.
func (g grant) tokens() (connectors.Tokens, error) {
	if g.Token.IsZero() {
		return connectors.Tokens{}, hub.E(hub.Transient, vendor+" answered a login without a token; check base_url")
	}
	t := connectors.Tokens{Access: g.Token, Refresh: g.Token}
	if end := expiry(g.Token); !end.IsZero() {
		t.Expires = time.Now().Add(end.Sub(g.at))
	}
	return t, nil
}

// expiry reads when a JWT ends; zero if it does not tell. The signature is not
// ours to check: nothing is granted by it here.
func expiry(token secret.Secret) time.Time {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		End float64 `json:"exp"`
	}
	if json.Unmarshal(b, &claims) != nil || claims.End <= 0 || claims.End > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.End), 0)
}

// note takes their clock over from an answer.
func (s *Source) note(a connectors.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew, s.clock = time.Until(a.At), true
}

// theirTime is the time by their clock, for which codes are made. Before the
// first login it is asked for.
func (s *Source) theirTime(ctx context.Context) (time.Time, error) {
	s.mu.Lock()
	skew, known := s.skew, s.clock
	s.mu.Unlock()
	if known {
		return time.Now().Add(skew), nil
	}
	answer, err := s.health(ctx, "/health")
	switch {
	case err == nil:
		s.note(answer)
		return answer.At, nil
	case hub.KindOf(err) == hub.RateLimited || ctx.Err() != nil:
		return time.Time{}, err
	}
	return time.Now(), nil // a clock that is off is told by the code's refusal
}

// health asks a path that needs no token. Where it is not below base_url as the
// document has it, it is looked for at the host's root.
func (s *Source) health(ctx context.Context, path string) (connectors.Answer, error) {
	call := connectors.Call{Method: http.MethodGet, Path: path, Open: true}
	answer, err := s.api.Do(ctx, call)
	if hub.KindOf(err) == hub.NotFound && s.api.Base.Path != "" {
		return s.root.Do(ctx, call)
	}
	return answer, err
}
