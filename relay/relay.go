// Package relay sends deliveries: it claims those that are due, has the target
// of their kind make one attempt, and records what became of each.
//
// Delivery is at least once. A delivery is recorded before it is claimed, an
// attempt is recorded together with what follows from it, and a hub that dies
// in between sends again, under the same key, when the lease has ended. So no
// more than what is under way or not yet recorded at that moment is sent twice.
//
// The [Worker] owns retries, time limits and fairness; a [Target] knows its far
// side and nothing else; the [Queue] owns what is durable.
package relay

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// A Target is a kind of far side that deliveries are sent to.
type Target interface {
	// Send makes one attempt and returns when the far side has taken d, or has
	// not. It fills the attempt with what was sent and answered, whether or not
	// it worked; the worker adds number, times, error and verdict.
	//
	// An error of kind [hub.Transient] or [hub.RateLimited] is tried again, not
	// before its RetryAfter. [hub.Gone] switches the endpoint off and holds its
	// deliveries. Any other kind is final: [hub.Internal] is our own fault, the
	// rest are the endpoint's. The message of a [hub.Error] is shown to people
	// and holds no secret; the context carries the time limit.
	//
	// Send must be safe to repeat for the same d.ID, because a crash after the
	// far side's answer and before our record of it makes the worker send again.
	// It changes neither e nor d. Calls may overlap.
	Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error)
}

// A Queue is what the worker needs of the store. Calls may overlap.
type Queue interface {
	// Claim leases up to limit deliveries that are due, longest due first for each
	// endpoint: no other claim gives them before the lease has ended. rooms are the
	// endpoints that are limited: it leases no more than so many of each, and
	// should not look at all at those with no room, of which there may be very many
	// due. Of an endpoint that is not among them it leases a few, and of all of those
	// together no more than the room of "".
	//
	// Of an endpoint whose breaker is open it gives nothing but a probe, of one that
	// keeps an order nothing before what comes first is over. The endpoints it gives
	// are those of now, so that one that an earlier Record switched off is seen to
	// be.
	Claim(ctx context.Context, limit int, lease time.Duration, rooms map[hub.EndpointID]int) ([]Job, error)
	// Record stores outcomes, each with its attempt, next step and audit entry
	// in one transaction. It is durable on return. An outcome whose lease has ended
	// and been given to somebody else is left out. An error means that none was
	// stored; of kind [hub.NotFound], that a delivery does not exist any more.
	Record(ctx context.Context, outcomes []Outcome) error
	// Wake gives a value when there may be something new to claim. Values may
	// be dropped while one waits.
	Wake() <-chan struct{}
	// NextDue tells when the next delivery or lease falls due, of endpoints that
	// have room; zero for never.
	NextDue(ctx context.Context, rooms map[hub.EndpointID]int) (time.Time, error)
}

// A Job is one claimed delivery with its body; its DueAt may say when the lease
// ends, if that is earlier than the claim asked for. Endpoint is nil if it does
// not exist any more.
type Job struct {
	Delivery hub.Delivery
	Endpoint *hub.Endpoint
}

// An Outcome is what became of a claimed delivery.
type Outcome struct {
	// Delivery is in its new state, with Attempts, DueAt, Status, Error and
	// Fault set.
	Delivery hub.Delivery
	// Attempt is what was tried; nil if nothing was: the delivery is held, is
	// dead without an attempt, or is given back by a stop.
	Attempt *hub.Attempt
	// Disable is why the endpoint is to be switched off; "" if it is not.
	Disable string
	// Open says that the endpoint's breaker opens, or stays open because a probe
	// failed; nil if it does not.
	Open *Opening
	// Close says that a probe succeeded: the breaker closes, and what was held is
	// to be sent in order.
	Close bool
}

// An Opening says why an endpoint's breaker is open and when to try again.
type Opening struct {
	Reason  string
	Probes  int       // that failed
	ProbeAt time.Time // not before this
}

// Released reports whether the delivery is only given back, unchanged but for
// the time it is due. That needs no audit entry.
func (o *Outcome) Released() bool {
	return o.Attempt == nil && (o.Delivery.State == hub.DeliveryPending || o.Delivery.State == hub.DeliveryRetrying)
}

// Faults of dead deliveries.
const (
	FaultEndpoint = "endpoint" // theirs
	FaultHub      = "hub"      // ours
)

// Verdicts on attempts.
const (
	VerdictSucceeded = "succeeded"
	VerdictRetry     = "retry"
	VerdictDead      = "dead"
	VerdictHeld      = "held"
)

// EventOf reads the event of a delivery, for targets that say it in words of
// their own.
func EventOf(d *hub.Delivery) (*hub.Event, error) {
	ev := new(hub.Event)
	if err := json.Unmarshal(d.Body, ev); err != nil {
		return nil, hub.Wrap(hub.Internal, err, "the stored event cannot be read")
	}
	return ev, nil
}
