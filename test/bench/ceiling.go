package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// kafkaCeiling measures kafka-go against the broker with nothing else to be done,
// and gives how many findings a second that would be if each went in and out
// twice, as finding and as event.
func (b *bench) kafkaCeiling(ctx context.Context, brokers []string) (float64, error) {
	const topic, partitions, size = "ceiling", 12, 1000
	client := &kafka.Client{Addr: kafka.TCP(brokers...)}
	if _, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}}}); err != nil {
		return 0, err
	}
	n := 200_000
	if b.quick {
		n = 20_000
	}
	start := time.Now()
	if err := produce(ctx, brokers, topic, n, size); err != nil {
		return 0, err
	}
	produced := time.Since(start)
	start = time.Now()
	if err := consume(ctx, brokers, topic, n); err != nil {
		return 0, err
	}
	consumed := time.Since(start)
	for _, m := range []struct {
		name string
		took time.Duration
	}{{"kafka-go: records of 400 B written, acks of all, batches of 1,000", produced}, {"kafka-go: the same read by a group", consumed}} {
		b.add(row{Part: "cluster", Name: m.name, PerSecond: float64(n) / m.took.Seconds(), Unit: "records"})
	}
	return float64(n) / (2 * (produced + consumed)).Seconds(), nil
}

func produce(ctx context.Context, brokers []string, topic string, n, size int) error {
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: topic, RequiredAcks: kafka.RequireAll, BatchSize: size, BatchTimeout: time.Millisecond, Balancer: kafka.Murmur2Balancer{}}
	f := rig.Findings{Run: "ceiling"}
	errs := make([]error, 8)
	var writers sync.WaitGroup
	for k := range errs {
		writers.Go(func() {
			for from := k * size; from < n && errs[k] == nil; from += len(errs) * size {
				msgs := make([]kafka.Message, 0, size)
				for i := from; i < min(from+size, n); i++ {
					msgs = append(msgs, kafka.Message{Key: f.AppendAsset(nil, i), Value: f.Append(nil, i)})
				}
				errs[k] = w.WriteMessages(ctx, msgs...)
			}
		})
	}
	writers.Wait()
	for _, err := range append(errs, w.Close()) {
		if err != nil {
			return fmt.Errorf("write to Kafka: %w", err)
		}
	}
	return nil
}

func consume(ctx context.Context, brokers []string, topic string, n int) error {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: topic, GroupID: "ceiling", StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 8 << 20,
		MaxWait: 50 * time.Millisecond, QueueCapacity: 1000, CommitInterval: time.Second,
	})
	defer r.Close()
	for range n {
		if _, err := r.ReadMessage(ctx); err != nil {
			return fmt.Errorf("read from Kafka: %w", err)
		}
	}
	return nil
}
