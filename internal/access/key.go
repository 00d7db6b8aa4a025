package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// KeyPrefix begins every API key (contract §2).
const KeyPrefix = "toc_live_"

// MinKey is the shortest API key that an operator may choose, in characters.
const MinKey = 16

// NewKey makes the text of an API key.
func NewKey() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return KeyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashKey gives what is stored of an API key.
func HashKey(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// A Grant is what an API key gives its bearer.
type Grant struct {
	Key       hub.KeyID
	Tenant    hub.TenantID
	Role      string
	ExpiresAt time.Time // zero: never
	Revoked   bool
}

// Keys tells principals by their API keys. It remembers what it looked up, so
// that a request costs one hash; Forget makes it look again.
type Keys struct {
	lookup func(ctx context.Context, hash [32]byte) (Grant, bool, error)
	now    func() time.Time

	mu      sync.RWMutex // guards what follows
	known   map[[32]byte]known
	forgets int // how often everything was forgotten
}

type known struct {
	grant     Grant
	principal hub.Principal
}

// maxKnown bounds what is remembered; a hub has far fewer keys.
const maxKnown = 10000

// NewKeys makes a Keys that looks keys up by their hash, and has them expire by
// the time that now gives.
func NewKeys(lookup func(ctx context.Context, hash [32]byte) (Grant, bool, error), now func() time.Time) *Keys {
	return &Keys{lookup: lookup, now: now, known: map[[32]byte]known{}}
}

// Authenticate gives the principal of an API key. Unknown keys are not
// remembered, so a key made on another node works at once.
func (k *Keys) Authenticate(ctx context.Context, text string) (hub.Principal, error) {
	if len(text) < MinKey {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the credential is not an API key: one looks like "+KeyPrefix+"…")
	}
	hash := HashKey(text)
	k.mu.RLock()
	e, found := k.known[hash]
	forgets := k.forgets
	k.mu.RUnlock()
	if !found {
		g, there, err := k.lookup(ctx, hash)
		if err != nil {
			return hub.Principal{}, err
		}
		if !there {
			return hub.Principal{}, hub.E(hub.Unauthorized, "the API key is not known")
		}
		e = k.remember(hash, g, forgets)
	}
	if e.grant.Revoked {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the API key was revoked")
	}
	if !e.grant.ExpiresAt.IsZero() && !k.now().Before(e.grant.ExpiresAt) {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the API key has expired")
	}
	return e.principal, nil
}

// remember keeps what was looked up, unless something changed since it began:
// what was read may be from before.
func (k *Keys) remember(hash [32]byte, g Grant, forgets int) known {
	e := known{g, hub.Principal{Tenant: g.Tenant, Type: hub.ActorKey, ID: string(g.Key), Role: g.Role, Permissions: Granted(g.Role)}}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forgets != forgets {
		return e
	}
	if len(k.known) >= maxKnown {
		clear(k.known)
	}
	k.known[hash] = e
	return e
}

// Forget makes every key be looked up again, after one was changed.
func (k *Keys) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgets++
	clear(k.known)
}
