package connectors

import (
	"crypto/sha256"
	"strings"
	"time"
)

// A Memory is what a pull remembers of the items that its source lists, so that
// each change of one is told once, also over restarts: it travels in the
// cursor. The zero value remembers nothing, and its first sweep begins with
// [Memory.Begin].
//
// It holds the open items, and the closed ones that a walk over new items would
// meet again. Absence from a list is never taken for an end: lists shift while
// they are read page by page. An item that is missing is looked for after 1, 2,
// 4, 8 … sweeps, then every 64th.
type Memory struct {
	items   map[memoryKey]memo
	sweep   uint64    // number of the one that runs or ran last, from 1
	horizon time.Time // items that began before it were met by an earlier sweep

	untracked int // open items that this sweep had no room for
}

// A memoryKey stands for an item's id: the first eight bytes of its SHA-256.
// Two of 100,000 items have the same with a chance of 1 in 3,000,000,000.
type memoryKey [8]byte

// A Digest stands for what an item said.
type Digest [8]byte

// DigestOf gives the digest of the parts of an item whose change is a change.
func DigestOf(parts ...string) Digest {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return Digest(sum[:8])
}

var closedDigest = DigestOf("closed")

// A Sighting is what a source says of one item that it lists.
type Sighting struct {
	ID      string
	Digest  Digest
	Closed  bool      // the source is done with it; what changes of it then is not followed
	Created time.Time // when it began; zero if the source does not tell
	At      time.Time // when it came to be as it is; zero if the source does not tell
	Rank    int64     // orders the stages of an item's life where times are equal
}

// born is when the item began, as well as is told.
func (i Sighting) born() time.Time {
	if i.Created.IsZero() {
		return i.At
	}
	return i.Created
}

// A Place is where a change stands in the order of its item's changes.
type Place struct {
	At       time.Time
	Sequence int64
}

// A memo is what is remembered of one item.
type memo struct {
	digest  Digest
	place   Place     // of the last change told
	created time.Time // to the second
	sweep   uint64    // the last one that saw it
	missed  uint64    // sweeps in a row that did not, while it was thought open
	closed  bool
}

// due reports whether a missing item is looked for in this sweep.
func (e memo) due() bool { return e.missed&(e.missed+1) == 0 || e.missed%64 == 63 }

// Begin starts a sweep. The first one takes items that were closed as far back
// as horizon says; later ones know theirs.
func (m *Memory) Begin(horizon time.Time) {
	if m.items == nil {
		m.items = map[memoryKey]memo{}
	}
	if m.sweep == 0 {
		m.horizon = horizon
	}
	m.sweep++
	m.untracked = 0
}

// Horizon is the time since which the sweep has to see every item that began,
// whatever became of it.
func (m *Memory) Horizon() time.Time { return m.horizon }

// Len is how many items are remembered.
func (m *Memory) Len() int { return len(m.items) }

// Open is how many of them are open, as far as is known.
func (m *Memory) Open() int {
	n := 0
	for _, e := range m.items {
		if !e.closed {
			n++
		}
	}
	return n
}

// Sweeps is how many sweeps have begun.
func (m *Memory) Sweeps() uint64 { return m.sweep }

// Untracked is how many open items this sweep had no room for.
func (m *Memory) Untracked() int { return m.untracked }

// Observe compares an item, as seen at now by the source's clock, with what is
// remembered of it, and remembers it if there is room. tell is false if there
// is nothing to tell of it.
func (m *Memory) Observe(i Sighting, now time.Time, room int) (p Place, tell bool) {
	k := memoryKey(DigestOf(i.ID))
	e, known := m.items[k]
	if i.Closed {
		i.Digest = closedDigest
	}
	if known && e.digest == i.Digest {
		e.sweep, e.missed = m.sweep, 0
		m.items[k] = e
		return Place{}, false
	}
	switch {
	case known:
		p = e.after(i, now)
	case i.Closed && i.born().Before(m.horizon):
		return Place{}, false // its end was seen in an earlier sweep, or is too old
	default:
		p = m.first(i, now)
	}
	m.remember(k, known, memo{digest: i.Digest, place: p, created: i.born(), sweep: m.sweep, closed: i.Closed}, room)
	return p, true
}

// first is the place of an item that is not remembered.
func (m *Memory) first(i Sighting, now time.Time) Place {
	at := i.At
	if at.IsZero() && (m.sweep == 1 || !i.Created.Before(m.horizon)) {
		at = i.Created
	}
	if at.IsZero() {
		// It was there before, and has been forgotten: it was opened again, or
		// missed while pages shifted. Either way this is how it is now.
		at = now
	}
	return Place{at, i.Rank}
}

// after is the place of a change behind the last one: at the source's time of
// it if it tells one, else when it was seen.
func (e memo) after(i Sighting, now time.Time) Place {
	at := i.At
	if at.IsZero() {
		at = now
	}
	if at.After(e.place.At) {
		return Place{at, i.Rank}
	}
	return Place{e.place.At, max(e.place.Sequence+1, i.Rank)}
}

// remember keeps a memo if there is room. A closed item's only saves repeats,
// which the hub drops anyway, so that half the room is never theirs.
func (m *Memory) remember(k memoryKey, known bool, e memo, room int) {
	if e.closed {
		room /= 2
	}
	switch {
	case known || len(m.items) < room:
		m.items[k] = e
	case !e.closed:
		m.untracked++
	}
}

// Missing counts the open items that this sweep looks for and has not seen.
func (m *Memory) Missing() int {
	n := 0
	for _, e := range m.items {
		if m.missing(e) {
			n++
		}
	}
	return n
}

func (m *Memory) missing(e memo) bool { return !e.closed && e.sweep != m.sweep && e.due() }

// Unseen counts the open items that this sweep has not seen, but for those that
// have been missing for long.
func (m *Memory) Unseen() int {
	n := 0
	for _, e := range m.items {
		if !e.closed && e.sweep != m.sweep && e.missed < 8 {
			n++
		}
	}
	return n
}

// Oldest is when the oldest open item that is to be seen in this sweep was
// created, at or before horizon, for sources that list from a time on.
func (m *Memory) Oldest() time.Time {
	oldest := m.horizon
	for _, e := range m.items {
		if m.missing(e) && !e.created.IsZero() && e.created.Before(oldest) {
			oldest = e.created
		}
	}
	return oldest
}

// End ends a whole sweep. Items that begin after horizon will be seen by the
// next one.
func (m *Memory) End(horizon time.Time) {
	if horizon.After(m.horizon) {
		m.horizon = horizon
	}
	for k, e := range m.items {
		switch {
		case e.closed && e.created.Before(m.horizon):
			delete(m.items, k)
		case !e.closed && e.sweep != m.sweep:
			e.missed++
			m.items[k] = e
		}
	}
}
