package safehttp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A ProxyError says that the configured proxy is in the way: that is no fault of
// the target.
type ProxyError struct {
	Status int   // that the proxy answered; 0 for none
	Err    error // for the log; nil if there is a status
}

// Error tells neither the proxy's address nor the target's.
func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("the hub's proxy answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return "the hub's proxy cannot be used"
}

// Unwrap gives the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// A tunnel is a connection through a proxy.
type tunnel struct {
	net.Conn
	target net.Addr
}

// RemoteAddr is the far end of the tunnel.
func (t tunnel) RemoteAddr() net.Addr { return t.target }

// dialThrough connects to a judged address through a proxy, which is told this
// address and not the name: what it connects to is what was judged. The proxy
// itself is the operator's choice and is not judged.
func dialThrough(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &Refused{Reason: "not an address", Address: address}
	}
	conn, err := dialProxy(ctx, proxy)
	if err != nil {
		return nil, &ProxyError{Err: err}
	}
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	} else {
		_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = connect(conn, proxy, address)
	if !stop() && err == nil {
		err = ctx.Err() // its deadline is spoilt
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return tunnel{conn, net.TCPAddrFromAddrPort(target)}, nil
}

func dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	address := net.JoinHostPort(proxy.Hostname(), port)
	if proxy.Scheme == "https" {
		return (&tls.Dialer{NetDialer: d}).DialContext(ctx, "tcp", address)
	}
	return d.DialContext(ctx, "tcp", address)
}

// connect asks the proxy for a tunnel.
func connect(conn net.Conn, proxy *url.URL, address string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return &ProxyError{Err: err}
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, req)
	switch {
	case err != nil:
		return &ProxyError{Err: err}
	case res.StatusCode != http.StatusOK:
		return &ProxyError{Status: res.StatusCode}
	case r.Buffered() > 0:
		return &ProxyError{Err: fmt.Errorf("%d bytes before anything was asked", r.Buffered())}
	}
	return nil
}
