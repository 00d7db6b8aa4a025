package app

import (
	"slices"

	"github.com/tocsin/tocsin/hub"
)

// inboxes hold what is handed over in memory, an inbox for each endpoint, so that
// one that takes nothing is not looked through for the others.
type inboxes struct {
	byID  map[hub.EndpointID]*inbox
	ring  []*inbox // those with something in them
	turn  int      // in ring: who comes first the next time
	total int
}

type inbox struct {
	id  hub.EndpointID
	all []*hub.Delivery // as they came
}

func (s *inboxes) len(id hub.EndpointID) int {
	if b := s.byID[id]; b != nil {
		return len(b.all)
	}
	return 0
}

func (s *inboxes) add(d *hub.Delivery) {
	b := s.byID[d.Endpoint]
	if b == nil {
		b = &inbox{id: d.Endpoint}
		s.byID[d.Endpoint] = b
		s.ring = append(s.ring, b)
	}
	b.all = append(b.all, d)
	s.total++
}

// take takes the first n of an inbox, and the inbox away if it is empty then.
func (s *inboxes) take(b *inbox, n int) []*hub.Delivery {
	out := b.all[:n:n]
	b.all = b.all[n:]
	s.total -= n
	if len(b.all) == 0 {
		delete(s.byID, b.id)
		if at := slices.Index(s.ring, b); at >= 0 {
			s.ring = slices.Delete(s.ring, at, at+1)
		}
	}
	return out
}

// inTurn gives the inboxes, each time beginning with another.
func (s *inboxes) inTurn() []*inbox {
	if len(s.ring) == 0 {
		return nil
	}
	s.turn = (s.turn + 1) % len(s.ring)
	return append(slices.Clone(s.ring[s.turn:]), s.ring[:s.turn]...)
}
