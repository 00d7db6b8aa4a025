package relay

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Breaker says when an endpoint's breaker opens and how it is probed then.
//
// It opens when so many attempts in a row failed, or four of five of the last
// fifty. Then the endpoint's deliveries are held, and one of them is sent as a
// probe after a wait that doubles with each that fails. The first that succeeds
// closes it. Answers that ask to wait do not count: who gives them is there.
type Breaker struct {
	Failures int           // in a row; 10 if zero, never if negative
	Probe    time.Duration // the first wait; 5 s if zero
	MaxProbe time.Duration // the longest; 5 min if zero
}

// The share of failures that opens a breaker.
const (
	tallied = 50
	tooMany = 40
)

func (b *Breaker) setDefaults() {
	if b.Failures == 0 {
		b.Failures = 10
	}
	setDefault(&b.Probe, 5*time.Second)
	setDefault(&b.MaxProbe, 5*time.Minute)
}

// A tally remembers how the last attempts at an endpoint went.
type tally struct {
	recent uint64 // a bit each, the newest lowest; 1 is a failure
	seen   int    // how many, up to tallied
	row    int    // failures in a row
}

func (t *tally) add(failure bool) {
	t.recent <<= 1
	t.seen = min(t.seen+1, tallied)
	if t.row++; !failure {
		t.row = 0
		return
	}
	t.recent |= 1
}

// trips says why the breaker is to open; "" if it is not.
func (b *Breaker) trips(t tally) string {
	failed := bits.OnesCount64(t.recent & (1<<tallied - 1))
	switch {
	case b.Failures < 0:
		return ""
	case t.row >= b.Failures:
		return fmt.Sprintf("%d attempts in a row failed", t.row)
	case t.seen >= tallied && failed >= tooMany:
		return fmt.Sprintf("%d of the last %d attempts failed", failed, tallied)
	}
	return ""
}

// wait is how long to leave an endpoint alone after so many probes failed.
func (b *Breaker) wait(probes int, random float64) time.Duration {
	d := b.Probe
	for range probes {
		if d *= 2; d >= b.MaxProbe {
			break
		}
	}
	return time.Duration(float64(min(d, b.MaxProbe)) * (1 + DefaultJitter*(2*random-1)))
}

// breaker lets the endpoint's breaker follow from an outcome: o is of a send of t
// that a says how it went.
func (r *run) breaker(t *task, o *Outcome, a answer, err error, now time.Time) {
	l := r.lanes.of(t.Endpoint)
	b := t.Endpoint.Breaker
	switch {
	case o.Disable != "":
	case t.Delivery.Probe && b != nil && a == answered:
		o.Close = true
	case t.Delivery.Probe && b != nil:
		probes := b.Probes
		if a != other { // which tells of the delivery, not of the endpoint
			probes++
		}
		r.open(o, b.Reason, probes, err, now)
	case a == failed && t.claimed <= l.gone:
		hold(o) // it was under way when the breaker opened
	case a == failed:
		next := l.tally
		next.add(true)
		if why := r.o.Breaker.trips(next); why != "" {
			r.open(o, why+", the last one because "+o.Delivery.Error, 0, err, now)
			l.tally = tally{}
			r.shut(t.Endpoint, now)
		}
	}
}

func (r *run) open(o *Outcome, why string, probes int, err error, now time.Time) {
	wait := max(r.o.Breaker.wait(probes, r.o.Random()), askedFor(err))
	o.Open = &Opening{Reason: why, Probes: probes, ProbeAt: hub.Truncate(now.Add(wait))}
	hold(o)
}

// hold keeps a delivery that failed for when its endpoint takes something again.
func hold(o *Outcome) {
	d := &o.Delivery
	if d.State == hub.DeliveryRetrying {
		d.State, d.DueAt, o.Attempt.Verdict = hub.DeliveryHeld, time.Time{}, VerdictHeld
	}
}
