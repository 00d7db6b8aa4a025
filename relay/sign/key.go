package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Prefixes of the texts of keys, from the specification.
const (
	SecretPrefix  = "whsec_" // a secret that both sides know; signs v1
	PrivatePrefix = "whsk_"  // an ed25519 key pair; signs v1a
	PublicPrefix  = "whpk_"  // its public half, which only verifies
)

// Sizes of a shared key in bytes, from the specification.
const (
	minKey = 24
	maxKey = 64
	newKey = 32
)

// A form says what a key can do.
type form uint8

const (
	shared form = iota + 1 // HMAC-SHA256
	pair                   // ed25519, both halves
	public                 // ed25519, to verify with
)

// A Key is the key in a secret. It does not show itself.
type Key struct {
	// A pointer to a string: fmt calls no method on an unexported field and
	// would show a plain string there, and a slice even behind a pointer.
	raw  *string
	form form
}

func newKeyOf(b []byte, f form) Key {
	raw := string(b)
	return Key{&raw, f}
}

func (k Key) bytes() []byte {
	if k.raw == nil {
		panic("sign: the zero Key signs nothing") // anyone could make its signature
	}
	return []byte(*k.raw)
}

// Format shows *** for every verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// Public gives the text of the public half of a key pair (whpk_…), for the
// receivers; "" for a shared secret.
func (k Key) Public() string {
	var half []byte
	switch k.form {
	case pair:
		half = k.bytes()[ed25519.SeedSize:]
	case public:
		half = k.bytes()
	default:
		return ""
	}
	return PublicPrefix + base64.StdEncoding.EncodeToString(half)
}

// NewSecret makes a secret: whsec_ and the base64 of 32 random bytes.
func NewSecret() string {
	var b [newKey]byte
	rand.Read(b[:]) // never fails
	return SecretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// NewPair makes a key pair: whsk_ and the base64 of seed and public half.
func NewPair() string {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic("sign: " + err.Error()) // the system's source of random bytes never fails
	}
	return PrivatePrefix + base64.StdEncoding.EncodeToString(key)
}

// ParseSecret reads the text of a shared secret or of a key pair. Its error says
// what is wrong without repeating any of it.
func ParseSecret(text string) (Key, error) {
	if encoded, ok := strings.CutPrefix(text, PrivatePrefix); ok {
		return parsePair(encoded)
	}
	encoded, ok := strings.CutPrefix(text, SecretPrefix)
	if !ok {
		return Key{}, errors.New("the secret must start with " + SecretPrefix)
	}
	b, ok := decode(encoded)
	if !ok {
		return Key{}, errors.New("the secret must be base64 after " + SecretPrefix + ", with its padding")
	}
	if len(b) < minKey || len(b) > maxKey {
		return Key{}, fmt.Errorf("the secret must hold %d to %d bytes, not %d", minKey, maxKey, len(b))
	}
	return newKeyOf(b, shared), nil
}

// parsePair reads a seed, or a seed with its public half. A half that belongs to
// another seed is refused: signing with it would give the seed away.
func parsePair(encoded string) (Key, error) {
	b, ok := decode(encoded)
	if !ok || len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("the key pair must be the base64 of %d or %d bytes after %s", ed25519.SeedSize, ed25519.PrivateKeySize, PrivatePrefix)
	}
	key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if len(b) == ed25519.PrivateKeySize && string(b) != string(key) {
		return Key{}, errors.New("the halves of the key pair do not belong together")
	}
	return newKeyOf(key, pair), nil
}

// ParsePublic reads the public half of a key pair, for [Verify].
func ParsePublic(text string) (Key, error) {
	encoded, ok := strings.CutPrefix(text, PublicPrefix)
	b, valid := decode(encoded)
	if !ok || !valid || len(b) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("the public key must be %s and the base64 of %d bytes", PublicPrefix, ed25519.PublicKeySize)
	}
	return newKeyOf(b, public), nil
}

func decode(encoded string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return b, err == nil && !strings.ContainsAny(encoded, "\r\n") // the decoder skips line ends
}
