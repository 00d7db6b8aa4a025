package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), e, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// moody is a bus that takes batches whole, in part, or not at all.
type moody struct {
	mu     sync.Mutex
	rnd    *rand.Rand
	topics map[string][]string // ids in the order they came
	total  map[string]bool
	calm   bool
	large  string // the id of a message that is larger than it takes
}

func (m *moody) Publish(topic string, msgs ...*message.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range msgs {
		if x.UUID == m.large {
			return hub.E(hub.TooLarge, "too large")
		}
	}
	n, err := len(msgs), error(nil)
	if !m.calm && m.rnd.IntN(3) == 0 {
		n, err = m.rnd.IntN(len(msgs)+1), errors.New("the broker is away")
	}
	for _, x := range msgs[:n] {
		m.topics[topic] = append(m.topics[topic], x.UUID)
		m.total[topic+x.UUID+x.Metadata["colour"]+x.Metadata[bus.MetaKey]+x.Metadata[bus.MetaTenant]+string(x.Payload)] = true
	}
	return err
}

func (m *moody) Close() error { return nil }

func (m *moody) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.total)
}

// inOrder reports whether ids, without what comes again, are 0, 1, 2 …: a repeat
// goes back to where the last failure was and then on.
func inOrder(ids []string) bool {
	next := 0
	for _, id := range ids {
		var n int
		if _, err := fmt.Sscanf(id, "msg_%d", &n); err != nil || n > next {
			return false
		}
		next = max(next, n+1)
	}
	return true
}

// What is committed comes to the bus in order, whatever the bus does and however
// often the forwarding begins anew; what is not committed does not.
func TestForwardsWhatIsCommitted(t *testing.T) {
	const messages = 1000
	st := openStore(t)
	m := &moody{rnd: rand.New(rand.NewPCG(1, 2)), topics: map[string][]string{}, total: map[string]bool{}}
	opts := Options{Batch: 64, Poll: time.Millisecond, Clear: time.Millisecond, BackoffMin: time.Microsecond, BackoffMax: time.Millisecond}
	box, err := Open(t.Context(), st, opts)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { publish(t, st, box, messages) })
	for m.count() < 2*messages {
		again, err := Open(t.Context(), st, opts) // as after a restart
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		again.Forward(ctx, m, func(*store.Tx) error { return nil })
		cancel()
	}
	all.Wait()
	for topic, ids := range m.topics {
		if !inOrder(ids) {
			t.Errorf("%s is out of order", topic)
		}
	}
	if len(m.total) != 2*messages {
		t.Errorf("%d messages came, want %d", len(m.total), 2*messages)
	}
	if !m.total["evenmsg_7redkey 7acme{\"n\":7}"] {
		t.Error("a message has not all that was published")
	}
}

// publish stores messages for two topics, in transactions of which some fail.
func publish(t *testing.T, st *store.Store, box *Outbox, n int) {
	failed := errors.New("no")
	for i := 0; i < n; {
		fails := i%10 == 3 && time.Now().UnixNano()%2 == 0
		err := st.Do(t.Context(), func(tx *store.Tx) error {
			for _, topic := range []string{"even", "odd"} {
				x := bus.NewMessage(fmt.Sprintf("msg_%d", i), "acme", fmt.Sprintf("key %d", i), fmt.Appendf(nil, `{"n":%d}`, i))
				x.Metadata["colour"] = "red"
				if err := box.PublishTx(tx, topic, x); err != nil {
					return err
				}
			}
			if fails {
				return failed
			}
			return nil
		})
		if fails != errors.Is(err, failed) || err != nil && !fails {
			t.Error(err)
			return
		}
		if !fails {
			i++
		}
	}
}

// A hub that lost its lease notes no progress.
func TestFenceKeepsWhatIsThere(t *testing.T) {
	st := openStore(t)
	m := &moody{calm: true, topics: map[string][]string{}, total: map[string]bool{}}
	box, err := Open(t.Context(), st, Options{Poll: time.Millisecond, Clear: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, st, box, 5)
	ctx, cancel := context.WithCancel(t.Context())
	refused := 0
	box.Forward(ctx, m, func(*store.Tx) error {
		if refused++; refused == 2 {
			cancel()
		}
		return hub.E(hub.Transient, "another hub forwards")
	})
	if found, there := box.Pending(t.Context(), "acme", "msg_4"); !there || string(found.Payload) != `{"n":4}` {
		t.Errorf("what nobody noted as forwarded is gone: %v", found)
	}
}

// When the bus takes nothing for long, publishing is refused.
func TestFullOutboxRefuses(t *testing.T) {
	st := openStore(t)
	box, err := Open(t.Context(), st, Options{MaxBacklog: 4})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, st, box, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { box.Look(ctx) })
	for box.backlog.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	err = st.Do(t.Context(), func(tx *store.Tx) error {
		return box.PublishTx(tx, "even", bus.NewMessage("msg_9", "acme", "k", nil))
	})
	if hub.KindOf(err) != hub.Transient {
		t.Errorf("a full outbox answers %v", err)
	}
}

// A message that the bus never takes holds up nobody else's.
func TestWhatIsTooLargeIsLeftOut(t *testing.T) {
	st := openStore(t)
	m := &moody{calm: true, large: "msg_2", topics: map[string][]string{}, total: map[string]bool{}}
	box, err := Open(t.Context(), st, Options{Poll: time.Millisecond, Clear: time.Millisecond, BackoffMin: time.Hour, BackoffMax: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, st, box, 5)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { box.Forward(ctx, m, func(*store.Tx) error { return nil }) })
	for m.count() < 2*4 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	for _, topic := range []string{"even", "odd"} {
		if got, want := fmt.Sprint(m.topics[topic]), "[msg_0 msg_1 msg_3 msg_4]"; got != want {
			t.Errorf("%s got %s, want %s", topic, got, want)
		}
	}
}
