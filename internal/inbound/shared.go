package inbound

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/secret"
)

// token checks a secret that is sent along.
func (a *Auth) token() func(Header, []byte, time.Time) error {
	keys, header, scheme := a.keys(), a.Header, a.Scheme
	if scheme == "" {
		scheme = "Bearer"
	}
	want := "the token must stand in " + header
	if header == "" || strings.EqualFold(header, "Authorization") {
		header, want = "Authorization", "Authorization must be "+scheme+" and the token"
	} else {
		scheme = ""
	}
	return func(h Header, _ []byte, _ time.Time) error {
		given := h.Get(header)
		if scheme != "" {
			given = credential(given, scheme)
		}
		if given == "" || !anyEqual(keys, given) {
			return refuse(want)
		}
		return nil
	}
}

// basic checks a name and a password.
func (a *Auth) basic() (func(Header, []byte, time.Time) error, error) {
	if a.Username == "" {
		return nil, errors.New("username: is required with auth: basic")
	}
	name, keys := secret.New(a.Username), a.keys()
	return func(h Header, _ []byte, _ time.Time) error {
		pair, err := base64.StdEncoding.DecodeString(credential(h.Get("Authorization"), "Basic"))
		user, password, ok := strings.Cut(string(pair), ":")
		right := name.Equal(user) // both are compared, so that the time does not tell which is wrong
		if right = anyEqual(keys, password) && right; err != nil || !ok || !right {
			return refuse("Authorization must be Basic with the username and password of this source")
		}
		return nil
	}, nil
}

// credential gives what stands behind the scheme, "" if the scheme is another.
func credential(authorization, scheme string) string {
	word, rest, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(word, scheme) {
		return ""
	}
	return strings.TrimSpace(rest)
}

func anyEqual(keys []secret.Secret, given string) bool {
	found := false
	for _, k := range keys {
		found = k.Equal(given) || found
	}
	return found
}
