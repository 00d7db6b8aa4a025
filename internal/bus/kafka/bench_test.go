package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/test/services"
)

// callers publish at the same time, messages of 1 KiB with keys of their own.
const callers = 64

// share runs fn as often as the benchmark wants, by all callers together.
func share(b *testing.B, fn func(i int64) error) {
	b.Helper()
	b.ResetTimer()
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkPublish(b *testing.B) {
	for _, partitions := range []int{1, 12} {
		b.Run(fmt.Sprintf("%d partitions", partitions), func(b *testing.B) {
			p := openBus(b, hubTopics(partitions)).Publisher()
			payload := make([]byte, 1024)
			share(b, func(i int64) error {
				return p.Publish(topic, bus.NewMessage(fmt.Sprint("fnd_", i), "default", fmt.Sprint(i), payload))
			})
		})
	}
}

// The library's own Writer with the same settings, but without the producer id.
func BenchmarkWriter(b *testing.B) {
	for _, partitions := range []int{1, 12} {
		for _, wait := range []time.Duration{time.Millisecond, 5 * time.Millisecond} {
			b.Run(fmt.Sprintf("%d partitions, %v", partitions, wait), func(b *testing.B) {
				o := hubTopics(partitions)
				openBus(b, o) // makes the topics
				w := &client.Writer{
					Addr: client.TCP(services.SharedKafka(b).Brokers()...), Topic: o.Prefix + topic, Balancer: client.Murmur2Balancer{},
					BatchTimeout: wait, BatchSize: 1000, RequiredAcks: client.RequireAll, Transport: &client.Transport{},
				}
				defer w.Close()
				payload := make([]byte, 1024)
				share(b, func(i int64) error {
					return w.WriteMessages(context.Background(), client.Message{
						Key: []byte(fmt.Sprint(i)), Value: payload,
						Headers: []client.Header{{Key: "message-id", Value: []byte(fmt.Sprint("fnd_", i))}, {Key: "tenant", Value: []byte("default")}},
					})
				})
			})
		}
	}
}

func BenchmarkConsume(b *testing.B) {
	for _, partitions := range []int{1, 12} {
		b.Run(fmt.Sprintf("%d partitions", partitions), func(b *testing.B) {
			x := openBus(b, hubTopics(partitions))
			payload := make([]byte, 1024)
			p := x.Publisher()
			share(b, func(i int64) error {
				return p.Publish(topic, bus.NewMessage(fmt.Sprint("fnd_", i), "default", fmt.Sprint(i), payload))
			})
			ch, err := x.Subscriber(kafka.Group{Name: "triage"}).Subscribe(b.Context(), topic)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				(<-ch).Ack()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
