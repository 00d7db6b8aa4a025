package dedup

import (
	"cmp"
	"slices"
)

// compare is the order of moments.
func (m moment) compare(n moment) int {
	return cmp.Or(cmp.Compare(m.at, n.at), cmp.Compare(m.sequence, n.sequence), cmp.Compare(m.sum, n.sum))
}

// newest gives the newest moment known of a source, and whether there is one.
func (s *State) newest(src uint8) (moment, bool) {
	for i := len(s.history) - 1; i >= 0; i-- {
		if s.history[i].source == src {
			return s.history[i].moment, true
		}
	}
	return s.sources[src].newest, s.sources[src].state != silent
}

// last gives the newest moment known at all.
func (s *State) last() moment {
	if n := len(s.history); n > 0 {
		return s.history[n-1].moment
	}
	return s.horizon
}

// newestOpen tells whether no open observation is newer than o.
func (s *State) newestOpen(o *observation) bool {
	for i := len(s.history) - 1; i >= 0; i-- {
		if h := &s.history[i]; h.kind.opens() {
			return o.compare(h.moment) >= 0
		}
	}
	return o.compare(s.horizon) > 0
}

// insert puts o in its place. What belongs before the horizon goes into the sum,
// where it matters only if it is the newest of its source.
func (s *State) insert(o observation, ownNewest bool) {
	if s.horizon != (moment{}) && o.compare(s.horizon) <= 0 {
		if ownNewest {
			s.sum(o)
		}
		return
	}
	i := len(s.history)
	for i > 0 && o.compare(s.history[i-1].moment) < 0 {
		i--
	}
	s.history = slices.Insert(s.history, i, o)
}

// sum adds o to what base holds.
func (s *State) sum(o observation) {
	sup := s.supports()
	s.base.apply(sup.list(), o)
	for i := range s.sources {
		s.sources[i].support = sup.all[i]
	}
	if o.source != byHand {
		s.sources[o.source].newest = o.moment
	}
	if o.compare(s.horizon) > 0 {
		s.horizon = o.moment
	}
}

// thin keeps the history within its bounds.
func (s *State) thin() {
	for len(s.history) > keepRecent {
		if i := s.repeat(); i >= 0 {
			s.history = slices.Delete(s.history, i, i+1)
			continue
		}
		if len(s.history) <= keepChanges {
			return
		}
		oldest := s.history[0]
		s.history = slices.Delete(s.history, 0, 1)
		s.sum(oldest)
	}
}

// repeat gives the oldest observation that says what its source's neighbours in
// time say, outside of what flapping is judged by; -1 if there is none.
func (s *State) repeat() int {
	for i := 1; i < len(s.history)-flapSpan; i++ {
		o := &s.history[i]
		if o.source != byHand && s.neighbour(i, -1).says(o) && s.neighbour(i, 1).says(o) {
			return i
		}
	}
	return -1
}

// neighbour gives the nearest observation of the same source in a direction, nil
// if something done by hand lies between or there is none.
func (s *State) neighbour(i, step int) *observation {
	src := s.history[i].source
	for i += step; i >= 0 && i < len(s.history); i += step {
		switch s.history[i].source {
		case src:
			return &s.history[i]
		case byHand:
			return nil
		}
	}
	return nil
}

func (o *observation) says(p *observation) bool {
	return o != nil && o.kind == p.kind && o.sev == p.sev
}
