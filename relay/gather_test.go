package relay_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// A board is a far that takes several at once and notes the sends.
type board struct {
	*far
	gather func(e *hub.Endpoint) relay.Gathering
	all    func(ids []hub.DeliveryID) error // nil: as the far

	mu    sync.Mutex
	sends []send
}

type send struct {
	at  time.Time
	to  hub.EndpointID
	ids []hub.DeliveryID
}

func newBoard(g relay.Gathering) *board {
	return &board{far: newFar(takes(20 * time.Millisecond)), gather: func(*hub.Endpoint) relay.Gathering { return g }}
}

func (b *board) Gather(e *hub.Endpoint) relay.Gathering { return b.gather(e) }

func (b *board) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	b.note(e, []*hub.Delivery{d})
	return b.far.Send(ctx, e, d)
}

func (b *board) SendAll(ctx context.Context, e *hub.Endpoint, all []*hub.Delivery) (hub.Attempt, error) {
	ids := b.note(e, all)
	a, err := b.far.Send(ctx, e, all[0])
	if b.all != nil {
		err = b.all(ids)
	}
	a.Reference, a.Request = "m1", map[string]string{"A": "b"}
	if err == nil {
		for _, d := range all {
			a.Posted = append(a.Posted, hub.Posting{Alert: hub.AlertID(d.ID), For: d.ID})
		}
	}
	return a, err
}

func (b *board) note(e *hub.Endpoint, all []*hub.Delivery) (ids []hub.DeliveryID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range all {
		ids = append(ids, d.ID)
	}
	b.sends = append(b.sends, send{time.Now(), e.ID, ids})
	return ids
}

func (b *board) sent() []send {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sends
}

var chat = relay.Gathering{Pool: "C1", Every: time.Second, From: 6, Rest: 10 * time.Second}

// A burst goes in few sends, and every delivery of it has an attempt that says so.
func TestABurstGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(chat)
		q.takes = 3 * time.Millisecond
		q.add(q.endpoint("a"), 500)
		stop := start(t, q, b, nil)
		time.Sleep(5 * time.Second)
		stop()
		sends := b.sent()
		if len(sends) != 1 || len(sends[0].ids) != 500 {
			t.Fatalf("%d sends, the first of %d; want one of 500", len(sends), len(sends[0].ids))
		}
		whole := 0
		for id, r := range q.rows {
			if r.State != hub.DeliverySucceeded || len(r.attempts) != 1 {
				t.Fatalf("%s is %s after %d attempts", id, r.State, len(r.attempts))
			}
			a := r.attempts[0]
			if a.Gathered != 500 || a.Reference != "m1" || len(a.Posted) != 1 || a.Posted[0].Alert != hub.AlertID(id) {
				t.Fatalf("%s has the attempt %+v", id, a)
			}
			if a.With == "" {
				whole++
			} else if a.With != sends[0].ids[0] || a.Request != nil {
				t.Fatalf("%s refers to %q", id, a.With)
			}
		}
		if whole != 1 {
			t.Errorf("%d attempts hold the exchange, want one", whole)
		}
	})
}

// What is few goes one by one, in time; what comes while a burst is told of waits
// for the next time that is done.
func TestFewGoOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(chat)
		e := q.endpoint("a")
		stop := start(t, q, b, nil)
		defer stop()
		time.Sleep(time.Minute)
		begin := time.Now()
		q.add(e, 1)
		synctest.Wait()
		if n := len(b.sent()); n != 1 {
			t.Fatalf("%d sends at once, want one without waiting", n)
		}
		q.add(e, 4)
		time.Sleep(10 * time.Second)
		q.add(e, 40)
		time.Sleep(time.Second)
		q.add(e, 1)
		time.Sleep(20 * time.Second)
		var at []int
		var sizes []int
		for _, s := range b.sent() {
			at, sizes = append(at, int(s.at.Sub(begin).Milliseconds())/100), append(sizes, len(s.ids))
		}
		wantAt, want := []int{0, 10, 20, 30, 40, 100, 200}, []int{1, 1, 1, 1, 1, 40, 1}
		for i := range max(len(want), len(sizes)) {
			if i >= len(want) || i >= len(sizes) || sizes[i] != want[i] || at[i] < wantAt[i] || at[i] > wantAt[i]+3 {
				t.Fatalf("sends of %v after %v tenths of a second, want %v after %v", sizes, at, want, wantAt)
			}
		}
	})
}

// Endpoints of a pool take turns; a request to wait holds for all of it, and for
// nobody else.
func TestAPoolSharesItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(relay.Gathering{})
		b.gather = func(e *hub.Endpoint) relay.Gathering {
			if e.ID == "other" {
				return relay.Gathering{}
			}
			return relay.Gathering{Pool: "C1", Every: time.Second, From: 100}
		}
		var until time.Time
		n := 0
		b.do = func(_ context.Context, e *hub.Endpoint, _ *hub.Delivery) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if e.ID == "other" {
				return nil
			}
			if n++; n == 4 {
				until = time.Now().Add(30 * time.Second)
				return &hub.Error{Kind: hub.RateLimited, Msg: "429", RetryAfter: 30 * time.Second}
			}
			return nil
		}
		q.add(q.endpoint("a"), 10)
		q.add(q.endpoint("b"), 10)
		q.add(q.endpoint("other"), 200)
		stop := start(t, q, b, nil)
		defer stop()
		time.Sleep(10 * time.Second)
		if s := q.states(q.endpoints["other"]); s[hub.DeliverySucceeded] != 200 {
			t.Errorf("others wait: %v", s)
		}
		time.Sleep(110 * time.Second)
		if s := q.states(nil); s[hub.DeliverySucceeded] != 220 {
			t.Errorf("%v, want all", s)
		}
		var last time.Time
		for _, s := range b.sent() {
			if s.to == "other" {
				continue
			}
			if gap := s.at.Sub(last); gap < time.Second {
				t.Errorf("%v between two sends of a pool", gap)
			}
			if s.at.Before(until) && s.at.After(until.Add(-30*time.Second)) {
				t.Errorf("sent to %s %v before Retry-After was over", s.to, until.Sub(s.at))
			}
			last = s.at
		}
	})
}

