package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay"
)

const (
	// handoff is how many new deliveries are handed to the worker in memory.
	// They are stored as leased to this process already, which saves a third of
	// the writing of a delivery; what does not fit is stored as pending.
	handoff = 4096
	// storedEvery is how often the store is asked for deliveries that are due
	// while new ones keep coming.
	storedEvery = 100 * time.Millisecond
)

// queue is the relay's view of the store: it leases deliveries that are due and
// records what became of them.
type queue struct {
	st    *store.Store
	rules *ruler
	log   *slog.Logger
	owner string // of leases: this process since its start
	lease time.Duration
	woken chan struct{} // tells that there is something to send
	// announce tells the tenant's own channels what became of an endpoint.
	announce func(tx *store.Tx, t hub.TenantID, typ hub.EventType, subject string, data hub.EventData) error

	mu     sync.Mutex // guards what follows
	fresh  []*hub.Delivery
	asked  time.Time // when the store was last asked for what is due
	stored bool      // the store may hold something that is due
}

var _ relay.Queue = (*queue)(nil)

func newQueue(st *store.Store, rules *ruler, owner string, lease time.Duration, log *slog.Logger) *queue {
	return &queue{st: st, rules: rules, log: log, owner: owner, lease: lease, woken: make(chan struct{}, 1), stored: true}
}

// Lease tells whether a delivery that is about to be stored can be handed over
// in memory, n others of its transaction not counted, and under which lease it
// is to be stored then.
func (q *queue) Lease(n int, now time.Time) (owner string, until time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.fresh)+n >= handoff {
		return "", time.Time{}, false
	}
	return q.owner, now.Add(q.lease), true
}

// Handoff gives the worker deliveries that were stored under its lease.
func (q *queue) Handoff(all []*hub.Delivery) {
	q.mu.Lock()
	q.fresh = append(q.fresh, all...)
	q.mu.Unlock()
	q.ring()
}

// Stored tells the worker that the store may hold something that is due.
func (q *queue) Stored() {
	q.mu.Lock()
	q.stored = true
	q.mu.Unlock()
	q.ring()
}

func (q *queue) ring() {
	select {
	case q.woken <- struct{}{}:
	default:
	}
}

// Wake tells when there may be something new to send.
func (q *queue) Wake() <-chan struct{} { return q.woken }

// takeOver makes what was being sent when the last process died due at once, and
// what is held for endpoints that are enabled. A hub that is alone is the only
// one that sends; otherwise the leases of the nodes tell who has died.
func (q *queue) takeOver(ctx context.Context, alone bool) error {
	now := time.Now()
	return q.st.Do(ctx, func(tx *store.Tx) error {
		for _, e := range q.rules.all() {
			if !e.Enabled || e.Kind == hub.KindConnector {
				continue
			}
			if _, err := tx.ReleaseHeld(e.Tenant, e.ID, now); err != nil {
				return err
			}
		}
		if !alone {
			return nil
		}
		return tx.EndLeases(q.owner, now)
	})
}

// rooms are how many deliveries of each limited endpoint may be claimed.
type rooms map[hub.EndpointID]int

// take reports whether there is room for one more of an endpoint, and uses it.
func (r rooms) take(id hub.EndpointID) bool {
	n, limited := r[id]
	if limited && n <= 0 {
		return false
	}
	if limited {
		r[id] = n - 1
	}
	return true
}

// full lists the endpoints without room.
func (r rooms) full() (ids []hub.EndpointID) {
	for id, n := range r {
		if n <= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Claim leases deliveries that are due; see relay.Queue.
func (q *queue) Claim(ctx context.Context, limit int, lease time.Duration, limited map[hub.EndpointID]int) ([]relay.Job, error) {
	r := rooms(maps.Clone(limited))
	jobs := q.takeFresh(limit, r)
	if len(jobs) == limit || !q.ask() {
		return jobs, nil
	}
	all, err := q.claimStored(ctx, limit-len(jobs), lease, r)
	if err != nil {
		q.Stored()
		if len(jobs) > 0 {
			return jobs, nil // these are leased; the store is asked again soon
		}
		return nil, err
	}
	if len(all) == limit-len(jobs) {
		q.Stored() // there may be more
	}
	for i := range all {
		jobs = append(jobs, q.job(&all[i]))
	}
	return jobs, nil
}

// ask tells whether the store is to be asked now: when nothing is left in memory
// and it may hold something, and now and then in any case.
func (q *queue) ask() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(q.asked) < storedEvery && (len(q.fresh) > 0 || !q.stored) {
		return false
	}
	q.asked, q.stored = now, false
	return true
}

// takeFresh gives what was handed over, as far as there is room.
func (q *queue) takeFresh(limit int, r rooms) []relay.Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := make([]relay.Job, 0, min(limit, len(q.fresh)))
	kept := q.fresh[:0]
	for i, d := range q.fresh {
		if len(jobs) == limit {
			kept = append(kept, q.fresh[i:]...)
			break
		}
		if r.take(d.Endpoint) {
			jobs = append(jobs, q.job(d))
		} else {
			kept = append(kept, d)
		}
	}
	clear(q.fresh[len(kept):])
	q.fresh = kept
	return jobs
}

// job puts a delivery together with its endpoint, as the step that asked for it
// wants that.
func (q *queue) job(d *hub.Delivery) relay.Job {
	e := q.rules.endpoint(d.Endpoint)
	if o := d.Options; e != nil && o != nil {
		own := *e
		if o.Timeout > 0 {
			own.Timeout = o.Timeout
		}
		if o.Retry != nil {
			own.Retry = o.Retry
		}
		e = &own
	}
	return relay.Job{Delivery: *d, Endpoint: e}
}

