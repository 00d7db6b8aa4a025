package kafka

import (
	"errors"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
)

// settle decides about the batch of a queue after an attempt.
func (p *producer) settle(q *queue, err error) {
	b := q.batch
	var code kafka.Error
	errors.As(err, &code)
	switch {
	case err == nil, code == kafka.DuplicateSequenceNumber:
		q.passed(len(b.entries))
		p.finish(q, b.entries, nil)
		q.batch, q.limit = nil, 0
	case code == kafka.MessageSizeTooLarge, code == kafka.RecordListTooLarge:
		p.tooLarge(q, err)
	case code == kafka.InvalidRecord, code == kafka.UnsupportedForMessageFormat, code == kafka.PolicyViolation,
		code == kafka.UnsupportedCompressionType, code == kafka.InvalidTimestamp:
		p.finish(q, b.entries, hub.Wrap(hub.Internal, err, "the message bus refuses the message"))
		q.batch = nil
	case code == kafka.OutOfOrderSequenceNumber, code == kafka.UnknownProducerId, code == kafka.InvalidProducerEpoch,
		code == kafka.InvalidProducerIDMapping, code == kafka.ProducerFenced:
		p.renew(q) // the broker does not know what it had of us, and did not take this
		b.data = nil
		p.repeat(q, err)
	default:
		var never unsent
		b.sent = b.sent || !errors.As(err, &never)
		p.repeat(q, err)
	}
}

// repeat has the batch of a queue sent again after a while, if someone still
// waits for it.
func (p *producer) repeat(q *queue, err error) {
	b, now := q.batch, time.Now()
	b.err = err
	if p.bus.ctx.Err() != nil || b.until().Before(now) {
		p.finish(q, b.entries, unconfirmed(err))
		if b.sent {
			// It may be stored, or be on its way: a new epoch keeps the broker from
			// taking it after what comes now.
			p.renew(q)
		}
		q.batch = nil
		return
	}
	wait := min(repeatMin<<min(b.tries, 10), repeatMax)
	b.after, b.tries = now.Add(wait), b.tries+1
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pump()
	})
}

// tooLarge sends the messages of a batch again in halves, and refuses one that
// is too large by itself.
func (p *producer) tooLarge(q *queue, err error) {
	b := q.batch
	q.batch = nil
	if n := len(b.entries); n > 1 {
		q.entries, q.limit = append(b.entries, q.entries...), n/2
		return
	}
	p.finish(q, b.entries, hub.Wrap(hub.TooLarge, err, "the message is larger than the message bus allows"))
}

// passed counts records that the broker has. Sequence numbers go back to zero
// after the largest.
func (q *queue) passed(n int) {
	if q.who.number >= 0 {
		q.sequence = int32((int64(q.sequence) + int64(n)) & math.MaxInt32)
	}
}

// renew begins a new epoch: what was sent in an older one is not taken any more
// by a broker that has seen the new one.
func (p *producer) renew(q *queue) {
	switch {
	case q.who.number < 0:
	case q.who.epoch == math.MaxInt16:
		p.number.CompareAndSwap(q.who.number, unnamed)
	default:
		q.who.epoch++
		q.sequence = 0
	}
}

// finish tells those who wait what became of their messages.
func (p *producer) finish(q *queue, entries []*entry, err error) {
	if err == nil {
		q.topic.published.Add(int64(len(entries)))
	} else {
		q.topic.failed.Add(int64(len(entries)))
	}
	for _, e := range entries {
		p.waiting -= len(e.body)
		c := e.call
		if err != nil && c.err == nil {
			c.err = err
		}
		if c.left--; c.left == 0 {
			close(c.done)
		}
	}
	if p.closed && p.waiting == 0 {
		p.rest()
	}
}

func (p *producer) rest() {
	select {
	case <-p.idle:
	default:
		close(p.idle)
	}
}

func unconfirmed(err error) error {
	return &hub.Error{
		Kind: hub.Transient, RetryAfter: retryAfter, Err: err,
		Msg: "the message bus did not confirm the message in time; try again",
	}
}
