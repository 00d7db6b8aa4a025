package syslog

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// everything makes a finding of each message, so that they can be counted.
const everything = "name: s\nkind: syslog\nunmatched: finding\n"

// bench is a source that listens, and what arrived.
type bench struct {
	t   *testing.T
	s   *Source
	got chan hub.Finding
}

func listening(t *testing.T, settings string) *bench {
	t.Helper()
	b := &bench{t: t, s: opened(t, everything+settings), got: make(chan hub.Finding, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	serve, err := b.s.Listen(ctx)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- serve(ctx, b.accept) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return b
}

func (b *bench) accept(_ context.Context, batch connectors.Batch) (connectors.Receipt, error) {
	for _, f := range batch.Findings {
		b.got <- f
	}
	return connectors.Receipt{}, nil
}

func (b *bench) report() (r struct {
	Listening   []string         `json:"listening"`
	Connections int64            `json:"connections"`
	Refused     map[string]int64 `json:"refused"`
},
) {
	b.t.Helper()
	if err := json.Unmarshal(b.s.Report(), &r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) addresses() []string { return b.report().Listening }

// dial connects to the only socket.
func (b *bench) dial() net.Conn {
	b.t.Helper()
	network, address, _ := strings.Cut(b.addresses()[0], "://")
	c, err := net.Dial(map[string]string{"udp": "udp", "tcp": "tcp", "tls": "tcp"}[network], address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// want waits for findings with these titles, in order.
func (b *bench) want(titles ...string) []hub.Finding {
	b.t.Helper()
	all := make([]hub.Finding, len(titles))
	for i, title := range titles {
		select {
		case all[i] = <-b.got:
		case <-time.After(10 * time.Second):
			b.t.Fatalf("%q did not arrive; report %s", title, b.s.Report())
		}
		if all[i].Title != title {
			b.t.Fatalf("got %q, want %q", all[i].Title, title)
		}
	}
	return all
}

// until waits for the report to say so: nothing tells that a counter has moved.
func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("never %s: %s", what, b.s.Report())
		}
	}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestUDP(t *testing.T) {
	b := listening(t, "listen: ['udp://127.0.0.1:0']\nmax_message: 500\n")
	c := b.dial()
	send(t, c, "<13>Nov 20 10:00:00 h app: one\n")
	send(t, c, "<13>two")
	send(t, c, "<13>three "+strings.Repeat("x", 1000))
	got := b.want("one", "two", "three "+strings.Repeat("x", 500-len("<13>three ")))
	if got[0].AssetID != "h" || got[1].AssetID != "127.0.0.1" {
		t.Errorf("assets %q and %q, want what the header says, else the sender", got[0].AssetID, got[1].AssetID)
	}
}

func TestTCP(t *testing.T) {
	b := listening(t, "listen: ['tcp://127.0.0.1:0']\n")
	c := b.dial()
	send(t, c, "<13>Nov 20 10:00:00 h app: one\n<13>tw")
	b.want("one")
	send(t, c, "o\n13 <13>three\nten8 <13>four")
	b.want("two", "three", "four")
	send(t, c, "<13>the last has no end")
	c.Close()
	b.want("the last has no end")
	b.until("closed", func() bool { return b.report().Connections == 0 })
}

func TestSeveralSockets(t *testing.T) {
	b := listening(t, "listen: ['tcp://127.0.0.1:0', 'udp://127.0.0.1:0']\n")
	if got := b.addresses(); len(got) != 2 || !strings.HasPrefix(got[0], "tcp://127.0.0.1:") || !strings.HasPrefix(got[1], "udp://127.0.0.1:") {
		t.Errorf("listening on %v", got)
	}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	b := listening(t, fmt.Sprintf("listen: ['tls://127.0.0.1:0']\ntls: {cert: %s, key: %s, client_ca: %s}\n", cert, key, cert))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(b.dial(), &tls.Config{RootCAs: pool, ServerName: "hub.example", Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	send(t, c, "7 <13>one")
	b.want("one")

	stranger := tls.Client(b.dial(), &tls.Config{RootCAs: pool, ServerName: "hub.example", MinVersion: tls.VersionTLS12})
	_, _ = stranger.Write([]byte("7 <13>bad"))
	if _, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Error("a sender without a certificate is let in")
	}
	plain := b.dial()
	_, _ = plain.Write([]byte("<13>plain\n"))
	send(t, c, "7 <13>two")
	b.want("two") // and neither of the others
}

// certificate makes a self-signed one in files.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"hub.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", secret), pool
}

func TestTooManyConnections(t *testing.T) {
	b := listening(t, "listen: ['tcp://127.0.0.1:0']\nmax_connections: 2\n")
	one, two := b.dial(), b.dial()
	send(t, one, "<13>one\n")
	b.want("one")
	send(t, two, "<13>two\n")
	b.want("two")
	three := b.dial()
	if _, err := three.Read(make([]byte, 1)); err == nil {
		t.Error("the third connection was not closed")
	}
	one.Close()
	b.until("one left", func() bool { return b.report().Connections == 1 })
	send(t, b.dial(), "<13>four\n")
	b.want("four")
	if got := b.report().Refused["connections"]; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

func TestSendersFromElsewhere(t *testing.T) {
	b := listening(t, "listen: ['tcp://127.0.0.1:0', 'udp://127.0.0.1:0']\nallow: [10.0.0.0/8]\n")
	if _, err := b.dial().Read(make([]byte, 1)); err == nil {
		t.Error("a connection from elsewhere was not closed")
	}
	u, err := net.Dial("udp", strings.TrimPrefix(b.addresses()[1], "udp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	send(t, u, "<13>x")
	b.until("counted", func() bool { return b.report().Refused["sender"] == 2 })
}

func TestPortInUse(t *testing.T) {
	b := listening(t, "listen: ['tcp://127.0.0.1:0']\n")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(b.addresses()[0], "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := free.LocalAddr().String()
	free.Close()
	other := opened(t, everything+"listen: ['udp://"+udp+"', 'tcp://127.0.0.1:"+port+"']\n")
	_, err = other.Listen(t.Context())
	if hub.KindOf(err) != hub.Conflict || !strings.Contains(err.Error(), "cannot listen on tcp://127.0.0.1:"+port+": address already in use") {
		t.Errorf("port in use: %v", err)
	}
	again, err := net.ListenPacket("udp", udp)
	if err != nil {
		t.Fatalf("the sockets that could be opened were left open: %v", err)
	}
	again.Close()
}

func TestDatagramsAreDroppedAndCounted(t *testing.T) {
	s := opened(t, everything+"listen: ['udp://127.0.0.1:0']\nmax_rate: 10\nallow: [10.0.0.0/8]\n")
	q := newQueue()
	for range 25 {
		s.receive(q, []byte("<13>x"), netip.MustParseAddr("10.0.0.1"))
	}
	s.receive(q, []byte("<13>x"), netip.MustParseAddr("10.0.0.2"))
	s.receive(q, []byte("<13>x"), netip.MustParseAddr("192.0.2.1"))
	if got := [...]int64{int64(len(q.items)), s.counts.droppedRate.Load(), s.counts.notAllowed.Load()}; got != [...]int64{11, 15, 1} {
		t.Errorf("queued, above the rate, from elsewhere: %v, want 11, 15, 1", got)
	}
	s.cfg.MaxRate = 0
	big := make([]byte, maxDatagram)
	for range 400 {
		s.receive(q, big, netip.MustParseAddr("10.0.0.1"))
	}
	if dropped := s.counts.droppedQueue.Load(); q.bytes > queueBytes || dropped != int64(400-queueBytes/maxDatagram) {
		t.Errorf("%d bytes queued, %d dropped; want %d at most, %d", q.bytes, dropped, queueBytes, 400-queueBytes/maxDatagram)
	}
	before := len(q.items)
	if got := q.take(5); len(got) != 5 || len(q.items) != before-5 {
		t.Errorf("took %d, %d left of %d", len(got), len(q.items), before)
	}
	q.close()
	for n := 0; ; n++ {
		if q.take(1000) == nil {
			break
		}
	}
	if q.bytes != 0 {
		t.Errorf("an empty queue counts %d bytes", q.bytes)
	}
}
