package dedup

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// taken lets an acknowledgement at the finding's source count for a, if a is
// open and the acknowledgement is news: an older one was ended here, or taken
// back, and a source goes on telling of it.
func (t *turn) taken(a *hub.Alert) bool {
	at := t.ackedAt()
	if at.IsZero() || a.Status != hub.AlertOpen || !t.fresh || !t.o.kind.opens() ||
		hub.Micros(at) <= max(t.state.acked, t.before.closed) {
		return false
	}
	a.Status, a.AcknowledgedAt = hub.AlertInvestigating, at
	a.AcknowledgedBy = hub.Principal{Type: hub.ActorSource, ID: t.f.Source}.Name()
	t.state.calmed = uint8(a.Severity.Rank())
	return true
}

// ackedAt is when the finding was acknowledged at its source; zero if it was not.
// One that lies too far in our future does not count before its time: it would
// keep others from counting.
func (t *turn) ackedAt() time.Time {
	at := hub.Truncate(t.f.AcknowledgedAt)
	if at.Sub(t.now) > maxSkew {
		return time.Time{}
	}
	return at
}

// noteTaken remembers the acknowledgement, so that it counts once.
func (t *turn) noteTaken() {
	if at := t.ackedAt(); !at.IsZero() {
		t.state.acked = max(t.state.acked, hub.Micros(at))
	}
}
