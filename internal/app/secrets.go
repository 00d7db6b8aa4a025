package app

import (
	"context"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/relay/sign"
)

const (
	// maxSecrets is how many secrets of a kind sign at once.
	maxSecrets = 5
	// maxGrace is how long an old secret can sign on.
	maxGrace = 7 * 24 * time.Hour
	// defaultGrace is how long one signs on that a change of the config file
	// replaced.
	defaultGrace = 24 * time.Hour
)

func isPair(text string) bool { return strings.HasPrefix(text, sign.PrivatePrefix) }

// settleKeys brings the key pairs of e in line with its public keys: one without
// a text asks for a pair to be made, and where there are none the pairs go.
func settleKeys(e *hub.Endpoint) {
	kept, wanted := e.Secrets.Signing[:0:0], false
	for _, k := range e.PublicKeys {
		wanted = wanted || k.Key == ""
	}
	for _, s := range e.Secrets.Signing {
		if !isPair(s.Text) || len(e.PublicKeys) > 0 {
			kept = append(kept, s)
		}
	}
	if wanted {
		kept = append(kept, hub.SigningSecret{Text: sign.NewPair()})
	}
	e.Secrets.Signing = kept
	publish(e)
}

// publish shows the public halves of the key pairs of e.
func publish(e *hub.Endpoint) {
	e.PublicKeys = nil
	for _, s := range e.Secrets.Signing {
		if !isPair(s.Text) {
			continue
		}
		if k, err := sign.ParseSecret(s.Text); err == nil { // one that is wrong is refused elsewhere
			e.PublicKeys = append(e.PublicKeys, hub.PublicKey{Key: k.Public(), Expires: s.Expires})
		}
	}
}

// renewed puts a new secret in front; those of its kind sign on until grace is
// over, the others as they did.
func renewed(all []hub.SigningSecret, text string, now time.Time, grace time.Duration) []hub.SigningSecret {
	next, same := []hub.SigningSecret{{Text: text}}, 1
	for _, s := range all {
		if isPair(s.Text) == isPair(text) {
			if s.Expires.IsZero() || s.Expires.After(now.Add(grace)) {
				s.Expires = hub.Truncate(now.Add(grace))
			}
			if same++; same > maxSecrets || s.Text == text {
				continue
			}
		}
		if s.Expires.IsZero() || s.Expires.After(now) {
			next = append(next, s)
		}
	}
	return next
}

// Rotate makes a new secret or key pair; the old ones sign on until the grace is
// over.
func (w *webhooks) Rotate(ctx context.Context, p hub.Principal, id hub.EndpointID, r api.Rotation) (api.Rotated, error) {
	if r.Grace < 0 || r.Grace > maxGrace {
		return api.Rotated{}, &hub.Error{Kind: hub.Invalid, Msg: "grace must be from 0s to 168h", Fields: []hub.Field{{Pointer: "/grace", Detail: "must be from 0s to 168h"}}}
	}
	text := sign.NewSecret()
	if r.KeyPair {
		text = sign.NewPair()
	}
	e, err := w.Update(ctx, p, id, 0, func(e *hub.Endpoint) error {
		e.Secrets.Signing = renewed(e.Secrets.Signing, text, w.st.Now(), r.Grace)
		publish(e)
		return nil
	})
	if err != nil {
		return api.Rotated{}, err
	}
	if r.KeyPair {
		return api.Rotated{PublicKey: e.PublicKeys[0].Key}, nil
	}
	return api.Rotated{Secret: text}, nil
}

// carried gives the secrets of an endpoint of the config file: those it names
// now, and those it named before for as long as their grace lasts.
func carried(now, before hub.EndpointSecrets, at time.Time) hub.EndpointSecrets {
	out := hub.EndpointSecrets{Tokens: now.Tokens, Signing: before.Signing}
	pairs := false
	for i := len(now.Signing) - 1; i >= 0; i-- {
		s := now.Signing[i]
		pairs = pairs || isPair(s.Text)
		if !signs(out.Signing, s.Text) {
			out.Signing = renewed(out.Signing, s.Text, at, defaultGrace)
		}
	}
	if !pairs { // the key pair was taken out of the file: it ends at once, as any setting
		out.Signing = withoutPairs(out.Signing)
	}
	if len(now.Signing) == 0 {
		out.Signing = nil
	}
	return out
}

// signs reports whether text is the secret of its kind that does not expire.
func signs(all []hub.SigningSecret, text string) bool {
	for _, s := range all {
		if s.Text == text && s.Expires.IsZero() {
			return true
		}
	}
	return false
}

func withoutPairs(all []hub.SigningSecret) []hub.SigningSecret {
	out := all[:0:0]
	for _, s := range all {
		if !isPair(s.Text) {
			out = append(out, s)
		}
	}
	return out
}
