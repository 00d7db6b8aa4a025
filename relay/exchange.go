package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
)

// An Exchange makes the request of one attempt through the safe client and
// keeps what belongs into its record, with credentials masked. It is an
// [http.RoundTripper] whose responses are read in full, up to
// [safehttp.KeptBody], so that a vendor's library can neither lose the far
// side's words nor wait for them without limit.
type Exchange struct {
	// Attempt is what was sent and answered. With several requests it is the
	// last one.
	Attempt hub.Attempt
	// Header is the answer's head; nil if there was none.
	Header http.Header
	// Err is why there was no answer, or why its body is not complete.
	Err error
	// Limit is how much of an answer is read, where the library needs more than is
	// recorded; [safehttp.KeptBody] if it is less.
	Limit int64

	client *safehttp.Client
	e      *hub.Endpoint
	hide   []string
}

// NewExchange makes an exchange with e. hide are secrets beside the endpoint's
// own that must not be recorded, such as a part of its URL.
func NewExchange(c *safehttp.Client, e *hub.Endpoint, hide ...string) *Exchange {
	return &Exchange{client: c, e: e, hide: hide}
}

// Client gives an HTTP client that makes the exchange's request. Its time limit
// is the context's.
func (x *Exchange) Client() *http.Client { return x.client.Wrap(x) }

// RoundTrip makes the request.
func (x *Exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	x.Attempt = hub.Attempt{Digest: digest(r)}
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		x.Attempt.Address = c.Conn.RemoteAddr().String()
	}}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	if r.Header == nil {
		r.Header = http.Header{}
	}
	res, err := x.client.RoundTrip(r)
	x.Attempt.Request = x.record(r.Header) // after it: the client adds its own name
	if err != nil {
		x.Err = err
		return nil, err
	}
	body, err := x.read(res)
	x.Err, x.Header = err, res.Header
	x.Attempt.Status = res.StatusCode
	x.Attempt.Response = x.record(res.Header)
	x.Attempt.Body = x.scrub(strings.ToValidUTF8(string(body[:min(len(body), safehttp.KeptBody)]), "\uFFFD"))
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (x *Exchange) read(res *http.Response) ([]byte, error) {
	if x.Limit <= safehttp.KeptBody {
		return safehttp.ReadBody(res)
	}
	defer res.Body.Close()
	return io.ReadAll(io.LimitReader(res.Body, x.Limit))
}

// digest is of the body as it is sent.
func digest(r *http.Request) string {
	if r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return ""
	}
	var sum [sha256.Size]byte
	out := append(make([]byte, 0, 72), "sha-256="...)
	return string(hex.AppendEncode(out, h.Sum(sum[:0])))
}

// credentials are headers whose values are never shown.
var credentials = [...]string{"Authorization", "Cookie", "Set-Cookie", "Proxy-Authorization"}

// record makes a head showable.
func (x *Exchange) record(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		if slices.Contains(credentials[:], name) || x.own(name) {
			out[name] = "***"
			continue
		}
		value := values[0]
		if len(values) > 1 {
			value = strings.Join(values, ", ")
		}
		out[name] = x.scrub(strings.ToValidUTF8(value, "\uFFFD"))
	}
	return out
}

// own reports whether a header is one of those that the endpoint's owner has
// sent along, which may be credentials.
func (x *Exchange) own(name string) bool {
	for own := range x.e.Headers {
		if strings.EqualFold(own, name) {
			return true
		}
	}
	return false
}

// shortest is the length from which texts are taken for secrets; a shorter one
// would tear holes into answers.
const shortest = 6

// scrub takes out of a text what the far side may have echoed.
func (x *Exchange) scrub(text string) string {
	if len(text) < shortest {
		return text
	}
	mask := func(secret string) {
		if len(secret) >= shortest && strings.Contains(text, secret) {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	for _, s := range x.hide {
		mask(s)
	}
	for _, s := range x.e.Secrets.Tokens {
		mask(s)
	}
	for i := range x.e.Secrets.Signing {
		mask(x.e.Secrets.Signing[i].Text)
	}
	for _, v := range x.e.Headers {
		mask(v)
	}
	return text
}

// Scrub takes the endpoint's secrets out of a text for people.
func (x *Exchange) Scrub(text string) string { return x.scrub(strings.ToValidUTF8(text, "\uFFFD")) }

// Failure gives the error for an exchange without a complete answer: it is
// tried again, unless the target is one that the hub refuses to send to.
func (x *Exchange) Failure() error {
	var refused *safehttp.Refused
	if x.Err == nil || errors.As(x.Err, &refused) {
		return x.Err
	}
	var proxy *safehttp.ProxyError
	if errors.As(x.Err, &proxy) {
		return hub.Wrap(hub.Transient, proxy, proxy.Error())
	}
	// Only the text of the cause: net/http quotes what it could not read.
	return hub.Wrap(hub.Transient, errors.New(x.Scrub(x.Err.Error())), safehttp.Explain(x.Err))
}
