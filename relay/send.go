package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
)

// A result is how one send ended.
type result struct {
	task    *task
	attempt hub.Attempt
	err     error
	late    bool // not sent: its lease would have ended first
	cut     bool // the worker's stop cut it off
}

// sendAll sends what comes until the work is closed.
func (r *run) sendAll(ctx context.Context) {
	for t := range r.work {
		r.results <- r.send(ctx, t)
	}
}

func (r *run) send(ctx context.Context, t *task) (res result) {
	res.task = t
	start, at := time.Now(), r.o.Now()
	if at.Add(t.timeout).After(t.until) {
		res.late = true
		return res
	}
	limited, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	res.attempt, res.err = guarded(limited, t)
	res.attempt.At = hub.Truncate(at)
	res.attempt.Duration = hub.Duration(time.Since(start).Round(time.Microsecond))
	res.cut = res.err != nil && ctx.Err() != nil
	return res
}

// guarded keeps a bug in a target to the delivery that met it; otherwise that
// delivery would end every hub that claims it.
func guarded(ctx context.Context, t *task) (a hub.Attempt, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = hub.Wrap(hub.Internal, fmt.Errorf("panic: %v", p), "the hub failed while it was sending; this is a fault in Tocsin")
		}
	}()
	if len(t.with) == 0 {
		return t.target.Send(ctx, t.Endpoint, &t.Delivery)
	}
	all := []*hub.Delivery{&t.Delivery}
	for _, other := range t.with {
		all = append(all, &other.Delivery)
	}
	return t.target.(Gatherer).SendAll(ctx, t.Endpoint, all)
}

// sent concludes a send.
func (r *run) sent(res result, now time.Time) {
	t := res.task
	r.metrics.inFlight.Sub(float64(1 + len(t.with)))
	switch {
	case len(t.with) > 0 && !res.late && !res.cut && splits(res.err):
		r.split(t, now)
		return
	case res.late:
		// Somebody else may have it by now; if nobody has, the queue gives it
		// again after the lease.
		r.after(t, other, now)
	case res.cut:
		for _, one := range t.all() {
			r.outcomes = append(r.outcomes, release(&one.Job, now))
		}
		r.after(t, other, now)
	default:
		r.conclude(res, now)
	}
	t.Job, t.with = Job{}, nil // the bodies are not needed any more, though lanes may hold t a while
}

func (r *run) conclude(res result, now time.Time) {
	t := res.task
	judge := r.judge
	if len(t.with) > 0 { // they come back together
		random := r.o.Random()
		judge.random = func() float64 { return random }
	}
	o := judge.conclude(&t.Job, res.attempt, res.err, hub.Truncate(now))
	o.Delivery.Body = nil // it does not change
	a := answerOf(&o, res.err)
	r.breaker(t, &o, a, res.err, now)
	r.outcomes = append(r.outcomes, o)
	r.metrics.attempted(&o, now)
	r.logEnd(&o, res.err)
	r.concludeOthers(t, &judge, &o, res, now)
	if l := r.lanes.byID[t.Endpoint.ID]; l.limit > 0 && res.err == nil {
		r.lanes.widen(l)
	}
	if o.Disable != "" {
		r.shut(t.Endpoint, now)
	}
	if wait := askedFor(res.err); wait > 0 && (a == failed || a == throttled) {
		r.putOff(t.Endpoint, now.Add(wait), now)
	}
	r.after(t, a, now)
}

// answerOf is what an outcome says about the endpoint.
func answerOf(o *Outcome, err error) answer {
	var proxy *safehttp.ProxyError
	switch kind := kindOf(err); {
	case err == nil:
		return answered
	case errors.As(err, &proxy):
		return other // our own way out
	case o.Attempt.Control != "":
		return other // it is there, and says what it wants
	case kind == hub.RateLimited && askedFor(err) > 0:
		return throttled
	case kind == hub.Transient || kind == hub.RateLimited:
		return failed
	}
	return other
}

// askedFor is how long the far side asked to be left alone.
func askedFor(err error) time.Duration {
	var e *hub.Error
	if !errors.As(err, &e) {
		return 0
	}
	return min(e.RetryAfter, MaxRetryAfter)
}

// putOff leaves an endpoint alone until a time, with all of its pool, and gives
// back what is claimed for it, to fall due then.
func (r *run) putOff(e *hub.Endpoint, until, now time.Time) {
	l := r.lanes.of(e)
	l.paused = later(l.paused, until)
	r.due = earlier(r.due, l.paused)
	for _, id := range r.lanes.pause(l, until) {
		for _, t := range r.lanes.clear(id) {
			r.settle(release(&t.Job, l.paused), now)
		}
	}
}

// after frees what the send had, and claims for its endpoint if that was full.
func (r *run) after(t *task, a answer, now time.Time) {
	l := r.lanes.byID[t.Endpoint.ID]
	if r.lanes.finish(t, a, now) {
		r.more = true
	}
	if l.pool != nil { // others of it may have waited for this
		r.due = earlier(r.due, later(now, l.alone()))
	}
}

// shut holds what is claimed for an endpoint, and what claims bring until they
// see that it is switched off or that its breaker is open.
func (r *run) shut(e *hub.Endpoint, now time.Time) {
	r.lanes.of(e).gone, r.more = math.MaxUint64, true // it has room again
	for _, t := range r.lanes.clear(e.ID) {
		r.settle(held(&t.Job, now), now)
	}
}

// settle takes the outcome of a delivery that nothing was tried for.
func (r *run) settle(o Outcome, now time.Time) {
	o.Delivery.Body = nil
	r.outcomes = append(r.outcomes, o)
	r.metrics.ended(&o, now)
}

// logEnd tells of ends that somebody has to look at. Successes and retries are
// for the metrics and the list of deliveries.
func (r *run) logEnd(o *Outcome, err error) {
	if o.Delivery.State != hub.DeliveryDead && o.Disable == "" && !o.Close && o.Open == nil {
		return
	}
	d := &o.Delivery
	log := r.o.Log.With(slog.String("tenant", string(d.Tenant)), slog.String("delivery", string(d.ID)),
		slog.String("endpoint", string(d.Endpoint)), slog.Int("attempt", d.Attempts))
	var e *hub.Error
	switch {
	case o.Disable != "":
		log.Warn("endpoint says it is gone; switching it off", slog.String("reason", o.Disable))
	case o.Close:
		log.Info("endpoint takes deliveries again; sending what was held")
	case o.Open != nil && o.Open.Probes == 0:
		log.Warn("endpoint fails; holding its deliveries", slog.String("reason", o.Open.Reason), slog.Time("probe", o.Open.ProbeAt))
	case o.Open != nil: // as before
	case d.Fault == FaultHub || !errors.As(err, &e):
		log.Error("delivery is dead through a fault of the hub", slog.Any("error", err))
	default:
		log.Warn("delivery is dead", slog.String("reason", d.Error))
	}
}
