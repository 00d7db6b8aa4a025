package kafka

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Group says how a consumer group takes its messages. Zero values have the
// defaults named.
type Group struct {
	// Name of the group: the stage it stands for, such as triage.
	Name string
	// Window is how many messages of each partition may be in flight to handlers;
	// 256.
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

type groupName struct{ topic, group string }

// A tally counts what a group did on a topic since the bus was opened.
type tally struct {
	delivered, redelivered, dead, rebalanced, takenBack atomic.Int64
}

// A group is the work of one consumer group on one topic, for all its
// subscriptions in this process. It lives as long as there are any.
type group struct {
	*tally
	bus    *Bus
	topic  *topic
	name   string
	id     string // as Kafka calls it
	conf   Group
	member *member
	wakes  chan struct{} // tells one subscription to look

	users int // subscriptions; the bus's mutex guards it

	mu    sync.Mutex // guards what follows, and the parts
	parts []*part    // by number
	turn  int        // whose turn it is to give an item
}

// join gives the group of a topic for one more subscription, and makes it a
// member if it is the first.
func (b *Bus) join(t *topic, conf Group) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	name := groupName{t.name, conf.Name}
	g := b.groups[name]
	if g == nil {
		if b.tally[name] == nil {
			b.tally[name] = new(tally)
		}
		g = &group{
			tally: b.tally[name], bus: b, topic: t, name: conf.Name, conf: conf, wakes: make(chan struct{}, 1),
			id: b.opts.Prefix + conf.Name + "." + t.name,
		}
		g.member = newMember(g)
		g.member.done.Go(g.member.run)
		b.groups[name] = g
	}
	g.users++
	return g, nil
}

// drop ends the use of a group by one subscription. The last one waits until
// what was done is committed and the group is left.
func (g *group) drop() error {
	g.bus.mu.Lock()
	g.users--
	last := g.users == 0
	name := groupName{g.topic.name, g.name}
	if last && g.bus.groups[name] == g {
		delete(g.bus.groups, name)
	}
	g.bus.mu.Unlock()
	if !last {
		return nil
	}
	return g.member.stop()
}

// take waits for the next item to be handed out; nil if stop was closed first.
func (g *group) take(stop <-chan struct{}) *item {
	for {
		select {
		case <-stop:
			wake(g.wakes) // a wake-up may have been meant for another
			return nil
		default:
		}
		if it := g.poll(); it != nil {
			wake(g.wakes) // there may be more, for another subscription
			return it
		}
		select {
		case <-g.wakes:
		case <-stop:
		}
	}
}

// poll gives an item that can be handed out now, from each partition in turn.
func (g *group) poll() *item {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range g.parts {
		g.turn = (g.turn + 1) % len(g.parts)
		if it := g.parts[g.turn].pop(); it != nil {
			return it
		}
	}
	return nil
}

// admit takes what was read of a partition.
func (g *group) admit(p *part, recs []*record, next int64) {
	g.mu.Lock()
	if p.left {
		g.mu.Unlock()
		return
	}
	p.admit(recs, next)
	g.mu.Unlock()
	wake(g.wakes)
}

// finish ends an item that was handed out: it is done. Of a partition that was
// lost meanwhile nobody asks any more.
func (g *group) finish(it *item) {
	g.mu.Lock()
	g.ground(it.part)
	it.part.finish(it)
	g.mu.Unlock()
	wake(g.wakes)
	g.member.progressed()
}

// land takes an item out of flight without finishing it; it keeps its place in
// its lane.
func (g *group) land(it *item) {
	g.mu.Lock()
	g.ground(it.part)
	g.mu.Unlock()
	wake(g.wakes)
}

// ground counts one message of a partition less in flight.
func (g *group) ground(p *part) {
	if p.inFlight--; p.inFlight == 0 && p.left {
		wake(g.member.freed)
	}
}

// again makes an item ready that was landed, before all others.
func (g *group) again(it *item) {
	g.mu.Lock()
	it.part.ready.Unshift(it)
	g.mu.Unlock()
	wake(g.wakes)
}

// begin adds partitions that were given to this member.
func (g *group) begin(added []*part) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parts = append(g.parts, added...)
	slices.SortFunc(g.parts, func(x, y *part) int { return x.no - y.no })
	for _, p := range added {
		g.member.work.Go(p.fetch)
	}
}

// close stops handing out messages of a partition that another member is to
// have; what is in flight may still be finished until then.
func (g *group) close(p *part, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut(p, until)
}

func (g *group) shut(p *part, until time.Time) {
	if p.left {
		return
	}
	p.left, p.until = true, until
	close(p.closing)
	p.cancel()
}

// lose ends partitions at once: what is in flight of them counts for nothing
// any more. Those that were finished are committed already.
func (g *group) lose(these ...*part) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range these {
		g.shut(p, time.Time{})
		if !p.lost {
			p.lost = true
			close(p.gone)
		}
		g.parts = slices.DeleteFunc(g.parts, func(x *part) bool { return x == p })
	}
}

// held gives the partitions that this member has.
func (g *group) held() []*part {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.parts)
}

// quit gives the partitions that are closing of which nothing is in flight any
// more, or has been for too long. It also tells whether one is late.
func (g *group) quit(now time.Time) (these []*part, late bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.parts {
		if p.left && (p.inFlight == 0 || now.After(p.until)) {
			these = append(these, p)
			late = late || now.After(p.until)
		}
	}
	return these, late
}

// flying is how many messages are in flight here.
func (g *group) flying() (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.parts {
		n += int64(p.inFlight)
	}
	return n
}
