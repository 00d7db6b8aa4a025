package connectors

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// An API is a vendor's HTTP API as a connector calls it: within its rate
// limits, with time and size limits, to no host but its own, and with errors
// that hold no credential.
//
// Redirects are followed for GET only, to the base URL's own host, to a host
// below it (us-east-1.api.example for api.example) or to one of Hosts, and
// never from https to http; the credential is sent to no other place. A
// permanent redirect is remembered until the place it led to fails, so that
// writes go there too: a write itself is never redirected, because the vendor
// may have done it already.
type API struct {
	Vendor string        // for messages, such as "CyberVault"
	Base   *url.URL      // without a slash at its end
	Hosts  []string      // further hosts (with port, if not the usual one) that redirects may lead to
	Token  secret.Secret // sent as a bearer token
	Scheme string        // of the Authorization header where that is another word than Bearer
	Client *http.Client  // the safe client

	// Session, if there is one, gives the bearer token in place of Token.
	Session *Session

	// Explain puts a refusal in better words than its status alone can, by what
	// the vendor documents; nil leaves it. RetryAfter and Err are filled in.
	Explain func(c Call, status int, body []byte) *hub.Error

	gate  Gate
	moved atomic.Pointer[url.URL] // where Base was permanently redirected to
	plain atomic.Pointer[http.Client]
}

const (
	callTimeout  = 30 * time.Second
	maxAnswer    = 16 << 20 // bytes
	maxRedirects = 3
	maxQuoted    = 300 // bytes of a vendor's error text that are shown
)

// A Call is one request to an API.
type Call struct {
	Method string
	Path   string // below the base URL, starting with a slash
	Query  url.Values
	Body   []byte // nil for none
	Type   string // of the body; JSON if not given
	Urgent bool   // somebody waits for it: it may use the reserve of the rate limit
	Open   bool   // goes without a credential, as a login does

	// Token, if there is one, is sent in place of the API's or the session's, as
	// it is where a session's own token is exchanged for a newer one.
	Token secret.Secret

	token secret.Secret
}

// An Answer is a 2xx answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	At     time.Time // by the vendor's clock, to the second; ours if it tells none
}

// Do makes one call. Errors are of type [*hub.Error]: Transient for what may
// succeed later, RateLimited with RetryAfter, else the kind that the vendor's
// status means. There are no retries here, but for a call whose session's token
// was refused: nothing was done, so it is made once more with a new token.
func (a *API) Do(ctx context.Context, c Call) (Answer, error) {
	if c.Open || a.Session == nil || !c.Token.IsZero() {
		switch {
		case !c.Token.IsZero():
			c.token = c.Token
		case !c.Open:
			c.token = a.Token
		}
		return a.once(ctx, c)
	}
	var err error
	if c.token, err = a.Session.Token(ctx); err != nil {
		return Answer{}, err
	}
	answer, err := a.once(ctx, c)
	if hub.KindOf(err) != hub.Unauthorized {
		return answer, err
	}
	a.Session.Reject(c.token)
	if c.token, err = a.Session.Token(ctx); err != nil {
		return Answer{}, err
	}
	return a.once(ctx, c)
}

// Allow says whether a call that is not made by Do may be made now, such as one
// for a connection that stays; the error is as Do's.
func (a *API) Allow() error { return a.gate.Allow(time.Now(), false) }

// Note takes in what the answer to such a call said about limits.
func (a *API) Note(res *http.Response) { a.gate.Note(time.Now(), res.StatusCode, res.Header) }

// once makes a call with one credential.
func (a *API) once(ctx context.Context, c Call) (Answer, error) {
	if err := a.gate.Allow(time.Now(), c.Urgent); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := a.follow(ctx, c)
	if err != nil && hub.KindOf(err) == hub.Transient {
		a.moved.Store(nil)
	}
	return answer, err
}

// follow makes the call and goes after redirects.
func (a *API) follow(ctx context.Context, c Call) (Answer, error) {
	base := a.Base
	if moved := a.moved.Load(); moved != nil {
		base = moved
	}
	target := base.JoinPath(c.Path)
	target.RawQuery = c.Query.Encode()
	for range maxRedirects + 1 {
		res, err := a.send(ctx, c, target)
		if err != nil {
			return Answer{}, err
		}
		if res.StatusCode < 300 || res.StatusCode > 399 {
			return a.read(c, res, target)
		}
		res.Body.Close()
		next, err := a.redirected(c, target, res)
		if err != nil {
			return Answer{}, err
		}
		a.remember(c, next, res.StatusCode)
		target = next
	}
	return Answer{}, hub.E(hub.Transient, a.Vendor+" redirects without end; check base_url")
}

