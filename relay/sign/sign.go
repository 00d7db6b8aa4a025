// Package sign signs and verifies webhooks.
//
// The signature every webhook carries is that of Standard Webhooks 1.0.0 over id,
// timestamp and body joined by dots, in base64, once for each live key: v1 is
// the HMAC-SHA256 with a shared secret, v1a the ed25519 signature of a key pair,
// which a receiver verifies without being able to make it. Beside it stand two
// older forms that receivers know, [Hex] and [Timestamped], whose key is the
// secret's text as it was shown.
//
// It is pure: no clock, no I/O, nothing else of ours. [Verify] is for inbound
// webhooks; receivers verify with libraries of their own.
package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
)

// Headers of Standard Webhooks, in the case in which they are sent.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Sign gives the value of webhook-signature: an entry for each key, with
// exactly one space between, because verifiers in use fail on two. id must
// hold no dot, which separates the parts that are signed; unix is in seconds.
//
// Each entry names its scheme, so that one of another scheme can stand beside.
func Sign(id string, unix int64, body []byte, keys ...Key) string {
	const entry = len(schemeV1a) + 88 // base64 of 64 bytes
	out := make([]byte, 0, len(keys)*(entry+1))
	for i, k := range keys {
		if i > 0 {
			out = append(out, ' ')
		}
		out = k.appendEntry(out, id, unix, body)
	}
	return string(out)
}

// The beginnings of entries.
const (
	schemeV1  = "v1,"  // made with a shared secret
	schemeV1a = "v1a," // made with a key pair
)

func (k Key) appendEntry(out []byte, id string, unix int64, body []byte) []byte {
	switch k.form {
	case pair:
		signature := ed25519.Sign(k.bytes(), append(head(nil, id, unix), body...))
		return base64.StdEncoding.AppendEncode(append(out, schemeV1a...), signature)
	case public:
		panic("sign: a public key signs nothing")
	}
	sum := k.sum(id, unix, body)
	return base64.StdEncoding.AppendEncode(append(out, schemeV1...), sum[:])
}

// head appends what is signed before the body.
func head(b []byte, id string, unix int64) []byte {
	b = append(b, id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, unix, 10)
	return append(b, '.')
}

// sum is the HMAC over id.timestamp.body.
func (k Key) sum(id string, unix int64, body []byte) (sum [sha256.Size]byte) {
	var room [96]byte // on the stack for ids as they are in use
	mac := hmac.New(sha256.New, k.bytes())
	mac.Write(head(room[:0], id, unix))
	mac.Write(body)
	mac.Sum(sum[:0])
	return sum
}

// Hex gives the hex HMAC-SHA256 of the body, as X-CV-Signature carries it. It
// has room for one secret only: take the newest.
func Hex(secret string, body []byte) string {
	return hex.EncodeToString(textSum(secret, nil, body))
}

// Timestamped gives t=<unix>,v1=<hex> over timestamp.body, with one v1 for each
// secret.
func Timestamped(unix int64, body []byte, secrets ...string) string {
	stamp := strconv.AppendInt(make([]byte, 0, 20), unix, 10)
	out := append(make([]byte, 0, 16+len(secrets)*68), "t="...)
	out = append(out, stamp...)
	stamp = append(stamp, '.')
	for _, s := range secrets {
		out = append(out, ",v1="...)
		out = hex.AppendEncode(out, textSum(s, stamp, body))
	}
	return string(out)
}

// textSum is the HMAC keyed with a secret's text.
func textSum(secret string, head, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(head)
	mac.Write(body)
	return mac.Sum(nil)
}
