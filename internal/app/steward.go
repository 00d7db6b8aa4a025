package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// holdChunk is how many deliveries are held in one transaction, and releaseChunk
	// how many are released: few enough that nobody who writes waits for it.
	holdChunk    = 500
	releaseChunk = 256
	// besideNew is what part of a chunk is released or replayed at a time while new
	// deliveries come. Beside whole ones they take four times as long as alone.
	besideNew = 3
	// stewardRest is how long it rests between two rounds of work, so that live
	// traffic goes before it, and stewardIdle how long if nothing is to be done.
	stewardRest = 20 * time.Millisecond
	stewardIdle = time.Minute
	// stewardWait is when it looks again at what cannot go on yet.
	stewardWait = time.Second
	// probeLimit is when a probe that came to nothing is given up: the worker that
	// had it died. It is longer than a lease.
	probeLimit = deliveryLease + time.Minute
	// probeChoice is among how many of the oldest held deliveries a probe is chosen.
	probeChoice = 256
)

// A steward moves deliveries of endpoints that fail, recover or are switched on
// and off, and those that are replayed, a few at a time and in the background:
// what waits for an endpoint that takes nothing is held, one of them is sent now
// and then as a probe, and when it takes deliveries again they are released in
// order. Everything it does follows from what is stored, so that it goes on after
// a restart where it was. One node of several does it.
type steward struct {
	st      *store.Store
	rules   *ruler
	cluster *cluster
	log     *slog.Logger
	wake    func()      // tells the worker that something is due
	quiet   func() bool // nothing new comes
	poked   chan struct{}
}

const stewardLease = "relay/steward"

func newSteward(st *store.Store, rules *ruler, c *cluster, q *queue, log *slog.Logger) *steward {
	return &steward{st: st, rules: rules, cluster: c, wake: q.Stored, quiet: q.quiet, log: log, poked: make(chan struct{}, 1)}
}

// poke tells that there may be something to do.
func (s *steward) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// chunk is how many deliveries are made due together, of at most so many.
func (s *steward) chunk(most int) int {
	if s.quiet() {
		return most
	}
	return most / besideNew
}

// run works until ctx ends.
func (s *steward) run(ctx context.Context) {
	s.cluster.once(ctx, stewardLease, func(ctx context.Context) {
		for ctx.Err() == nil {
			wait := s.round(ctx)
			if !rest(ctx, stewardRest) {
				return
			}
			t := time.NewTimer(max(wait-stewardRest, 0))
			select {
			case <-ctx.Done():
			case <-s.poked:
			case <-t.C:
			}
			t.Stop()
		}
	})
}

// rest waits; false if ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// round does a little of everything that can be done and tells when to look again.
func (s *steward) round(ctx context.Context) time.Duration {
	wait := stewardIdle
	for _, work := range []func(context.Context) (time.Duration, error){s.hold, s.release, s.probe, s.replay} {
		next, err := work(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("moving deliveries failed; trying again", "error", err)
			next = stewardWait
		}
		wait = min(wait, next)
	}
	return wait
}

// do runs a transaction as the one node that may.
func (s *steward) do(ctx context.Context, fn func(tx *store.Tx) error) error {
	return s.st.Do(ctx, func(tx *store.Tx) error {
		if err := s.cluster.fence(tx, stewardLease); err != nil {
			return err
		}
		return fn(tx)
	})
}

// hold holds what waits for endpoints that take nothing.
func (s *steward) hold(ctx context.Context) (time.Duration, error) {
	var due []store.Due
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		due, err = r.DueEndpoints()
		return err
	})
	wait := stewardIdle
	for _, d := range due {
		e := s.rules.endpoint(d.Endpoint)
		if err != nil || e == nil || !s.rules.holds(e) {
			continue
		}
		var n int64
		err = s.do(ctx, func(tx *store.Tx) (err error) {
			if n, err = tx.HoldDeliveries(e.ID, tx.Now(), holdChunk, false); n > 0 {
				tx.Audit(heldEntry(e.Tenant, e.ID, n))
			}
			return err
		})
		if err == nil && n == holdChunk { // on an error n is the writer's yet
			wait = 0
		}
	}
	return wait, err
}

