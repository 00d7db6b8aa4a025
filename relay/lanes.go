package relay

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// How sends are shared out. A healthy endpoint gets up to half of the slots.
const (
	// slowAfter is when a send counts as slow: it gives its slot back and goes on
	// outside of the slots, so that who does not answer takes no slot from others
	// for longer.
	slowAfter = 250 * time.Millisecond
	// doubtAfter is the same for an endpoint that is not proven: those that never
	// answer, however many, get a slot for no longer.
	doubtAfter = 50 * time.Millisecond
	// slowShare is how many slow sends there may be for each slot.
	slowShare = 3
	// shakyAfter is how many failures in a row make an endpoint shaky, if it has
	// taken something before; otherwise one does. An endpoint that is shaky or
	// untried gets one send at a time. One that refuses a fifth of what it gets
	// refuses six in a row once in fifteen thousand times.
	shakyAfter = 6
	// shakyPause is how long a shaky endpoint is left alone after a failure. It
	// keeps one that refuses at once, with many due, from taking all our time.
	shakyPause = 250 * time.Millisecond
	// smallRoom is how many deliveries of an endpoint that is shaky, or has not
	// taken anything yet, are claimed at a time. Others would wait behind them.
	smallRoom = 2
	// rateAhead is what part of a second's sends is claimed ahead where the rate
	// is limited.
	rateAhead = 4
	// freshFirst is how many new deliveries of an endpoint go before one that was
	// tried before, was held or is replayed: those came late already.
	freshFirst = 3
)

// lanes shares slots between endpoints. It belongs to the worker's loop.
type lanes struct {
	slots, window int
	now           func() time.Time

	byID    map[hub.EndpointID]*lane
	ring    []*lane      // those with waiting tasks
	turn    int          // in ring
	claimed int          // tasks waiting or being sent
	load    [classes]int // of them, those of each class
	busy    int          // slots in use
	slow    int          // sends outside of the slots
	in      [classes]int // slots in use by class
	out     [classes]int // sends outside of the slots by class
	sure    []*task      // being sent to proven endpoints, oldest first; those done are dropped later
	doubt   []*task      // the same for the others
	spilled []*task      // to be given back

	gather func(*hub.Endpoint) Gathering // how deliveries to an endpoint go together
	pools  map[string]*pool
}

func newLanes(slots, window int, now func() time.Time) *lanes {
	return &lanes{
		slots: slots, window: window, now: now, byID: map[hub.EndpointID]*lane{}, pools: map[string]*pool{},
		gather: func(*hub.Endpoint) Gathering { return Gathering{} },
	}
}

func (s *lanes) of(e *hub.Endpoint) *lane {
	l := s.byID[e.ID]
	if l == nil {
		l = &lane{id: e.ID, used: s.now()}
		s.byID[e.ID] = l
	}
	l.rate = e.RateLimit
	s.follow(l, e)
	return l
}

// room is how many more deliveries of a lane may be claimed.
func (s *lanes) room(l *lane) int {
	if s.now().Before(l.alone()) || l.pool != nil && l.pool.busy {
		return 0
	}
	room := max(s.most(l)-l.waiting()-l.sending, 0)
	return min(room, s.classRoom(l.class()))
}

// classRoom is how many more may be claimed of all endpoints of a class together,
// those that are not known being untried. What waits for those that do not answer
// at once, however many they are, may not take the room of those that do, nor
// what failed that of what is new.
func (s *lanes) classRoom(c class) int {
	parts := [classes]int{proven: 1, tardy: 4, untried: 8, shaky: 8, pooled: 2}
	return max(s.window/parts[c]-s.load[c], 0)
}

// count keeps load in step with a lane. It is called after each change of it.
func (s *lanes) count(l *lane) {
	s.load[l.as] -= l.counted
	l.as, l.counted = l.class(), l.waiting()+l.sending
	s.load[l.as] += l.counted
}

// open reports whether a lane has room worth a claim.
func (s *lanes) open(l *lane) bool {
	least := max(s.most(l)/4, 1)
	if l.class() != proven {
		least = 1
	}
	return s.room(l) >= least
}

