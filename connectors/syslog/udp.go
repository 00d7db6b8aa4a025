package syslog

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/tocsin/tocsin/connectors"
)

// A packets is a UDP socket.
type packets struct {
	s    *Source
	conn *net.UDPConn
}

const (
	// queueBytes bounds what has been received and is not durable yet.
	queueBytes = 8 << 20
	// queueItems bounds the same by number, for small messages.
	queueItems = 16 << 10
	// socketBuffer is what the kernel is asked to hold; it may give less.
	socketBuffer = 4 << 20
	// maxDatagram is the longest payload of UDP.
	maxDatagram = 65507
)

func (s *Source) openUDP(ctx context.Context, a address) (socket, error) {
	conn, err := (&net.ListenConfig{Control: countKernelDrops}).ListenPacket(ctx, "udp", a.hostPort)
	if err != nil {
		return nil, err
	}
	udp := conn.(*net.UDPConn) //nolint:forcetypeassert // of a network named udp
	_ = udp.SetReadBuffer(socketBuffer)
	return &packets{s, udp}, nil
}

func (p *packets) address() string { return "udp://" + p.conn.LocalAddr().String() }
func (p *packets) close()          { _ = p.conn.Close() }

// A datagram is one message and who sent it.
type datagram struct {
	raw    []byte
	sender netip.Addr
}

// serve receives until the socket is closed, and lets what it has received
// become durable. Receiving never waits: what finds the queue full is dropped.
func (p *packets) serve(ctx context.Context, d *deliverer) error {
	q := newQueue()
	var running sync.WaitGroup
	running.Go(func() { p.s.drain(q, d) })
	err := p.receive(q)
	q.close()
	running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *packets) receive(q *queue) error {
	buf, oob := make([]byte, maxDatagram+1), make([]byte, 64)
	var before uint32 // kernel drops that the socket told last
	for {
		n, m, _, from, err := p.conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return err
		}
		if drops, ok := kernelDrops(oob[:m]); ok {
			p.s.counts.droppedKernel.Add(int64(drops - before)) // it wraps around as the kernel's does
			before = drops
		}
		p.s.receive(q, buf[:n], from.Addr().Unmap())
	}
}

// receive puts one datagram into the queue, or counts why not.
func (s *Source) receive(q *queue, raw []byte, sender netip.Addr) {
	switch {
	case !s.allowed(sender):
		s.counts.notAllowed.Add(1)
		return
	case s.cfg.MaxRate > 0 && !s.rate.Allow(sender.String(), s.limit()).Allowed:
		s.counts.droppedRate.Add(1)
		return
	}
	if len(raw) > s.cfg.MaxMessage {
		raw = raw[:s.cfg.MaxMessage]
		s.counts.truncated.Add(1)
	}
	if len(raw) > 0 && !q.put(datagram{append([]byte(nil), raw...), sender}) {
		s.counts.droppedQueue.Add(1)
	}
}

// drain makes what is in the queue durable until it is closed and empty.
func (s *Source) drain(q *queue, d *deliverer) {
	m := s.mapper()
	for {
		all := q.take(maxBatch)
		if all == nil {
			return
		}
		var b connectors.Batch
		for _, g := range all {
			s.take(&b, m, g.raw, g.sender)
		}
		d.deliver(b)
	}
}

// A queue holds datagrams up to a bound.
type queue struct {
	mu     sync.Mutex // guards all below
	some   *sync.Cond // on mu: there is something, or the queue is closed
	items  []datagram
	bytes  int
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.some = sync.NewCond(&q.mu)
	return q
}

// put is false if there is no room.
func (q *queue) put(g datagram) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= queueItems || q.bytes+len(g.raw) > queueBytes {
		return false
	}
	q.items = append(q.items, g)
	q.bytes += len(g.raw)
	q.some.Signal()
	return true
}

// take waits for datagrams and gives up to n of them; nil when the queue is
// closed and empty.
func (q *queue) take(n int) []datagram {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.some.Wait()
	}
	n = min(n, len(q.items))
	if n == 0 {
		return nil
	}
	all := append([]datagram(nil), q.items[:n]...)
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	for _, g := range all {
		q.bytes -= len(g.raw)
	}
	return all
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Signal()
}