func (a *API) send(ctx context.Context, c Call, target *url.URL) (*http.Response, error) {
	var body io.Reader
	if c.Body != nil {
		body = bytes.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, target.String(), body)
	if err != nil {
		return nil, hub.Wrap(hub.Internal, err, "a request to "+a.Vendor+" could not be made")
	}
	if !c.Open {
		req.Header.Set("Authorization", cmp.Or(a.Scheme, "Bearer")+" "+c.token.Reveal())
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Tocsin")
	if c.Body != nil {
		req.Header.Set("Content-Type", cmp.Or(c.Type, "application/json"))
	}
	res, err := a.client().Do(req)
	if err != nil {
		return nil, a.failed(err)
	}
	return res, nil
}

// client is the safe client, made to leave redirects to us.
func (a *API) client() *http.Client {
	if c := a.plain.Load(); c != nil {
		return c
	}
	c := *a.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.plain.Store(&c)
	return &c
}

func (a *API) read(c Call, res *http.Response, target *url.URL) (Answer, error) {
	defer res.Body.Close()
	now := time.Now()
	wait := a.gate.Note(now, res.StatusCode, res.Header)
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, a.failed(err)
	case len(body) > maxAnswer:
		return Answer{}, hub.E(hub.TooLarge, a.Vendor+" sent an answer above 16 MiB")
	case res.StatusCode/100 == 2:
		return Answer{Status: res.StatusCode, Header: res.Header, Body: body, At: serverTime(now, res.Header)}, nil
	}
	return Answer{}, a.refused(c, res.StatusCode, body, wait, target)
}

// failed is for calls that got no whole answer.
func (a *API) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, whose query may tell more than a log should hold
	}
	var named *hub.Error // the safe client refuses addresses with one of these
	if errors.As(err, &named) {
		return err
	}
	return hub.Wrap(hub.Transient, errors.New(a.scrub(err.Error())), a.Vendor+" could not be reached or broke off its answer")
}

// refused turns a status outside 2xx into an error with a hint for the reader.
func (a *API) refused(c Call, status int, body []byte, wait time.Duration, target *url.URL) error {
	cause := fmt.Errorf("status %d at %s: %s", status, target.Path, a.quote(body))
	if a.Explain != nil {
		if e := a.Explain(c, status, body); e != nil {
			e.Msg, e.Err, e.RetryAfter = a.scrub(e.Msg), cause, max(e.RetryAfter, wait)
			return e
		}
	}
	e := &hub.Error{Err: cause, RetryAfter: wait}
	switch {
	case status == http.StatusUnauthorized:
		e.Kind, e.Msg = hub.Unauthorized, a.Vendor+" does not accept the token; put a valid one into the connector's settings"
	case status == http.StatusForbidden:
		e.Kind, e.Msg = hub.Forbidden, a.Vendor+"'s token may not do this; give it the rights that the connector's README lists"
	case status == http.StatusNotFound:
		e.Kind, e.Msg = hub.NotFound, a.Vendor+" does not know this path; check base_url"
	case status == http.StatusTooManyRequests:
		e.Kind, e.Msg = hub.RateLimited, a.Vendor+"'s rate limit is used up; the connector goes on by itself"
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		e.Kind, e.Msg = hub.Transient, fmt.Sprintf("%s answered %d; the connector tries again by itself", a.Vendor, status)
	default:
		e.Kind, e.Msg = hub.Invalid, fmt.Sprintf("%s refused the request with %d: %s", a.Vendor, status, a.quote(body))
	}
	return e
}

// quote shows the start of a vendor's text, on one line and without our token.
func (a *API) quote(body []byte) string {
	return Quote(a.scrub(string(body)))
}

// scrub takes every credential out of a text.
func (a *API) scrub(text string) string {
	text = a.Token.Scrub(text)
	if a.Session != nil {
		text = a.Session.Scrub(text)
	}
	return text
}

// Quote shows the start of a far side's text on one line.
func Quote(text string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), maxQuoted)], "?")), " ")
}

// redirected gives where a redirect leads, or why it is not followed.
func (a *API) redirected(c Call, from *url.URL, res *http.Response) (*url.URL, error) {
	next, err := res.Location()
	if err != nil {
		return nil, hub.Wrap(hub.Transient, err, a.Vendor+" redirects to no address")
	}
	if c.Method != http.MethodGet {
		return nil, hub.E(hub.Invalid, a.Vendor+" redirects writes; set base_url to the regional address")
	}
	if !a.allowed(next) || from.Scheme == "https" && next.Scheme != "https" {
		return nil, hub.E(hub.Forbidden, a.Vendor+" redirects to a host that is not allowed; if it is right, add it to regional_hosts")
	}
	return next, nil
}

func (a *API) allowed(u *url.URL) bool {
	if u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	return u.Host == a.Base.Host || strings.HasSuffix(u.Host, "."+a.Base.Host) || slices.Contains(a.Hosts, u.Host)
}

// remember keeps a permanent redirect if it changed the base only.
func (a *API) remember(c Call, next *url.URL, status int) {
	if status != http.StatusMovedPermanently && status != http.StatusPermanentRedirect {
		return
	}
	if path, ok := strings.CutSuffix(next.Path, c.Path); ok {
		a.moved.Store(&url.URL{Scheme: next.Scheme, Host: next.Host, Path: path})
	}
}
