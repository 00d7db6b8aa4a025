package webhook

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/sign"
)

// Bounds of what an endpoint may ask for; the config file has the same.
const (
	minTime    = 100 * time.Millisecond
	maxTimeout = 5 * time.Minute // less than a lease
	maxWait    = 7 * 24 * time.Hour
	maxWaits   = 100
	maxTries   = 1000
	maxRate    = 100_000
	maxHeaders = 50
	maxValue   = 8 << 10
	maxSigning = 10
)

// Check gives every fault of what is special about a webhook endpoint: headers,
// signatures, secrets, time limit, rate and schedule. The URL is the business of
// [safehttp.Client.Check], globs and expressions of package route.
func Check(e *hub.Endpoint) []hub.Field {
	c := new(checker)
	c.headers(e.Headers)
	c.signing(e)
	c.secrets(e.Secrets.Signing)
	if e.Timeout != 0 {
		c.within("/timeout", e.Timeout, maxTimeout)
	}
	if e.RateLimit < 0 || e.RateLimit > maxRate {
		c.say("/rate_limit", fmt.Sprintf("must be from 0 to %d requests a second", maxRate))
	}
	if e.Ordering != "" && e.Ordering != "none" && e.Ordering != "key" {
		c.say("/ordering", "must be none or key")
	}
	if e.Retry != nil {
		c.retry(e.Retry)
	}
	return c.fields
}

type checker struct{ fields []hub.Field }

func (c *checker) say(pointer, detail string) {
	c.fields = append(c.fields, hub.Field{Pointer: pointer, Detail: detail})
}

func (c *checker) within(pointer string, d hub.Duration, most time.Duration) {
	if time.Duration(d) < minTime || time.Duration(d) > most {
		c.say(pointer, fmt.Sprintf("must be from %v to %v", minTime, most))
	}
}

// escaped puts a name into a JSON pointer.
func escaped(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// headers checks those that the endpoint's owner has sent along.
func (c *checker) headers(all map[string]string) {
	if len(all) > maxHeaders {
		c.say("/headers", fmt.Sprintf("are %d, which is more than %d", len(all), maxHeaders))
		return
	}
	seen := map[string]bool{}
	for name, value := range all {
		at, canonical := "/headers/"+escaped(name), textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !token(name):
			c.say(at, "is not the name of a header; write for example X-Team")
		case Reserved(name):
			c.say(at, "is a header that the hub or HTTP sets itself; choose another")
		case seen[canonical]:
			c.say(at, "is there twice, in other letters")
		case len(value) > maxValue:
			c.say(at, fmt.Sprintf("has a value of more than %d bytes", maxValue))
		case !printable(value):
			c.say(at, "has a line break or control character in its value; remove it")
		}
		seen[canonical] = true
	}
}

// signing checks the signatures beside the standard one.
func (c *checker) signing(e *hub.Endpoint) {
	if len(e.Signing) > maxSigning {
		c.say("/signing", fmt.Sprintf("are %d, which is more than %d", len(e.Signing), maxSigning))
		return
	}
	seen := map[string]bool{}
	for i, s := range e.Signing {
		at, canonical := fmt.Sprintf("/signing/%d", i), textproto.CanonicalMIMEHeaderKey(s.Header)
		if s.Type != "hex" && s.Type != "timestamped" {
			c.say(at+"/type", fmt.Sprintf("%q is not one of hex, timestamped", s.Type))
		}
		switch {
		case !token(s.Header):
			c.say(at+"/header", "must be the name of a header, such as X-CV-Signature")
		case Reserved(s.Header):
			c.say(at+"/header", "is a header that the hub or HTTP sets itself; choose another")
		case seen[canonical]:
			c.say(at+"/header", "is used twice; give each signature its own header")
		}
		if len(s.Prefix) > 100 || strings.ContainsFunc(s.Prefix, func(r rune) bool { return r < ' ' || r > '~' }) {
			c.say(at+"/prefix", "must be at most 100 characters of printable ASCII, such as sha256=")
		}
		seen[canonical] = true
	}
}

func (c *checker) secrets(all []hub.SigningSecret) {
	shared := 0
	for _, s := range all {
		if _, err := sign.ParseSecret(s.Text); err != nil {
			c.say("/secret", err.Error())
		} else if strings.HasPrefix(s.Text, sign.SecretPrefix) {
			shared++
		}
	}
	if shared == 0 && len(c.fields) == 0 {
		c.say("/secret", "is missing: nothing is sent unsigned")
	}
}

func (c *checker) retry(r *hub.RetryPolicy) {
	grows := r.Initial != 0 || r.Factor != 0 || r.Max != 0 || r.Attempts != 0
	if r.Jitter != nil && (*r.Jitter < 0 || *r.Jitter > 1) {
		c.say("/retry/jitter", "must be from 0 to 1")
	}
	switch {
	case len(r.Schedule) > 0 && grows:
		c.say("/retry/schedule", "stands beside initial, factor, max or attempts; give schedule alone, or those without it")
		return
	case len(r.Schedule) > maxWaits:
		c.say("/retry/schedule", fmt.Sprintf("has more than %d waits; give fewer and longer ones", maxWaits))
		return
	case grows:
		c.growing(r)
	}
	for i, d := range r.Schedule {
		c.within(fmt.Sprintf("/retry/schedule/%d", i), d, maxWait)
	}
}

func (c *checker) growing(r *hub.RetryPolicy) {
	if r.Initial == 0 && r.Attempts == 1 && r.Factor == 0 && r.Max == 0 {
		return // one attempt, no wait
	}
	if r.Initial == 0 {
		c.say("/retry/initial", "is missing: the first wait, such as 5s")
	} else {
		c.within("/retry/initial", r.Initial, maxWait)
	}
	if r.Attempts < 1 || r.Attempts > maxTries {
		c.say("/retry/attempts", fmt.Sprintf("must be from 1 to %d: how many attempts there are in all", maxTries))
	}
	if r.Factor != 0 && (r.Factor < 1 || r.Factor > 100) {
		c.say("/retry/factor", "must be from 1 to 100")
	}
	if r.Max != 0 {
		c.within("/retry/max", r.Max, maxWait)
		if r.Max < r.Initial {
			c.say("/retry/max", "is less than initial; give a longer time")
		}
	}
}

// token reports whether text can be the name of a header.
func token(text string) bool {
	return text != "" && len(text) <= 200 && strings.IndexFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}

func printable(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// own are the headers that the hub or HTTP sets.
var own = [...]string{
	"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive",
	"Proxy-Connection", "Te", "Trailer", "Upgrade", "Expect", "User-Agent", "Accept-Encoding",
}

// Reserved reports whether a header is not the endpoint owner's to set.
func Reserved(name string) bool {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	return slices.Contains(own[:], canonical) || strings.HasPrefix(canonical, "Webhook-")
}
