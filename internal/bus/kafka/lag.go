package kafka

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
)

// backlogEvery is how often the backlog of topics that bound it is found out.
const backlogEvery = 2 * time.Second

// Lag tells how many messages of a topic a group has not done, in all processes
// together. The group must be at work in this one.
func (b *Bus) Lag(topic, name string) (int64, error) {
	b.mu.Lock()
	g := b.groups[groupName{topic, name}]
	b.mu.Unlock()
	if g == nil {
		return 0, hub.E(hub.NotFound, fmt.Sprintf("no group %q is at work on topic %q", name, topic))
	}
	ctx, cancel := context.WithTimeout(b.ctx, askTimeout)
	defer cancel()
	n, err := g.lag(ctx)
	if err != nil {
		return 0, unreachable(err)
	}
	return n, nil
}

// lag counts from what is done, as this process knows it of its own partitions
// and Kafka of the others, to the ends as Kafka tells them now: a reader that has
// no room does not look for more.
func (g *group) lag(ctx context.Context) (int64, error) {
	done := map[int]int64{}
	for _, p := range g.held() {
		if n := p.done.Load(); n >= 0 {
			done[p.no] = n
		}
	}
	var others []int
	for _, no := range g.topic.places {
		if _, own := done[no]; !own {
			others = append(others, no)
		}
	}
	if len(others) > 0 {
		committed, err := g.bus.cluster.committed(ctx, g.id, g.topic.full, others)
		if err != nil {
			return 0, err
		}
		maps.Copy(done, committed)
	}
	var n int64
	for _, no := range g.topic.places {
		behind, err := g.bus.cluster.behind(ctx, g.topic.full, no, done[no])
		if err != nil {
			return 0, err
		}
		n += behind
	}
	return n, nil
}

// behind is how many messages lie behind what was committed of a partition; -1
// is nothing.
func (c *cluster) behind(ctx context.Context, topic string, partition int, committed int64) (int64, error) {
	if committed < 0 {
		first, end, err := c.ends(ctx, topic, partition)
		return end - first, err
	}
	end, err := c.offset(ctx, topic, kafka.LastOffsetOf(partition))
	return max(0, end-committed), err
}

// followBacklogs keeps the backlogs known by which publishing is refused.
func (b *Bus) followBacklogs() {
	for b.ctx.Err() == nil {
		for _, t := range *b.topics.Load() {
			if t.opts.MaxBacklog > 0 {
				b.followBacklog(t)
			}
		}
		pause(backlogEvery, b.ctx.Done())
	}
}

// followBacklog finds out how far the slowest group at work here is behind. If
// Kafka does not say, what was known before stays.
func (b *Bus) followBacklog(t *topic) {
	b.mu.Lock()
	var groups []*group
	for name, g := range b.groups {
		if name.topic == t.name {
			groups = append(groups, g)
		}
	}
	b.mu.Unlock()
	var most int64
	for _, g := range groups {
		ctx, cancel := context.WithTimeout(b.ctx, askTimeout)
		n, err := g.lag(ctx)
		cancel()
		if err != nil {
			return
		}
		most = max(most, n)
	}
	t.behind.Store(most)
}
