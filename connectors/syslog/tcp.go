package syslog

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/tocsin/tocsin/connectors"
)

// A stream is a TCP socket, with TLS or without.
type stream struct {
	s       *Source
	l       net.Listener
	network string
	tls     *tls.Config // nil: none
}

func (t *stream) address() string { return t.network + "://" + t.l.Addr().String() }
func (t *stream) close()          { _ = t.l.Close() }

// serve takes connections until the socket is closed, and waits for all of them.
func (t *stream) serve(ctx context.Context, d *deliverer) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := t.l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if temporary(err) {
				select { // too many open files, for one: it passes
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			return err
		}
		if !t.s.admit(conn) {
			_ = conn.Close()
			continue
		}
		running.Go(func() {
			defer t.s.counts.connections.Add(-1)
			t.s.read(ctx, t.secure(conn), d)
		})
	}
}

// temporary reports whether Accept may be called again.
func temporary(err error) bool {
	var sys *os.SyscallError
	return errors.As(err, &sys) && !errors.Is(err, net.ErrClosed)
}

// admit counts a connection in; false if there are too many, or it is from
// elsewhere.
func (s *Source) admit(conn net.Conn) bool {
	if !s.allowed(senderOf(conn)) {
		s.counts.notAllowed.Add(1)
		return false
	}
	if s.counts.connections.Add(1) > int64(s.cfg.MaxConnections) {
		s.counts.connections.Add(-1)
		s.counts.refused.Add(1)
		return false
	}
	return true
}

func senderOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (t *stream) secure(conn net.Conn) net.Conn {
	if t.tls == nil {
		return conn
	}
	return tls.Server(conn, t.tls)
}

// read takes messages off a connection until it ends. What has come in whole is
// made durable together, and before anything more is read.
func (s *Source) read(ctx context.Context, conn net.Conn, d *deliverer) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	sender := senderOf(conn)
	f := newFramer(&idle{conn, time.Duration(s.cfg.IdleTimeout)}, s.cfg.MaxMessage)
	m := s.mapper()
	for {
		batch, err := s.gather(ctx, f, m, sender)
		d.deliver(batch)
		if err != nil {
			s.ended(ctx, sender, err)
			return
		}
	}
}

// maxBatch is how many messages are made durable together.
const maxBatch = 512

// gather waits for a message and takes along those that are already there.
func (s *Source) gather(ctx context.Context, f *framer, m *mapper, sender netip.Addr) (connectors.Batch, error) {
	var b connectors.Batch
	for n := 0; n == 0 || n < maxBatch && f.ready(); n++ {
		msg, cut, err := f.next()
		if cut {
			s.counts.truncated.Add(1)
		}
		if len(msg) > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			s.take(&b, m, msg, sender)
		}
		if err != nil {
			return b, err
		}
		if err := s.slow(ctx, sender); err != nil {
			return b, err
		}
	}
	return b, nil
}

// take maps a message into a batch.
func (s *Source) take(b *connectors.Batch, m *mapper, msg []byte, sender netip.Addr) {
	index := s.counts.messages.Add(1)
	findings, err := m.findings(msg, sender)
	switch {
	case err != nil:
		s.counts.malformed.Add(1)
		b.Rejects = append(b.Rejects, connectors.Reject{Index: int(index), Error: err.Error(), Item: bytes.Clone(msg)})
	case len(findings) == 0:
		s.counts.skipped.Add(1)
	}
	b.Findings = append(b.Findings, findings...)
}

// slow waits until the sender may go on.
func (s *Source) slow(ctx context.Context, sender netip.Addr) error {
	for s.cfg.MaxRate > 0 {
		r := s.rate.Allow(sender.String(), s.limit())
		if r.Allowed {
			return nil
		}
		timer := time.NewTimer(r.RetryAfter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// ended tells of a connection that did not end as it should.
func (s *Source) ended(ctx context.Context, sender netip.Addr, err error) {
	switch {
	case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, errFraming):
		s.counts.broken.Add(1)
		s.log.Warn("a connection was ended", "sender", sender, "error", err)
	default:
		s.log.Debug("a connection broke", "sender", sender, "error", err)
	}
}

// idle ends a connection on which nothing comes.
type idle struct {
	net.Conn
	limit time.Duration
}

func (i *idle) Read(p []byte) (int, error) {
	if err := i.SetReadDeadline(time.Now().Add(i.limit)); err != nil {
		return 0, err
	}
	return i.Conn.Read(p)
}
