package embedded

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// Bounds of what a group has read and not done.
const (
	readChunk = 512     // messages read at once
	loadBytes = 8 << 20 // payload in memory, beyond which nothing more is read
	// maxSpan is how far a group reads on past a message that is not done, in
	// places of the log: so much may come again after a crash.
	maxSpan = 1 << 16
	// rereadAfter is the pause after the store could not be read.
	rereadAfter = 200 * time.Millisecond
)

// Group says how a consumer group takes its messages. Zero values have the
// defaults named.
type Group struct {
	// Name of the group: the stage it stands for, such as triage.
	Name string
	// Window is how many messages may be in flight to handlers; 256.
	Window int
	// KeyConcurrency is how many messages of one key may be in flight; 1, which
	// keeps their order.
	KeyConcurrency int
	// Coalesce lets any number of messages of one key be in flight, for a consumer
	// that puts them in order itself: a storm of one key then goes at full speed.
	Coalesce bool
}

func (c *Group) fill() {
	if c.Window <= 0 {
		c.Window = 256
	}
	if c.KeyConcurrency <= 0 {
		c.KeyConcurrency = 1
	}
}

// An item is a message that a group has read and not done.
type item struct {
	row      *store.MessageRow
	cur      *cursor
	seq      int // in the cursor
	attempts int // deliveries that were refused
	internal int // of those, with an internal error
	next     *item
}

// A lane is what a group holds of one key: those that are out, to be handed
// out or waiting for their pause to end, and those behind them.
type lane struct {
	out        int
	first, end *item
}

// A group is the work of one consumer group on one topic, for all its
// subscriptions in this process. It stays when they end, so that the next one
// goes on where they were.
type group struct {
	bus   *Bus
	topic *topic
	name  string
	wakes chan struct{} // tells one subscription to look

	mu       sync.Mutex // guards what follows, and the cursors
	conf     Group
	cursors  []*cursor
	ready    bus.FIFO[item]
	lanes    map[string]*lane // nil with Coalesce
	inFlight int              // handed out
	loaded   int              // items that are not done
	bytes    int              // of their payload
	reading  bool             // a subscription is reading

	delivered, redelivered, dead, flying atomic.Int64
}

func newGroup(t *topic, name string, rows []store.ConsumerRow) *group {
	g := &group{bus: t.bus, topic: t, name: name, wakes: make(chan struct{}, 1), lanes: map[string]*lane{}}
	for i, p := range t.parts {
		c := &cursor{part: p, no: i, read: p.base}
		for _, r := range rows {
			if r.Group == name && r.Partition == i {
				c.read = r.Pos
			}
		}
		c.done.Store(c.read)
		c.stored = c.read
		g.cursors = append(g.cursors, c)
	}
	return g
}

// signal wakes a subscription, which wakes the next if there is more to do.
func (g *group) signal() {
	select {
	case g.wakes <- struct{}{}:
	default:
	}
}

// lag is how many messages are not done, counting places in the log.
func (g *group) lag() int64 {
	var n int64
	for _, c := range g.cursors {
		n += max(0, c.part.head.Load()-c.done.Load())
	}
	return n
}

// take waits for the next item to be handed out; nil if stop was closed first.
func (g *group) take(stop <-chan struct{}) *item {
	for {
		select {
		case <-stop:
			g.signal() // a wake-up may have been meant for another
			return nil
		default:
		}
		it, read := g.poll()
		switch {
		case it != nil:
			g.signal() // there may be more, for another subscription
			return it
		case read:
			g.readMore(stop)
			continue
		}
		select {
		case <-g.wakes:
		case <-stop:
		}
	}
}

// poll gives an item if one can be handed out now, or tells that the caller must
// read more.
func (g *group) poll() (it *item, read bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight >= g.conf.Window {
		return nil, false
	}
	if it = g.ready.Pop(); it != nil {
		g.inFlight++
		g.flying.Store(int64(g.inFlight))
		return it, false
	}
	if g.reading || g.room() <= 0 || !g.behind() {
		return nil, false
	}
	g.reading = true
	return nil, true
}

// room is how many more items may be read.
func (g *group) room() int {
	if g.bytes >= loadBytes {
		return 0
	}
	return min(readChunk, max(1024, 4*g.conf.Window)-g.loaded)
}

func (g *group) behind() bool {
	for _, c := range g.cursors {
		if c.behind() {
			return true
		}
	}
	return false
}

