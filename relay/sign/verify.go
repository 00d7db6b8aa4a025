package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Window is how far a timestamp may be from the verifier's clock, either way.
const Window = 5 * time.Minute

// Why a signature is refused.
var (
	ErrMalformed = errors.New("the signature headers cannot be read")
	ErrTimestamp = errors.New("the timestamp is more than five minutes off")
	ErrSignature = errors.New("no signature fits")
)

// Verify checks the three Standard Webhooks headers of a request. One entry
// has to fit one key; entries of unknown schemes are passed over. It takes the
// same time wherever a wrong signature differs.
func Verify(id, timestamp, signatures string, body []byte, now time.Time, keys ...Key) error {
	unix, err := checkTime(timestamp, now)
	if err != nil {
		return err
	}
	if id == "" || strings.Contains(id, ".") || signatures == "" {
		return ErrMalformed
	}
	for _, k := range keys {
		if k.fits(signatures, id, unix, body) {
			return nil
		}
	}
	return ErrSignature
}

// fits reports whether k made one of the entries.
func (k Key) fits(signatures, id string, unix int64, body []byte) bool {
	if k.form != shared {
		return k.fitsPair(signatures, append(head(nil, id, unix), body...))
	}
	sum := k.sum(id, unix, body)
	for got := range entries(signatures, schemeV1) {
		if hmac.Equal(got, sum[:]) {
			return true
		}
	}
	return false
}

func (k Key) fitsPair(signatures string, message []byte) bool {
	half := ed25519.PublicKey(k.bytes())
	if k.form == pair {
		half = half[ed25519.SeedSize:]
	}
	for got := range entries(signatures, schemeV1a) {
		if ed25519.Verify(half, message, got) {
			return true
		}
	}
	return false
}

// entries gives the signatures of a scheme; what is no base64 is passed over.
func entries(signatures, scheme string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for entry := range strings.SplitSeq(signatures, " ") {
			encoded, ok := strings.CutPrefix(entry, scheme)
			if !ok {
				continue
			}
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && !yield(got) {
				return
			}
		}
	}
}

// VerifyHex checks a signature that [Hex] made with any of the secrets.
func VerifyHex(signature string, body []byte, secrets ...string) error {
	got, err := hex.DecodeString(signature)
	if err != nil || len(got) != sha256.Size {
		return ErrMalformed
	}
	for _, s := range secrets {
		if s != "" && hmac.Equal(got, textSum(s, nil, body)) {
			return nil
		}
	}
	return ErrSignature
}

// VerifyTimestamped checks a header that [Timestamped] made with any of the
// secrets.
func VerifyTimestamped(header string, body []byte, now time.Time, secrets ...string) error {
	stamp, rest, ok := strings.Cut(header, ",")
	stamp, ok2 := strings.CutPrefix(stamp, "t=")
	if !ok || !ok2 {
		return ErrMalformed
	}
	if _, err := checkTime(stamp, now); err != nil {
		return err
	}
	head := []byte(stamp + ".")
	for _, s := range secrets {
		if s == "" {
			continue
		}
		want := textSum(s, head, body)
		for part := range strings.SplitSeq(rest, ",") {
			text, _ := strings.CutPrefix(part, "v1=")
			if got, err := hex.DecodeString(text); err == nil && hmac.Equal(got, want) {
				return nil
			}
		}
	}
	return ErrSignature
}

// checkTime reads whole seconds in their one spelling, because the text is
// signed but the number is compared.
func checkTime(text string, now time.Time) (int64, error) {
	unix, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(unix, 10) != text {
		return 0, ErrMalformed
	}
	// Compared as numbers: the difference of far times does not fit a Duration.
	if d := int64(Window / time.Second); unix < now.Unix()-d || unix > now.Unix()+d {
		return 0, ErrTimestamp
	}
	return unix, nil
}
