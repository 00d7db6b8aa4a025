package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// offsets gives what was committed for partitions; -1 where nothing was.
func (m *member) offsets(partitions []int) (map[int]int64, error) {
	ctx, cancel := m.within(m.ctx, askTimeout)
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
	if err := m.confirm(time.Now(), m.send(ctx, changed)); err != nil {
		wake(m.dirty)
		return err
	}
	for _, c := range changed {
		i := slices.IndexFunc(held, func(p *part) bool { return p.no == c.Partition })
		held[i].stored = c.Offset
	}
	return nil
}

func (m *member) send(ctx context.Context, changed []kafka.OffsetCommit) error {
	ctx, cancel := m.within(ctx, askTimeout)
	defer cancel()
	res, err := m.g.bus.cluster.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: m.g.id, GenerationID: m.generation, MemberID: m.id,
		Topics: map[string][]kafka.OffsetCommit{m.g.topic.full: changed},
	})
	if err != nil {
		return err
	}
	m.g.bus.cluster.answered()
	for _, x := range res.Topics[m.g.topic.full] {
		if x.Error != nil {
			return x.Error
		}
	}
	return nil
}
