package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// send makes one attempt for the batches of the queues.
func (p *producer) send(flight []*queue) (*produce.Response, error) {
	ctx, cancel := context.WithTimeout(p.bus.ctx, p.bus.opts.PublishTimeout)
	defer cancel()
	number, err := p.identity(ctx)
	if err != nil {
		return nil, unsent{err}
	}
	req := &rawproduce.Request{Acks: -1, Timeout: int32(p.bus.opts.PublishTimeout.Milliseconds() * 4 / 5)}
	for _, q := range flight {
		if err := q.encode(number, p.bus.opts.Now(), p.codec); err != nil {
			return nil, unsent{err}
		}
		req.Topics = addPartition(req.Topics, q)
	}
	res, err := p.bus.cluster.ask(ctx, req)
	if err != nil {
		return nil, notSent(err)
	}
	return res.(*produce.Response), nil
}

func (q *queue) encode(number int64, now time.Time, codec compress.Codec) (err error) {
	if q.batch.data != nil {
		return nil
	}
	if q.who.number != number {
		q.who, q.sequence = producerID{number: number}, 0
		if number == nameless {
			q.who.epoch, q.sequence = -1, -1
		}
	}
	q.batch.data, err = encodeBatch(q.batch.entries, q.who, q.sequence, now, codec)
	return err
}

func addPartition(topics []rawproduce.RequestTopic, q *queue) []rawproduce.RequestTopic {
	// The library writes what it is given, without the length that goes before.
	length := binary.BigEndian.AppendUint32(nil, uint32(len(q.batch.data)))
	x := rawproduce.RequestPartition{
		Partition: int32(q.no),
		RecordSet: protocol.RawRecordSet{Reader: io.MultiReader(bytes.NewReader(length), bytes.NewReader(q.batch.data))},
	}
	for i := range topics {
		if topics[i].Topic == q.topic.full {
			topics[i].Partitions = append(topics[i].Partitions, x)
			return topics
		}
	}
	return append(topics, rawproduce.RequestTopic{Topic: q.topic.full, Partitions: []rawproduce.RequestPartition{x}})
}

// unsent is an error before anything could have reached the broker.
type unsent struct{ error }

func (e unsent) Unwrap() error { return e.error }

// notSent marks the errors of a request that never left.
func notSent(err error) error {
	var route *rawproduce.Error
	var dial *net.OpError
	if errors.As(err, &route) || errors.As(err, &dial) && dial.Op == "dial" {
		return unsent{err}
	}
	return err
}

// identity gives the number under which brokers know this producer. A cluster
// that does not allow it gets unnamed batches: then a lost answer may make a
// double.
func (p *producer) identity(ctx context.Context) (int64, error) {
	p.naming.Lock()
	defer p.naming.Unlock()
	if n := p.number.Load(); n != unnamed {
		return n, nil
	}
	res, err := p.bus.cluster.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1, TransactionTimeoutMs: 60_000})
	if err == nil {
		err = res.Error
	}
	switch {
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		p.bus.log.Warn("Kafka does not allow the hub idempotent writes, so a lost answer may make a double", "error", err)
		p.number.Store(nameless)
	case err != nil:
		return 0, fmt.Errorf("ask for a producer id: %w", err)
	default:
		p.number.Store(int64(res.Producer.ProducerID))
	}
	return p.number.Load(), nil
}

// outcome gives what the broker said about the batch of a queue.
func outcome(q *queue, res *produce.Response, err error) error {
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		for _, x := range t.Partitions {
			if t.Topic != q.topic.full || int(x.Partition) != q.no {
				continue
			}
			if x.ErrorCode == 0 {
				return nil
			}
			return fmt.Errorf("%w (%s)", kafka.Error(x.ErrorCode), x.ErrorMessage)
		}
	}
	return errors.New("the broker's answer leaves the partition out")
}
