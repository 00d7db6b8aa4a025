package embedded_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), e, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func openBus(t testing.TB, st *store.Store, opts embedded.Options) *embedded.Bus {
	t.Helper()
	b, err := embedded.New(t.Context(), st, opts)
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

// suite gives a bus as Watermill's universal tests want it: nothing in them
// waits for seconds.
func suite(t *testing.T, partitions int) *embedded.Bus {
	opts := embedded.Options{
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Grace: 100 * time.Millisecond,
		Topics: map[string]embedded.Topic{},
	}
	if partitions > 1 {
		opts.DefaultPartitions = partitions
	}
	return openBus(t, openStore(t, filepath.Join(t.TempDir(), "db")), opts)
}

func TestWatermillSuite(t *testing.T) {
	for _, partitions := range []int{1, 5} {
		b := suite(t, partitions)
		withGroup := func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
			return b.Publisher(), b.Subscriber(embedded.Group{Name: group})
		}
		t.Run(map[int]string{1: "one partition", 5: "five partitions"}[partitions], func(t *testing.T) {
			tests.TestPubSub(t, tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true},
				func(t *testing.T) (message.Publisher, message.Subscriber) { return withGroup(t, "test") }, withGroup)
		})
	}
}

// A subscriber without a group of its own, which is a new group each time, sees
// all that was ever published. Order holds within each group only, which the
// suite's test of order does not tell apart.
func TestWatermillSuiteNewGroupEachTime(t *testing.T) {
	b := suite(t, 1)
	fresh := func(*testing.T) (message.Publisher, message.Subscriber) {
		return b.Publisher(), b.Subscriber(embedded.Group{Name: watermill.NewUUID()})
	}
	tests.TestPubSub(t, tests.Features{Persistent: true, NewSubscriberReceivesOldMessages: true}, fresh, nil)
}