// readMore reads what follows. Only one subscription at a time does.
func (g *group) readMore(stop <-chan struct{}) {
	g.mu.Lock()
	room := g.room()
	plan := make([]reading, 0, len(g.cursors))
	for _, c := range g.cursors {
		if c.behind() {
			plan = append(plan, reading{cur: c, after: c.read})
		}
	}
	g.mu.Unlock()
	err := g.load(plan, max(1, room/max(1, len(plan))))
	g.mu.Lock()
	for i := range plan {
		g.admit(&plan[i])
	}
	g.reading = false
	g.mu.Unlock()
	if err != nil {
		g.bus.log.Warn("reading the bus failed; trying again", "topic", g.topic.row.Name, "group", g.name, "error", err)
		pause(rereadAfter, stop)
	}
}

// pause waits for d or until stop is closed.
func pause(d time.Duration, stop <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	}
}

// A reading is a stretch of a partition's log.
type reading struct {
	cur        *cursor
	after, end int64 // end is 0 if it was not read
	rows       []*store.MessageRow
}

// load reads up to limit messages for each of plan, from memory or, for those
// that are too far behind, from the table.
func (g *group) load(plan []reading, limit int) error {
	stored := false
	for i := range plan {
		x, found := &plan[i], false
		if x.rows, x.end, found = x.cur.part.recent(x.after, limit, nil); !found {
			stored = true
		}
	}
	if !stored {
		return nil
	}
	return g.bus.st.View(context.Background(), func(r *store.Reader) error {
		for i := range plan {
			if plan[i].end != 0 {
				continue
			}
			if err := plan[i].scan(r, limit); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *reading) scan(r *store.Reader, limit int) error {
	head, bytes := x.cur.part.head.Load(), 0
	err := r.Messages(x.after, head, limit, func(m *store.MessageRow) bool {
		x.rows = append(x.rows, m)
		bytes += len(m.Payload)
		return bytes < loadBytes
	})
	if err != nil {
		x.rows = nil
		return err
	}
	x.end = head
	if len(x.rows) == limit || bytes >= loadBytes {
		x.end = x.rows[len(x.rows)-1].Pos
	}
	return nil
}

// admit takes what was read.
func (g *group) admit(x *reading) {
	if x.end == 0 {
		return
	}
	for _, row := range x.rows {
		it := &item{row: row, cur: x.cur, seq: x.cur.push(row.Pos)}
		g.loaded++
		g.bytes += len(row.Payload)
		g.enter(it)
	}
	x.cur.passed(x.end)
}

// enter puts an item into its lane, and makes it ready if there is none before
// it.
func (g *group) enter(it *item) {
	if g.conf.Coalesce {
		g.ready.Push(it)
		return
	}
	l := g.lanes[it.row.Key]
	if l == nil {
		l = new(lane)
		g.lanes[it.row.Key] = l
	}
	if l.out < g.conf.KeyConcurrency {
		l.out++
		g.ready.Push(it)
		return
	}
	if l.end == nil {
		l.first = it
	} else {
		l.end.next = it
	}
	l.end = it
}

// finish ends an item that was handed out: it is done.
func (g *group) finish(it *item) {
	g.mu.Lock()
	g.inFlight--
	g.flying.Store(int64(g.inFlight))
	g.loaded--
	g.bytes -= len(it.row.Payload)
	it.cur.finish(it.seq)
	g.leave(it)
	g.mu.Unlock()
	g.signal()
	g.bus.progressed()
}

// leave lets the next of the item's key go.
func (g *group) leave(it *item) {
	l := g.lanes[it.row.Key]
	if l == nil {
		return
	}
	if next := l.first; next != nil {
		if l.first = next.next; l.first == nil {
			l.end = nil
		}
		next.next = nil
		g.ready.Push(next)
		return
	}
	if l.out--; l.out == 0 {
		delete(g.lanes, it.row.Key)
	}
}

// land takes an item out of flight without finishing it; it keeps its place in
// its lane.
func (g *group) land() {
	g.mu.Lock()
	g.inFlight--
	g.flying.Store(int64(g.inFlight))
	g.mu.Unlock()
	g.signal()
}

// again makes an item ready that was landed, before all others.
func (g *group) again(it *item) {
	g.mu.Lock()
	g.ready.Unshift(it)
	g.mu.Unlock()
	g.signal()
}

// progress gives the rows that are to be stored.
func (g *group) progress(rows []store.ConsumerRow, now time.Time) []store.ConsumerRow {
	for _, c := range g.cursors {
		if pos := c.done.Load(); pos != c.stored {
			rows = append(rows, store.ConsumerRow{Topic: g.topic.row.No, Group: g.name, Partition: c.no, Pos: pos, At: hub.Truncate(now)})
		}
	}
	return rows
}
