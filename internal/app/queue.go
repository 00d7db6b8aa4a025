package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	// handoffShare is what part of the room that is left one endpoint may have in it,
	// so that those that take nothing, however many, leave room for others.
	handoffShare = 4
	// storedEvery is how often the store is asked for deliveries that are due
	// while new ones keep coming.
	storedEvery = 100 * time.Millisecond
	// quietAfter is for how long nothing new must have come for what is old to go as
	// fast as it can.
	quietAfter = time.Second
	// firstRoom is how many deliveries are leased of an endpoint that the worker does
	// not know yet.
	firstRoom = 1
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
	// poke tells the steward that there is something to hold, release or probe.
	poke func()
	// gather says how deliveries to an endpoint go together.
	gather func(e *hub.Endpoint) relay.Gathering
	// told is when an endpoint's dead deliveries were last told of. It belongs to the
	// store's writer.
	told map[hub.EndpointID]time.Time

	admitted atomic.Int64 // when the newest delivery was, in nanoseconds since 1970

	mu     sync.Mutex // guards what follows
	fresh  inboxes
	claims int64     // that leased something of the store
	asked  time.Time // when the store was last asked for what is due
	stored bool      // the store may hold something that is due
	doubts []doubt
}

// A doubt is deliveries that may be leased to nobody who knows: the answer of the
// database to that was lost.
type doubt struct {
	lease string
	ids   []hub.DeliveryID // none: all under the lease
}

var _ relay.Queue = (*queue)(nil)

func newQueue(st *store.Store, rules *ruler, owner string, lease time.Duration, log *slog.Logger) *queue {
	return &queue{
		st: st, rules: rules, log: log, owner: owner, lease: lease, woken: make(chan struct{}, 1), stored: true, poke: func() {},
		gather: func(*hub.Endpoint) relay.Gathering { return relay.Gathering{} },
		fresh:  inboxes{byID: map[hub.EndpointID]*inbox{}}, told: map[hub.EndpointID]time.Time{},
	}
}

// Admit says how a new delivery is stored; see pipelines.Relay. What keeps an
// order goes through the store, which knows what is before it.
func (q *queue) Admit(e *hub.Endpoint, d *hub.Delivery, n int, now time.Time) bool {
	q.admitted.Store(now.UnixNano())
	g := q.gather(e)
	switch {
	case q.rules.holds(e):
		d.State, d.DueAt = hub.DeliveryHeld, time.Time{}
		return false
	case d.Key != "":
		d.State, d.DueAt = hub.DeliveryPending, now
		return false
	case e.Ordering == "key" || g.InOrder:
		d.State, d.DueAt, d.Key = hub.DeliveryPending, g.Due(now), d.Subject
		return false
	case g != relay.Gathering{}: // it stays in the store until others have come
		d.State, d.DueAt = hub.DeliveryPending, g.Due(now)
		return false
	case !q.hasRoom(e.ID, n):
		d.State, d.DueAt = hub.DeliveryPending, now
		return false
	}
	d.State, d.DueAt, d.Lease = hub.DeliveryDelivering, now.Add(q.lease), q.owner
	return true
}

// quiet reports whether nothing new has come on this node lately.
func (q *queue) quiet() bool {
	return q.st.Now().Sub(time.Unix(0, q.admitted.Load())) > quietAfter
}

func (q *queue) hasRoom(id hub.EndpointID, n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fresh.len(id) < (handoff-q.fresh.total-n)/handoffShare
}

// Handoff gives the worker deliveries that were stored under its lease.
func (q *queue) Handoff(all []*hub.Delivery) {
	q.mu.Lock()
	for _, d := range all {
		q.fresh.add(d)
	}
	q.mu.Unlock()
	q.ring()
}

// Doubt has the worker see to deliveries that may be stored under its lease.
func (q *queue) Doubt(all []*hub.Delivery) {
	x := doubt{lease: q.owner}
	for _, d := range all {
		x.ids = append(x.ids, d.ID)
	}
	q.doubt(x)
}

