package kafka

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/internal/bus"
)

// Bounds of what is read of a partition and not done.
const (
	// loadBytes of payload in memory are the bound beyond which nothing more is
	// read.
	loadBytes = 2 << 20
	// maxSpan is how far a partition is read on past a message that is not done:
	// so much may come again after a crash.
	maxSpan = 1 << 16
)

// An item is a message that was read and is not done.
type item struct {
	rec      *record
	part     *part
	seq      int // in the partition's entries
	attempts int // deliveries that were refused
	internal int // of those, with an internal error
	next     *item
}

// A lane is what a partition holds of one key: those that are out, to be handed
// out or waiting for their pause to end, and those behind them.
type lane struct {
	out        int
	first, end *item
}

type entryDone struct {
	offset int64
	done   bool
}

// A part is a partition while this member has it. Its group's mutex guards it
// but for what is said otherwise.
type part struct {
	group *group
	no    int

	ctx    context.Context // ends when nothing more is read
	cancel context.CancelFunc
	// closing is closed when nothing more is handed out, because another member is
	// to have the partition; gone when what is in flight does not count any more.
	closing, gone chan struct{}
	until         time.Time // how long what is in flight is waited for, when closing
	left, lost    bool      // closing and gone are closed

	read    int64       // the offset of the next message to read; -1 from the oldest
	entries []entryDone // that were read and are not done, and those done behind them
	base    int         // sequence number of entries[0]
	front   int         // index of the first entry that is not done

	ready    bus.FIFO[item]
	lanes    map[string]*lane // nil with Coalesce
	inFlight int              // handed out
	loaded   int              // items that are not done
	bytes    int              // of their payload
	starved  bool             // the reader waits for room
	room     chan struct{}    // tells it that there is some

	done   atomic.Int64 // the offset of the first message that is not done
	head   atomic.Int64 // the offset behind the newest message; -1 if unknown
	stored int64        // of done, so much is committed; the member's own
}

func newPart(g *group, no int, from int64) *part {
	p := &part{
		group: g, no: no, read: from, stored: from, closing: make(chan struct{}), gone: make(chan struct{}), room: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(g.bus.ctx)
	if !g.conf.Coalesce {
		p.lanes = map[string]*lane{}
	}
	p.done.Store(from)
	p.head.Store(-1)
	return p
}

// full reports whether nothing more is to be read for now.
func (p *part) full() bool {
	return p.loaded >= max(1024, 4*p.group.conf.Window) || p.bytes >= loadBytes || p.read-p.done.Load() >= maxSpan
}

// admit takes what was read; next is the offset of the next message to read.
func (p *part) admit(recs []*record, next int64) {
	for _, r := range recs {
		it := &item{rec: r, part: p, seq: p.base + len(p.entries)}
		p.entries = append(p.entries, entryDone{offset: r.offset})
		p.loaded++
		p.bytes += len(r.payload)
		p.enter(it)
	}
	p.read = max(p.read, next)
	p.advance()
}

// enter puts an item into its lane, and makes it ready if there is none before
// it.
func (p *part) enter(it *item) {
	if p.lanes == nil {
		p.ready.Push(it)
		return
	}
	l := p.lanes[it.rec.key]
	if l == nil {
		l = new(lane)
		p.lanes[it.rec.key] = l
	}
	if l.out < p.group.conf.KeyConcurrency {
		l.out++
		p.ready.Push(it)
		return
	}
	if l.end == nil {
		l.first = it
	} else {
		l.end.next = it
	}
	l.end = it
}

// leave lets the next of the item's key go.
func (p *part) leave(it *item) {
	l := p.lanes[it.rec.key]
	if l == nil {
		return
	}
	if next := l.first; next != nil {
		if l.first = next.next; l.first == nil {
			l.end = nil
		}
		next.next = nil
		p.ready.Push(next)
		return
	}
	if l.out--; l.out == 0 {
		delete(p.lanes, it.rec.key)
	}
}

// finish ends an item: it is done.
func (p *part) finish(it *item) {
	p.loaded--
	p.bytes -= len(it.rec.payload)
	p.entries[it.seq-p.base].done = true
	if it.seq-p.base == p.front {
		p.advance()
	}
	p.leave(it)
	if p.starved && !p.full() {
		p.starved = false
		wake(p.room)
	}
}

// advance moves done over the finished prefix.
func (p *part) advance() {
	for p.front < len(p.entries) && p.entries[p.front].done {
		p.front++
	}
	switch {
	case p.front < len(p.entries):
		p.done.Store(p.entries[p.front].offset)
	case p.read >= 0:
		p.done.Store(p.read) // also over places without a message
	}
	if p.front == len(p.entries) {
		p.base += p.front
		p.entries, p.front = p.entries[:0], 0
	} else if p.front > 4096 && p.front > len(p.entries)/2 {
		kept := copy(p.entries, p.entries[p.front:])
		p.base += p.front
		p.entries, p.front = p.entries[:kept], 0
	}
}

// pop gives an item that can be handed out now.
func (p *part) pop() *item {
	if p.left || p.inFlight >= p.group.conf.Window {
		return nil
	}
	it := p.ready.Pop()
	if it != nil {
		p.inFlight++
	}
	return it
}

// lag is how many messages are not done, counting places in the log.
func (p *part) lag() int64 {
	head, done := p.head.Load(), p.done.Load()
	if head < 0 || done < 0 {
		return 0
	}
	return max(0, head-done)
}

// wake tells whoever waits for c, without waiting.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
