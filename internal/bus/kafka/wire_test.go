package kafka_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Kafka's numbers of requests.
const (
	apiProduce = 0
)

// A wire is where a bus gets its connections from. It can be cut, and answers
// can be lost on it.
type wire struct {
	mu    sync.Mutex // guards what follows
	conns map[*wireConn]struct{}
	dead  bool        // nothing goes through, in either direction
	lose  map[int]int // how many answers to requests of a kind are to be lost
	seen  map[int]int // requests by kind
	hold  map[int]bool
	held  []func() // sends what was held
}

func newWire() *wire {
	return &wire{conns: map[*wireConn]struct{}{}, lose: map[int]int{}, seen: map[int]int{}, hold: map[int]bool{}}
}

var errCut = errors.New("the wire is cut")

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	if dead {
		<-ctx.Done() // as packets that nobody answers
		return nil, ctx.Err()
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	x := &wireConn{Conn: c, wire: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[x] = struct{}{}
	return x, nil
}

// cut lets nothing through any more, without telling anybody; mend ends it.
// Connections that were made before stay dead.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for c := range w.conns {
		c.silent()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
}

// loseAnswers lets the connection break after the next n requests of a kind were
// sent.
func (w *wire) loseAnswers(kind, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose[kind] = n
}

// holdRequests keeps requests of a kind on the way; what it gives sends them.
func (w *wire) holdRequests(kind int) (late func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold[kind] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, send := range w.held {
			send()
		}
		w.held = nil
	}
}

func (w *wire) letRequests(kind int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold[kind] = false
}

// holding keeps a request back, if its kind is held, and sends it on the same
// connection later, which its client may have given up.
func (w *wire) holding(kind int, c net.Conn, b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.hold[kind] {
		return false
	}
	b = bytes.Clone(b)
	w.held = append(w.held, func() {
		_, _ = c.Write(b)
		var answer [4]byte
		_, _ = io.ReadFull(c, answer[:])
		c.Close()
	})
	return true
}

func (w *wire) requests(kind int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[kind]
}

// losing notes a request and reports whether its answer is to be lost.
func (w *wire) losing(kind int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[kind]++
	if w.lose[kind] == 0 {
		return false
	}
	w.lose[kind]--
	return true
}

type wireConn struct {
	net.Conn
	wire *wire

	mu      sync.Mutex // guards what follows
	mute    bool
	rest    int // bytes of the request that are still to come
	pending bool
	kept    bool // its last request is held: the connection is the wire's
}

// Close leaves a connection open on which something is held.
func (c *wireConn) Close() error {
	if c.kept {
		return nil
	}
	return c.Conn.Close()
}

// silent lets reads wait for their deadline and writes go nowhere.
func (c *wireConn) silent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = true
}

func (c *wireConn) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mute
}

// Write sends a request, which the library may do in pieces, and looks at what
// kind it is.
func (c *wireConn) Write(b []byte) (int, error) {
	if c.quiet() {
		return len(b), nil
	}
	if c.rest == 0 && len(b) >= 6 {
		c.rest = int(binary.BigEndian.Uint32(b)) + 4
		c.pending = c.wire.losing(int(binary.BigEndian.Uint16(b[4:])))
	}
	if c.rest == len(b) && c.wire.holding(int(binary.BigEndian.Uint16(b[4:])), c.Conn, b) {
		c.rest, c.kept = 0, true
		return len(b), nil
	}
	n, err := c.Conn.Write(b)
	c.rest -= n
	return n, err
}

// Read waits for the broker to answer, and may lose the answer.
func (c *wireConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		switch {
		case c.quiet() && err == nil:
			continue // it was sent before the wire was cut, or after: it does not arrive
		case c.pending && err == nil:
			c.Conn.Close()
			return 0, errCut
		}
		return n, err
	}
}

// deadline is far enough away for anything in a test that should happen.
const deadline = 60 * time.Second
