// Package smtp simulates a mail server as an SMTP submission client meets it,
// written from RFC 5321, 5322, 3207, 4954 and 8314.
//
// It is strict: commands out of order, lines that are too long or not ended by
// CRLF, credentials before TLS, parameters that were not offered, a message that
// is no proper mail (header fields, dates, message ids, MIME parts, charsets)
// are violations, and mostly refused as well. It is unkind unless told otherwise: it greylists
// (450 to the first attempt of each sender and recipient), and it cuts
// connections, now and then after it has taken a message and before it says so.
// It remembers each message that it has said 250 to or cut off so, by Message-ID.
//
// It imports nothing of ours but [unkind].
package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// Credentials that it takes.
const (
	DefaultUser     = "tocsin"
	DefaultPassword = "s3cr3t-Passw0rd"
)

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Implicit bool // TLS from the first byte (RFC 8314), not STARTTLS
	NoTLS    bool // offer none at all
	NoAuth   bool // take mail from anybody
	// Ways are the mechanisms offered; PLAIN and LOGIN if nil.
	Ways []string
	// MaxSize is the largest message; 1 MiB if zero.
	MaxSize int
	// Refuse answers in place of the simulator where it gives a code: at "hello",
	// "auth", "mail", "rcpt" (with the address) and "data". nil: nothing.
	Refuse func(stage, what string) (code int, text string)
}

// A Message is a mail that was taken.
type Message struct {
	From   string
	To     []string
	Copies int // how often it came, with the same Message-ID
	Mail
}

// A Sim is a simulated mail server.
type Sim struct {
	o        Options
	listener net.Listener
	tls      *tls.Config
	pool     *x509.CertPool
	running  sync.WaitGroup

	mu         sync.Mutex // guards all below
	random     *mathrand.Rand
	unkind     bool
	messages   []*Message
	violations []string
	met        map[string]bool // sender and recipient, for greylisting
	conns      map[net.Conn]bool
	closed     bool
	sessions   int
}

// Start listens on a free port of 127.0.0.1. Close ends it.
func Start(o Options) (*Sim, error) {
	if o.Ways == nil {
		o.Ways = []string{"PLAIN", "LOGIN"}
	}
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 20
	}
	s := &Sim{o: o, unkind: !o.Kind, random: mathrand.New(mathrand.NewPCG(o.Seed, 0x25)), met: map[string]bool{}, conns: map[net.Conn]bool{}}
	if err := s.certify(); err != nil {
		return nil, err
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.running.Go(s.serve)
	return s, nil
}

// certify makes a certificate for 127.0.0.1 and localhost.
func (s *Sim) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "simulated mail server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.pool = x509.NewCertPool()
	s.pool.AddCert(leaf)
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return nil
}

// TLS gives a configuration that trusts the simulator.
func (s *Sim) TLS() *tls.Config { return &tls.Config{RootCAs: s.pool} }

// Port gives the port it listens on.
func (s *Sim) Port() string {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return port
}

// Address gives where it listens.
func (s *Sim) Address() string { return s.listener.Addr().String() }

func (s *Sim) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			conn.Close()
		}
		s.conns[conn] = true
		s.sessions++
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
			newSession(s, conn).run()
		})
	}
}

// Close ends it and all its connections.
func (s *Sim) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.running.Wait()
}

// Be makes it kind, or unkind.
func (s *Sim) Be(kind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unkind = !kind
}

// Refuse steers what it answers; nil: as it would by itself.
func (s *Sim) Refuse(f func(stage, what string) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Refuse = f
}

// Messages gives what was taken, oldest first.
func (s *Sim) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Message, len(s.messages))
	for i, m := range s.messages {
		out[i] = *m
	}
	return out
}

// Violations gives what the client did against the documents.
func (s *Sim) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Sessions counts the connections there were.
func (s *Sim) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

func (s *Sim) violate(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// chance is true with probability p, while it is unkind.
func (s *Sim) chance(p float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unkind && s.random.Float64() < p
}

// greylisted is true for a pair that was not met before, while it is unkind.
func (s *Sim) greylisted(from, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.met[from+" "+to]
	s.met[from+" "+to] = true
	return s.unkind && !known
}

func (s *Sim) steered(stage, what string) (int, string) {
	s.mu.Lock()
	f := s.o.Refuse
	s.mu.Unlock()
	if f == nil {
		return 0, ""
	}
	return f(stage, what)
}

// take remembers a message; one that came before is counted.
func (s *Sim) take(from string, to []string, m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.messages {
		if old.ID == m.ID {
			if old.Text != m.Text || old.Subject != m.Subject {
				s.violations = append(s.violations, "two different messages have the Message-ID "+m.ID)
			}
			old.Copies++
			return
		}
	}
	s.messages = append(s.messages, &Message{From: from, To: slices.Clone(to), Copies: 1, Mail: m})
}