func (q *queue) claimStored(ctx context.Context, limit int, lease time.Duration, r rooms) (all []hub.Delivery, err error) {
	now := time.Now()
	err = q.st.View(ctx, func(rd *store.Reader) error {
		all, err = rd.DueDeliveries(now, limit, r.full())
		return err
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	err = q.st.Do(ctx, func(tx *store.Tx) error {
		due, err := tx.DueDeliveries(now, limit, r.full())
		if err != nil {
			return err
		}
		left := maps.Clone(r)
		all = slices.DeleteFunc(due, func(d hub.Delivery) bool { return !left.take(d.Endpoint) })
		until := hub.Truncate(now.Add(lease))
		for i := range all { // as they are from here on
			all[i].State, all[i].DueAt, all[i].Lease = hub.DeliveryDelivering, until, q.owner
		}
		return tx.Lease(all, q.owner, until)
	})
	if err != nil {
		return nil, err
	}
	return all, q.loadBodies(ctx, all)
}

func (q *queue) loadBodies(ctx context.Context, all []hub.Delivery) error {
	byTenant := map[hub.TenantID][]int64{}
	for i := range all {
		byTenant[all[i].Tenant] = append(byTenant[all[i].Tenant], all[i].Sequence)
	}
	return q.st.View(ctx, func(r *store.Reader) error {
		for tenant, seqs := range byTenant {
			bodies, err := r.EventBodies(tenant, seqs)
			if err != nil {
				return err
			}
			for i := range all {
				if all[i].Tenant == tenant {
					all[i].Body = bodies[all[i].Sequence]
				}
			}
		}
		return nil
	})
}

// NextDue tells when the store holds something to send next.
func (q *queue) NextDue(ctx context.Context) (at time.Time, err error) {
	err = q.st.View(ctx, func(r *store.Reader) error {
		at, err = r.NextDue()
		return err
	})
	return at, err
}

// Record stores outcomes; see relay.Queue.
func (q *queue) Record(ctx context.Context, outcomes []relay.Outcome) error {
	disabled := false
	err := q.st.Do(ctx, func(tx *store.Tx) error {
		disabled = false
		if err := q.update(tx, outcomes); err != nil {
			return err
		}
		for i := range outcomes {
			o := &outcomes[i]
			recordAttempt(tx, o)
			if o.Disable != "" {
				disabled = true
				if err := q.disable(tx, o); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if disabled {
		if err := q.rules.reload(ctx); err != nil { // recorded all the same: an error would have it recorded twice
			q.log.Error("an endpoint that was switched off is still sent to until the next change", "error", err)
		}
	}
	return nil
}

// alike says which deliveries come to the same row but for their id.
type alike struct {
	tenant           hub.TenantID
	attempts, status int
}

// update stores the new state of every delivery, those that succeeded alike in
// one statement.
func (q *queue) update(tx *store.Tx, outcomes []relay.Outcome) error {
	succeeded, at := map[alike][]hub.DeliveryID{}, time.Time{}
	for i := range outcomes {
		d := &outcomes[i].Delivery
		if d.State != hub.DeliverySucceeded {
			if err := tx.UpdateDelivery(d); err != nil {
				return err
			}
			continue
		}
		key := alike{d.Tenant, d.Attempts, d.Status}
		succeeded[key] = append(succeeded[key], d.ID)
		if d.UpdatedAt.After(at) {
			at = d.UpdatedAt
		}
	}
	for key, ids := range succeeded {
		if err := tx.SucceedDeliveries(key.tenant, ids, key.attempts, key.status, at); err != nil {
			return err
		}
	}
	return nil
}

// recordAttempt stores what was tried, and tells the audit log.
func recordAttempt(tx *store.Tx, o *relay.Outcome) {
	d := &o.Delivery
	if o.Released() {
		return
	}
	action, verdict := "delivery.attempt", string(d.State)
	if o.Attempt == nil {
		action = "delivery." + string(d.State)
	} else {
		tx.AddAttempt(d.Tenant, o.Attempt)
		verdict = o.Attempt.Verdict
	}
	e := hub.Audited(hub.System(d.Tenant), action, "delivery", string(d.ID))
	if d.State != hub.DeliverySucceeded {
		e.Outcome = hub.AuditFailure
	}
	var det hub.Details
	det.Str("endpoint", string(d.Endpoint)).Str("error", d.Error).Str("event", string(d.EventID)).Str("kind", d.Kind).
		Int("number", int64(d.Attempts)).Int("status", int64(d.Status)).Str("verdict", verdict)
	e.Details = det.Value()
	tx.Audit(e)
}

// disable switches an endpoint off because its far side said so for good.
func (q *queue) disable(tx *store.Tx, o *relay.Outcome) error {
	e, err := tx.Endpoint(o.Delivery.Tenant, o.Delivery.Endpoint)
	if hub.KindOf(err) == hub.NotFound || err == nil && !e.Enabled {
		return nil
	}
	if err != nil {
		return err
	}
	e.Enabled, e.Disabled, e.UpdatedAt = false, o.Disable, hub.Truncate(time.Now())
	e.Version++
	tx.Audit(endpointEntry(hub.System(e.Tenant), "endpoint.disable", e))
	q.log.Warn("endpoint switched off; its events are held", "endpoint", e.ID, "reason", o.Disable)
	if err := tx.PutEndpoint(e, store.OriginAPI); err != nil {
		return err
	}
	brief := &hub.EndpointBrief{ID: e.ID, Name: e.Name, Kind: e.Kind, URL: e.URL, Reason: o.Disable}
	return q.announce(tx, e.Tenant, hub.EndpointDisabled, string(e.ID), hub.EventData{Endpoint: brief, Reason: o.Disable, Actor: "system"})
}
