// Package connectortest is the kit that every connector's tests run against
// its unkind simulator.
//
// [Pull] checks the contract of [connectors.Puller] under the loop that runs it
// in the product: every item and every last state arrives through throttling,
// failures, cut connections, a token that expires, items that change while
// somebody pages, a store that fails with and without having stored, and
// restarts at any moment; no change is told twice; the far side's limits are
// kept; nothing secret shows; everything ends when it is told to.
// [Receive] checks signatures.
//
// The tests run in [synctest] bubbles: real HTTP over pipes in memory, and a
// clock that jumps, so that hours of backoff pass at once.
package connectortest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// BaseURL is where the far side is, with the simulator's own paths behind it.
const BaseURL = "http://far.example"

// A Far is a simulated source system in the kit's hands.
type Far struct {
	Handler http.Handler
	Add     func(n int)              // adds n items, some of which may be over at once
	Change  func(r *rand.Rand)       // changes one item in a way that a finding shows
	State   func() map[string]string // every item by its source id: its state as Seen tells it
	Token   func(good bool)          // makes the credential bad, and good again
	Kind    func(kind bool)          // ends trouble made on purpose, or begins it again

	// Violations lists what the caller did against the far side's document.
	Violations func() []string
}

// A Case is one connector under test.
type Case struct {
	// New makes the far side; it is called within the bubble.
	New func(seed uint64) Far
	// Open opens the connector for the far side at [BaseURL].
	Open func(*http.Client, *slog.Logger) (connectors.Source, error)
	// Seen gives the state that a finding tells, in the words of Far.State.
	Seen func(hub.Finding) string
	// Secrets must never show in errors, states or logs.
	Secrets []string
	// Items is how many there are at first; 450 if 0.
	Items int
	// Lists are the members of the far side's answers that are lists of items, ""
	// if the whole answer is one: into each an entry is put that cannot be used.
	// None: that is not checked.
	Lists []string
}

// Pull runs the kit for a connector that pulls.
func Pull(t *testing.T, c Case) {
	if c.Items == 0 {
		c.Items = 450
	}
	for _, tt := range []struct {
		name  string
		check func(*testing.T, Case)
	}{
		{"everything arrives once through trouble", throughTrouble},
		{"nothing is late", prompt},
		{"a quiet source makes nothing", quiet},
		{"it backs off", backsOff},
		{"it keeps Retry-After", keepsRetryAfter},
		{"it shows no secret", showsNoSecret},
		{"it ends at once", endsAtOnce},
		{"an unusable item is kept and stops nothing", spoils},
	} {
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { tt.check(t, c) }) })
	}
}

// A bench is one run of a connector against one far side.
type bench struct {
	t     *testing.T
	c     Case
	far   Far
	wire  *Wire
	store *Store
	log   *lockedBuffer

	loop   *connectors.Loop
	source connectors.Source
	stop   context.CancelFunc
	done   chan struct{}
}

func newBench(t *testing.T, c Case, seed uint64, around func(http.Handler) http.Handler) *bench {
	b := &bench{t: t, c: c, far: c.New(seed), store: NewStore(), log: &lockedBuffer{}}
	handler := b.far.Handler
	if around != nil {
		handler = around(handler)
	}
	b.wire = Connect(handler)
	t.Cleanup(b.wire.Close)
	t.Cleanup(func() { b.halt(); b.checkSecrets() })
	return b
}

// start opens the connector and runs its loop, as the hub does when it starts.
func (b *bench) start() {
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	source, err := b.c.Open(b.wire.Client(), log)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	puller, ok := source.(connectors.Puller)
	if !ok {
		b.t.Fatalf("%T does not pull", source)
	}
	b.source = source
	b.loop = connectors.NewLoop(connectors.LoopConfig{
		Name: "under-test", Tenant: hub.DefaultTenant, Puller: puller, Store: b.store, Log: log, Interval: 30 * time.Second,
	})
	ctx, cancel := context.WithCancel(b.t.Context())
	b.stop, b.done = cancel, make(chan struct{})
	go func() { defer close(b.done); b.loop.Run(ctx) }()
}

// halt ends the loop, wherever it is.
func (b *bench) halt() {
	if b.loop == nil {
		return
	}
	b.stop()
	<-b.done
	if err := b.source.Close(); err != nil {
		b.t.Errorf("close: %v", err)
	}
	b.log.WriteString(b.shown())
	b.loop = nil
}

// shown is what people see of the connector.
func (b *bench) shown() string {
	s := b.loop.State()
	text := s.Cursor
	if s.LastError != nil {
		text += " " + s.LastError.Message + " " + s.LastError.Advice
	}
	return text + "\n"
}

func (b *bench) checkSecrets() {
	for _, secret := range b.c.Secrets {
		if bytes.Contains(b.log.Bytes(), []byte(secret)) {
			b.t.Errorf("a secret shows in logs or errors:\n%s", b.log.Bytes())
		}
	}
}

func (b *bench) checkViolations() {
	for i, v := range b.far.Violations() {
		if i == 10 {
			b.t.Errorf("… and more violations")
			break
		}
		b.t.Errorf("violation: %s", v)
	}
}

// settle waits until the store holds what the far side does.
func (b *bench) settle(limit time.Duration) {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		time.Sleep(time.Minute) // the bubble's time
		if b.store.difference(b.far.State(), b.c.Seen) == "" {
			return
		}
	}
	b.t.Fatalf("after %v: %s\nthe connector: %+v", limit, b.store.difference(b.far.State(), b.c.Seen), b.loop.State())
}

// Wire joins an [http.Client] to a handler over pipes in memory.
type Wire struct {
	server *http.Server
	pipes  pipes
	client *http.Client
	served chan struct{}
}

// Connect serves handler for the wire's client, whatever address it dials.
func Connect(handler http.Handler) *Wire {
	w := &Wire{
		server: &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)},
		pipes:  pipes{conns: make(chan net.Conn), closed: make(chan struct{})},
		served: make(chan struct{}),
	}
	w.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: w.pipes.dial}}
	go func() { defer close(w.served); _ = w.server.Serve(&w.pipes) }()
	return w
}

// Client is the client to be handed to a connector.
func (w *Wire) Client() *http.Client { return w.client }

// Close ends server and connections.
func (w *Wire) Close() {
	w.client.CloseIdleConnections()
	_ = w.server.Close()
	<-w.served
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A lockedBuffer takes logs of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) WriteString(s string) { _, _ = l.Write([]byte(s)) }

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
