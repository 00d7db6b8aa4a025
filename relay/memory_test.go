package relay_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// memory is a queue that judges whoever uses it: it fails the test when a
// delivery is recorded that was not claimed, or attempts are not 1..n.
type memory struct {
	t    *testing.T
	wake chan struct{}

	mu        sync.Mutex
	rows      map[hub.DeliveryID]*row
	order     []*row // those that may fall due, as sorted left them
	endpoints map[hub.EndpointID]*hub.Endpoint
	fail      error // of Record
	failures  int   // how often
	takes     time.Duration
	deleted   map[hub.DeliveryID]bool
	batches   int
	leases    int
	stale     int // outcomes under a lease that had ended
	news      []news
}

type row struct {
	hub.Delivery
	attempts []hub.Attempt
	released int
}

// news is what became of endpoints, in order.
type news struct {
	at   time.Time
	what string
}

func newMemory(t *testing.T) *memory {
	return &memory{
		t: t, wake: make(chan struct{}, 1), rows: map[hub.DeliveryID]*row{},
		endpoints: map[hub.EndpointID]*hub.Endpoint{}, deleted: map[hub.DeliveryID]bool{},
	}
}

// endpoint makes one of kind test.
func (m *memory) endpoint(id string) *hub.Endpoint {
	e := &hub.Endpoint{ID: hub.EndpointID(id), Kind: "test", Enabled: true}
	m.mu.Lock()
	m.endpoints[e.ID] = e
	m.mu.Unlock()
	return e
}

