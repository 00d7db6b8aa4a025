package sign

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// SecretPrefix starts the text of every signing secret.
const SecretPrefix = "whsec_"

// Sizes of a key in bytes, from the specification.
const (
	minKey = 24
	maxKey = 64
	newKey = 32
)

// A Key is the key in a secret. It does not show itself.
type Key struct {
	// A pointer to a string: fmt calls no method on an unexported field and
	// would show a plain string there, and a slice even behind a pointer.
	raw *string
}

func (k Key) bytes() []byte {
	if k.raw == nil {
		panic("sign: the zero Key signs nothing") // anyone could make its signature
	}
	return []byte(*k.raw)
}

// Format shows *** for every verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// NewSecret makes a secret: whsec_ and the base64 of 32 random bytes.
func NewSecret() string {
	var b [newKey]byte
	rand.Read(b[:]) // never fails
	return SecretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// ParseSecret reads the text of a secret. Its error says what is wrong without
// repeating any of it.
func ParseSecret(text string) (Key, error) {
	encoded, ok := strings.CutPrefix(text, SecretPrefix)
	if !ok {
		return Key{}, errors.New("the secret must start with " + SecretPrefix)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // the decoder skips line ends
		return Key{}, errors.New("the secret must be base64 after " + SecretPrefix + ", with its padding")
	}
	if len(b) < minKey || len(b) > maxKey {
		return Key{}, fmt.Errorf("the secret must hold %d to %d bytes, not %d", minKey, maxKey, len(b))
	}
	raw := string(b)
	return Key{&raw}, nil
}
