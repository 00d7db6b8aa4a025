package kafka_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/test/services"
)

func openBus(t testing.TB, opts kafka.Options) *kafka.Bus {
	t.Helper()
	if len(opts.Brokers) == 0 {
		opts.Brokers = services.SharedKafka(t).Brokers()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	b, err := kafka.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// quick are options with which nothing in a test waits for seconds.
func quick(partitions int) kafka.Options {
	return kafka.Options{
		Prefix: watermill.NewShortUUID() + ".", Topics: map[string]kafka.Topic{}, AnyTopic: true, DefaultPartitions: partitions,
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Grace: 100 * time.Millisecond, Heartbeat: 100 * time.Millisecond,
		Session: 6 * time.Second,
	}
}

func TestWatermillSuite(t *testing.T) {
	for _, partitions := range []int{1, 5} {
		b := openBus(t, quick(partitions))
		withGroup := func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
			return b.Publisher(), b.Subscriber(kafka.Group{Name: group})
		}
		t.Run(map[int]string{1: "one partition", 5: "five partitions"}[partitions], func(t *testing.T) {
			tests.TestPubSub(t, tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true},
				func(t *testing.T) (message.Publisher, message.Subscriber) { return withGroup(t, "test") }, withGroup)
		})
	}
}

// Each publisher and subscriber is a process of its own here, so that they share
// the partitions out among them all the time.
func TestWatermillSuiteManyProcesses(t *testing.T) {
	opts := quick(5)
	withGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		b := openBus(t, opts)
		return b.Publisher(), b.Subscriber(kafka.Group{Name: group})
	}
	tests.TestPubSub(t, tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true},
		func(t *testing.T) (message.Publisher, message.Subscriber) { return withGroup(t, "test") }, withGroup)
}

// A subscriber without a group of its own, which is a new group each time, sees
// all that was ever published. Order holds within each group only, which the
// suite's test of order does not tell apart.
func TestWatermillSuiteNewGroupEachTime(t *testing.T) {
	b := openBus(t, quick(1))
	fresh := func(*testing.T) (message.Publisher, message.Subscriber) {
		return b.Publisher(), b.Subscriber(kafka.Group{Name: watermill.NewUUID()})
	}
	tests.TestPubSub(t, tests.Features{Persistent: true, NewSubscriberReceivesOldMessages: true, ForceShort: true}, fresh, nil)
}
