package connectors

import (
	"context"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// Tokens are what a login gives.
type Tokens struct {
	Access  secret.Secret
	Refresh secret.Secret // zero if there is none
	Expires time.Time     // of Access; zero if the vendor does not tell
}

// A Session keeps the token of a login: it logs in when one is first needed,
// and renews it before it expires or after it was refused. Callers that come
// meanwhile wait for the one attempt. Tokens are kept in memory only.
type Session struct {
	login   func(ctx context.Context) (Tokens, error)
	renew   func(ctx context.Context, old Tokens) (Tokens, error)
	secrets []secret.Secret
	turn    chan struct{} // holds one while somebody logs in

	mu     sync.Mutex // guards all below
	tokens Tokens
	stale  bool
	taken  time.Time // when tokens came
	old    []secret.Secret
}

// NewSession makes a session. renew exchanges tokens for newer ones; where it
// is nil, or the vendor refuses it, login is called again. secrets are what
// else of the credential must show nowhere.
func NewSession(login func(context.Context) (Tokens, error), renew func(context.Context, Tokens) (Tokens, error), secrets ...secret.Secret) *Session {
	return &Session{login: login, renew: renew, secrets: secrets, turn: make(chan struct{}, 1)}
}

// early is how long before its end a token is renewed, at most a tenth of its life.
const early = 30 * time.Second

// Token gives a token that is good as far as is known.
func (s *Session) Token(ctx context.Context) (secret.Secret, error) {
	if t, good := s.current(); good {
		return t.Access, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return secret.Secret{}, ctx.Err()
	}
	t, good := s.current() // somebody else may have brought it
	if good {
		return t.Access, nil
	}
	t, err := s.fetch(ctx, t)
	if err != nil {
		return secret.Secret{}, err
	}
	s.keep(t)
	return t.Access, nil
}

// current gives the tokens, and whether they can be used.
func (s *Session) current() (Tokens, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens
	if t.Access.IsZero() || s.stale {
		return t, false
	}
	if t.Expires.IsZero() {
		return t, true
	}
	margin := min(early, t.Expires.Sub(s.taken)/10)
	return t, time.Now().Before(t.Expires.Add(-margin))
}

// fetch renews, or logs in where that cannot be or is refused.
func (s *Session) fetch(ctx context.Context, old Tokens) (Tokens, error) {
	if s.renew != nil && !old.Refresh.IsZero() {
		t, err := s.renew(ctx, old)
		if err == nil {
			return t, nil
		}
		switch hub.KindOf(err) {
		case hub.Unauthorized, hub.Forbidden, hub.Invalid, hub.NotFound:
			s.forget()
		default:
			return Tokens{}, err
		}
	}
	return s.login(ctx)
}

func (s *Session) keep(t Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
	s.tokens, s.stale, s.taken = t, false, time.Now()
}

// forget drops tokens that cannot even be renewed.
func (s *Session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
	s.tokens = Tokens{}
}

// retire remembers the tokens for Scrub a while longer: a request that was made
// with them may still be on its way.
func (s *Session) retire() {
	s.old = append(s.old, s.tokens.Access, s.tokens.Refresh)
	s.old = s.old[max(0, len(s.old)-8):]
}

// Reject tells that the vendor refused a token, so that the next one is new.
func (s *Session) Reject(token secret.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens.Access.Equal(token.Reveal()) {
		s.stale = true
	}
}

// Scrub takes what is secret about the session out of a text.
func (s *Session) Scrub(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text = s.tokens.Refresh.Scrub(s.tokens.Access.Scrub(text))
	for _, list := range [][]secret.Secret{s.old, s.secrets} {
		for _, x := range list {
			text = x.Scrub(text)
		}
	}
	return text
}
