package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin/tocsin/internal/durable"
)

const pemType = "PRIVATE KEY"

// PublicFile gives the path of the public half beside a key file: the same name
// with .pub in place of its ending.
func PublicFile(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) + ".pub" }

// A Key signs checkpoints. It holds the private key where nothing prints it.
type Key struct {
	public ed25519.PublicKey
	sign   func(msg []byte) []byte
}

// NewKey makes a key from a private key.
func NewKey(private ed25519.PrivateKey) *Key {
	return &Key{
		public: private.Public().(ed25519.PublicKey),
		sign:   func(msg []byte) []byte { return ed25519.Sign(private, msg) },
	}
}

// LoadKey reads a key, PKCS #8 in PEM. It refuses one that others can read.
func LoadKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("audit key %s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	return parseKey(path, text)
}

func parseKey(path string, text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("audit key %s is no PEM private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("audit key %s is no PKCS #8 private key", path)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("audit key %s is not an ed25519 key", path)
	}
	return NewKey(private), nil
}

// LoadOrCreateKey reads a key and makes one, with its public half in base64
// beside it, if there is none. The folder must not be part of the database or of
// its backups: who has both can write the log anew.
func LoadOrCreateKey(path string) (*Key, error) {
	key, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	err = durable.CreateFile(path, text, durable.Private)
	if err != nil && !errors.Is(err, fs.ErrExist) { // else another process was first
		return nil, err
	}
	if key, err = LoadKey(path); err != nil {
		return nil, err
	}
	public := base64.StdEncoding.EncodeToString(key.public) + "\n"
	return key, durable.WriteFile(PublicFile(path), []byte(public), 0o644)
}

// Public gives the public half.
func (k *Key) Public() ed25519.PublicKey { return k.public }

// ID names the key: the first 16 hexadecimal digits of its SHA-256.
func (k *Key) ID() string {
	sum := sha256.Sum256(k.public)
	return hex.EncodeToString(sum[:8])
}

// VerifierKey gives the public half for one log in the form that C2SP calls a
// vkey: name, key hash and key, with a plus between.
func (k *Key) VerifierKey(log string) string {
	text, _ := note.NewEd25519VerifierKey(log, k.public) // fails for a wrong length only
	return text
}

// signCheckpoint gives the checkpoint as a signed note.
func (k *Key) signCheckpoint(c Checkpoint) ([]byte, error) {
	v, err := verifier(c.Log, k.public)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.Text()}, signer{v, k})
}

// A signer is a key in the name of one log.
type signer struct {
	note.Verifier
	key *Key
}

func (s signer) Sign(msg []byte) ([]byte, error) { return s.key.sign(msg), nil }

// ParsePublicKey reads a public key as a vkey of any log or as base64 of its 32
// bytes, which is what stands in the file audit.pub.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	if name, rest, isVkey := strings.Cut(text, "+"); isVkey && len(text) > 44 {
		if _, err := note.NewVerifier(text); err != nil {
			return nil, fmt.Errorf("public key in the name of %.80q: %w", name, err)
		}
		_, encoded, _ := strings.Cut(rest, "+")
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(raw) != 1+ed25519.PublicKeySize {
			return nil, errors.New("the public key is no ed25519 key")
		}
		return raw[1:], nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("the public key is neither base64 of 32 bytes nor of the form name+hash+key")
	}
	return raw, nil
}
