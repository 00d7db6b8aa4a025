package audit

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/tocsin/tocsin/hub"
)

// A row is an entry as it was read.
type row struct {
	hub.SealedEntry
	flaw flaw
}

// A flaw is what the reader of a file saw before any hash was computed.
type flaw int

const (
	sound     flaw = iota
	noEntry        // it does not have the form of an entry
	wrongCell      // a column says something else than the entry
)

// A weighed row is a row with all that can be told from it alone.
type weighed struct {
	column int64 // the number it is stored under; -1 if none
	stored [32]byte
	hash   [32]byte // of the bytes
	flaw   flaw
	err    error // why the bytes are no entry
	parsed
	buf []byte // a zero byte and the entry
}

func (w *weighed) weigh(r row) {
	w.buf = append(append(w.buf[:0], 0), r.Bytes...)
	w.column, w.stored, w.flaw = r.Sequence, r.Hash, r.flaw
	w.hash = sha256.Sum256(w.buf)
	w.err = w.parse(w.buf[1:])
}

// A judge takes the rows of a log one after the other and finds the first that
// does not fit. To tell what was done to it, it decides on each row when it has
// seen the next.
type judge struct {
	log, logQuoted string // the name of the log, "" until known
	size           int64  // entries that fit; the number wanted next
	last           [32]byte
	lastPrev       [32]byte
	micros         int64
	frontier       [][32]byte

	claims  *claims
	claim   int      // the next to compare
	agreed  int      // how many agreed
	good    [2]int64 // size of the newest that agreed: the log's own, one from outside
	covered int64    // size of the newest that agreed and vouches
	pending *Fault   // a claim that did not; the next row may show why

	rows [2]weighed
	held *weighed // the row not decided on yet, one of rows
	turn int

	fault  *Fault
	search *search // reading on to tell what became of an entry
}

func (j *judge) start(from hub.AuditHead) {
	j.size, j.last, j.micros, j.frontier = from.Size, from.Last, from.Time, slices.Clone(from.Frontier)
	j.good, j.covered = [2]int64{from.Size, from.Size}, from.Size
}

func (j *judge) head() hub.AuditHead {
	return hub.AuditHead{Log: j.log, Size: j.size, Last: j.last, Time: j.micros, Frontier: slices.Clone(j.frontier)}
}

// push takes the next row. It reports whether more are wanted.
func (j *judge) push(r row) bool {
	next := &j.rows[j.turn]
	j.turn = 1 - j.turn
	next.weigh(r)
	if j.search != nil {
		j.search.see(next)
		return true
	}
	if j.held != nil {
		j.decide(j.held, next)
	}
	j.held = next
	if j.search != nil {
		j.search.see(next)
	}
	return j.fault == nil
}

// finish decides on the last row and gives the first fault, or nil.
func (j *judge) finish() *Fault {
	if j.search == nil && j.fault == nil && j.held != nil {
		j.decide(j.held, nil)
	}
	switch {
	case j.search != nil:
		return j.search.result()
	case j.fault != nil:
		return j.fault
	}
	return j.pending
}

// decide takes w as the next entry or finds what is wrong; next is the row
// behind it, nil at the end.
func (j *judge) decide(w, next *weighed) {
	if j.size == 0 && j.log == "" && w.err == nil {
		j.log = unquote(w.field[fLog])
	}
	if fault := j.examine(w, next); fault != nil {
		j.fault = fault
		return
	}
	if j.search != nil {
		return
	}
	if j.pending != nil {
		j.fault = j.pending
		return
	}
	j.accept(w)
}

// accept moves the end behind w and compares the checkpoints of that size.
func (j *judge) accept(w *weighed) {
	j.frontier = grow(j.frontier, j.size, w.hash)
	j.size++
	j.last, j.lastPrev, j.micros = w.hash, w.prev, w.micros
	for ; j.claim < len(j.claims.list) && j.claims.list[j.claim].size <= j.size; j.claim++ {
		if c := &j.claims.list[j.claim]; c.size == j.size && !c.noRoot {
			j.compare(c)
		}
	}
}

// compare holds a claim against the entries. Where one from outside does not
// agree, the log's own are no witness for what stands before it: whoever has the
// key can sign anything.
func (j *judge) compare(c *claim) {
	whose, side := "the log's own checkpoint", 0
	if c.outside {
		whose, side = "the checkpoint kept outside", 1
	}
	if root(j.frontier) == c.root {
		j.agreed++
		j.good[0], j.good[side] = j.size, j.size
		if c.covers {
			j.covered = j.size
		}
		return
	}
	if good := j.good[side]; j.pending == nil {
		j.pending = fault(CheckpointMismatch, good, j.size-good,
			"the entries fit together, but not %s of %d entries: one of the last %d was rewritten with all after it", whose, j.size, j.size-good)
	}
}