// reopened reports whether an endpoint that a claim left without room has some
// by now. If it has none, the end of one of its sends will tell.
func (s *lanes) reopened(rooms map[hub.EndpointID]int) bool {
	for id, n := range rooms {
		switch l := s.byID[id]; {
		case n > 0:
		case id == unknown && s.classRoom(untried) > 0, id != unknown && (l == nil || s.open(l)):
			return true
		}
	}
	return false
}

// most is how many deliveries of a lane may be claimed at a time.
func (s *lanes) most(l *lane) int {
	most := s.window / 2
	if l.pool != nil {
		if l.gather.Most > 0 {
			most = min(most, l.gather.Most)
		}
		return max(most, 1)
	}
	if l.rate > 0 {
		most = min(l.rate/rateAhead, s.window/8)
	}
	switch {
	case !l.proven:
		most = min(most, smallRoom)
	case l.sluggish:
		most = min(most, s.slots)
	}
	return max(most, 1)
}

// spill takes from a lane that lost its good name what is over its room, newest
// first, for the worker to give back.
func (s *lanes) spill(l *lane) {
	over := l.waiting() - max(s.most(l)-l.sending, 0)
	if over <= 0 {
		return
	}
	s.claimed -= over
	for _, q := range []*[]*task{&l.late, &l.fresh} {
		n := min(over, len(*q))
		keep := len(*q) - n
		s.spilled = append(s.spilled, (*q)[keep:]...)
		clear((*q)[keep:])
		*q = (*q)[:keep]
		over -= n
	}
	if l.waiting() == 0 {
		s.leave(l, slices.Index(s.ring, l))
	}
	s.count(l)
}

// leave takes a lane with nothing waiting out of the ring.
func (s *lanes) leave(l *lane, at int) {
	l.fresh, l.late, l.inRing = nil, nil, false
	s.ring = slices.Delete(s.ring, at, at+1)
	if at < s.turn {
		s.turn--
	}
}

// rooms lists how many more may be claimed of the endpoints that are known, and
// when the first has room again that asked to be left alone.
func (s *lanes) rooms(now time.Time) (rooms map[hub.EndpointID]int, resume time.Time) {
	rooms = make(map[hub.EndpointID]int, len(s.byID)+1)
	for id, l := range s.byID {
		if l.idle(now) {
			s.forget(l)
			continue
		}
		if rooms[id] = s.room(l); now.Before(l.alone()) {
			resume = earlier(resume, l.alone())
		}
	}
	rooms[unknown] = s.classRoom(untried)
	return rooms, resume
}

// unknown stands in rooms for all endpoints together that are not listed there.
const unknown = hub.EndpointID("")

// add takes a task.
func (s *lanes) add(t *task) {
	l, d := s.of(t.Endpoint), &t.Delivery
	t.inOrder = d.InOrder
	if t.late = d.Attempts > 0 || d.InOrder || d.Replayed || d.Probe; t.late {
		l.late = append(l.late, t)
	} else {
		l.fresh = append(l.fresh, t)
	}
	s.claimed++
	if !l.inRing {
		l.inRing = true
		s.ring = append(s.ring, l)
	}
	s.count(l)
}

// next takes the task to send now, lane by lane in turn; nil if there is none.
// Then at is when a pause ends, if there is one.
func (s *lanes) next(now time.Time) (t *task, at time.Time) {
	if s.busy >= s.slots {
		return nil, at
	}
	for range len(s.ring) {
		s.turn %= len(s.ring)
		l := s.ring[s.turn]
		ok, when := s.allows(l, now)
		if ok {
			return s.take(l, now), time.Time{}
		}
		if !when.IsZero() && (at.IsZero() || when.Before(at)) {
			at = when
		}
		s.turn++
	}
	return nil, at
}

func (s *lanes) allows(l *lane, now time.Time) (ok bool, at time.Time) {
	share := max(s.slots/2, 1)
	if !l.proven {
		share = 1
	}
	if l.sending >= share || !s.admits(l) || l.head() == nil || l.pool != nil && l.pool.busy {
		return false, at
	}
	wait := later(l.free, l.alone())
	if l.pool != nil {
		wait = later(wait, s.gathered(l))
	}
	if now.Before(wait) {
		return false, wait
	}
	return true, at
}

