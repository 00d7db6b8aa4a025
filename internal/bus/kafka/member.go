package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
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
	contact    time.Time // when the coordinator last confirmed the membership
	failures   int       // in a row, to join
	warned     bool

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
		g: g, contact: time.Now(), leaving: make(chan struct{}),
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
		m.contact = time.Now()
	case errors.Is(err, kafka.RebalanceInProgress):
		m.contact = time.Now()
		m.joined = false
	case errors.Is(err, kafka.UnknownMemberId), errors.Is(err, kafka.IllegalGeneration), errors.Is(err, kafka.FencedInstanceID):
		// Others may have the partitions already.
		if errors.Is(err, kafka.UnknownMemberId) {
			m.id = ""
		}
		m.expelled("the group has gone on without this member", err)
	default:
		if time.Since(m.contact) > m.g.bus.opts.Session {
			m.expelled("the group was out of reach for longer than it waits", err)
		}
	}
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

// join takes part in a round of sharing the partitions out. Those that this
// member has go on meanwhile.
func (m *member) join() error {
	_ = m.commit(m.ctx) // if others get a partition of ours, they should begin late
	joined, err := m.askToJoin()
	if errors.Is(err, kafka.MemberIDRequired) {
		joined, err = m.askToJoin() // with the id that came with the refusal
	}
	if err != nil {
		return fmt.Errorf("join the group: %w", err)
	}
	m.contact = time.Now()
	m.generation = joined.GenerationID
	mine, err := m.sync(joined)
	if err != nil {
		return fmt.Errorf("share the partitions out: %w", err)
	}
	m.contact = time.Now()
	m.g.rebalanced.Add(1)
	if err := m.adopt(mine); err != nil {
		return fmt.Errorf("begin with new partitions: %w", err)
	}
	m.joined = true
	return nil
}

func (m *member) askToJoin() (*kafka.JoinGroupResponse, error) {
	o := &m.g.bus.opts
	// The coordinator answers when all members have come, or have not for as long
	// as a session.
	ctx, cancel := context.WithTimeout(m.ctx, o.Session+askTimeout)
	defer cancel()
	var owned []int
	for _, p := range m.g.held() {
		owned = append(owned, p.no)
	}
	res, err := m.g.bus.cluster.client.JoinGroup(ctx, &kafka.JoinGroupRequest{
		GroupID: m.g.id, MemberID: m.id, SessionTimeout: o.Session, RebalanceTimeout: o.Session, ProtocolType: "consumer",
		Protocols: []kafka.GroupProtocol{{Name: protocolName, Metadata: kafka.GroupProtocolSubscription{
			Topics:          []string{m.g.topic.full},
			OwnedPartitions: map[string][]int{m.g.topic.full: owned},
			UserData:        []byte(strconv.Itoa(m.generation)),
		}}},
	})
	if err != nil {
		return nil, err
	}
	if errors.Is(res.Error, kafka.MemberIDRequired) {
		m.id = res.MemberID
	}
	if res.Error != nil {
		return nil, res.Error
	}
	m.id = res.MemberID
	return res, nil
}

// sync tells the coordinator who gets what, if this member is the one to say,
// and gives what this member gets.
func (m *member) sync(joined *kafka.JoinGroupResponse) ([]int, error) {
	o := &m.g.bus.opts
	ctx, cancel := context.WithTimeout(m.ctx, o.Session+askTimeout)
	defer cancel()
	req := &syncgroup.Request{
		GroupID: m.g.id, GenerationID: int32(joined.GenerationID), MemberID: m.id, ProtocolType: "consumer", ProtocolName: protocolName,
	}
	if joined.LeaderID == m.id {
		all, err := m.assign(joined.Members)
		if err != nil {
			return nil, err
		}
		req.Assignments = all
	}
	// The library's own call reads the assignment before the error, and fails with
	// an end of file when there is only that.
	res, err := m.g.bus.cluster.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := res.(*syncgroup.Response)
	if answer.ErrorCode != 0 {
		return nil, kafka.Error(answer.ErrorCode)
	}
	return m.assigned(answer.Assignments)
}

