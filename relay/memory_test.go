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
}

type row struct {
	hub.Delivery
	attempts []hub.Attempt
	released int
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
	taken := map[hub.EndpointID]int{}
	for _, r := range m.sorted() {
		room, limited := rooms[r.Endpoint]
		if len(jobs) == limit || r.DueAt.After(now) {
			break
		}
		if limited && taken[r.Endpoint] >= room {
			continue
		}
		taken[r.Endpoint]++
		r.State, r.DueAt = hub.DeliveryDelivering, now.Add(lease)
		j := relay.Job{Delivery: r.Delivery}
		if e := m.endpoints[r.Endpoint]; e != nil {
			c := *e
			j.Endpoint = &c
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// sorted gives what may fall due, earliest first.
func (m *memory) sorted() []*row {
	m.order = slices.DeleteFunc(m.order, func(r *row) bool { return !open(r.State) })
	slices.SortFunc(m.order, func(a, b *row) int { return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID)) })
	return m.order
}

func (m *memory) NextDue(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := m.sorted(); len(all) > 0 {
		return all[0].DueAt, nil
	}
	return time.Time{}, nil
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
	d.Body = r.Body
	r.Delivery = d
	if o.Disable != "" {
		e := *m.endpoints[d.Endpoint]
		e.Enabled, e.Disabled = false, o.Disable
		m.endpoints[d.Endpoint] = &e
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
	return hub.Attempt{Status: 204}, err
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
