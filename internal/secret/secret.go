// Package secret holds credentials so that they cannot be printed by accident.
//
// A [Secret] shows itself as *** to fmt with every verb, to slog, and to JSON,
// YAML and text encoders. Only [Secret.Reveal] gives the credential.
// References such as ${env:X} are not expanded here; configs does that before.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

const mask = "***"

// A Secret is a credential. Its zero value holds none.
//
// The text stands behind a pointer: fmt calls no method on an unexported
// field, so a plain string there would be shown by %+v of the struct around it.
type Secret struct{ value *string }

// New gives a secret that holds text; an empty text gives the zero value.
func New(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{value: &text}
}

// Reveal returns the credential, "" if there is none. Call it only where a
// request is being built or a signature computed.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether s holds nothing.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal reports whether s holds exactly text. Its time depends on neither the
// content nor the length of the credential. A zero secret equals nothing.
func (s Secret) Equal(text string) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s.value != nil
}

// Scrub replaces the credential in text, for texts that come from elsewhere
// and may repeat what was sent to them.
func (s Secret) Scrub(text string) string {
	if s.value == nil {
		return text
	}
	return strings.ReplaceAll(text, *s.value, mask)
}

// Format shows *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, mask) }

// LogValue shows ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText gives ***, so that a config can be shown. What it gives cannot be
// read back.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// UnmarshalText takes the credential as it stands. JSON and YAML decoders call
// it for strings.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