// fits reports whether w is the entry that must come next.
func (j *judge) fits(w *weighed) bool {
	return w.flaw == sound && w.err == nil && w.hash == w.stored && w.seq == j.size && w.prev == j.last && w.micros >= j.micros && j.sameLog(w)
}

func (j *judge) sameLog(w *weighed) bool {
	if string(w.field[fLog]) == j.logQuoted {
		return true
	}
	if unquote(w.field[fLog]) != j.log {
		return false
	}
	j.logQuoted = string(w.field[fLog])
	return true
}

// examine tells what is wrong with w, nil if nothing is or if a search was begun
// to find out.
func (j *judge) examine(w, next *weighed) *Fault {
	n := j.size
	if j.fits(w) {
		if w.column >= 0 && w.column != n {
			return fault(Reordered, n, 1, "the entry is stored under number %d", w.column)
		}
		return nil
	}
	extra := next != nil && j.fits(next) // without w the log would go on
	moved := w.flaw != noEntry && w.hash == w.stored && w.err == nil && w.seq > n
	switch {
	case moved:
		j.search = &search{want: n, moved: w.seq, extra: extra, rows: n + 1}
		return nil
	case extra:
		return fault(Inserted, n, 1, "the entry behind it is the one that was sealed here")
	case w.flaw == noEntry:
		return fault(NotCanonical, n, 1, "what stands here does not have the form of an entry")
	case w.flaw == wrongCell:
		return fault(Edited, n, 1, "a column says something else than the entry")
	case w.hash != w.stored:
		return j.wrongHash(w, next)
	case w.err != nil:
		return fault(NotCanonical, n, 1, "%v", w.err)
	case w.seq < n:
		return j.repeated(w)
	case w.prev != j.last:
		return j.brokenLink(w, next)
	case !j.sameLog(w):
		return fault(Foreign, n, 1, "it belongs to log %.80s", unquote(w.field[fLog]))
	}
	return fault(Edited, n, 1, "its time is before that of the entry in front")
}

func fault(kind FaultKind, seq, count int64, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Sequence: seq, Count: count, Detail: fmt.Sprintf(format, args...)}
}

// wrongHash is for an entry whose bytes do not give the hash beside it: which of
// the two was changed, the next entry tells.
func (j *judge) wrongHash(w, next *weighed) *Fault {
	if next != nil && next.err == nil && next.prev == w.hash {
		return fault(HashMismatch, j.size, 1, "the next entry confirms the entry, so the hash beside it was changed")
	}
	return fault(Edited, j.size, 1, "its bytes do not give the hash beside it")
}

// repeated is for a number that was there before. If both are chained to the
// same entry, one of the two was slipped in; which, does not matter here.
func (j *judge) repeated(w *weighed) *Fault {
	if w.seq == j.size-1 && w.prev == j.lastPrev {
		return fault(Inserted, w.seq, 1, "there are two entries with this number")
	}
	return fault(Inserted, j.size, 1, "an entry with number %d, which was there before", w.seq)
}

// brokenLink is for an entry with the right number that names another hash than
// that of the entry in front: if the next entry confirms it, the one in front
// was changed and given a new hash.
func (j *judge) brokenLink(w, next *weighed) *Fault {
	vouched := next == nil || next.err == nil && next.prev == w.hash
	if j.size > 0 && vouched {
		return fault(Edited, j.size-1, 1, "the next entry names another hash for it: it was changed and given a new one")
	}
	return fault(Edited, j.size, 1, "it names another hash for the entry in front, and nothing confirms it")
}

// A search reads on after an entry whose number comes too early, to tell what
// became of the one wanted.
type search struct {
	want, moved int64 // the number wanted, the number found in its place
	extra       bool  // the one wanted follows at once
	rows        int64 // in all
	again       bool  // the number found comes again
	found       bool  // the number wanted comes later
}

func (s *search) see(w *weighed) {
	s.rows++
	if w.err == nil {
		s.found = s.found || w.seq == s.want
		s.again = s.again || w.seq == s.moved
	}
}

func (s *search) result() *Fault {
	switch {
	case s.extra && (s.again || s.moved >= s.rows):
		return fault(Inserted, s.want, 1, "an entry with number %d, which is not its place", s.moved)
	case s.extra, s.found:
		return fault(Reordered, s.want, 1, "entry %d stands here, entry %d comes later", s.moved, s.want)
	}
	return fault(Deleted, s.want, s.moved-s.want, "entry %d follows entry %d", s.moved, s.want-1)
}
