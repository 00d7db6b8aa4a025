package relay

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Gatherer is a [Target] that can put several deliveries into one send: a
// message that sums a burst up, a digest. Each of them ends as if it had been
// sent alone, with an attempt that refers to the common one.
type Gatherer interface {
	Target
	// Gather says how deliveries to e go together. The zero value says that they do
	// not: then e is as any endpoint of a Target. It is asked often and must be
	// quick; for the same e it gives the same.
	Gather(e *hub.Endpoint) Gathering
	// SendAll makes one attempt for all, two at least, in the order they came. All
	// share its outcome, so that it must not succeed if one of them is lost. What
	// is said of [Target.Send] holds, and an error of kind [hub.Malformed] or
	// [hub.TooLarge] says that one of them, or their number, is at fault: they are
	// tried again in halves, until those at fault are alone and fail by
	// themselves.
	SendAll(ctx context.Context, e *hub.Endpoint, all []*hub.Delivery) (hub.Attempt, error)
}

// A Gathering says how deliveries to an endpoint go together.
type Gathering struct {
	// Pool is shared by endpoints that the far side counts together, such as those
	// that post to one channel: between them there is one send at a time, Every
	// apart, and what one is asked to wait all wait. It holds no secret in the clear.
	// "" is the endpoint by itself.
	Pool string
	// Every is the least time from the end of one send to the next.
	Every time.Duration
	// From is how many must be due for them to be sent together; fewer are sent one
	// by one. 0: never together.
	From int
	// Most is how many one send takes; 0 for as many as the worker holds.
	Most int
	// Rest is in place of Every after a send of several, if it is longer: a burst
	// that goes on is told of that often.
	Rest time.Duration
	// Hold lets what is new wait for more: it falls due at the end of its period,
	// periods being counted from midnight UTC, together with all that came in it.
	// The [Queue] sees to it.
	Hold time.Duration
	// InOrder sends what is about one subject in order, one after the other, whether
	// or not the endpoint asks for it. The [Queue] sees to it.
	InOrder bool
	// StepsApart sends what steps of playbooks ask for one by one: their words would
	// be lost in a summary.
	StepsApart bool
}

// GatheringOf gives what t says about e, the zero value if t is no Gatherer.
func GatheringOf(t Target, e *hub.Endpoint) Gathering {
	if g, ok := t.(Gatherer); ok && e != nil {
		return g.Gather(e)
	}
	return Gathering{}
}

// Due is when a delivery that is made now falls due.
func (g *Gathering) Due(now time.Time) time.Time {
	if g.Hold <= 0 {
		return now
	}
	return now.UTC().Truncate(g.Hold).Add(g.Hold)
}
