package relay

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
)

// A judge decides what becomes of deliveries. It is pure but for its random
// numbers.
type judge struct {
	policy hub.RetryPolicy
	random func() float64 // in [0, 1)
}

// conclude decides what follows from attempt a, which ended with err at now.
func (g *judge) conclude(j *Job, a hub.Attempt, err error, now time.Time) Outcome {
	o := Outcome{Delivery: j.Delivery, Attempt: &a}
	d := &o.Delivery
	d.Attempts++
	d.UpdatedAt, d.DueAt, d.Status = now, time.Time{}, a.Status
	d.Error, d.Fault = messageOf(err), ""
	a.Delivery, a.Number, a.Error, a.Refused = d.ID, d.Attempts, d.Error, RefusedBy(err)

	switch kind := kindOf(err); {
	case err == nil:
		d.State, a.Verdict = hub.DeliverySucceeded, VerdictSucceeded
		if a.Control == hub.ControlDisable {
			o.Disable = askedToStop
		}
	case kind == hub.Gone || a.Control == hub.ControlDisable:
		d.State, a.Verdict = hub.DeliveryHeld, VerdictHeld // whoever switches it on again gets it
		if o.Disable = d.Error; kind != hub.Gone {
			o.Disable = askedToStop
		}
	case a.Control == hub.ControlAbort:
		d.Error += "; the receiver asked not to be sent this again"
		a.Error, d.State, d.Fault, a.Verdict = d.Error, hub.DeliveryDead, FaultEndpoint, VerdictDead
	case kind == hub.Transient || kind == hub.RateLimited:
		g.retry(j, &o, err, now)
	case kind == hub.Internal:
		d.State, d.Fault, a.Verdict = hub.DeliveryDead, FaultHub, VerdictDead
	default:
		d.State, d.Fault, a.Verdict = hub.DeliveryDead, FaultEndpoint, VerdictDead
	}
	return o
}

// askedToStop is why an endpoint is switched off whose receiver said so.
const askedToStop = "the receiver asked to be switched off (webhook-delivery: disable)"

func (g *judge) retry(j *Job, o *Outcome, err error, now time.Time) {
	d, after := &o.Delivery, time.Duration(0)
	var e *hub.Error
	if errors.As(err, &e) {
		after = e.RetryAfter
	}
	if d.Probe { // it was sent out of its turn: its schedule goes on where it was
		d.Base++
		d.State, d.DueAt, o.Attempt.Verdict = hub.DeliveryHeld, time.Time{}, VerdictHeld
		return
	}
	w, again := wait(policyOf(d, j.Endpoint, g.policy), d.Attempts-d.Base, g.random(), after)
	if !again {
		d.State, d.Fault, o.Attempt.Verdict = hub.DeliveryDead, FaultEndpoint, VerdictDead
		return
	}
	d.State, d.DueAt, o.Attempt.Verdict = hub.DeliveryRetrying, hub.Truncate(now.Add(w)), VerdictRetry
}

// RefusedBy names the rule by which an attempt was refused; "" if it was not.
func RefusedBy(err error) string {
	var refused *safehttp.Refused
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

// kindOf is hub.KindOf but for a refused target, and for a target that gives
// the context's own error.
func kindOf(err error) hub.Kind {
	var refused *safehttp.Refused
	switch {
	case errors.As(err, &refused):
		return hub.Forbidden // the same again tomorrow
	case err != nil && errors.Is(err, context.DeadlineExceeded) && hub.KindOf(err) == hub.Internal:
		return hub.Transient
	}
	return hub.KindOf(err)
}

// messageOf is what people are shown of an error.
func messageOf(err error) string {
	var e *hub.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Msg
	case errors.Is(err, context.DeadlineExceeded):
		return safehttp.Explain(err)
	}
	return "internal error"
}

// dead ends a delivery without an attempt.
func dead(j *Job, fault, why string, now time.Time) Outcome {
	o := Outcome{Delivery: j.Delivery}
	o.Delivery.State, o.Delivery.Fault, o.Delivery.Error = hub.DeliveryDead, fault, why
	o.Delivery.UpdatedAt, o.Delivery.DueAt = hub.Truncate(now), time.Time{}
	return o
}

// held keeps a delivery until its endpoint is switched on.
func held(j *Job, now time.Time) Outcome {
	o := Outcome{Delivery: j.Delivery}
	o.Delivery.State, o.Delivery.UpdatedAt, o.Delivery.DueAt = hub.DeliveryHeld, hub.Truncate(now), time.Time{}
	return o
}

// release gives a delivery back, to be claimed again at a time.
func release(j *Job, at time.Time) Outcome {
	o := Outcome{Delivery: j.Delivery}
	o.Delivery.State, o.Delivery.DueAt = hub.DeliveryPending, hub.Truncate(at)
	if j.Delivery.Attempts > 0 {
		o.Delivery.State = hub.DeliveryRetrying
	}
	return o
}
