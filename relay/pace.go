package relay

import "time"

const (
	// paceWindow is in what time a limit of n a second lets n sends begin. It is a
	// little more than a second, because requests do not all take the same time to
	// arrive: the far side counts in its own seconds.
	paceWindow = 1005 * time.Millisecond
	// paceBehind is how much lateness is made up for, by sends at twice the pace.
	// Who has been idle for longer starts anew.
	paceBehind = 500 * time.Millisecond
	// paceMarks is how many times are remembered of a window; of a limit above it,
	// several sends share one.
	paceMarks = 1024
)

// A pacer spreads the sends to one endpoint evenly and keeps every window within
// the limit, also while it makes up for sends that were late.
type pacer struct {
	rate  int
	group int         // sends that share a mark
	marks []time.Time // when the last send of each group of a window began, in a ring
	at    int         // the oldest of them
	begun int         // sends of the newest group, if it is not full
	due   time.Time   // when the next send is due by the limit alone
}

// send takes note of a send and tells when the next may begin.
func (p *pacer) send(now time.Time, rate int) time.Time {
	if p.rate != rate {
		group := (rate + paceMarks - 1) / paceMarks
		*p = pacer{rate: rate, group: group, marks: make([]time.Time, rate/group)}
	}
	p.marks[p.at] = now
	if p.begun = (p.begun + 1) % p.group; p.begun == 0 {
		p.at = (p.at + 1) % len(p.marks)
	}
	if now.Sub(p.due) > paceBehind {
		p.due = now
	}
	interval := paceWindow / time.Duration(rate)
	p.due = p.due.Add(interval)
	next := later(p.due, now.Add(interval/2))
	if p.begun == 0 {
		next = later(next, p.marks[p.at].Add(paceWindow))
	}
	return next
}