// add puts deliveries in, due now.
func (m *memory) add(e *hub.Endpoint, n int) {
	m.mu.Lock()
	now := time.Now()
	for range n {
		id := hub.DeliveryID(fmt.Sprintf("dlv_%06d", len(m.rows)))
		r := &row{Delivery: hub.Delivery{
			ID: id, Endpoint: e.ID, Kind: e.Kind, State: hub.DeliveryPending, DueAt: now, CreatedAt: now, Body: []byte("{}"),
		}}
		m.rows[id], m.order = r, append(m.order, r)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func open(s hub.DeliveryState) bool {
	return s == hub.DeliveryPending || s == hub.DeliveryRetrying || s == hub.DeliveryDelivering
}

func (m *memory) Wake() <-chan struct{} { return m.wake }

func (m *memory) Claim(_ context.Context, limit int, lease time.Duration, rooms map[hub.EndpointID]int) ([]relay.Job, error) {
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var jobs []relay.Job
	taken, few := map[hub.EndpointID]int{}, map[hub.EndpointID]int{}
	m.leases++
	m.probes(now)
	for _, r := range m.sorted() {
		id := r.Endpoint
		room, limited := rooms[id]
		if !limited && rooms != nil {
			id = ""
			room, limited = rooms[id], true
		}
		if len(jobs) == limit || r.DueAt.After(now) {
			break
		}
		if e := m.endpoints[r.Endpoint]; e != nil && e.Breaker != nil && !r.Probe {
			r.State = hub.DeliveryHeld
			continue
		}
		if limited && taken[id] >= room || id == "" && few[r.Endpoint] >= 1 {
			continue
		}
		taken[id]++
		few[r.Endpoint]++
		r.State, r.DueAt, r.Lease = hub.DeliveryDelivering, now.Add(lease), fmt.Sprint(m.leases)
		j := relay.Job{Delivery: r.Delivery}
		if e := m.endpoints[r.Endpoint]; e != nil {
			c := *e
			j.Endpoint = &c
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// probes makes the oldest held delivery of each endpoint whose breaker has waited
// long enough its probe, unless there is one.
func (m *memory) probes(now time.Time) {
	for id, e := range m.endpoints {
		if e.Breaker == nil || e.Breaker.State == hub.BreakerHalfOpen || now.Before(e.Breaker.ProbeAt) {
			continue
		}
		if all := m.held(id); len(all) > 0 {
			all[0].State, all[0].DueAt, all[0].Probe = hub.DeliveryPending, now, true
			m.order = append(m.order, all[0])
			half := *e
			half.Breaker = &hub.Breaker{State: hub.BreakerHalfOpen, Probes: e.Breaker.Probes, Reason: e.Breaker.Reason}
			m.endpoints[id] = &half
		}
	}
}

func (m *memory) held(id hub.EndpointID) (all []*row) {
	for _, r := range m.rows {
		if r.Endpoint == id && r.State == hub.DeliveryHeld {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *row) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// sorted gives what may fall due, earliest first.
func (m *memory) sorted() []*row {
	m.order = slices.DeleteFunc(m.order, func(r *row) bool { return !open(r.State) })
	slices.SortFunc(m.order, func(a, b *row) int { return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID)) })
	return m.order
}

func (m *memory) NextDue(_ context.Context, rooms map[hub.EndpointID]int) (at time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.endpoints {
		if e.Breaker != nil && (at.IsZero() || e.Breaker.ProbeAt.Before(at)) {
			at = e.Breaker.ProbeAt
		}
	}
	for _, r := range m.sorted() {
		room, limited := rooms[r.Endpoint]
		if !limited && rooms != nil {
			room = rooms[""]
		}
		if room > 0 || rooms == nil {
			if at.IsZero() || r.DueAt.Before(at) {
				at = r.DueAt
			}
			break
		}
	}
	return at, nil
}

func (m *memory) Record(_ context.Context, outcomes []relay.Outcome) error {
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures > 0 {
		m.failures--
		return m.fail
	}
	for _, o := range outcomes {
		if m.deleted[o.Delivery.ID] {
			return hub.E(hub.NotFound, "no such delivery")
		}
	}
	m.batches++
	for _, o := range outcomes {
		m.record(o)
	}
	return nil
}

func (m *memory) record(o relay.Outcome) {
	d := o.Delivery
	r := m.rows[d.ID]
	if d.Lease != r.Lease {
		m.stale++
		return
	}
	if r.State != hub.DeliveryDelivering {
		m.t.Errorf("%s is recorded as %s while it is %s", d.ID, d.State, r.State)
	}
	if o.Attempt != nil {
		if o.Attempt.Number != len(r.attempts)+1 || d.Attempts != o.Attempt.Number {
			m.t.Errorf("%s: attempt %d of %d is recorded after %d", d.ID, o.Attempt.Number, d.Attempts, len(r.attempts))
		}
		r.attempts = append(r.attempts, *o.Attempt)
	} else if o.Released() {
		r.released++
	}
	d.Body, d.Lease = r.Body, ""
	if d.Probe && d.State != hub.DeliveryPending && d.State != hub.DeliveryRetrying {
		d.Probe = false
	}
	r.Delivery = d
	if m.endpoints[d.Endpoint] == nil {
		return
	}
	e := *m.endpoints[d.Endpoint]
	m.endpoints[d.Endpoint] = &e
	switch {
	case o.Disable != "":
		e.Enabled, e.Disabled = false, o.Disable
		m.tell("disabled")
	case o.Open != nil:
		if e.Breaker == nil {
			m.tell("opened")
		}
		e.Breaker = &hub.Breaker{State: hub.BreakerOpen, Probes: o.Open.Probes, ProbeAt: o.Open.ProbeAt, Reason: o.Open.Reason}
	case o.Close:
		m.tell("closed")
		e.Breaker = nil
		m.release(d.Endpoint)
	}
}

func (m *memory) tell(what string) { m.news = append(m.news, news{time.Now(), what}) }

// release makes what is held due, in order. The caller has mu.
func (m *memory) release(id hub.EndpointID) {
	for i, r := range m.held(id) {
		r.State, r.DueAt, r.InOrder = hub.DeliveryPending, time.Now().Add(time.Duration(i)*time.Microsecond), true
		m.order = append(m.order, r)
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// states counts deliveries by state, of one endpoint or of all.
func (m *memory) states(e *hub.Endpoint) map[hub.DeliveryState]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[hub.DeliveryState]int{}
	for _, r := range m.rows {
		if e == nil || r.Endpoint == e.ID {
			out[r.State]++
		}
	}
	return out
}

func (m *memory) one() row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.rows["dlv_000000"]
}

// far is a target that does what it is told and remembers.
type far struct {
	mu   sync.Mutex
	sent map[hub.DeliveryID][]time.Time
	now  int // sends under way
	most int
	do   func(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) error

	control string // of every answer
}

func newFar(do func(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) error) *far {
	return &far{sent: map[hub.DeliveryID][]time.Time{}, do: do}
}

func (f *far) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	f.mu.Lock()
	f.sent[d.ID] = append(f.sent[d.ID], time.Now())
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	err := f.do(ctx, e, d)
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	return hub.Attempt{Status: 204, Control: f.control}, err
}

// times gives when each send began.
func (f *far) times(id hub.DeliveryID) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent[id])
}

func (f *far) count() (deliveries, sends int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sent {
		sends += len(s)
	}
	return len(f.sent), sends
}

func takes(d time.Duration) func(context.Context, *hub.Endpoint, *hub.Delivery) error {
	return func(ctx context.Context, _ *hub.Endpoint, _ *hub.Delivery) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return hub.Wrap(hub.Transient, ctx.Err(), "no answer")
		}
	}
}

// hang never answers.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return hub.Wrap(hub.Transient, ctx.Err(), "no answer")
}

// middle makes jitter nothing.
func middle() float64 { return 0.5 }

// start runs a worker until stop, which waits for its end.
func start(t *testing.T, q relay.Queue, f relay.Target, change func(*relay.Options)) (stop func()) {
	t.Helper()
	o := relay.Options{Queue: q, Targets: map[string]relay.Target{"test": f}, Random: middle}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		relay.New(o).Run(ctx)
	}()
	return func() { cancel(); <-done }
}
