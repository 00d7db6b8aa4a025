package echelongraph

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

// period is how long a code is good for (RFC 6238 §5.2).
const period = 30 * time.Second

// totp gives the six digits of a time step (RFC 6238 with SHA-1, which is what
// authenticators take unless told otherwise).
func totp(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step) // into a hash
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff)%1_000_000)
}

// decodeSecret reads a secret as it is shown to people: base32 with or without
// blanks and padding, in any case.
func decodeSecret(s secret.Secret) ([]byte, error) {
	text := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(s.Reveal()))
	return base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
}

// codes gives each code once, because the far side takes each once only.
type codes struct {
	mu      sync.Mutex // guards all below
	last    int64      // the time step of the last code that was given
	refused int        // in a row
}

// next gives the code for the time that the far side's clock shows.
func (c *codes) next(key []byte, at time.Time) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := at.Unix() / int64(period/time.Second)
	if step <= c.last {
		return "", waitFor(time.Unix((c.last+1)*int64(period/time.Second), 0).Sub(at))
	}
	c.last = step
	return totp(key, step), nil
}

func waitFor(d time.Duration) error {
	err := hub.E(hub.RateLimited, "the code for the second step of the login was used already; the next one comes within half a minute")
	err.RetryAfter = max(d, time.Second)
	return err
}

// maxRefused is how many codes may be refused in a row before a person has to
// look: the first may have been used before a restart, or just run out.
const maxRefused = 3

// outcome judges what became of a code.
func (c *codes) outcome(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := hub.KindOf(err); k != hub.Unauthorized && k != hub.Forbidden && k != hub.Invalid {
		if err == nil {
			c.refused = 0
		}
		return err
	}
	if c.refused++; c.refused < maxRefused {
		return waitFor(period)
	}
	return hub.Wrap(hub.Unauthorized, err, "EchelonGraph does not accept the codes for the second step of the login; check totp_secret")
}