func (m *member) assigned(text []byte) (mine []int, err error) {
	var x consumer.Assignment
	if err := protocol.Unmarshal(text, consumer.MaxVersionSupported, &x); err != nil {
		return nil, fmt.Errorf("read what the group gives: %w", err)
	}
	for _, t := range x.AssignedPartitions {
		for _, no := range t.Partitions {
			if t.Topic == m.g.topic.full {
				mine = append(mine, int(no))
			}
		}
	}
	return mine, nil
}

// adopt begins with partitions that are new to this member, and begins to give
// up those that it is to have no longer.
func (m *member) adopt(mine []int) error {
	var fresh []int
	held := m.g.held()
	for _, no := range mine {
		if !slices.ContainsFunc(held, func(p *part) bool { return p.no == no }) {
			fresh = append(fresh, no)
		}
	}
	for _, p := range held {
		if !slices.Contains(mine, p.no) {
			m.g.close(p, time.Now().Add(m.g.bus.opts.Grace))
		}
	}
	if len(fresh) > 0 {
		from, err := m.offsets(fresh)
		if err != nil {
			return err
		}
		var added []*part
		for _, no := range fresh {
			added = append(added, newPart(m.g, no, from[no]))
		}
		m.g.begin(added)
	}
	wake(m.freed) // what is closing may be at rest already
	return nil
}

// offsets gives what was committed for partitions; -1 where nothing was.
func (m *member) offsets(partitions []int) (map[int]int64, error) {
	ctx, cancel := context.WithTimeout(m.ctx, askTimeout)
	defer cancel()
	return m.g.bus.cluster.committed(ctx, m.g.id, m.g.topic.full, partitions)
}

func (c *cluster) committed(ctx context.Context, group, topic string, partitions []int) (map[int]int64, error) {
	res, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err != nil {
		return nil, err
	}
	if res.Error != nil {
		return nil, res.Error
	}
	all := map[int]int64{}
	for _, x := range res.Topics[topic] {
		if x.Error != nil {
			return nil, x.Error
		}
		all[x.Partition] = x.CommittedOffset
	}
	for _, no := range partitions {
		if _, told := all[no]; !told {
			return nil, fmt.Errorf("the coordinator's answer leaves partition %d out", no)
		}
	}
	return all, nil
}

func (m *member) heartbeat() error {
	ctx, cancel := context.WithTimeout(m.ctx, min(askTimeout, m.g.bus.opts.Session/3))
	defer cancel()
	return m.g.bus.cluster.beat(ctx, m.g.id, m.generation, m.id)
}

// commit stores the place up to which everything is done, of all partitions.
// The generation goes with it: the coordinator refuses what comes from a member
// that the group has gone on without.
func (m *member) commit(ctx context.Context) error {
	var changed []kafka.OffsetCommit
	held := m.g.held()
	for _, p := range held {
		if done := p.done.Load(); done >= 0 && done != p.stored {
			changed = append(changed, kafka.OffsetCommit{Partition: p.no, Offset: done})
		}
	}
	if len(changed) == 0 || m.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(askTimeout, m.g.bus.opts.Session/3))
	defer cancel()
	res, err := m.g.bus.cluster.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: m.g.id, GenerationID: m.generation, MemberID: m.id,
		Topics: map[string][]kafka.OffsetCommit{m.g.topic.full: changed},
	})
	if err != nil {
		wake(m.dirty)
		return err
	}
	m.g.bus.cluster.answered()
	for _, x := range res.Topics[m.g.topic.full] {
		if x.Error != nil {
			wake(m.dirty)
			return x.Error
		}
	}
	for _, c := range changed {
		i := slices.IndexFunc(held, func(p *part) bool { return p.no == c.Partition })
		held[i].stored = c.Offset
	}
	return nil
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
