package secret_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/internal/secret"
)

func vault(t *testing.T, keys ...byte) *secret.Vault {
	t.Helper()
	var all []secret.Secret
	for _, k := range keys {
		all = append(all, secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{k}, secret.KeySize))))
	}
	v, err := secret.NewVault(all...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	text := []byte(`{"secret":"whsec_x"}`)
	none, old, both, other := vault(t), vault(t, 1), vault(t, 2, 1), vault(t, 3)
	sealed := old.Seal(text, "default/we_1")
	if bytes.Contains(sealed, []byte("whsec")) || bytes.Equal(sealed, old.Seal(text, "default/we_1")) {
		t.Errorf("sealed it is %q", sealed)
	}
	for name, c := range map[string]struct {
		v       *secret.Vault
		stored  []byte
		about   string
		want    string
		current bool
	}{
		"the same key":             {old, sealed, "default/we_1", string(text), true},
		"the key before":           {both, sealed, "default/we_1", string(text), false},
		"the newest of two":        {both, both.Seal(text, "x"), "x", string(text), true},
		"of another row":           {old, sealed, "default/we_2", "", true},
		"another key":              {other, sealed, "default/we_1", "", false},
		"no key":                   {none, sealed, "default/we_1", "", false},
		"changed":                  {old, append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1), "default/we_1", "", true},
		"cut off":                  {old, sealed[:10], "default/we_1", "", false},
		"not sealed, with a key":   {old, text, "default/we_1", string(text), false},
		"not sealed, without keys": {none, none.Seal(text, "y"), "y", string(text), true},
		"nothing":                  {none, nil, "", "", true},
	} {
		got, err := c.v.Open(c.stored, c.about)
		if string(got) != c.want || err == nil && c.want == "" && c.stored != nil || c.v.Current(c.stored) != c.current {
			t.Errorf("%s: opened it is %q, %v, and current is %v", name, got, err, c.v.Current(c.stored))
		}
	}
	if _, err := other.Open(sealed, "default/we_1"); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("without its key: %v", err)
	}
	for _, bad := range []string{"x", base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := secret.NewVault(secret.New(bad)); err == nil || !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("%q as a key: %v", bad, err)
		}
	}
}
