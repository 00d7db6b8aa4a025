package safehttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Explain says in a few words why an exchange failed, without the URL,
// addresses or anything the far side wrote.
func Explain(err error) string {
	var refused *Refused
	var proxy *ProxyError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.Error()
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.Is(err, context.Canceled):
		return "the exchange was cancelled"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "the name of the host does not resolve"
		}
		return "the resolver did not answer for the name of the host"
	case isTimeout(err):
		return "there was no complete answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the host cannot be reached"
	case errors.As(err, &cert):
		return "the certificate is not accepted: " + certificate(cert.Err)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the far side does not speak TLS; check whether the URL should start with http://"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut"
	}
	return described(err)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func certificate(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "its authority is not known here"
	case errors.As(err, &name):
		return "it is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	}
	return "it is not valid"
}

// described names what net/http found wrong with an answer. Its texts may quote
// the answer, so only their constant beginnings are used.
func described(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "too many 1xx"):
		return "the head of the answer is too large"
	case strings.Contains(text, "malformed"), strings.Contains(text, "invalid"):
		return "the answer is not HTTP"
	case strings.Contains(text, "server closed idle connection"), strings.Contains(text, "connection broken"):
		return "the connection was cut"
	}
	return "the exchange failed"
}
