package safehttp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Check says whether requests to a URL would be refused, by the rules and with
// the names' addresses of now. A name that does not resolve is refused too, as
// hub.Invalid; a resolver that does not answer gives hub.Transient.
func (c *Client) Check(ctx context.Context, text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return &Refused{Reason: "not a URL", hint: "write one such as https://example.com/hooks/tocsin"}
	}
	if err := checkURL(u); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, err = c.guard.lookup(ctx, u.Hostname())
	return callerError(err)
}

// CheckHost is Check for what does not speak HTTP and is dialled by its name.
func (c *Client) CheckHost(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, err := c.guard.lookup(ctx, host)
	return callerError(err)
}

// Dial connects to a host and port by the same rules as requests, for what does
// not speak HTTP, such as mail.
func (c *Client) Dial(ctx context.Context, hostport string) (net.Conn, error) {
	return c.guard.dial(ctx, "tcp", hostport)
}

// callerError gives a failed look-up a kind and a sentence.
func callerError(err error) error {
	var r *Refused
	if err == nil || errors.As(err, &r) {
		return err
	}
	kind := hub.Transient
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		kind = hub.Invalid
	}
	return hub.Wrap(kind, err, Explain(err))
}

// checkURL refuses by the URL alone.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return &Refused{Reason: "scheme", hint: "the URL must start with https:// or http://"}
	case u.User != nil:
		return &Refused{Reason: "userinfo", hint: "a URL must hold no user or password; put credentials into headers"}
	case u.Host == "" || u.Opaque != "":
		return &Refused{Reason: "not a URL", hint: "the URL names no host"}
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return &Refused{Reason: "port", hint: "a port is a number from 1 to 65535"}
		}
	}
	return checkHost(u.Hostname())
}

// checkHost refuses spellings that programs read differently: what looks like
// a name to one is an address to another (0x7f.1, 2130706433, 127.1).
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil // judge decides
	}
	for i := range len(host) {
		b := host[i]
		if b >= 0x80 {
			return &Refused{Reason: "spelling", hint: "write an international name in its ASCII form, xn--…"}
		}
		if b != '-' && b != '_' && b != '.' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return &Refused{Reason: "spelling", hint: "the host holds a character that names do not have"}
		}
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || numeric(last) {
		return &Refused{Reason: "spelling", hint: "write an address as four decimal numbers or in IPv6 form"}
	}
	return nil
}

// numeric reports whether a label is a number to anyone: decimal, octal or hex.
func numeric(label string) bool {
	digits, hex := label, false
	if len(label) >= 2 && label[0] == '0' && label[1]|0x20 == 'x' {
		digits, hex = label[2:], true
	}
	for i := range len(digits) {
		b := digits[i]
		if (b < '0' || b > '9') && (!hex || b|0x20 < 'a' || b|0x20 > 'f') {
			return false
		}
	}
	return true
}

// lookup gives the addresses of a host, of which none is refused. One bad
// address refuses the name: which one is dialled must not be left to chance.
func (g *guard) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := checkHost(host); err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, g.judge(a)
	}
	var r Resolver = net.DefaultResolver
	if g.resolver != nil {
		r = g.resolver
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap() // resolvers give IPv4 addresses in mapped form
		if err := g.judge(addrs[i]); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// dial connects to the first address of a name that answers.
func (g *guard) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var first error
	for i, a := range addrs {
		conn, err := g.dialOne(ctx, net.JoinHostPort(a.String(), port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// dialOne leaves time for the addresses that are left.
func (g *guard) dialOne(ctx context.Context, address string, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(end)/time.Duration(left), time.Second))
		defer cancel()
	}
	if g.proxy != nil {
		return dialThrough(ctx, g.proxy, address)
	}
	return g.dialer().DialContext(ctx, "tcp", address)
}
