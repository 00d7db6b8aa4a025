package echelongraph

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// A grant is the answer to each step of a login.
type grant struct {
	Access      secret.Secret `json:"access_token"`
	Refresh     secret.Secret `json:"refresh_token"`
	ExpiresIn   int64         `json:"expires_in"`
	MFARequired bool          `json:"mfa_required"`
	RequiresMFA bool          `json:"requires_mfa"` // as others word it
	MFAToken    secret.Secret `json:"mfa_token"`

	at time.Time // their clock
}

// login gives tokens for email and password, and a code if they want one.
func (s *Source) login(ctx context.Context) (connectors.Tokens, error) {
	g, err := s.ask(ctx, "login", map[string]string{"email": s.cfg.Email, "password": s.cfg.Password.Reveal()})
	if err != nil {
		return connectors.Tokens{}, err
	}
	if g.MFARequired || g.RequiresMFA {
		if g, err = s.second(ctx, g); err != nil {
			return connectors.Tokens{}, err
		}
	}
	return g.tokens()
}

// second makes the second step.
func (s *Source) second(ctx context.Context, g grant) (grant, error) {
	if s.cfg.TOTPSecret.IsZero() {
		return grant{}, hub.E(hub.Unauthorized, "EchelonGraph wants a second step for this user; set totp_secret")
	}
	code, err := s.codes.Next(g.at)
	if err != nil {
		return grant{}, err
	}
	g, err = s.ask(ctx, "mfa", map[string]string{"mfa_token": g.MFAToken.Reveal(), "code": code})
	return g, s.codes.Outcome(err)
}

// renew exchanges a refresh token for a new pair.
func (s *Source) renew(ctx context.Context, old connectors.Tokens) (connectors.Tokens, error) {
	g, err := s.ask(ctx, "refresh", map[string]string{"refresh_token": old.Refresh.Reveal()})
	if err != nil {
		return connectors.Tokens{}, err
	}
	return g.tokens()
}

func (s *Source) ask(ctx context.Context, step string, body map[string]string) (grant, error) {
	b, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return grant{}, hub.Wrap(hub.Invalid, err, "the credential cannot be sent as JSON")
	}
	answer, err := s.writes.Do(ctx, connectors.Call{Method: http.MethodPost, Path: s.path(step), Body: b, Open: true, Urgent: true})
	if err != nil {
		return grant{}, err
	}
	g := grant{at: answer.At}
	if err := json.Unmarshal(answer.Body, &g); err != nil {
		return grant{}, hub.E(hub.Transient, "EchelonGraph answered a login with what cannot be read; check base_url and paths")
	}
	return g, nil
}

func (g grant) tokens() (connectors.Tokens, error) {
	if g.Access.IsZero() {
		return connectors.Tokens{}, hub.E(hub.Transient, "EchelonGraph answered a login without an access token; check base_url and paths")
	}
	t := connectors.Tokens{Access: g.Access, Refresh: g.Refresh}
	if g.ExpiresIn > 0 {
		t.Expires = time.Now().Add(time.Duration(min(g.ExpiresIn, 1<<20)) * time.Second)
	}
	return t, nil
}

// explain words the refusals that are not about a token.
func (s *Source) explain(c connectors.Call, status int, body []byte) *hub.Error {
	var r struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &r) // without their words, ours stand alone
	theirs := ""
	if r.Message != "" {
		theirs = ": " + connectors.Quote(r.Message)
	}
	switch {
	case status == http.StatusUnauthorized && c.Path == s.path("login"):
		return hub.E(hub.Unauthorized, "EchelonGraph does not accept email and password; put the right ones into the connector's settings")
	case status == http.StatusUnauthorized && !c.Open:
		return hub.E(hub.Unauthorized, "EchelonGraph does not accept a token that it has just given")
	case status == http.StatusForbidden:
		return hub.E(hub.Forbidden, "EchelonGraph's user or plan may not do this"+theirs)
	case status == http.StatusNotFound:
		return hub.E(hub.NotFound, "EchelonGraph has nothing at "+c.Path+"; if that is where it should be, check paths"+theirs)
	case status == http.StatusConflict:
		return hub.E(hub.Conflict, "it is there already"+theirs)
	}
	return nil
}
