package secret

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Vault seals credentials that are stored, with keys that are not stored beside
// them: XChaCha20-Poly1305 under random nonces. Nil seals nothing, and opens what
// is not sealed.
type Vault struct{ keys []vaultKey } // the first seals, each opens what it sealed

type vaultKey struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// What is sealed is a mark that no JSON text begins with, the key's id, the nonce
// and the rest.
const (
	sealedMark = 0x01
	idSize     = 4
	headSize   = 1 + idSize + chacha20poly1305.NonceSizeX
)

// KeySize is the length of a vault's key, in bytes.
const KeySize = chacha20poly1305.KeySize

// ErrNoKey says that something was sealed with a key that is not given.
var ErrNoKey = errors.New("it is sealed with a key that is not given")

// NewVault makes a vault of keys of 32 bytes in base64; without any it gives nil.
// The first key seals; those after it open what they sealed before.
func NewVault(keys ...Secret) (*Vault, error) {
	var v Vault
	for i, k := range keys {
		raw, err := base64.StdEncoding.DecodeString(k.Reveal())
		if err != nil || len(raw) != KeySize {
			return nil, fmt.Errorf("key %d must be %d random bytes in base64, as made by `openssl rand -base64 %d`", i+1, KeySize, KeySize)
		}
		aead, err := chacha20poly1305.NewX(raw)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		v.keys = append(v.keys, vaultKey{[idSize]byte(sum[:]), aead})
	}
	if len(v.keys) == 0 {
		return nil, nil
	}
	return &v, nil
}

// Seal seals text. It can be opened only as being about the same.
func (v *Vault) Seal(text []byte, about string) []byte {
	if v == nil {
		return text
	}
	k := v.keys[0]
	out := make([]byte, headSize, headSize+len(text)+k.aead.Overhead())
	out[0] = sealedMark
	copy(out[1:], k.id[:])
	nonce := out[1+idSize : headSize]
	_, _ = rand.Read(nonce) // it never fails
	return k.aead.Seal(out, nonce, text, []byte(about))
}

// Open gives what was sealed. What never was is given as it is.
func (v *Vault) Open(stored []byte, about string) ([]byte, error) {
	if len(stored) == 0 || stored[0] != sealedMark {
		return stored, nil
	}
	if v == nil {
		return nil, ErrNoKey
	}
	if len(stored) < headSize {
		return nil, errors.New("what is sealed is cut off")
	}
	for _, k := range v.keys {
		if k.id == [idSize]byte(stored[1:]) {
			text, err := k.aead.Open(nil, stored[1+idSize:headSize], stored[headSize:], []byte(about))
			if err != nil {
				return nil, errors.New("what is sealed was changed, or belongs elsewhere")
			}
			return text, nil
		}
	}
	return nil, ErrNoKey
}

// Current reports whether stored is as Seal would store it now.
func (v *Vault) Current(stored []byte) bool {
	sealed := len(stored) >= headSize && stored[0] == sealedMark
	if v == nil {
		return !sealed
	}
	return sealed && v.keys[0].id == [idSize]byte(stored[1:])
}
