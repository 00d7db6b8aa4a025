package relay

import (
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// patience is how long what is due waits for the claim that shows whether there
// is more of it.
const patience = time.Second

// A pool is what endpoints share that the far side counts together. It belongs to
// the worker's loop, as lanes do.
type pool struct {
	busy   bool      // one of it is sending
	free   time.Time // when the next may
	paused time.Time // until when the far side asked to be left alone
}

// alone is until when nothing is sent to a lane, by its own or its pool's reasons.
func (l *lane) alone() time.Time {
	if l.pool == nil {
		return l.paused
	}
	return later(l.paused, later(l.pool.free, l.pool.paused))
}

// follow brings a lane in line with what its target says about the endpoint.
func (s *lanes) follow(l *lane, e *hub.Endpoint) {
	if l.endpoint == e {
		return
	}
	g := s.gather(e)
	if l.endpoint, l.gather = e, g; g == (Gathering{}) {
		l.pool = nil
		return
	}
	key := "pool " + g.Pool
	if g.Pool == "" {
		key = "endpoint " + string(e.ID)
	}
	p := s.pools[key]
	if p == nil {
		p = new(pool)
		s.pools[key] = p
	}
	l.pool = p
}

// forget drops what is known of an endpoint, and of its pool if it is the last of
// it.
func (s *lanes) forget(l *lane) {
	delete(s.byID, l.id)
	for _, other := range s.byID {
		if other.pool == l.pool {
			return
		}
	}
	maps.DeleteFunc(s.pools, func(_ string, p *pool) bool { return p == l.pool })
}

// gathered is when what waits in a lane may be sent: at once if it is all there
// is or as much as goes into a send, else when its patience ends.
func (s *lanes) gathered(l *lane) time.Time {
	switch {
	case l.gather.From == 0, l.whole, l.waiting() >= s.most(l):
		return time.Time{}
	case l.since.IsZero():
		l.since = s.now()
	}
	return l.since.Add(patience)
}

// join takes into the send of t what goes together with it.
func (s *lanes) join(l *lane, t *task) {
	t.pool, l.whole, l.since = l.pool, false, time.Time{}
	t.pool.busy = true
	most := s.most(l)
	if l.limit > 0 {
		most = min(most, l.limit)
	}
	if l.gather.From == 0 || most < 2 || l.apart(t) || 1+l.count(l.joins) < l.gather.From {
		return
	}
	for _, q := range []*[]*task{&l.late, &l.fresh} {
		rest := (*q)[:0]
		for _, other := range *q {
			if len(t.with)+1 == most || l.apart(other) {
				rest = append(rest, other)
				continue
			}
			t.with = append(t.with, other)
			if t.until.After(other.until) {
				t.until = other.until
			}
			t.timeout = max(t.timeout, other.timeout)
		}
		clear((*q)[len(rest):])
		*q = rest
	}
}

// apart reports whether a task goes by itself.
func (l *lane) apart(t *task) bool {
	return t.Delivery.Probe || l.gather.StepsApart && t.Delivery.Run != ""
}

func (l *lane) joins(t *task) bool { return !l.apart(t) }

// count tells how many of those that wait are such.
func (l *lane) count(such func(*task) bool) (n int) {
	for _, q := range [][]*task{l.late, l.fresh} {
		for _, t := range q {
			if such(t) {
				n++
			}
		}
	}
	return n
}

// end ends a send of a lane of the pool.
func (p *pool) end(l *lane, t *task, now time.Time) {
	wait := l.gather.Every
	if len(t.with) > 0 {
		wait = max(wait, l.gather.Rest)
	}
	p.busy, p.free = false, now.Add(wait)
}

// pause leaves the pool of a lane alone until a time. It gives the endpoints that
// this concerns.
func (s *lanes) pause(l *lane, until time.Time) []hub.EndpointID {
	if l.pool == nil {
		return []hub.EndpointID{l.id}
	}
	l.pool.paused = later(l.pool.paused, until)
	var all []hub.EndpointID
	for id, other := range s.byID {
		if other.pool == l.pool {
			all = append(all, id)
		}
	}
	return all
}

// complete notes, before what a claim brought is added, which lanes have all that
// is due: those of which it had room for more and brought nothing.
func (s *lanes) complete(c *claim) {
	if len(s.pools) == 0 || c.err != nil {
		return
	}
	for id, left := range c.rooms {
		if l := s.byID[id]; l != nil && l.pool != nil && left > 0 {
			l.whole = len(c.jobs) < c.limit
		}
	}
	for i := range c.jobs {
		if l := s.byID[c.jobs[i].Delivery.Endpoint]; l != nil {
			l.whole = false
		}
	}
}

// unfinished reports whether there may be more, that could be claimed now, of
// what a claim brought and what goes together.
func (s *lanes) unfinished(c *claim) bool {
	return len(s.pools) > 0 && c.err == nil && slices.ContainsFunc(c.jobs, func(j Job) bool {
		l := s.byID[j.Delivery.Endpoint]
		return l != nil && l.pool != nil && l.gather.From > 0 && s.room(l) > 0
	})
}

// all gives the deliveries of a send.
func (t *task) all() []*task { return append([]*task{t}, t.with...) }

// splits reports whether a send of several failed because of one of them.
func splits(err error) bool {
	kind := hub.KindOf(err)
	return kind == hub.Malformed || kind == hub.TooLarge
}

// split lets the deliveries of a refused send wait again, to go in halves.
func (r *run) split(t *task, now time.Time) {
	all := t.all()
	l := r.lanes.byID[t.Endpoint.ID]
	l.limit = len(all) / 2
	t.with = nil
	r.lanes.claimed -= len(all) - 1 // finish sees one
	r.after(t, other, now)
	for _, one := range all {
		again := *one
		again.started, again.done, again.slow, again.with = time.Time{}, false, false, nil
		r.lanes.add(&again)
	}
	l.whole = true
	t.Job = Job{}
}

// widen lets more go together again, after a send that was taken.
func (s *lanes) widen(l *lane) {
	if l.limit *= 2; l.limit >= s.most(l) {
		l.limit = 0
	}
}

// concludeOthers concludes what was sent with t, whose outcome is o.
func (r *run) concludeOthers(t *task, judge *judge, o *Outcome, res result, now time.Time) {
	if len(t.with) == 0 {
		return
	}
	o.Attempt.Gathered = 1 + len(t.with)
	for _, one := range t.with {
		a := hub.Attempt{
			At: res.attempt.At, Duration: res.attempt.Duration, Address: res.attempt.Address, Digest: res.attempt.Digest, Status: res.attempt.Status,
			Control: res.attempt.Control, Reference: res.attempt.Reference, Gathered: o.Attempt.Gathered, With: t.Delivery.ID,
		}
		other := judge.conclude(&one.Job, a, res.err, hub.Truncate(now))
		other.Delivery.Body, other.Disable = nil, ""
		if o.Open != nil || o.Delivery.State == hub.DeliveryHeld {
			hold(&other)
		}
		r.outcomes = append(r.outcomes, other)
		r.metrics.attempted(&other, now)
		r.logEnd(&other, res.err)
	}
	o.share(r.outcomes[len(r.outcomes)-len(t.with):])
}

// share gives each outcome what was posted for its delivery.
func (o *Outcome) share(others []Outcome) {
	posted, of := o.Attempt.Posted, make(map[hub.DeliveryID]*hub.Attempt, len(others))
	o.Attempt.Posted = nil
	for i := range others {
		of[others[i].Delivery.ID] = others[i].Attempt
	}
	for _, p := range posted {
		to := of[p.For]
		if to == nil {
			to = o.Attempt
		}
		to.Posted = append(to.Posted, p)
	}
}
