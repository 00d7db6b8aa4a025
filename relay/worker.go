package relay

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
)

// Options of a Worker. Queue and Targets must be given.
type Options struct {
	Queue    Queue
	Targets  map[string]Target // by kind
	Slots    int               // sends under way at a time, not counting slow ones; 16 if zero
	Timeout  time.Duration     // of one attempt, where neither step nor endpoint say; 15 s if zero
	Schedule []hub.Duration    // waits between attempts; [DefaultSchedule] if nil
	Jitter   *float64          // of the waits; [DefaultJitter] if nil
	Breaker  Breaker           // of each endpoint
	// Lease is how long a claim holds; 6 min if zero, which is longer than any
	// configured time limit. An attempt is cut off before it ends.
	Lease time.Duration
	// Drain is how long a stop waits for what is under way; 10 s if zero.
	Drain time.Duration

	// Now gives the time by which deliveries fall due and leases end; nil: the
	// machine's. Where several nodes share a queue it must be the same for all.
	Now      func() time.Time
	Random   func() float64 // in [0, 1), for jitter; nil: a good one
	Log      *slog.Logger   // nil: none
	Registry prometheus.Registerer
}

// Bounds of the worker, for each slot.
const (
	// windowPerSlot is how many deliveries are claimed and not concluded: some
	// ten milliseconds of work ahead, and room for endpoints that do not answer.
	windowPerSlot = 64
	// recordsPerSlot is how many sends may wait to be recorded. After a crash
	// they are sent again.
	recordsPerSlot = 32
	// maxRecords is how many calls of Record overlap: one under way, and one to
	// be in the store's next commit.
	maxRecords = 2
)

// leaseMargin is what is left of a lease when its send is cut off.
const leaseMargin = 5 * time.Second

// A Worker sends what is due.
type Worker struct {
	o       Options
	judge   judge
	metrics *metrics
}

// New makes a worker. [Worker.Run] sets it going.
func New(o Options) *Worker {
	setDefault(&o.Slots, 16)
	setDefault(&o.Timeout, 15*time.Second)
	setDefault(&o.Lease, 6*time.Minute)
	setDefault(&o.Drain, 10*time.Second)
	o.Breaker.setDefaults()
	if o.Schedule == nil {
		o.Schedule = DefaultSchedule()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Lease = max(o.Lease, o.Timeout+4*leaseMargin)
	g := judge{policy: hub.RetryPolicy{Schedule: o.Schedule, Jitter: o.Jitter}, random: o.Random}
	return &Worker{o: o, judge: g, metrics: newMetrics(o.Registry)}
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Run sends until ctx is cancelled. Then it claims nothing more, gives back
// what it had not begun, waits for what is under way and for its records, and
// returns when all has ended. Run once.
func (w *Worker) Run(ctx context.Context) {
	r := &run{
		Worker: w, lanes: newLanes(w.o.Slots, w.o.Slots*windowPerSlot, w.o.Now),
		work: make(chan *task, w.o.Slots*(1+slowShare)), results: make(chan result, w.o.Slots),
		claims: make(chan claim, 1), records: make(chan recorded, maxRecords), more: true,
	}
	r.lanes.gather = func(e *hub.Endpoint) Gathering { return GatheringOf(w.o.Targets[e.Kind], e) }
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	r.patient = patient
	var senders sync.WaitGroup
	for range cap(r.work) { // as many as there can be sends, slow ones included
		senders.Go(func() { r.sendAll(sending) })
	}
	r.loop(ctx)
	r.drain(cut, giveUp)
	close(r.work)
	senders.Wait()
}

// A run is the state of Run. Its loop alone touches what is not a channel.
type run struct {
	*Worker
	lanes *lanes
	timer *time.Timer
	// patient is for the queue. A stop ends it only when its time is long over.
	patient context.Context

	work    chan *task // room for every send there can be: putting one in never waits
	results chan result
	claims  chan claim
	records chan recorded

	more      bool      // there may be something to claim
	claiming  bool      // a claim is under way
	claimed   uint64    // number of the newest claim
	due       time.Time // when the next delivery falls due; zero if unknown
	outcomes  []Outcome // to be recorded
	recording int       // calls of Record under way
	unwritten int       // outcomes in them
}

func (r *run) loop(ctx context.Context) {
	for {
		r.step(r.o.Now())
		select {
		case <-ctx.Done():
			return
		case <-r.o.Queue.Wake():
			r.more = true
		case c := <-r.claims:
			r.took(c, r.o.Now())
		case res := <-r.results:
			r.sent(res, r.o.Now())
		case rec := <-r.records:
			r.wrote(rec)
		case <-r.timer.C:
		}
	}
}

// step does all that can be done now, and sets the timer for what comes next.
func (r *run) step(now time.Time) {
	r.gather(now)
	next := r.lanes.age(now)
	next = earlier(next, r.dispatch(now))
	r.giveBack(r.lanes.spilled)
	r.lanes.spilled = r.lanes.spilled[:0]
	if !r.due.IsZero() && !now.Before(r.due) {
		r.more, r.due = true, time.Time{}
	}
	r.claim(now)
	r.record()
	next = earlier(next, r.due)
	if next.IsZero() {
		r.timer.Stop()
		return
	}
	r.timer.Reset(max(next.Sub(now), 0))
}

// gather takes the results that wait already, so that one step serves many.
func (r *run) gather(now time.Time) {
	for {
		select {
		case res := <-r.results:
			r.sent(res, now)
		default:
			return
		}
	}
}

// earlier gives the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// dispatch hands out tasks while there are slots. It tells when a rate limit
// lets more through.
func (r *run) dispatch(now time.Time) time.Time {
	for len(r.outcomes)+r.unwritten < r.o.Slots*recordsPerSlot {
		t, at := r.lanes.next(now)
		if t == nil {
			return at
		}
		r.metrics.inFlight.Add(float64(1 + len(t.with)))
		r.work <- t
	}
	return time.Time{}
}
