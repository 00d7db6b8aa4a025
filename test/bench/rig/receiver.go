package rig

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A Hook is one webhook as it arrived. Its bytes are valid during the call that
// it is handed to.
type Hook struct {
	Path   string
	ID     []byte
	Body   []byte
	Header func(name string) []byte
	At     time.Time
}

// An Answer is what a receiver gives back.
type Answer struct {
	Status     int
	RetryAfter string
	// Cut closes the connection in place of an answer.
	Cut bool
}

// A Receiver takes webhooks on a loopback address.
type Receiver struct {
	// Bad counts requests that were refused with 401 for their signature; the
	// first reason is kept.
	Bad atomic.Int64

	addr    string
	server  *fasthttp.Server
	take    func(Hook) Answer
	done    chan error
	secrets sync.Map // path → *verifier
	first   atomic.Pointer[string]
}

// NewReceiver listens on a free loopback port. take is called for every webhook
// whose signature is right, from many goroutines.
func NewReceiver(take func(Hook) Answer) (*Receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{addr: l.Addr().String(), take: take, done: make(chan error, 1)}
	r.server = &fasthttp.Server{
		Handler: r.handle, NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true,
		MaxRequestBodySize: 8 << 20, ReadBufferSize: 16 << 10,
	}
	go func() { r.done <- r.server.Serve(l) }()
	return r, nil
}

// URL gives the address of a path.
func (r *Receiver) URL(path string) string { return "http://" + r.addr + path }

// Close stops listening, closes the connections and waits.
func (r *Receiver) Close() error { return errors.Join(r.server.Shutdown(), <-r.done) }

// Reason tells why the first bad request was refused.
func (r *Receiver) Reason() string {
	if p := r.first.Load(); p != nil {
		return *p
	}
	return ""
}

// Expect verifies what comes to path with the secret; without one it is taken
// unverified.
func (r *Receiver) Expect(path, secret string) error {
	v, err := newVerifier(secret)
	if err == nil {
		r.secrets.Store(path, v)
	}
	return err
}

func (r *Receiver) handle(c *fasthttp.RequestCtx) {
	header := c.Request.Header.Peek
	h := Hook{Path: string(c.Path()), ID: header("webhook-id"), Body: c.Request.Body(), Header: header, At: time.Now()}
	if v, ok := r.secrets.Load(h.Path); ok {
		if err := v.(*verifier).verify(h.ID, header("webhook-timestamp"), header("webhook-signature"), h.Body, h.At); err != nil {
			r.refuse(c, err)
			return
		}
	}
	a := r.take(h)
	if a.Cut {
		_ = c.Conn().Close() // what the sender sees is the point
		return
	}
	if a.RetryAfter != "" {
		c.Response.Header.Set("Retry-After", a.RetryAfter)
	}
	c.SetStatusCode(a.Status)
}

func (r *Receiver) refuse(c *fasthttp.RequestCtx, err error) {
	if r.Bad.Add(1) == 1 {
		text := fmt.Sprintf("%s %s: %v", c.Path(), c.Request.Header.Peek("webhook-id"), err)
		r.first.Store(&text)
	}
	c.SetStatusCode(fasthttp.StatusUnauthorized)
}

// A verifier checks Standard Webhooks signatures with one secret.
type verifier struct{ macs sync.Pool }

func newVerifier(secret string) (*verifier, error) {
	text, found := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !found || err != nil {
		return nil, fmt.Errorf("the secret is not whsec_ and base64: %q", secret)
	}
	return &verifier{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

var dot = []byte(".")

// verify is what a receiver does by the specification: the time stamp within
// five minutes, and one of the v1 entries right.
func (v *verifier) verify(id, stamp, signatures, body []byte, now time.Time) error {
	if len(id) == 0 || len(stamp) == 0 || len(signatures) == 0 {
		return errors.New("a webhook- header is missing")
	}
	var unix int64
	for _, c := range stamp {
		if c < '0' || c > '9' || len(stamp) > 12 {
			return fmt.Errorf("webhook-timestamp is %q", stamp)
		}
		unix = 10*unix + int64(c-'0')
	}
	if d := now.Unix() - unix; d > 300 || d < -300 {
		return fmt.Errorf("webhook-timestamp is %d s off", d)
	}
	mac := v.macs.Get().(hash.Hash)
	defer v.macs.Put(mac)
	mac.Reset()
	mac.Write(id)
	mac.Write(dot)
	mac.Write(stamp)
	mac.Write(dot)
	mac.Write(body)
	var sum [sha256.Size]byte
	var want [47]byte
	entry := base64.StdEncoding.AppendEncode(append(want[:0], "v1,"...), mac.Sum(sum[:0]))
	for rest := signatures; len(rest) >= len(entry); {
		n := len(entry)
		if hmac.Equal(rest[:n], entry) && (len(rest) == n || rest[n] == ' ') {
			return nil
		}
		if n = indexSpace(rest); n < 0 {
			break
		}
		rest = rest[n+1:]
	}
	return fmt.Errorf("no entry of webhook-signature fits the body of %d bytes", len(body))
}

func indexSpace(b []byte) int {
	for i, c := range b {
		if c == ' ' {
			return i
		}
	}
	return -1
}

// HexHMAC gives the hex HMAC-SHA256 of body, keyed with the secret's text, as
// older receivers check it.
func HexHMAC(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
