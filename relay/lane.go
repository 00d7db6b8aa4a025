package relay

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A task is a claimed delivery on its way through the worker.
type task struct {
	Job
	target  Target
	timeout time.Duration
	claimed uint64    // number of the claim
	until   time.Time // when it must have ended, safely before the lease does
	started time.Time // of the send
	done    bool
	slow    bool  // counted outside of the slots
	class   class // of its lane when it was sent
	late    bool  // it is not its first try, or it was held or asked for again
	inOrder bool  // no other like it of its lane is sent beside it
	// with are the others of its send, which it stands for in all that concerns
	// slots.
	with []*task
	pool *pool // of its lane when it was sent
}

// A lane is what the worker knows of one endpoint.
type lane struct {
	id       hub.EndpointID
	counted  int     // of waiting and sending, in lanes.load
	as       class   // what they are counted as
	fresh    []*task // first tries, in the order they were claimed
	late     []*task // all others
	passed   int     // fresh ones in a row that went before a late one
	sending  int
	ordered  int // of them, those that were held
	slow     int
	failures int // in a row
	tally    tally
	proven   bool // it has taken something since it was last shaky
	sluggish bool // its newest answer, or a send under way, is slow
	inRing   bool
	used     time.Time // when it was last sent to
	rate     int       // sends a second; 0 for no limit
	pacer    pacer     // if there is one
	free     time.Time // when rate or failures allow the next send
	// gone holds back what was claimed with this number or before: the endpoint
	// was switched off or its breaker opened, and those claims may not have seen it
	// yet.
	gone uint64
	// paused is until when the far side asked to be left alone (Retry-After): it
	// means the endpoint, not the one delivery that was told.
	paused time.Time

	endpoint *hub.Endpoint // that gather is of
	gather   Gathering
	pool     *pool // nil: its deliveries do not go together
	// whole says that what waits is all that is due: the last claim left room.
	whole bool
	since time.Time // when the first of what waits came, while more may come
	limit int       // of one send, because a larger one was refused; 0 for none
}

func (l *lane) shaky() bool { return l.failures > 0 && !l.proven }

// A class says how much a lane is trusted with slots.
type class uint8

const (
	proven  class = iota // it takes what it is sent
	tardy                // it does, but takes its time
	untried              // it has not been sent anything yet
	shaky                // it failed the last times
	pooled               // it is one of a pool, which has one send at a time
	classes
)

func (l *lane) class() class {
	switch {
	case l.pool != nil:
		return pooled
	case l.proven && l.sluggish:
		return tardy
	case l.proven:
		return proven
	case l.failures > 0:
		return shaky
	}
	return untried
}

func (l *lane) waiting() int { return len(l.fresh) + len(l.late) }

// head tells from which queue the next task comes; nil if none may go now.
func (l *lane) head() *[]*task {
	late := len(l.late) > 0 && !(l.late[0].inOrder && l.ordered > 0)
	switch {
	case len(l.fresh) > 0 && (l.passed < freshFirst || !late):
		return &l.fresh
	case late:
		return &l.late
	}
	return nil
}

// pop takes the task that head told of.
func (l *lane) pop() *task {
	q := l.head()
	t := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	l.passed++
	if t.late || len(l.late) == 0 {
		l.passed = 0
	}
	return t
}

// An answer is how a send went, as far as sharing is concerned.
type answer uint8

const (
	answered  answer = iota // the far side took it
	failed                  // the endpoint did not
	throttled               // it asked to wait: it is there
	other                   // it says nothing about the endpoint
)

func (l *lane) fail(now time.Time) {
	if l.failures++; l.failures >= shakyAfter {
		l.proven = false
	}
	if l.shaky() {
		l.free = now.Add(shakyPause)
	}
}

// forgetAfter is when an endpoint that nothing is sent to is forgotten. Then it is
// untried again.
const forgetAfter = time.Hour

// idle reports whether there is nothing to remember of a lane.
func (l *lane) idle(now time.Time) bool {
	return l.waiting()+l.sending == 0 && !now.Before(l.alone()) && now.Sub(l.used) > forgetAfter
}
