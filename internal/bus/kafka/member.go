package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// protocolName is the way in which members share partitions out. Members with
	// another name cannot be in the same group.
	protocolName = "tocsin-cooperative-1"
	// commitCount is after how many messages progress is stored without waiting.
	commitCount = 1000
	// leaveTimeout bounds what is tried at the end; the group gets over it if it
	// fails.
	leaveTimeout = 5 * time.Second
)

// A member is this process in a consumer group. One goroutine does all of it:
// joining, heartbeats, commits. The consumer group of the library is not used:
// it gives all partitions up whenever anything happens, also when a broker is
// away for a moment.
type member struct {
	g *group

	// What follows belongs to the goroutine.
	id         string
	generation int
	joined     bool
	failures   int // in a row, to join
	warned     bool

	mu      sync.Mutex    // guards contact and session
	contact time.Time     // the coordinator confirmed the membership then or later
	session time.Duration // how long that holds

	leaving  chan struct{}   // closed when the group is to be left
	ctx      context.Context // ends when that takes too long
	cancel   context.CancelFunc
	done     sync.WaitGroup
	work     sync.WaitGroup // readers of partitions
	dirty    chan struct{}  // tells that there is progress to commit
	urgent   chan struct{}  // tells that there is much of it
	freed    chan struct{}  // tells that nothing is in flight of a closing partition
	finished atomic.Int64
	result   error // of the last commit
}

func newMember(g *group) *member {
	m := &member{
		g: g, contact: time.Now(), session: g.bus.opts.Session, leaving: make(chan struct{}),
		dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
	m.ctx, m.cancel = context.WithCancel(g.bus.ctx)
	return m
}

// stop commits what was done and leaves the group. A round of sharing the
// partitions out that is under way is waited for: in its middle nothing can be
// committed.
func (m *member) stop() error {
	close(m.leaving)
	defer time.AfterFunc(leaveTimeout, m.cancel).Stop()
	m.done.Wait()
	m.cancel()
	return m.result
}

func (m *member) stopping() bool {
	select {
	case <-m.leaving:
		return true
	case <-m.ctx.Done():
		return true
	default:
		return false
	}
}

// progressed says that one more message is done.
func (m *member) progressed() {
	if m.finished.Add(1)%commitCount == 0 {
		wake(m.urgent)
	} else {
		wake(m.dirty)
	}
}

func (m *member) run() {
	defer m.leave()
	beat := time.NewTicker(m.g.bus.opts.Heartbeat)
	defer beat.Stop()
	var late <-chan time.Time // when progress is to be committed
	for !m.stopping() {
		if !m.joined {
			m.tryJoin()
			continue
		}
		select {
		case <-beat.C:
			m.judge(m.heartbeat())
			m.handOver()
		case <-m.dirty:
			if late == nil {
				late = time.After(m.g.bus.opts.Commit)
			}
		case <-late:
			late = nil
			m.judge(m.commit(m.ctx))
		case <-m.urgent:
			late = nil
			m.judge(m.commit(m.ctx))
		case <-m.freed:
			m.handOver()
		case <-m.leaving:
		case <-m.ctx.Done():
		}
	}
}

// handOver gives up the partitions that others are to have and that are at rest,
// and joins again, so that the others get them.
func (m *member) handOver() {
	these, late := m.g.quit(time.Now())
	if len(these) == 0 {
		return
	}
	err := m.commit(m.ctx)
	m.judge(err)
	if err != nil && !late {
		return // the next heartbeat comes here again
	}
	m.lose(these)
	m.joined = false
}

func (m *member) lose(these []*part) {
	for _, p := range these {
		m.g.takenBack.Add(int64(p.flying()))
	}
	m.g.lose(these...)
}

func (p *part) flying() int {
	p.group.mu.Lock()
	defer p.group.mu.Unlock()
	return p.inFlight
}

// judge draws the consequences of what the coordinator said.
func (m *member) judge(err error) {
	switch {
	case m.ctx.Err() != nil:
	case err == nil:
	case errors.Is(err, kafka.RebalanceInProgress):
		m.joined = false
	case errors.Is(err, kafka.UnknownMemberId), errors.Is(err, kafka.IllegalGeneration), errors.Is(err, kafka.FencedInstanceID):
		// Others may have the partitions already.
		if errors.Is(err, kafka.UnknownMemberId) {
			m.id = ""
		}
		m.expelled("the group has gone on without this member", err)
	default:
		if m.left() <= 0 {
			m.expelled("the group was out of reach for longer than it waits", err)
		}
	}
}

// left is how long this member may rely on having its partitions: after that the
// coordinator may give them to others.
func (m *member) left() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Until(m.contact.Add(m.session))
}

func (m *member) sessionTime() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// longestSession is what is asked for at most; brokers accept 30 minutes.
const longestSession = 2 * time.Minute

// lengthen asks for a longer session from now on, because the brokers find this
// one too short.
func (m *member) lengthen() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session >= longestSession {
		return false
	}
	m.session = min(2*m.session, longestSession)
	m.g.bus.log.Info("the brokers want longer sessions", "group", m.g.id, "session", m.session)
	return true
}

func (m *member) touch(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact = at
}

// within gives a context for a request to the coordinator. It ends in time for
// the partitions to be given up, if they must be.
func (m *member) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, min(limit, max(m.left(), time.Millisecond)))
}

// confirm notes that the coordinator took a request for that of a member that was
// sent at a time, and passes on what it said.
func (m *member) confirm(sent time.Time, err error) error {
	if err == nil || errors.Is(err, kafka.RebalanceInProgress) {
		m.touch(sent)
	}
	return err
}

func (m *member) expelled(why string, err error) {
	m.joined = false
	held := m.g.held()
	if len(held) == 0 {
		return
	}
	m.lose(held)
	m.g.bus.log.Warn("all partitions were lost: "+why, "group", m.g.id, "partitions", len(held), "error", err)
}

func (m *member) tryJoin() {
	err := m.join()
	if err == nil {
		if m.warned {
			m.g.bus.log.Info("back in the consumer group", "group", m.g.id)
		}
		m.failures, m.warned = 0, false
		return
	}
	if m.ctx.Err() != nil {
		return
	}
	if errors.Is(err, kafka.InvalidSessionTimeout) && m.lengthen() {
		return
	}
	m.judge(err)
	if errors.Is(err, kafka.RebalanceInProgress) || errors.Is(err, kafka.UnknownMemberId) {
		return
	}
	wait := min(rereadMin<<min(m.failures, 10), 2*time.Second)
	if m.failures++; !m.warned && m.failures > 8 { // some seconds
		m.warned = true
		m.g.bus.log.Warn("the consumer group cannot be joined; trying again", "group", m.g.id, "error", err)
	}
	pause(wait, m.leaving)
}

func (m *member) heartbeat() error {
	ctx, cancel := m.within(m.ctx, askTimeout)
	defer cancel()
	return m.confirm(time.Now(), m.g.bus.cluster.beat(ctx, m.g.id, m.generation, m.id))
}

// leave commits what was done, gives everything up and tells the others.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), leaveTimeout)
	defer cancel()
	m.result = m.commit(ctx)
	m.g.lose(m.g.held()...)
	if m.id != "" {
		_, _ = m.g.bus.cluster.client.LeaveGroup(ctx, &kafka.LeaveGroupRequest{
			GroupID: m.g.id, Members: []kafka.LeaveGroupRequestMember{{ID: m.id}},
		}) // if it fails, the others wait for the end of the session
	}
	m.work.Wait()
}
