package kafka

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/tocsin/tocsin/hub"
)

// Bounds of what waits to be published and of one request.
const (
	maxWaiting      = 64 << 20 // bytes, beyond which publishing is refused at once
	maxBatchBytes   = 1 << 20  // of one partition, but for a single larger message
	maxRequestBytes = 8 << 20
	// maxFlights is how many requests are under way to one broker, each for other
	// partitions. Two keep the broker busy while an answer travels.
	maxFlights = 2

	repeatMin, repeatMax = 20 * time.Millisecond, 500 * time.Millisecond
)

// A producer sends what is published. It has one request at a time under way for
// a partition and up to maxFlights for a broker; what comes meanwhile goes
// together in the next.
type producer struct {
	bus   *Bus
	codec compress.Codec

	mu      sync.Mutex // guards what follows, the queues and the calls
	ready   []*queue   // have something to send and nothing under way
	flights map[int]int
	waiting int // bytes
	closed  bool
	idle    chan struct{} // closed when nothing waits, if the producer is closed

	calls  atomic.Int64 // that came so far
	naming sync.Mutex   // held while number is asked for
	number atomic.Int64 // under which the brokers know this producer, or unnamed

	done sync.WaitGroup // of requests
}

// A queue is what waits to be published to a partition. Its producer's mutex
// guards it.
type queue struct {
	topic  *topic
	no     int
	leader int // the broker that leads the partition, as far as is known

	entries []*entry
	batch   *batch // cut off from the entries; nothing overtakes it
	flying  bool   // the batch is under way
	listed  bool   // among the producer's ready queues
	limit   int    // most entries of a batch; 0 is no limit

	who      producerID
	sequence int32 // of the next record
}

// unnamed is the number of a producer that has not been told its own yet;
// nameless is that of one that gets none.
const unnamed, nameless = -2, -1

// An entry is a message that waits to be published.
type entry struct {
	body  []byte
	call  *call
	until time.Time // nobody waits for it any longer
}

// A call is one call of Publish. The producer's mutex guards it.
type call struct {
	left int // entries without an outcome
	err  error
	done chan struct{} // closed when none is left
}

// A batch is sent until the broker has taken it or nobody waits for it any
// longer. It is repeated byte for byte, so that the broker knows it again.
type batch struct {
	entries []*entry
	data    []byte
	tries   int
	after   time.Time // it is not sent again before
	sent    bool      // the broker may have it
	err     error     // why it was not taken
}

func (b *batch) until() time.Time { return b.entries[len(b.entries)-1].until }

func newProducer(b *Bus) (*producer, error) {
	codec, err := codecOf(b.opts.Compression)
	p := &producer{bus: b, codec: codec, flights: map[int]int{}, idle: make(chan struct{})}
	p.number.Store(unnamed)
	return p, err
}

var errFull = &hub.Error{
	Kind: hub.Transient, RetryAfter: retryAfter,
	Msg: "too many messages wait for the message bus, which does not keep up; nothing was accepted, try again later",
}

