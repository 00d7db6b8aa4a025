package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/secret"
)

const (
	// callLimit bounds one try of a call; an export streams and has no limit.
	callLimit = 90 * time.Second
	// maxAnswer bounds an answer that is read into memory.
	maxAnswer = 64 << 20

	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
)

// A Client calls the API of a running hub.
type Client struct {
	// Patience is how long a call is tried again that the hub could not take:
	// 429, 502, 503, 504, or no answer at all. With 0 there is one try.
	Patience time.Duration
	// Waiting is told before each wait for another try. It may be nil.
	Waiting func(cause error, wait time.Duration)

	base  *url.URL
	key   secret.Secret
	agent string
	http  *http.Client
}

// A Call is one request to the API.
type Call struct {
	Method string
	Path   string // below /api/v1
	Query  url.Values
	Body   []byte
	Type   string // of the body; JSON if empty
	Header http.Header
}

// An Answer is a successful one.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// NewClient makes a client of the hub at the address, which must be http or
// https. transport may be nil.
func NewClient(address, key, version string, transport http.RoundTripper) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the address of a hub; give one such as http://127.0.0.1:8080", address)
	}
	if strings.ContainsAny(key, " \t\r\n") {
		return nil, errors.New("the API key holds white space; give it as it was shown at its creation")
	}
	base.Path = strings.TrimSuffix(base.Path, "/api/v1")
	return &Client{
		base: base, key: secret.New(key), agent: "tocsin/" + version,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Do makes a call. A refusal by the hub is an [*APIError].
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	begun, wait := time.Now(), firstWait
	for {
		a, err := c.once(ctx, call)
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return a, ctx.Err()
		case !Passing(err):
			return a, err
		}
		pause := max(jitter(wait), retryAfter(err))
		if time.Since(begun)+pause > c.Patience {
			return a, err
		}
		if c.Waiting != nil {
			c.Waiting(err, pause)
		}
		if err := sleep(ctx, pause); err != nil {
			return a, err
		}
		wait = min(2*wait, maxWait)
	}
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) once(ctx context.Context, call Call) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	res, err := c.send(ctx, call)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, &unreachable{c.base.Redacted(), err}
	case len(body) > maxAnswer:
		return Answer{}, fmt.Errorf("the answer is longer than %d MiB; ask for less with --limit", maxAnswer>>20)
	case res.StatusCode/100 != 2:
		return Answer{}, refusal(res, body)
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

// Stream makes one try of a call and gives the answer's body to read while it
// comes in.
func (c *Client) Stream(ctx context.Context, call Call) (io.ReadCloser, error) {
	res, err := c.send(ctx, call)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // half a problem is still told as well as it can be
	return nil, refusal(res, body)
}

func (c *Client) send(ctx context.Context, call Call) (*http.Response, error) {
	u := *c.base
	path := "/api/v1" + call.Path // segments are escaped by the caller
	u.Path, u.RawPath = c.base.Path+unescape(path), c.base.EscapedPath()+path
	u.RawQuery = call.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.Method, u.String(), bytes.NewReader(call.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range call.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.agent)
	if key := c.key.Reveal(); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if call.Type != "" {
		req.Header.Set("Content-Type", call.Type)
	} else if call.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, &unreachable{c.base.Redacted(), err}
	}
	return res, nil
}

func unescape(path string) string {
	if s, err := url.PathUnescape(path); err == nil {
		return s
	}
	return path
}

// An unreachable hub gave no answer, or not the whole of one.
type unreachable struct {
	address string
	cause   error
}

// Error says what to look at.
func (u *unreachable) Error() string {
	cause := u.cause
	var wrapped *url.Error
	if errors.As(cause, &wrapped) {
		cause = wrapped.Err // without the URL, which stands in front already
	}
	var op *net.OpError
	if errors.As(cause, &op) && op.Op == "dial" {
		return fmt.Sprintf("no hub answers at %s (%v); start one with tocsin serve, or name another with --url", u.address, op.Err)
	}
	return fmt.Sprintf("the hub at %s gave no answer (%v); look whether it runs, then try again", u.address, cause)
}

// Unwrap gives the cause.
func (u *unreachable) Unwrap() error { return u.cause }

// Passing reports whether the same call may succeed later.
func Passing(err error) bool {
	var refused *APIError
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var gone *unreachable
	return errors.As(err, &gone)
}

func retryAfter(err error) time.Duration {
	var refused *APIError
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}

// parseRetryAfter reads seconds or a date; 0 if there is neither.
func parseRetryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