func (q *queue) doubt(x doubt) {
	q.mu.Lock()
	q.doubts = append(q.doubts, x)
	q.mu.Unlock()
	q.Stored()
}

// resolve gives back what is in doubt, so that it is leased anew.
func (q *queue) resolve(ctx context.Context) error {
	q.mu.Lock()
	all := q.doubts
	q.doubts = nil
	q.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	err := q.st.Do(ctx, func(tx *store.Tx) error {
		for _, x := range all {
			if err := tx.EndLease(x.lease, x.ids, tx.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		q.mu.Lock()
		q.doubts = append(q.doubts, all...)
		q.mu.Unlock()
	}
	return err
}

// Stored tells the worker that the store may hold something that is due.
func (q *queue) Stored() {
	q.mu.Lock()
	q.stored = true
	q.mu.Unlock()
	q.ring()
}

// askAgain has the next claim ask the store, whenever that is.
func (q *queue) askAgain() {
	q.mu.Lock()
	q.stored = true
	q.mu.Unlock()
}

func (q *queue) ring() {
	select {
	case q.woken <- struct{}{}:
	default:
	}
}

// Wake tells when there may be something new to send.
func (q *queue) Wake() <-chan struct{} { return q.woken }

// takeOver makes what was being sent when the last process died due at once. A
// hub that is alone is the only one that sends; otherwise the leases of the nodes
// tell who has died.
func (q *queue) takeOver(ctx context.Context, alone bool) error {
	if !alone {
		return nil
	}
	now := hub.Truncate(q.st.Now())
	return q.st.Do(ctx, func(tx *store.Tx) error {
		for id, b := range q.rules.failing() {
			e := q.rules.endpoint(id)
			if b.State != hub.BreakerHalfOpen || e == nil {
				continue
			}
			open := *b // its probe is over
			open.State, open.ProbeAt = hub.BreakerOpen, now
			if err := q.rules.putBreaker(tx, e.Tenant, id, &open); err != nil {
				return err
			}
		}
		return tx.EndLeases(q.owner, now)
	})
}

// rooms are how many deliveries of each endpoint may be claimed, and under "" how
// many of all together that are not listed.
type rooms map[hub.EndpointID]int

// left is how many more of an endpoint may be claimed.
func (r rooms) left(id hub.EndpointID) int {
	if n, listed := r[id]; listed {
		return max(n, 0)
	}
	return min(firstRoom, max(r[""], 0))
}

// use takes n off the room of an endpoint.
func (r rooms) use(id hub.EndpointID, n int) {
	if _, listed := r[id]; !listed {
		id = ""
	}
	r[id] -= n
}

// Claim leases deliveries that are due; see relay.Queue.
func (q *queue) Claim(ctx context.Context, limit int, lease time.Duration, limited map[hub.EndpointID]int) ([]relay.Job, error) {
	r := rooms(maps.Clone(limited))
	fresh, held := q.takeFresh(limit, r)
	q.holdFresh(ctx, held)
	jobs := make([]relay.Job, 0, len(fresh))
	for _, d := range fresh {
		jobs = append(jobs, q.job(d))
	}
	if len(jobs) == limit || !q.ask() {
		return jobs, nil
	}
	all, err := q.claimStored(ctx, limit-len(jobs), lease, r)
	if err != nil {
		q.askAgain()
		if len(jobs) > 0 {
			return jobs, nil // these are leased; the store is asked again soon
		}
		return nil, err
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
	if now.Sub(q.asked) < storedEvery && (q.fresh.total > 0 || !q.stored) {
		return false
	}
	q.asked, q.stored = now, false
	return true
}

// takeFresh gives what was handed over, as far as there is room, and apart from it
// what is held by now.
func (q *queue) takeFresh(limit int, r rooms) (out, held []*hub.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range slices.Clone(q.fresh.ring) {
		if e := q.rules.endpoint(b.id); e != nil && q.rules.holds(e) {
			held = append(held, q.fresh.take(b, len(b.all))...)
		}
	}
	share := max(limit/max(len(q.fresh.ring), 1), 1)
	for _, most := range []int{share, limit} { // each its share first
		for _, b := range q.fresh.inTurn() {
			n := min(most, limit-len(out), r.left(b.id), len(b.all))
			r.use(b.id, n)
			out = append(out, q.fresh.take(b, n)...)
		}
	}
	return out, held
}

// holdFresh holds what was handed over for endpoints that fail by now. If it
// cannot be stored, the lease ends some time.
func (q *queue) holdFresh(ctx context.Context, all []*hub.Delivery) {
	if len(all) == 0 {
		return
	}
	ids := make([]hub.DeliveryID, len(all))
	for i, d := range all {
		ids[i] = d.ID
	}
	err := q.st.Do(ctx, func(tx *store.Tx) error {
		n, err := tx.HoldLeased(q.owner, ids, tx.Now())
		tx.Audit(heldEntry(all[0].Tenant, all[0].Endpoint, n))
		return err
	})
	if err != nil {
		q.log.Warn("deliveries are not held yet", "deliveries", len(all), "error", err)
	}
	q.poke()
}

// heldEntry tells the audit log of deliveries that were held together.
func heldEntry(t hub.TenantID, id hub.EndpointID, n int64) hub.AuditEntry {
	e := hub.Audited(hub.System(t), "endpoint.hold", "webhook", string(id))
	e.Details = new(hub.Details).Int("deliveries", n).Value()
	return e
}

// job puts a delivery together with its endpoint, as the step that asked for it
// wants that.
func (q *queue) job(d *hub.Delivery) relay.Job {
	e := q.rules.endpoint(d.Endpoint)
	if e == nil {
		return relay.Job{Delivery: *d}
	}
	b := q.rules.breaker(d.Endpoint)
	if b == nil && d.Options == nil {
		return relay.Job{Delivery: *d, Endpoint: e}
	}
	own := *e
	own.Breaker = b
	if o := d.Options; o != nil && o.Timeout > 0 {
		own.Timeout = o.Timeout
	}
	if o := d.Options; o != nil && o.Retry != nil {
		own.Retry = o.Retry
	}
	return relay.Job{Delivery: *d, Endpoint: &own}
}

// A wanted endpoint is one of which a claim leases.
type wanted struct {
	id    hub.EndpointID
	most  int
	probe bool // nothing but a probe
}

// claimStored leases what is due in the store, endpoint by endpoint.
func (q *queue) claimStored(ctx context.Context, limit int, lease time.Duration, r rooms) ([]hub.Delivery, error) {
	if err := q.resolve(ctx); err != nil {
		return nil, err
	}
	now := q.st.Now()
	var due []store.Due
	var first time.Time
	err := q.st.View(ctx, func(rd *store.Reader) (err error) {
		if first, err = rd.FirstLease(); err == nil {
			due, err = rd.DueEndpoints()
		}
		return err
	})
	expired := !first.IsZero() && !first.After(now)
	want, rest := q.want(due, now, limit, r)
	if rest {
		q.askAgain() // when there is room
	}
	if err != nil || len(want) == 0 && !expired {
		return nil, err
	}
	var all []hub.Delivery // of the writer's until it has answered, also if that is too late
	more := false
	err = q.st.Do(ctx, func(tx *store.Tx) error {
		all, more = nil, expired
		if expired {
			if _, err := tx.ExpireLeases(now); err != nil {
				return err
			}
		}
		return q.leaseAll(tx, want, now, lease, &all, &more)
	})
	if err != nil {
		return nil, err
	}
	if more {
		q.Stored()
	}
	return all, q.loadBodies(ctx, all)
}

// want says of which endpoints to lease how many, and whether there is one for
// which there is no room now.
func (q *queue) want(due []store.Due, now time.Time, limit int, r rooms) (out []wanted, rest bool) {
	for _, d := range due {
		if d.At.After(now) {
			continue
		}
		if e := q.rules.endpoint(d.Endpoint); e != nil && q.rules.holds(e) {
			q.poke() // what waits is to be held
			if e.Enabled && r.left(d.Endpoint) > 0 {
				out = append(out, wanted{d.Endpoint, 1, true})
			}
			continue
		}
		if n := r.left(d.Endpoint); n > 0 {
			r.use(d.Endpoint, n)
			out = append(out, wanted{d.Endpoint, n, false})
		} else {
			rest = true
		}
	}
	share := max(limit/max(len(out), 1), 1)
	for i := range out {
		out[i].most = min(out[i].most, share)
	}
	return out[:min(len(out), limit)], rest || len(out) > limit
}

// leaseAll leases what is wanted. more is set if there may be more of it.
func (q *queue) leaseAll(tx *store.Tx, want []wanted, now time.Time, lease time.Duration, all *[]hub.Delivery, more *bool) error {
	for _, w := range want {
		due, err := dueOf(tx, w, now)
		if err != nil {
			return err
		}
		*more = *more || len(due) == w.most && !w.probe
		if due, err = firstOfKeys(tx, due); err != nil {
			return err
		}
		*all = append(*all, due...)
	}
	if len(*all) == 0 {
		return nil
	}
	q.mu.Lock()
	q.claims++
	name := store.LeaseName(q.owner, strconv.FormatInt(q.claims, 36))
	q.mu.Unlock()
	tx.AfterFailure(func() { q.doubt(doubt{lease: name}) })
	until := hub.Truncate(now.Add(lease))
	for i := range *all { // as they are from here on
		d := &(*all)[i]
		d.State, d.DueAt, d.Lease = hub.DeliveryDelivering, until, name
	}
	return tx.Lease(*all, name, until)
}

func dueOf(tx *store.Tx, w wanted, now time.Time) ([]hub.Delivery, error) {
	if w.probe {
		return tx.ProbeDeliveries(w.id, now)
	}
	return tx.DueDeliveries(w.id, now, w.most)
}

// firstOfKeys leaves out deliveries that keep an order and are not first in it.
// They are put behind: they fall due when what is before them is over, so that
// nobody looks at them again and again.
func firstOfKeys(tx *store.Tx, due []hub.Delivery) ([]hub.Delivery, error) {
	first, behind := map[string]hub.DeliveryID{}, []hub.DeliveryID(nil)
	out := due[:0]
	for _, d := range due {
		if d.Key == "" {
			out = append(out, d)
			continue
		}
		if first[d.Key] == "" {
			f, err := tx.FirstOfKey(d.Endpoint, d.Key)
			if err != nil {
				return nil, err
			}
			first[d.Key] = f.ID
		}
		if first[d.Key] == d.ID {
			out = append(out, d)
		} else {
			behind = append(behind, d.ID)
		}
	}
	return out, tx.PutBehind(behind)
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

// NextDue tells when the store holds something to send next; see relay.Queue.
func (q *queue) NextDue(ctx context.Context, limited map[hub.EndpointID]int) (at time.Time, err error) {
	r := rooms(limited)
	err = q.st.View(ctx, func(rd *store.Reader) error {
		if at, err = rd.FirstLease(); err != nil {
			return err
		}
		due, err := rd.DueEndpoints()
		for _, d := range due {
			if e := q.rules.endpoint(d.Endpoint); r.left(d.Endpoint) == 0 || e != nil && q.rules.holds(e) || !d.At.Before(hub.Never()) {
				continue
			}
			if at.IsZero() || d.At.Before(at) {
				at = d.At
			}
		}
		return err
	})
	return at, err
}
