package relay

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

// Whatever happens, no bound is broken, and all that was added is sent.
func TestLanesKeepTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 9).Draw(t, "slots")
		s := newLanes(slots, 64, time.Now)
		now := time.Unix(0, 0)
		var sending []*task
		added, taken := 0, 0
		take := func() bool {
			task, _ := s.next(now)
			if task != nil {
				taken++
				sending = append(sending, task)
			}
			return task != nil
		}
		finish := func(t *rapid.T) {
			i := rapid.IntRange(0, len(sending)-1).Draw(t, "which")
			s.finish(sending[i], answer(rapid.IntRange(0, 3).Draw(t, "answer")), now)
			sending = append(sending[:i], sending[i+1:]...)
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0:
				n := rapid.IntRange(0, 5).Draw(t, "endpoint")
				s.add(&task{Job: Job{
					Endpoint: &hub.Endpoint{ID: hub.EndpointID(fmt.Sprint(n)), RateLimit: n / 5 * 10},
					Delivery: hub.Delivery{Attempts: n % 2, InOrder: rapid.Bool().Draw(t, "held")},
				}})
				added++
			case op == 1:
				take()
			case op == 2 && len(sending) > 0:
				finish(t)
			case op == 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			}
			s.age(now)
			added -= len(s.spilled) // given back
			s.spilled = nil
			check(t, s, len(sending))
		}
		for n := 0; taken < added; n++ { // all else answers
			now = now.Add(time.Second)
			s.age(now)
			added -= len(s.spilled)
			s.spilled = nil
			for len(sending) > 0 {
				s.finish(sending[0], answered, now)
				sending = sending[1:]
			}
			for take() {
			}
			if n > 10_000 {
				t.Fatalf("%d of %d were sent, then no more", taken, added)
			}
		}
	})
}

func check(t *rapid.T, s *lanes, sending int) {
	waiting, now, slow, load := 0, 0, 0, [classes]int{}
	for _, l := range s.byID {
		load[l.class()] += l.waiting() + l.sending
		waiting += l.waiting()
		now += l.sending
		slow += l.slow
		if l.sending > max(s.slots/2, 1) || l.sending < 0 || l.slow > l.sending || l.ordered > 1 {
			t.Fatalf("lane %s has %d sends, %d slow, of %d slots", l.id, l.sending, l.slow, s.slots)
		}
		if l.inRing != (l.waiting() > 0) {
			t.Fatalf("lane %s waits with %d, in ring %v", l.id, l.waiting(), l.inRing)
		}
	}
	switch {
	case now != sending || s.busy+s.slow != sending || slow != s.slow:
		t.Fatalf("%d are being sent; counted %d, %d busy and %d slow", sending, now, s.busy, s.slow)
	case load != s.load:
		t.Fatalf("the load is counted as %v, want %v", s.load, load)
	case s.claimed != waiting+sending:
		t.Fatalf("%d claimed, want %d + %d", s.claimed, waiting, sending)
	case s.busy < 0 || s.busy > s.slots || s.slow < 0 || sending > s.slots*(1+slowShare):
		t.Fatalf("%d busy and %d slow with %d slots", s.busy, s.slow, s.slots)
	case s.in[shaky] < 0 || s.in[shaky] > max(s.slots/4, 1) || s.in[untried] > max(s.slots/2, 1):
		t.Fatalf("%v slots are in use by class of %d", s.in, s.slots)
	case sum(s.in) != s.busy || sum(s.out) != s.slow:
		t.Fatalf("%v are in slots and %v outside, but %d and %d in all", s.in, s.out, s.busy, s.slow)
	}
}

func sum(n [classes]int) (total int) {
	for _, v := range n {
		total += v
	}
	return total
}

// New deliveries go first, but not for ever, and what was held goes out one at a
// time beside them.
func TestNewOnesGoFirst(t *testing.T) {
	s := newLanes(100, 1000, time.Now)
	e := &hub.Endpoint{ID: "a"}
	s.prove(e)
	for i := range 12 {
		d := hub.Delivery{ID: hub.DeliveryID(fmt.Sprint(i))}
		switch {
		case i < 2:
			d.Attempts = 1
		case i < 4:
			d.InOrder = true
		}
		s.add(&task{Job: Job{Endpoint: e, Delivery: d}})
	}
	order, held := []hub.DeliveryID(nil), (*task)(nil)
	for {
		task, _ := s.next(time.Unix(0, 0))
		if task == nil && held == nil {
			break
		}
		if task == nil {
			s.finish(held, answered, time.Unix(0, 0))
			held = nil
			continue
		}
		order = append(order, task.Delivery.ID)
		if task.inOrder {
			held = task
		}
	}
	if got := fmt.Sprint(order); got != "[4 5 6 0 7 8 9 1 10 11 2 3]" {
		t.Errorf("order is %s", got)
	}
}

// Lanes take turns.
func TestLanesTakeTurns(t *testing.T) {
	s := newLanes(100, 1000, time.Now)
	now := time.Unix(0, 0)
	for range 4 {
		for _, id := range []hub.EndpointID{"a", "b", "c"} {
			s.prove(&hub.Endpoint{ID: id})
			s.add(&task{Job: Job{Endpoint: &hub.Endpoint{ID: id}}})
		}
	}
	order := ""
	for {
		task, _ := s.next(now)
		if task == nil {
			break
		}
		order += string(task.Endpoint.ID)
	}
	if order != "abcabcabcabc" {
		t.Errorf("order is %s", order)
	}
}

// prove makes an endpoint one that has taken something.
func (s *lanes) prove(e *hub.Endpoint) {
	l := s.of(e)
	l.proven = true
	s.count(l)
}
