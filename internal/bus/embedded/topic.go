package embedded

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// A topic is an open topic.
type topic struct {
	bus   *Bus
	row   store.TopicRow
	opts  Topic
	parts []*partition

	groups    atomic.Pointer[[]*group] // those at work since the bus was opened; replaced under bus.mu
	published atomic.Int64
}

func newTopic(b *Bus, row store.TopicRow, opts Topic) *topic {
	if opts.Retain == 0 {
		opts.Retain = time.Hour
	}
	t := &topic{bus: b, row: row, opts: opts}
	t.groups.Store(&[]*group{})
	for i := range row.Partitions {
		t.parts = append(t.parts, &partition{
			base: store.Position(row.No, i, 0), counter: fmt.Sprintf("bus.%d.%d", row.No, i),
		})
	}
	return t
}

// load reads where the partitions end. It only ever moves their ends on, so that
// it can be used again when that is in doubt.
func (t *topic) load(r *store.Reader) error {
	for _, p := range t.parts {
		n, err := r.CounterValue(p.counter)
		if err != nil {
			return err
		}
		p.atLeast(p.base + n)
	}
	return nil
}

// partition gives the partition of a key: FNV-1a, which must never change,
// because the messages of a key that are stored already lie where it says.
func (t *topic) partition(key string) *partition {
	if len(t.parts) == 1 {
		return t.parts[0]
	}
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return t.parts[h%uint32(len(t.parts))]
}

// backlog is how many messages the slowest group at work has before it.
func (t *topic) backlog() int64 {
	var most int64
	for _, g := range *t.groups.Load() {
		most = max(most, g.lag())
	}
	return most
}

// admit refuses to publish if the backlog is full.
func (t *topic) admit() error {
	if t.opts.MaxBacklog == 0 {
		return nil
	}
	n := t.backlog()
	if n < t.opts.MaxBacklog {
		return nil
	}
	return &hub.Error{
		Kind: hub.Transient, RetryAfter: 5 * time.Second,
		Msg: fmt.Sprintf("the backlog of %s is full: %d messages wait to be handled; nothing was accepted, try again later", t.row.Name, n),
	}
}

func (t *topic) wake() {
	for _, g := range *t.groups.Load() {
		g.signal()
	}
}

// Bounds of the messages that a partition keeps in memory for groups that keep
// up.
const (
	tailCount = 4096
	tailBytes = 8 << 20
)

// A partition knows where its log ends, and the messages there.
type partition struct {
	base    int64  // the place before its first message
	counter string // of its offsets

	head atomic.Int64 // the place of the newest committed message, or base

	mu    sync.Mutex // guards the tail
	tail  []*store.MessageRow
	from  int64 // the tail holds every message behind it, without a gap in the numbers
	bytes int
}

// committed takes messages over that were committed. It is called in the order
// of the commits.
func (p *partition) committed(row *store.MessageRow, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if row.Pos <= p.head.Load() {
		return // load was faster; it is read from the table
	}
	if !keep || row.Pos != p.head.Load()+1 {
		// Numbers that are left out may be messages of a commit whose answer was
		// lost: what lies before must be read from the table.
		p.clear(row.Pos - 1)
	}
	if !keep {
		p.from = row.Pos
	} else {
		p.tail = append(p.tail, row)
		p.bytes += len(row.Payload)
		p.trim()
	}
	p.head.Store(row.Pos)
}

func (p *partition) clear(from int64) {
	clear(p.tail)
	p.tail, p.from, p.bytes = p.tail[:0], from, 0
}

// trim drops the older half when there is too much.
func (p *partition) trim() {
	if len(p.tail) <= tailCount && (p.bytes <= tailBytes || len(p.tail) == 1) {
		return
	}
	half := (len(p.tail) + 1) / 2
	for _, m := range p.tail[:half] {
		p.bytes -= len(m.Payload)
	}
	p.from = p.tail[half-1].Pos
	kept := copy(p.tail, p.tail[half:])
	clear(p.tail[kept:])
	p.tail = p.tail[:kept]
}

// atLeast moves the end on.
func (p *partition) atLeast(pos int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pos <= p.head.Load() {
		return false
	}
	p.clear(pos)
	p.head.Store(pos)
	return true
}

// recent appends up to limit messages behind after to into, if they are in
// memory, and gives the place up to which it looked.
func (p *partition) recent(after int64, limit int, into []*store.MessageRow) ([]*store.MessageRow, int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if after < p.from {
		return into, 0, false
	}
	part := p.tail[min(int(after-p.from), len(p.tail)):]
	if len(part) > limit {
		part = part[:limit]
		return append(into, part...), part[limit-1].Pos, true
	}
	return append(into, part...), p.head.Load(), true
}