// One that the far side cannot read takes none of the others with it.
func TestABadOneIsFound(t *testing.T) {
	for _, kind := range []hub.Kind{hub.Malformed, hub.TooLarge} {
		synctest.Test(t, func(t *testing.T) {
			q, b := newMemory(t), newBoard(relay.Gathering{From: 2})
			const bad = "dlv_000077"
			b.all = func(ids []hub.DeliveryID) error {
				for _, id := range ids {
					if id == bad {
						return hub.E(kind, "invalid_blocks")
					}
				}
				return nil
			}
			b.do = func(_ context.Context, _ *hub.Endpoint, d *hub.Delivery) error {
				if d.ID == bad {
					return hub.E(kind, "invalid_blocks")
				}
				return nil
			}
			q.add(q.endpoint("a"), 200)
			stop := start(t, q, b, nil)
			time.Sleep(time.Minute)
			stop()
			if s := q.states(nil); s[hub.DeliverySucceeded] != 199 || q.rows[bad].State != hub.DeliveryDead || len(q.rows[bad].attempts) != 1 {
				t.Errorf("%s: %v, and the bad one is %s after %d attempts", kind, s, q.rows[bad].State, len(q.rows[bad].attempts))
			}
			if n := len(b.sent()); n > 60 {
				t.Errorf("%s: %d sends", kind, n)
			}
		})
	}
}

// A stop in the middle of that gives back what was not sent.
func TestAStopWhileABadOneIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(relay.Gathering{From: 2})
		begun := make(chan struct{}, 1)
		b.all = func([]hub.DeliveryID) error {
			begun <- struct{}{}
			time.Sleep(100 * time.Millisecond)
			return hub.E(hub.Malformed, "invalid_blocks")
		}
		q.add(q.endpoint("a"), 100)
		stop := start(t, q, b, nil)
		<-begun
		at := time.Now()
		stop()
		if took := time.Since(at); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		if s := q.states(nil); s[hub.DeliveryPending] != 100 {
			t.Errorf("%v, want all given back", s)
		}
	})
}

// What failed together is tried again together, and counts once.
func TestFailingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(chat)
		fails := 3
		b.all = func([]hub.DeliveryID) error {
			if fails--; fails >= 0 {
				return hub.E(hub.Transient, "status 503")
			}
			return nil
		}
		q.add(q.endpoint("a"), 100)
		stop := start(t, q, b, func(o *relay.Options) { o.Random = nil })
		time.Sleep(2 * time.Hour)
		stop()
		if s := q.states(nil); s[hub.DeliverySucceeded] != 100 || len(b.sent()) != 4 || len(q.news) != 0 {
			t.Errorf("%v after %d sends, news %v; want all after 4, and no breaker", s, len(b.sent()), q.news)
		}
	})
}

func TestABreakerHoldsTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, b := newMemory(t), newBoard(chat)
		broken := true
		fail := func() error {
			if broken {
				return hub.E(hub.Transient, "status 503")
			}
			return nil
		}
		b.all = func([]hub.DeliveryID) error { return fail() }
		b.do = func(context.Context, *hub.Endpoint, *hub.Delivery) error { return fail() }
		q.add(q.endpoint("a"), 100)
		stop := start(t, q, b, func(o *relay.Options) { o.Breaker.Failures = 2 })
		time.Sleep(10 * time.Minute)
		if s := q.states(nil); s[hub.DeliveryHeld]+s[hub.DeliveryPending]+s[hub.DeliveryRetrying]+s[hub.DeliveryDelivering] != 100 || s[hub.DeliveryHeld] < 99 {
			t.Errorf("%v, want all held", s)
		}
		broken = false
		time.Sleep(10 * time.Minute)
		stop()
		if s := q.states(nil); s[hub.DeliverySucceeded] != 100 {
			t.Errorf("%v, want all", s)
		}
	})
}

func TestDue(t *testing.T) {
	g := relay.Gathering{Hold: 15 * time.Minute}
	for now, want := range map[string]string{"12:00:00": "12:15:00", "12:14:59": "12:15:00", "12:15:00": "12:30:00"} {
		at, _ := time.Parse(time.TimeOnly, now)
		if got := g.Due(at).Format(time.TimeOnly); got != want {
			t.Errorf("made at %s it is due at %s, want %s", now, got, want)
		}
	}
	at := time.Now()
	if g = (relay.Gathering{}); !g.Due(at).Equal(at) {
		t.Error("without a period it is not due at once")
	}
}