// release lets go what is held for endpoints that take deliveries, and for those
// that do not exist any more: the worker ends it.
func (s *steward) release(ctx context.Context) (time.Duration, error) {
	var held []hub.EndpointID
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		held, err = r.HeldEndpoints()
		return err
	})
	wait := stewardIdle
	for _, id := range held {
		if e := s.rules.endpoint(id); err != nil || e != nil && s.rules.holds(e) {
			continue
		}
		wait = stewardWait // or when poked: what was released is concluded
		err = s.releaseSome(ctx, id)
	}
	return wait, err
}

// releaseSome releases the next few, if those before them are nearly gone.
func (s *steward) releaseSome(ctx context.Context, id hub.EndpointID) error {
	chunk := s.chunk(releaseChunk)
	return s.do(ctx, func(tx *store.Tx) error {
		left, err := tx.Released(id, chunk)
		if err != nil || left > int64(chunk/2) {
			return err
		}
		n, err := tx.ReleaseHeld(id, hub.Truncate(tx.Now()), chunk)
		if err != nil || n == 0 {
			return err
		}
		if e := s.rules.endpoint(id); e != nil {
			entry := hub.Audited(hub.System(e.Tenant), "endpoint.release", "webhook", string(id))
			entry.Details = new(hub.Details).Int("deliveries", n).Value()
			tx.Audit(entry)
		}
		tx.AfterCommit(s.wake)
		return nil
	})
}

// probe sends a probe to each failing endpoint whose time has come.
func (s *steward) probe(ctx context.Context) (time.Duration, error) {
	wait, errs := stewardIdle, []error(nil)
	for id, b := range s.rules.failing() {
		if left := b.ProbeAt.Sub(s.st.Now()); left > 0 {
			wait = min(wait, left)
			continue
		}
		e := s.rules.endpoint(id)
		if e != nil && !e.Enabled {
			continue
		}
		wait = min(wait, stewardWait) // there may be nothing to probe with yet
		errs = append(errs, s.probeOne(ctx, id, e))
	}
	return wait, errors.Join(errs...)
}

func (s *steward) probeOne(ctx context.Context, id hub.EndpointID, e *hub.Endpoint) error {
	return s.do(ctx, func(tx *store.Tx) error {
		b, err := tx.Breaker(id)
		if err != nil || b == nil {
			return err
		}
		if e == nil { // nothing is left to find out
			return s.rules.putBreaker(tx, "", id, nil)
		}
		now := hub.Truncate(tx.Now())
		if now.Before(b.ProbeAt) {
			return nil
		}
		if _, err := tx.HoldDeliveries(id, now, holdChunk, true); err != nil { // with a probe that was given up
			return err
		}
		held, err := tx.OldestHeld(id, probeChoice)
		if err != nil || len(held) == 0 {
			return err
		}
		return s.sendProbe(tx, e, choose(held), b, now)
	})
}

func (s *steward) sendProbe(tx *store.Tx, e *hub.Endpoint, d *hub.Delivery, b *hub.Breaker, now time.Time) error {
	d.State, d.DueAt, d.UpdatedAt, d.Probe = hub.DeliveryPending, now, now, true
	if err := tx.UpdateDelivery(d); err != nil {
		return err
	}
	half := *b
	half.State, half.ProbeAt = hub.BreakerHalfOpen, now.Add(probeLimit)
	entry := hub.Audited(hub.System(e.Tenant), "endpoint.probe", "webhook", string(e.ID))
	entry.Details = new(hub.Details).Str("delivery", string(d.ID)).Int("failed", int64(b.Probes)).Value()
	tx.Audit(entry)
	tx.AfterCommit(s.wake)
	return s.rules.putBreaker(tx, e.Tenant, e.ID, &half)
}

// choose picks the probe: of those held, oldest first, the first of its key with
// the fewest attempts. One that the endpoint never takes does not keep it shut.
func choose(held []hub.Delivery) *hub.Delivery {
	seen := map[string]bool{}
	first := slices.DeleteFunc(held, func(d hub.Delivery) bool {
		later := d.Key != "" && seen[d.Key]
		seen[d.Key] = true
		return later
	})
	best := &first[0]
	for i := range first {
		if first[i].Attempts < best.Attempts {
			best = &first[i]
		}
	}
	return best
}
