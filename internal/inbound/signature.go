package inbound

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // as an HMAC it holds, and some senders have no other
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/relay/sign"
)

var algorithms = map[string]func() hash.Hash{
	"": sha256.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

var encodings = map[string]func(string) ([]byte, error){
	"": hex.DecodeString, "hex": hex.DecodeString,
	"base64": decode64(base64.StdEncoding), "base64url": decode64(base64.URLEncoding),
}

// decode64 takes base64 with its padding and without.
func decode64(e *base64.Encoding) func(string) ([]byte, error) {
	bare := e.WithPadding(base64.NoPadding)
	return func(s string) ([]byte, error) { return bare.DecodeString(strings.TrimRight(s, "=")) }
}

const (
	bodyMark = "{body}"
	timeMark = "{timestamp}"
)

// hmac checks a signature in a header of its own. Several may stand there, with
// commas between, as senders do while they change a key.
func (a *Auth) hmac() (func(Header, []byte, time.Time) error, error) {
	s := a.Signature
	if s.Content == "" {
		s.Content = bodyMark
	}
	newHash, decode, err := s.check(a.Header)
	if err != nil {
		return nil, err
	}
	before, after, _ := strings.Cut(s.Content, bodyMark)
	keys, header, tolerance := a.keys(), a.Header, a.tolerance()
	want := fmt.Sprintf("%s is missing or wrong: it must be the HMAC of the request with the secret of this source", header)
	return func(h Header, body []byte, now time.Time) error {
		stamp := ""
		if s.TimestampHeader != "" {
			stamp = h.Get(s.TimestampHeader)
			if err := fresh(stamp, now, tolerance); err != nil {
				return err
			}
		}
		given := signatures(h.Get(header), s.Prefix, decode)
		for _, k := range keys {
			mac := hmac.New(newHash, []byte(k.Reveal()))
			mac.Write([]byte(strings.ReplaceAll(before, timeMark, stamp)))
			mac.Write(body)
			mac.Write([]byte(strings.ReplaceAll(after, timeMark, stamp)))
			if anyMAC(given, mac.Sum(nil)) {
				return nil
			}
		}
		return refuse(want)
	}, nil
}

func (s *Signature) check(header string) (newHash func() hash.Hash, decode func(string) ([]byte, error), err error) {
	var faults []error
	if header == "" {
		faults = append(faults, errors.New("header: is required with auth: hmac; name the header that carries the signature"))
	}
	newHash, decode = algorithms[s.Algorithm], encodings[s.Encoding]
	if newHash == nil {
		faults = append(faults, fmt.Errorf("signature.algorithm: %q is none of sha1, sha256, sha384, sha512", s.Algorithm))
	}
	if decode == nil {
		faults = append(faults, fmt.Errorf("signature.encoding: %q is none of hex, base64, base64url", s.Encoding))
	}
	if strings.Count(s.Content, bodyMark) != 1 {
		faults = append(faults, errors.New("signature.content: must hold {body} once"))
	}
	if strings.Contains(s.Content, timeMark) != (s.TimestampHeader != "") {
		faults = append(faults, errors.New("signature.content: {timestamp} and timestamp_header belong together; a time that is not signed proves nothing"))
	}
	return newHash, decode, errors.Join(faults...)
}

// signatures decodes those of a header that are in the expected form.
func signatures(header, prefix string, decode func(string) ([]byte, error)) [][]byte {
	var all [][]byte
	for part := range strings.SplitSeq(header, ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(part), prefix)
		if !ok {
			continue
		}
		if b, err := decode(text); err == nil {
			all = append(all, b)
		}
	}
	return all
}

func anyMAC(given [][]byte, want []byte) bool {
	for _, g := range given {
		if hmac.Equal(g, want) {
			return true
		}
	}
	return false
}

// fresh refuses a time, in whole seconds, that is too far from ours.
func fresh(stamp string, now time.Time, tolerance time.Duration) error {
	unix, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || strconv.FormatInt(unix, 10) != stamp {
		return refuse("the time of the signature is missing or no Unix time in whole seconds")
	}
	// Compared as numbers: the difference of far times does not fit a Duration.
	if d := int64(tolerance / time.Second); unix < now.Unix()-d || unix > now.Unix()+d {
		return refuse("the time of the signature is more than " + tolerance.String() + " from now: look at both clocks")
	}
	return nil
}

// standard checks the headers of Standard Webhooks, also by the names that Svix
// gives them.
func (a *Auth) standard() (func(Header, []byte, time.Time) error, error) {
	var keys []sign.Key
	for _, k := range a.keys() {
		if k.IsZero() {
			return nil, nil // told already
		}
		text := k.Reveal()
		if !strings.HasPrefix(text, sign.SecretPrefix) {
			text = sign.SecretPrefix + text
		}
		key, err := sign.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		keys = append(keys, key)
	}
	return func(h Header, body []byte, now time.Time) error {
		family := "webhook-"
		if h.Get("webhook-id") == "" && h.Get("svix-id") != "" {
			family = "svix-"
		}
		err := sign.Verify(h.Get(family+"id"), h.Get(family+"timestamp"), h.Get(family+"signature"), body, now, keys...)
		if err != nil {
			return refuse("the request must carry webhook-id, webhook-timestamp and webhook-signature as Standard Webhooks has them: " + err.Error())
		}
		return nil
	}, nil
}

// timestamped checks t=<unix>,v1=<hex> over "<unix>.<body>". Parts of other
// names are passed over, and there may be several v1.
func (a *Auth) timestamped() func(Header, []byte, time.Time) error {
	keys, header, tolerance := a.keys(), a.Header, a.tolerance()
	if header == "" {
		header = "Stripe-Signature"
	}
	return func(h Header, body []byte, now time.Time) error {
		stamp, given := stamped(h.Get(header))
		if err := fresh(stamp, now, tolerance); err != nil {
			return err
		}
		if !anyStamped(keys, stamp, body, given) {
			return refuse(header + " is missing or wrong: it must be t=<unix>,v1=<hex HMAC-SHA256 of unix.body>")
		}
		return nil
	}
}

// stamped takes such a header apart. One with two times has none.
func stamped(header string) (stamp string, given [][]byte) {
	times := 0
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			stamp = value
			times++
		case "v1":
			if b, err := hex.DecodeString(value); err == nil {
				given = append(given, b)
			}
		}
	}
	if times != 1 {
		return "", nil
	}
	return stamp, given
}

func anyStamped(keys []secret.Secret, stamp string, body []byte, given [][]byte) bool {
	for _, k := range keys {
		mac := hmac.New(sha256.New, []byte(k.Reveal()))
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		if anyMAC(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}
