package connectors

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// Codes gives the codes for the second step of a login, as authenticators do:
// RFC 6238 with SHA-1, six digits and 30 seconds. It gives each once, because far
// sides take each once only.
type Codes struct {
	Vendor string // for messages
	Secret secret.Secret

	mu      sync.Mutex // guards all below
	last    int64      // the time step of the last code that was given
	refused int        // in a row
}

// codePeriod is how long a code is good for (RFC 6238 §5.2).
const codePeriod = 30 * time.Second

// CheckCodes says whether a secret is one, as it is shown to people: base32 with
// or without blanks and padding, in any case. The zero secret is fine.
func CheckCodes(s secret.Secret) error {
	_, err := codeKey(s)
	return err
}

func codeKey(s secret.Secret) ([]byte, error) {
	if s.IsZero() {
		return nil, nil
	}
	text := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(s.Reveal()))
	return base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
}

// codeAt gives the six digits of a time step.
func codeAt(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step) // into a hash
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff)%1_000_000)
}

// Next gives the code for the time that the far side's clock shows. If it was
// given already, the error is of kind RateLimited and says when the next comes.
func (c *Codes) Next(at time.Time) (string, error) {
	key, err := codeKey(c.Secret)
	if err != nil {
		return "", hub.Wrap(hub.Internal, err, "totp_secret cannot be read")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	step := at.Unix() / int64(codePeriod/time.Second)
	if step <= c.last {
		return "", waitForCode(time.Unix((c.last+1)*int64(codePeriod/time.Second), 0).Sub(at))
	}
	c.last = step
	return codeAt(key, step), nil
}

func waitForCode(d time.Duration) error {
	err := hub.E(hub.RateLimited, "the code for the second step of the login was used already; the next one comes within half a minute")
	err.RetryAfter = max(d, time.Second)
	return err
}

// maxCodesRefused is how many codes may be refused in a row before a person has
// to look: the first may have been used before a restart, or just run out.
const maxCodesRefused = 3

// Outcome judges what became of a code: a refusal is a wait for the next one, and
// after three in a row an error of kind Unauthorized.
func (c *Codes) Outcome(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := hub.KindOf(err); k != hub.Unauthorized && k != hub.Forbidden && k != hub.Invalid {
		if err == nil {
			c.refused = 0
		}
		return err
	}
	if c.refused++; c.refused < maxCodesRefused {
		return waitForCode(codePeriod)
	}
	return hub.Wrap(hub.Unauthorized, err, c.Vendor+" does not accept the codes for the second step of the login; check totp_secret")
}
