package kafka

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"
)

// scan reads the records of a partition from an offset up to before another, in
// their order, until fn returns false. Those that were removed because of their
// age are left out.
func (c *cluster) scan(ctx context.Context, topic string, partition int, from, end int64, fn func(*record) bool) error {
	for from < end {
		recs, next, err := c.read(ctx, topic, partition, from)
		if err != nil {
			return err
		}
		for _, r := range recs {
			if r.offset >= end || !fn(r) {
				return nil
			}
		}
		if next == from {
			return nil // what is left are places without a record
		}
		from = next
	}
	return nil
}

func (c *cluster) read(ctx context.Context, topic string, partition int, from int64) ([]*record, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+askTimeout)
	defer cancel()
	res, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait,
	})
	if err != nil {
		return nil, from, err
	}
	c.answered()
	if errors.Is(res.Error, kafka.OffsetOutOfRange) {
		first, err := c.offset(ctx, topic, kafka.FirstOffsetOf(partition))
		return nil, max(from, first), err
	}
	if res.Error != nil {
		return nil, from, res.Error
	}
	recs, err := readRecords(res.Records, from)
	if n := len(recs); n > 0 {
		return recs, recs[n-1].offset + 1, err
	}
	return nil, from, err
}
