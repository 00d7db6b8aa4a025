package dedup

import "math/bits"

// A life is what observations in their order make of a problem.
type life struct {
	status  status // unknown before the first open, else open or resolved
	sev     uint8  // highest of the supporting sources; the last such when resolved
	gen     int64
	ended   int64  // when it was last resolved
	closed  int64  // the newest close
	changes uint32 // a bit for each observation, the newest lowest: it opened or closed the problem
}

// A support is what a source says.
type support struct {
	state  stance
	hushed bool // it said so before somebody closed the problem
	sev    uint8
}

type stance uint8

const (
	silent stance = iota
	supports
	denies
)

// supporters are the supports of all sources of an identity.
type supporters struct {
	all [keepSources]support
	n   int
}

func (l *supporters) list() []support { return l.all[:l.n] }

func (s *State) supports() (l supporters) {
	l.n = len(s.sources)
	for i := range s.sources {
		l.all[i] = s.sources[i].support
	}
	return l
}

// now goes through the history and gives the problem's life as of the newest
// observation.
func (s *State) now() life {
	sup, l := s.supports(), s.base
	for i := range s.history {
		l.apply(sup.list(), s.history[i])
	}
	return l
}

// apply lets o happen.
func (l *life) apply(sup []support, o observation) {
	was := l.status
	switch o.kind {
	case kindOpen:
		sup[o.source] = support{state: supports, sev: o.sev}
		l.open()
	case kindTaken:
		said := sup[o.source]
		sup[o.source] = support{state: supports, sev: o.sev, hushed: said.state == supports && said.hushed}
		if !sup[o.source].hushed {
			l.open()
		}
	case kindClose:
		sup[o.source] = support{state: denies, sev: o.sev}
		l.close(o.at, sup)
	case kindHandClose:
		hush(sup, true)
		l.close(o.at, sup)
	case kindHandOpen:
		hush(sup, false)
		l.open()
	}
	if sev := highest(sup); l.status == open && sev > 0 {
		l.sev = sev
	}
	if o.source != byHand {
		l.changes <<= 1
		if was != unknown && was != l.status {
			l.changes |= 1
		}
	}
}

func (l *life) open() {
	if l.status != open {
		l.status = open
		l.gen++
	}
}

// close resolves the problem if no source supports it: also one that somebody
// reopened with no source behind.
func (l *life) close(at int64, sup []support) {
	l.closed = max(l.closed, at)
	if l.status == open && highest(sup) == 0 {
		l.status, l.ended = resolved, at
	}
}

func hush(sup []support, on bool) {
	for i := range sup {
		sup[i].hushed = on && sup[i].state == supports
	}
}

// highest gives the highest severity of the supporting sources; 0 if there is none.
func highest(sup []support) (sev uint8) {
	for _, s := range sup {
		if s.state == supports && !s.hushed {
			sev = max(sev, s.sev, 1)
		}
	}
	return sev
}

// flapping tells whether at least 4 of the last 20 observations opened or closed
// the problem.
func (l *life) flapping() bool { return l.flaps() >= 4 }

func (l *life) flaps() int { return bits.OnesCount32(l.changes & (1<<flapSpan - 1)) }

// hushed tells whether what a source says now was closed by hand.
func (s *State) hushed(src uint8) bool {
	sup, l := s.supports(), s.base
	for i := range s.history {
		l.apply(sup.list(), s.history[i])
	}
	return sup.all[src].hushed
}
