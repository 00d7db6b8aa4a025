// Package safehttp is the one way out: the HTTP client for every request to an
// address that somebody else chose.
//
// It refuses private, loopback, link-local, metadata and otherwise special
// addresses unless an allow-list of networks opens them, and says which it was
// in a [Refused]. [Client.Check] gives, when an endpoint is made or tested, the
// verdict that a delivery would meet: both resolve the name once and refuse it
// if any of its addresses is bad; what is dialled is what was judged. Any port
// may be used: receivers listen where they like, and a port protects nothing
// that the address does not.
//
// It follows no redirect, uses no proxy but a configured one, which is told
// addresses that were judged, inflates nothing and speaks HTTP/1.1, so that one
// attempt is one request on a connection of its own, and a cut
// connection is the failure of one attempt. Connections are kept alive.
// Errors hold no part of the URL; [Explain] makes a sentence of one.
package safehttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Limits of every exchange.
const (
	// KeptBody is how much of a response body is read and kept.
	KeptBody = 16 << 10
	// maxHead bounds a response's head, interim responses included.
	maxHead = 64 << 10
	// idlePerHost is how many connections to one host wait for the next
	// request: as many as a busy hub has deliveries under way.
	idlePerHost = 64
)

// A Resolver gives the addresses of a name; [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options of a Client.
type Options struct {
	Allow     []netip.Prefix // networks that are opened although they are special
	Timeout   time.Duration  // of a whole exchange through [Client.HTTP]; 15 s if zero
	UserAgent string         // of requests that have none
	Resolver  Resolver       // net.DefaultResolver if nil
	TLS       *tls.Config    // such as further authorities; the system's if nil
	Proxy     *url.URL       // through which every connection goes; nil for none, whatever the environment says
}

// A Client makes requests. It is safe for concurrent use.
type Client struct {
	guard     guard
	userAgent string
	timeout   time.Duration
	transport *http.Transport
}

// New makes a client.
func New(o Options) *Client {
	c := &Client{guard: newGuard(o), userAgent: o.UserAgent, timeout: o.Timeout}
	if c.timeout == 0 {
		c.timeout = 15 * time.Second
	}
	c.transport = &http.Transport{
		Proxy:                  nil,
		DialContext:            c.guard.dial,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true,
		MaxIdleConns:           8 * idlePerHost,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHead,
		WriteBufferSize:        8 << 10, // head and a usual body in one write
		ReadBufferSize:         4 << 10,
		Protocols:              new(http.Protocols),
	}
	c.transport.Protocols.SetHTTP1(true)
	return c
}

// HTTP gives the client for libraries. It has the time limit of [Options].
func (c *Client) HTTP() *http.Client {
	return &http.Client{Transport: c, Timeout: c.timeout, CheckRedirect: stay}
}

// Wrap gives an [http.Client] with the same manners around another transport,
// which is to end at c. It has no time limit but the context's.
func (c *Client) Wrap(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: stay}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// RoundTrip makes one exchange. The time limit is the context's.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := checkURL(r.URL); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if _, ok := r.Header["User-Agent"]; !ok && c.userAgent != "" {
		r.Header["User-Agent"] = []string{c.userAgent}
	}
	return c.transport.RoundTrip(r)
}

// CloseIdle closes the connections that wait for a next request.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// ReadBody reads up to [KeptBody] of a response and closes it. What follows is
// not read, and the connection is given up for it.
func ReadBody(r *http.Response) ([]byte, error) {
	defer r.Body.Close()
	if r.ContentLength == 0 {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, KeptBody))
	if err == nil && len(b) == KeptBody {
		// Asks for one more byte: at the end of the body the connection is kept.
		_, _ = r.Body.Read(make([]byte, 1))
	}
	return b, err
}

// dialer connects to one judged address.
func (g *guard) dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: g.control}
}

// dialTimeout is for one address; a name may have several.
const dialTimeout = 10 * time.Second