// enqueue puts an entry of c into each queue named.
func (p *producer) enqueue(c *call, queues []*queue, bodies [][]byte) error {
	until := time.Now().Add(p.bus.opts.PublishTimeout)
	size := 0
	for _, b := range bodies {
		size += len(b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	if p.waiting > 0 && p.waiting+size > maxWaiting {
		return errFull
	}
	p.calls.Add(1)
	p.waiting += size
	c.left = len(bodies)
	for i, q := range queues {
		q.entries = append(q.entries, &entry{body: bodies[i], call: c, until: until})
		p.list(q)
	}
	p.pump()
	return nil
}

// list notes that a queue has something to send, if it has.
func (p *producer) list(q *queue) {
	if !q.listed && !q.flying && (q.batch != nil || len(q.entries) > 0) {
		q.listed = true
		p.ready = append(p.ready, q)
	}
}

// pump starts requests where there is something to send and room for it.
func (p *producer) pump() {
	if p.bus.ctx.Err() != nil {
		return
	}
	now := time.Now()
	for _, q := range p.ready {
		if p.flights[q.leader] < maxFlights && q.due(now) {
			p.flights[q.leader]++
			leader := q.leader
			p.done.Go(func() { p.fly(leader) })
		}
	}
}

func (q *queue) due(now time.Time) bool { return q.batch == nil || !now.Before(q.batch.after) }

// fly sends requests to a broker as long as there is something to send.
func (p *producer) fly(leader int) {
	for {
		p.company()
		flight := p.collect(leader)
		if len(flight) == 0 {
			return
		}
		res, err := p.send(flight)
		p.mu.Lock()
		for _, q := range flight {
			q.flying = false
			p.settle(q, outcome(q, res, err))
			p.list(q)
		}
		p.mu.Unlock()
	}
}

// company lets those publish first who are about to: right after an answer, all
// who waited for it come with their next message, and the first of them should
// not go alone.
func (p *producer) company() {
	for range 16 {
		before := p.calls.Load()
		if runtime.Gosched(); p.calls.Load() == before {
			return
		}
	}
}

// collect takes the queues whose batches go into the next request to a broker;
// if there are none, the caller must end.
func (p *producer) collect(leader int) (flight []*queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, size, rest := time.Now(), 0, p.ready[:0]
	for _, q := range p.ready {
		if q.leader != leader || size >= maxRequestBytes || !q.due(now) {
			rest = append(rest, q)
			continue
		}
		q.listed = false
		if size += p.cut(q, now); q.batch != nil {
			q.flying = true
			flight = append(flight, q)
		}
	}
	clear(p.ready[len(rest):])
	p.ready = rest
	if len(flight) == 0 {
		p.flights[leader]--
		p.pump() // for queues whose leader has changed meanwhile
	}
	return flight
}

// cut makes the batch of a queue, if it has none and something waits that is
// still waited for, and gives its size.
func (p *producer) cut(q *queue, now time.Time) (size int) {
	if q.batch != nil {
		return len(q.batch.data)
	}
	p.expire(q, now)
	n := 0
	for _, e := range q.entries {
		if n > 0 && size+len(e.body) > maxBatchBytes || q.limit > 0 && n >= q.limit {
			break
		}
		size += len(e.body) + recordHead
		n++
	}
	if n > 0 {
		q.batch = &batch{entries: slices.Clone(q.entries[:n])}
		q.entries = dropFirst(q.entries, n)
	}
	return size
}

// dropFirst forgets the first n of all, and gives the memory back now and then.
func dropFirst[T any](all []*T, n int) []*T {
	clear(all[:n])
	if all = all[n:]; len(all) == 0 {
		return nil
	}
	return all
}

// expire ends the wait of entries that were never sent.
func (p *producer) expire(q *queue, now time.Time) {
	n := 0
	for n < len(q.entries) && q.entries[n].until.Before(now) {
		n++
	}
	if n > 0 {
		p.finish(q, q.entries[:n], unconfirmed(errors.New("messages before it were not taken")))
		q.entries = dropFirst(q.entries, n)
	}
}

// run keeps the leaders of the partitions known, until the bus ends.
func (p *producer) run() {
	t := time.NewTicker(metadataEvery / 2)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-p.bus.ctx.Done():
			return
		}
		for _, x := range *p.bus.topics.Load() {
			p.follow(x)
		}
	}
}

// follow notes which brokers lead the partitions of a topic, and forgets what
// nobody waits for.
func (p *producer) follow(t *topic) {
	found, err := p.bus.cluster.metadata(p.bus.ctx, t.full)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, q := range t.queues {
		if q.flying || q.batch != nil {
			p.expire(q, now)
		}
	}
	if err != nil {
		return
	}
	for _, x := range found.Partitions {
		if x.ID < len(t.queues) && x.Leader.Host != "" {
			t.queues[x.ID].leader = x.Leader.ID
		}
	}
	p.pump()
}

// close refuses further messages and waits for those that are under way.
func (p *producer) close() {
	p.mu.Lock()
	p.closed = true
	if p.waiting == 0 {
		p.rest()
	}
	p.mu.Unlock()
	pause(p.bus.opts.PublishTimeout, p.idle)
	p.mu.Lock()
	p.bus.cancel() // from here on no request begins
	p.mu.Unlock()
	p.done.Wait()
}