// admits reports whether what there may be of a lane's class leaves room for one
// more. A send that hangs gives its slot back and goes on outside, so that the
// slots are there for those that answer; but those that hang may not take all the
// places outside either.
func (s *lanes) admits(l *lane) bool {
	outside := s.slots * slowShare
	under := func(c class) int { return s.in[c] + s.out[c] }
	switch {
	case s.slow+s.busy >= s.slots+outside, l.slow > 0 && s.slow >= s.slots, (l.class() == tardy || l.class() == pooled) && s.slow >= outside:
		return false
	case l.class() == shaky:
		return s.in[shaky] < max(s.slots/4, 1) && under(shaky) < max(outside/2, 1)
	case l.class() == untried:
		return s.in[untried] < max(s.slots/2, 1) && under(shaky)+under(untried) < max(outside*3/4, 1)
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// take starts the first task of the lane at turn.
func (s *lanes) take(l *lane, now time.Time) *task {
	t := l.pop()
	if l.pool != nil {
		s.join(l, t)
	}
	if l.waiting() == 0 {
		s.leave(l, s.turn)
	} else {
		s.turn++
	}
	if l.rate > 0 {
		l.free = l.pacer.send(now, l.rate)
	}
	t.started, t.class, l.used = now, l.class(), now
	if t.inOrder {
		l.ordered++
	}
	l.sending++
	s.busy++
	s.in[t.class]++
	if l.proven {
		s.sure = append(s.sure, t)
	} else {
		s.doubt = append(s.doubt, t)
	}
	return t
}

// age takes slow sends off their slots and tells when the next one turns slow.
func (s *lanes) age(now time.Time) time.Time {
	return earlier(s.ageAll(&s.sure, slowAfter, now), s.ageAll(&s.doubt, doubtAfter, now))
}

func (s *lanes) ageAll(started *[]*task, after time.Duration, now time.Time) (next time.Time) {
	for len(*started) > 0 {
		t := (*started)[0]
		if !t.done && now.Sub(t.started) < after {
			return t.started.Add(after)
		}
		if !t.done {
			s.slower(t)
		}
		(*started)[0] = nil
		*started = (*started)[1:]
	}
	*started = nil
	return next
}

// slower takes a send off its slot.
func (s *lanes) slower(t *task) {
	t.slow = true
	l := s.byID[t.Endpoint.ID]
	l.slow++
	l.sluggish = true
	s.slow++
	s.out[t.class]++
	s.busy--
	s.in[t.class]--
	s.spill(l)
	s.count(l)
}

// finish ends a send. It reports whether its endpoint has room again after it
// had none.
func (s *lanes) finish(t *task, a answer, now time.Time) (again bool) {
	l := s.byID[t.Endpoint.ID]
	full := !s.open(l)
	t.done = true
	if t.slow {
		l.slow--
		s.slow--
		s.out[t.class]--
	} else {
		s.busy--
		s.in[t.class]--
	}
	if t.inOrder {
		l.ordered--
	}
	l.sending--
	s.claimed -= 1 + len(t.with)
	if t.pool != nil {
		t.pool.end(l, t, now)
	}
	switch a {
	case answered:
		l.failures, l.proven, l.sluggish = 0, true, t.slow || l.slow > 0
		l.tally.add(false)
	case failed, throttled:
		l.fail(now)
		if a == failed {
			l.tally.add(true)
		}
		s.spill(l)
	}
	s.count(l)
	return full && s.open(l)
}

// clear takes all that waits, of one endpoint or, for "", of all.
func (s *lanes) clear(id hub.EndpointID) (all []*task) {
	ring := s.ring[:0]
	for _, l := range s.ring {
		if id != "" && l.id != id {
			ring = append(ring, l)
			continue
		}
		all = append(append(all, l.late...), l.fresh...)
		l.fresh, l.late, l.inRing, l.since = nil, nil, false, time.Time{}
		s.count(l)
	}
	clear(s.ring[len(ring):])
	s.ring, s.turn = ring, 0
	s.claimed -= len(all)
	return all
}
