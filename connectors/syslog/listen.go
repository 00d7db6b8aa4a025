package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A socket is open and waits to be served.
type socket interface {
	serve(ctx context.Context, d *deliverer) error
	address() string
	close()
}

// Listen opens every socket, or none.
func (s *Source) Listen(ctx context.Context) (func(context.Context, connectors.Accept) error, error) {
	var open []socket
	var addresses []string
	for _, a := range s.addrs {
		sock, err := s.open(ctx, a)
		if err != nil {
			for _, o := range open {
				o.close()
			}
			return nil, hub.Wrap(hub.Conflict, err, "cannot listen on "+a.network+"://"+a.hostPort+": "+reason(err))
		}
		open, addresses = append(open, sock), append(addresses, sock.address())
	}
	s.counts.open(addresses)
	return func(ctx context.Context, accept connectors.Accept) error { return s.serve(ctx, open, accept) }, nil
}

// reason is the end of a chain of errors, which says what is wrong without the
// addresses again.
func reason(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return err.Error()
}

func (s *Source) open(ctx context.Context, a address) (socket, error) {
	if a.network == "udp" {
		return s.openUDP(ctx, a)
	}
	var config *tls.Config
	if a.network == "tls" {
		var err error
		if config, err = s.cfg.TLS.load(); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.hostPort)
	if err != nil {
		return nil, err
	}
	return &stream{s: s, l: l, network: a.network, tls: config}, nil
}

// load reads the files anew each time the sockets are opened, so that a pause
// and a resume take a new certificate.
func (t *TLS) load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if t.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("tls.client_ca holds no certificate")
	}
	return config, nil
}

// serve serves all sockets until parent ends or one of them fails.
func (s *Source) serve(parent context.Context, open []socket, accept connectors.Accept) error {
	defer s.counts.open(nil)
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, o := range open {
			o.close()
		}
	})
	defer stop()
	d := newDeliverer(ctx, s, accept)
	defer d.end()
	var running sync.WaitGroup
	for _, o := range open {
		running.Go(func() {
			if err := o.serve(ctx, d); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// A deliverer makes batches durable, however long that takes. Its methods may be
// called at the same time.
type deliverer struct {
	s       *Source
	accept  connectors.Accept
	ctx     context.Context // ends a while after that of serving, for what is already read
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// grace is how long what was already read may take to become durable when
// listening is to end.
const grace = 5 * time.Second

func newDeliverer(ctx context.Context, s *Source, accept connectors.Accept) *deliverer {
	d := &deliverer{s: s, accept: accept}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.running.Go(func() {
		select {
		case <-ctx.Done():
		case <-d.ctx.Done():
			return
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			d.cancel()
		case <-d.ctx.Done():
		}
	})
	return d
}

// end releases what newDeliverer took.
func (d *deliverer) end() {
	d.cancel()
	d.running.Wait()
}

// Bounds of waiting for a store that cannot take anything, and of trying again
// what it refuses for another reason.
const (
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
	tries    = 8
)

// deliver returns when b is durable, or lost: because time is up, or because the
// store does not take it for another reason than want of room.
func (d *deliverer) deliver(b connectors.Batch) {
	if len(b.Findings) == 0 && len(b.Rejects) == 0 {
		return
	}
	wait := retryMin
	for try := 1; ; try++ {
		_, err := d.accept(d.ctx, b)
		if err == nil {
			d.s.counts.findings.Add(int64(len(b.Findings)))
			return
		}
		if d.ctx.Err() != nil || hub.KindOf(err) != hub.Transient && try == tries {
			d.s.counts.lost.Add(int64(len(b.Findings)))
			d.s.log.Error("messages were lost", "count", len(b.Findings), "error", err)
			return
		}
		timer := time.NewTimer(max(wait, retryAfter(err)))
		select {
		case <-timer.C:
		case <-d.ctx.Done():
		}
		timer.Stop()
		wait = min(wait*2, retryMax)
	}
}

func retryAfter(err error) time.Duration {
	var e *hub.Error
	if errors.As(err, &e) {
		return min(e.RetryAfter, retryMax)
	}
	return 0
}
