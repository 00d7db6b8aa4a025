package relay

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Waits of the loop.
const (
	callLimit    = 30 * time.Second       // for one call of the queue
	afterFailure = time.Second            // before the queue is asked again
	leastWait    = 10 * time.Millisecond  // that a timer is set for
	stillDue     = 100 * time.Millisecond // before what is due and was not given is asked for again
)

// A claim is the answer of the queue.
type claim struct {
	number uint64
	limit  int
	at     time.Time // before the lease began
	rooms  map[hub.EndpointID]int
	resume time.Time // when the first endpoint that is left alone has room again
	jobs   []Job
	due    time.Time // of the next delivery, asked for when there were too few
	err    error
}

// claim asks the queue for more, if there is room for it.
func (r *run) claim(now time.Time) {
	limit := min(r.lanes.window-r.lanes.claimed, r.lanes.window/4)
	if r.claiming || !r.more || limit < r.lanes.window/8 {
		return
	}
	r.claimed++
	c := claim{number: r.claimed, limit: limit, at: now}
	c.rooms, c.resume = r.lanes.rooms(now)
	r.more, r.claiming, r.due = false, true, time.Time{}
	go func() { // the loop, or drain after it, waits for the answer
		// Not cancelled by a stop: deliveries that were claimed and not known to
		// us would lie until their lease ends.
		ctx, cancel := context.WithTimeout(r.patient, callLimit)
		defer cancel()
		c.jobs, c.err = r.o.Queue.Claim(ctx, limit, r.o.Lease, maps.Clone(c.rooms))
		c.useRooms()
		if c.err == nil && len(c.jobs) < limit {
			c.due, c.err = r.o.Queue.NextDue(ctx, maps.Clone(c.rooms))
		}
		r.claims <- c
	}()
}

// useRooms takes what was claimed off the rooms.
func (c *claim) useRooms() {
	for i := range c.jobs {
		id := c.jobs[i].Delivery.Endpoint
		if _, listed := c.rooms[id]; !listed {
			id = unknown
		}
		if c.rooms[id] > 0 {
			c.rooms[id]--
		}
	}
}

// took sorts what was claimed into its lanes.
func (r *run) took(c claim, now time.Time) {
	r.claiming = false
	r.lanes.complete(&c)
	for i := range c.jobs {
		t := &task{Job: c.jobs[i], claimed: c.number, until: c.leased(&c.jobs[i], r.o.Lease).Add(-leaseMargin)}
		if o, over := r.admit(t, now); over {
			r.settle(o, now)
		} else {
			r.lanes.add(t)
		}
	}
	switch {
	case r.lanes.unfinished(&c):
		r.more = true
	case c.err != nil:
		r.o.Log.Error("claim deliveries", slog.Any("error", c.err))
		r.due = earlier(r.due, now.Add(afterFailure))
	case len(c.jobs) == c.limit, r.lanes.reopened(c.rooms):
		r.more = true
	default:
		r.due = earlier(r.due, c.next(now))
	}
	r.due = earlier(r.due, c.resume)
}

// leased is when the lease of a job ends. It may have begun before the claim.
func (c *claim) leased(j *Job, lease time.Duration) time.Time {
	end := c.at.Add(lease)
	if own := j.Delivery.DueAt; own.After(c.at) && own.Before(end) {
		return own
	}
	return end
}

// next is when to claim again after a claim that left room. What is due already
// came meanwhile.
func (c *claim) next(now time.Time) time.Time {
	switch {
	case c.due.IsZero() || c.due.After(now.Add(leastWait)):
		return c.due
	case len(c.jobs) > 0:
		return now
	}
	return now.Add(stillDue)
}

// admit finds target and time limit of a task, or what becomes of it without.
func (r *run) admit(t *task, now time.Time) (o Outcome, over bool) {
	e := t.Endpoint
	if e == nil {
		return dead(&t.Job, FaultEndpoint, "the endpoint does not exist any more", now), true
	}
	if holds(e, &t.Delivery) || t.claimed <= r.lanes.of(e).gone {
		return held(&t.Job, now), true
	}
	if t.target = r.o.Targets[e.Kind]; t.target == nil {
		return dead(&t.Job, FaultHub, "this hub cannot send to endpoints of kind "+e.Kind, now), true
	}
	t.timeout = r.o.Timeout
	if e.Timeout > 0 {
		t.timeout = time.Duration(e.Timeout)
	}
	if d := &t.Delivery; d.Options != nil && d.Options.Timeout > 0 {
		t.timeout = time.Duration(d.Options.Timeout)
	}
	t.timeout = min(t.timeout, r.o.Lease-2*leaseMargin)
	return o, false
}

// holds reports whether a delivery is held rather than sent.
func holds(e *hub.Endpoint, d *hub.Delivery) bool {
	return !e.Enabled || e.Breaker != nil && !d.Probe
}
