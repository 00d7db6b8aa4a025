package receiver

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far the sender's clock may be off, as in the libraries of
// Standard Webhooks.
const tolerance = 5 * time.Minute

// A verifier checks signatures with the keys of one endpoint.
type verifier struct {
	keys    [][]byte // of v1: the secret's base64, decoded
	texts   [][]byte // of hex and timestamped: the secret as it was shown
	public  ed25519.PublicKey
	hex     string
	prefix  string
	stamped string
}

func newVerifier(e Endpoint) (verifier, error) {
	v := verifier{hex: e.Hex, prefix: e.HexPrefix, stamped: e.Stamped}
	for _, secret := range e.Secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return v, errors.New("a secret is not whsec_ and base64")
		}
		v.keys = append(v.keys, key)
		v.texts = append(v.texts, []byte(secret))
	}
	if e.PublicKey != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(e.PublicKey, "whpk_"))
		if err != nil || len(key) != ed25519.PublicKeySize {
			return v, errors.New("public_key is not whpk_ and the base64 of 32 bytes")
		}
		v.public = key
	}
	return v, nil
}

// known reports whether the endpoint can verify anything.
func (v *verifier) known() bool { return len(v.keys) > 0 || v.public != nil }

// fault says what is wrong with a request's form or signatures, "" if nothing.
func (v *verifier) fault(h http.Header, body []byte, now time.Time) string {
	id, stamp, signatures := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), h.Get("Webhook-Signature")
	switch {
	case id == "" || stamp == "" || signatures == "":
		return "webhook-id, webhook-timestamp or webhook-signature is missing"
	case strings.Contains(id, "."):
		return "webhook-id has a dot in it"
	case len(id) > 256:
		return "webhook-id is longer than 256 bytes"
	}
	if fault := clock(stamp, now); fault != "" {
		return "webhook-timestamp " + fault
	}
	if !v.known() {
		return ""
	}
	if fault := v.standard(id, stamp, signatures, body); fault != "" {
		return fault
	}
	if fault := v.plain(h, body); fault != "" {
		return fault
	}
	return v.timestamped(h, body, now)
}

func clock(stamp string, now time.Time) string {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "is not integer seconds"
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return fmt.Sprintf("is off by %v", off.Round(time.Second))
	}
	return ""
}

// standard checks webhook-signature: entries of version and base64, one space
// between them. One v1 must fit one key; with a public key, one v1a too.
func (v *verifier) standard(id, stamp, signatures string, body []byte) string {
	signed := make([]byte, 0, len(id)+len(stamp)+len(body)+2)
	signed = append(append(signed, id...), '.')
	signed = append(append(signed, stamp...), '.')
	signed = append(signed, body...)
	v1, v1a := len(v.keys) == 0, v.public == nil
	for entry := range strings.SplitSeq(signatures, " ") {
		version, text, ok := strings.Cut(entry, ",")
		sum, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			return "webhook-signature is not a list of version,base64 with one space between"
		}
		switch version {
		case "v1":
			v1 = v1 || fits(v.keys, signed, sum)
		case "v1a":
			v1a = v1a || ed25519.Verify(v.public, signed, sum)
		}
	}
	switch {
	case !v1:
		return "no v1 signature in webhook-signature fits"
	case !v1a:
		return "no v1a signature in webhook-signature fits"
	}
	return ""
}

// plain checks the hex signature of the body: where it must be, and
// X-CV-Signature wherever it is.
func (v *verifier) plain(h http.Header, body []byte) string {
	header, prefix := v.hex, v.prefix
	if header == "" {
		if header = "X-Cv-Signature"; h.Get(header) == "" {
			return ""
		}
	}
	text, ok := strings.CutPrefix(h.Get(header), prefix)
	sum, err := hex.DecodeString(text)
	if !ok || err != nil || !fits(v.texts, body, sum) {
		return header + " is missing or does not fit"
	}
	return ""
}

// timestamped checks t=<seconds>,v1=<hex of HMAC over t.body>, with several v1.
func (v *verifier) timestamped(h http.Header, body []byte, now time.Time) string {
	if v.stamped == "" {
		return ""
	}
	var stamp string
	var sums [][]byte
	for part := range strings.SplitSeq(h.Get(v.stamped), ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil {
				sums = append(sums, sum)
			}
		}
	}
	if fault := clock(stamp, now); fault != "" {
		return v.stamped + ": t " + fault
	}
	signed := append([]byte(stamp+"."), body...)
	for _, sum := range sums {
		if fits(v.texts, signed, sum) {
			return ""
		}
	}
	return v.stamped + " has no v1 that fits"
}

func fits(keys [][]byte, signed, sum []byte) bool {
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		if hmac.Equal(mac.Sum(nil), sum) {
			return true
		}
	}
	return false
}
