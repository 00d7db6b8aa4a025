package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// fetchBytes of a partition are read at once, or one batch if that is larger.
	fetchBytes = 1 << 20
	// fetchWait is how long a broker waits for a message before it answers that
	// there is none.
	fetchWait = time.Second

	rereadMin, rereadMax = 50 * time.Millisecond, time.Second
	// quietFor is how long reading may fail before it is worth a warning: a leader
	// that moves takes less.
	quietFor = 3 * time.Second
)

// fetch reads a partition until it is given up. Each request has a deadline, and
// after an error the next one goes to whoever leads the partition then.
func (p *part) fetch() {
	log := p.group.bus.log.With("topic", p.group.topic.full, "partition", p.no, "group", p.group.name)
	var since time.Time // of the first failure in a row
	failures, warned := 0, false
	for p.awaitRoom() {
		err := p.fetchOnce()
		switch {
		case p.ctx.Err() != nil:
			return
		case err == nil:
			if warned {
				log.Info("the partition can be read again", "after", time.Since(since).Round(time.Second))
			}
			failures, warned = 0, false
			continue
		case failures == 0:
			since = time.Now()
		case !warned && time.Since(since) > quietFor:
			warned = true
			log.Warn("the partition cannot be read; trying again", "error", err)
		}
		pause(min(rereadMin<<min(failures, 10), rereadMax), p.ctx.Done())
		failures++
	}
}

// awaitRoom waits until more may be read, or reports that the partition is given
// up.
func (p *part) awaitRoom() bool {
	for {
		p.group.mu.Lock()
		p.starved = p.full()
		wait := p.starved
		p.group.mu.Unlock()
		if !wait {
			return p.ctx.Err() == nil
		}
		select {
		case <-p.room:
		case <-p.ctx.Done():
			return false
		}
	}
}

// fetchOnce reads what follows.
func (p *part) fetchOnce() error {
	ctx, cancel := context.WithTimeout(p.ctx, fetchWait+askTimeout)
	defer cancel()
	from, err := p.start(ctx)
	if err != nil {
		return err
	}
	c := p.group.bus.cluster
	res, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: p.group.topic.full, Partition: p.no, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait,
	})
	if err != nil {
		return err
	}
	c.answered()
	if errors.Is(res.Error, kafka.OffsetOutOfRange) {
		return p.restart(ctx, from)
	}
	if res.Error != nil {
		return res.Error
	}
	recs, err := readRecords(res.Records, from)
	if err != nil {
		return err
	}
	next := from
	if n := len(recs); n > 0 {
		next = recs[n-1].offset + 1
	}
	p.head.Store(res.HighWatermark)
	p.group.admit(p, recs, next)
	return nil
}

// start gives the offset to read from. A group that is new begins with the
// oldest message there is.
func (p *part) start(ctx context.Context) (int64, error) {
	p.group.mu.Lock()
	from := p.read
	p.group.mu.Unlock()
	if from >= 0 {
		return from, nil
	}
	first, _, err := p.group.bus.cluster.ends(ctx, p.group.topic.full, p.no)
	if err != nil {
		return 0, err
	}
	p.group.admit(p, nil, first)
	return first, nil
}

// restart goes on with the oldest message when the one to read does not exist:
// it was removed because of its age, or the topic was made anew.
func (p *part) restart(ctx context.Context, from int64) error {
	first, end, err := p.group.bus.cluster.ends(ctx, p.group.topic.full, p.no)
	if err != nil {
		return err
	}
	if from >= first && from <= end {
		return kafka.OffsetOutOfRange // the broker that said so knew less
	}
	p.group.bus.log.Error("the next message of a group does not exist; going on with the oldest there is",
		"topic", p.group.topic.full, "partition", p.no, "group", p.group.name, "wanted", from, "oldest", first, "newest", end)
	p.group.mu.Lock()
	defer p.group.mu.Unlock()
	if p.read == from {
		p.read = first
		p.advance()
	}
	return nil
}

// ends gives the offsets of the oldest message of a partition and behind the
// newest.
func (c *cluster) ends(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, x := range []struct {
		request kafka.OffsetRequest
		into    *int64
	}{{kafka.FirstOffsetOf(partition), &first}, {kafka.LastOffsetOf(partition), &end}} {
		if *x.into, err = c.offset(ctx, topic, x.request); err != nil {
			return 0, 0, err
		}
	}
	return first, end, nil
}

// offset asks for one offset at a time: the library would open a connection for
// each of several.
func (c *cluster) offset(ctx context.Context, topic string, request kafka.OffsetRequest) (int64, error) {
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {request}}})
	if err != nil {
		return 0, err
	}
	c.answered()
	for _, x := range res.Topics[topic] {
		if x.Partition != request.Partition {
			continue
		}
		if x.Error != nil {
			return 0, x.Error
		}
		switch request.Timestamp {
		case kafka.FirstOffset:
			return x.FirstOffset, nil
		case kafka.LastOffset:
			return x.LastOffset, nil
		}
		for offset := range x.Offsets {
			return offset, nil
		}
		return -1, nil
	}
	return 0, fmt.Errorf("the broker's answer leaves partition %d out", request.Partition)
}
