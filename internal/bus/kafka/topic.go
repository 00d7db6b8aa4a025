package kafka

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
)

// A topic is an open topic.
type topic struct {
	bus    *Bus
	name   string // as the hub calls it
	full   string // with the prefix, as Kafka calls it
	opts   Topic
	queues []*queue // what waits to be published, by partition
	places []int    // the numbers of the partitions, for the partitioner

	published, failed atomic.Int64
	behind            atomic.Int64 // the backlog of the slowest group at work here
}

func (b *Bus) newTopic(name string, found kafka.Topic) *topic {
	t := &topic{bus: b, name: name, full: b.opts.Prefix + name, opts: b.opts.Topics[name]}
	for i, p := range found.Partitions {
		t.queues = append(t.queues, &queue{topic: t, no: i, leader: p.Leader.ID, who: producerID{number: unnamed}})
		t.places = append(t.places, i)
	}
	return t
}

// partition gives the partition of a key as Kafka's own producers do, so that
// others may write to a topic without breaking the order of a key. It must never
// change.
func (t *topic) partition(key string) *queue {
	if len(t.queues) == 1 {
		return t.queues[0]
	}
	return t.queues[kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: []byte(key)}, t.places...)]
}

// topic gives an open topic, or nil.
func (b *Bus) topic(name string) *topic { return (*b.topics.Load())[name] }

// open gives a topic, which it makes if there is none.
func (b *Bus) open(ctx context.Context, name string) (*topic, error) {
	if t := b.topic(name); t != nil {
		return t, nil
	}
	if !b.opts.AnyTopic {
		return nil, hub.E(hub.Internal, fmt.Sprintf("topic %q is not among the bus's topics", name))
	}
	if err := b.openAll(ctx, []string{name}); err != nil {
		return nil, err
	}
	return b.topic(name), nil
}

// openAll opens topics, and tells all that is wrong with any of them at once.
func (b *Bus) openAll(ctx context.Context, names []string) error {
	b.opening.Lock()
	defer b.opening.Unlock()
	if b.ctx.Err() != nil {
		return errClosed
	}
	ready, err := b.provide(ctx, names)
	if err != nil {
		return err
	}
	var faults []string
	all := maps.Clone(*b.topics.Load())
	for _, name := range names {
		faults = append(faults, b.faults(ctx, ready[name], name)...)
		all[name] = b.newTopic(name, ready[name])
	}
	if len(faults) > 0 {
		return hub.E(hub.Conflict, "Kafka's topics are not as the hub needs them: "+strings.Join(faults, "; "))
	}
	b.topics.Store(&all)
	return nil
}

// admit refuses to publish if the backlog is full. What is known of it may be
// some seconds old.
func (t *topic) admit() error {
	if t.opts.MaxBacklog == 0 {
		return nil
	}
	n := t.behind.Load()
	if n < t.opts.MaxBacklog {
		return nil
	}
	return &hub.Error{
		Kind: hub.Transient, RetryAfter: 5 * time.Second,
		Msg: fmt.Sprintf("the backlog of %s is full: %d messages wait to be handled; nothing was accepted, try again later", t.name, n),
	}
}
