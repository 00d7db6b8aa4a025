package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

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
	m.generation = joined.GenerationID
	mine, err := m.sync(joined)
	if err != nil {
		return fmt.Errorf("share the partitions out: %w", err)
	}
	m.touch(time.Now())
	m.g.rebalanced.Add(1)
	if err := m.adopt(mine); err != nil {
		return fmt.Errorf("begin with new partitions: %w", err)
	}
	m.joined = true
	return nil
}

// askToJoin asks to be in the next round. The coordinator answers when all
// members have asked, or were away for as long as a session.
func (m *member) askToJoin() (*kafka.JoinGroupResponse, error) {
	session := m.sessionTime()
	var owned []int
	for _, p := range m.g.held() {
		owned = append(owned, p.no)
	}
	ctx, cancel := context.WithTimeout(m.ctx, 2*session)
	defer cancel()
	if len(owned) > 0 {
		defer m.vigil(ctx, cancel)()
	}
	res, err := m.g.bus.cluster.client.JoinGroup(ctx, &kafka.JoinGroupRequest{
		GroupID: m.g.id, MemberID: m.id, ProtocolType: "consumer", SessionTimeout: session,
		// A member that does not come is out after this time. It must have given up
		// its partitions by then, and learns that it must come with a heartbeat.
		RebalanceTimeout: session + 2*m.g.bus.opts.Heartbeat,
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
	m.touch(time.Now())
	return res, nil
}

// vigil shows the coordinator that this member lives while it waits for a round,
// and ends the wait by cancel when the partitions must be given up. The function
// that it gives ends the vigil.
func (m *member) vigil(ctx context.Context, cancel context.CancelFunc) (end func()) {
	var done sync.WaitGroup
	id, generation := m.id, m.generation
	done.Go(func() {
		for {
			if pause(min(m.g.bus.opts.Heartbeat, max(m.left(), 0)), ctx.Done()); ctx.Err() != nil {
				return
			}
			beat, over := m.within(ctx, askTimeout)
			// When the round is over, the generation is another: JoinGroup says so too.
			err := m.confirm(time.Now(), m.g.bus.cluster.beat(beat, m.g.id, generation, id))
			over()
			if errors.Is(err, kafka.UnknownMemberId) || m.left() <= 0 {
				cancel()
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// sync tells the coordinator who gets what, if this member is the one to say,
// and gives what this member gets.
func (m *member) sync(joined *kafka.JoinGroupResponse) ([]int, error) {
	ctx, cancel := m.within(m.ctx, m.sessionTime())
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
