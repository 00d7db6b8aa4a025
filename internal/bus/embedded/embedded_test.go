package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/store"
)

const topic = bus.TopicFindings

// publish puts messages named by key and number on the topic.
func publish(t testing.TB, b *embedded.Bus, key string, from, to int) {
	t.Helper()
	p := b.Publisher()
	for i := from; i < to; i++ {
		if err := p.Publish(topic, bus.NewMessage(fmt.Sprintf("%s-%d", key, i), "default", key, []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t testing.TB, b *embedded.Bus, g embedded.Group) <-chan *message.Message {
	t.Helper()
	ch, err := b.Subscriber(g).Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// receive gives the next message, which must come.
func receive(t testing.TB, ch <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, open := <-ch:
		if !open {
			t.Fatal("the subscription has ended")
		}
		return m
	case <-time.After(10 * time.Minute): // of the bubble's clock
		t.Fatal("no message came")
	}
	return nil
}

// idle checks that no message comes until the bus has nothing left to do now.
func idle(t testing.TB, ch <-chan *message.Message) {
	t.Helper()
	synctest.Wait()
	select {
	case m := <-ch:
		t.Errorf("%s came, want nothing", m.UUID)
	default:
	}
}

func refuse(m *message.Message, err error) {
	bus.Failed(m, err)
	m.Nack()
}

// bubble runs a test on a clock of its own, with a bus in a fresh store.
func bubble(t *testing.T, opts embedded.Options, fn func(t *testing.T, st *store.Store, b *embedded.Bus)) {
	path := filepath.Join(t.TempDir(), "db")
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, path)
		fn(t, st, openBus(t, st, opts))
	})
}

func TestOneKeyKeepsItsOrderWhileOthersGoOn(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			b := openBus(t, openStore(t, filepath.Join(t.TempDir(), "db")), embedded.Options{
				DefaultPartitions: partitions, BackoffMin: time.Microsecond, BackoffMax: time.Millisecond,
			})
			const keys, each = 20, 60
			var publishers sync.WaitGroup
			for k := range keys {
				publishers.Go(func() { publish(t, b, fmt.Sprint("k", k), 0, each) })
			}
			ctx, cancel := context.WithCancel(t.Context())
			ch, err := b.Subscriber(embedded.Group{Name: "triage", Window: 32}).Subscribe(ctx, topic)
			if err != nil {
				t.Fatal(err)
			}
			judge := &orderJudge{t: t, next: map[string]int{}, busy: map[string]bool{}}
			var handlers sync.WaitGroup
			for m := range ch {
				handlers.Go(func() {
					if judge.handle(m) == keys*each {
						cancel()
					}
				})
			}
			publishers.Wait()
			handlers.Wait()
			cancel()
		})
	}
}

// An orderJudge is a handler that checks the order of each key, and refuses one
// message in seven.
type orderJudge struct {
	t *testing.T

	mu        sync.Mutex // guards what follows
	next      map[string]int
	busy      map[string]bool
	all, done int
}

// handle gives the number of messages that are done.
func (j *orderJudge) handle(m *message.Message) int {
	key := m.Metadata[bus.MetaKey]
	j.begin(key, m.UUID)
	runtime.Gosched()
	j.mu.Lock()
	j.all++
	j.busy[key] = false
	again := j.all%7 == 0
	if !again {
		j.next[key]++
		j.done++
	}
	done := j.done
	j.mu.Unlock()
	if again {
		m.Nack()
	} else {
		m.Ack()
	}
	return done
}

func (j *orderJudge) begin(key, id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if want := fmt.Sprintf("%s-%d", key, j.next[key]); id != want || j.busy[key] {
		j.t.Errorf("%s came, want %s; another of the key is in flight: %v", id, want, j.busy[key])
	}
	j.busy[key] = true
}

func TestWindowIsNeverExceeded(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		for i := range 30 {
			publish(t, b, fmt.Sprint("k", i), 0, 1)
		}
		g := embedded.Group{Name: "triage", Window: 10}
		one, two := subscribe(t, b, g), subscribe(t, b, g)
		var held []*message.Message
		for range 10 {
			select {
			case m := <-one:
				held = append(held, m)
			case m := <-two:
				held = append(held, m)
			}
		}
		idle(t, one)
		idle(t, two)
		for len(held) > 0 { // one done, one more comes
			held[0].Ack()
			held = held[1:]
			if synctest.Wait(); len(held) == 9 {
				break
			}
		}
		select {
		case <-one:
		case <-two:
		}
		idle(t, one)
		idle(t, two)
	})
}

func TestHotKeyWithCoalesceFillsTheWindow(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		publish(t, b, "hot", 0, 100)
		ordered := subscribe(t, b, embedded.Group{Name: "ordered"})
		if m := receive(t, ordered); m.UUID != "hot-0" {
			t.Errorf("%s came first", m.UUID)
		}
		idle(t, ordered)
		few := subscribe(t, b, embedded.Group{Name: "few", KeyConcurrency: 3})
		for range 3 {
			receive(t, few)
		}
		idle(t, few)
		free := subscribe(t, b, embedded.Group{Name: "free", Window: 64, Coalesce: true})
		for i := range 64 {
			if m := receive(t, free); m.UUID != fmt.Sprint("hot-", i) {
				t.Errorf("%s came as number %d", m.UUID, i)
			}
		}
		idle(t, free)
	})
}

// What was done and not yet stored comes again after a crash, and nothing else.
func TestCrashBringsBackWhatWasNotStored(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, st *store.Store, b *embedded.Bus) {
		for i := range 10 {
			publish(t, b, fmt.Sprint("k", i), 0, 1)
		}
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		for range 5 {
			receive(t, ch).Ack()
		}
		if got := afterCrash(t, st); len(got) != 10 {
			t.Errorf("a crash right after the acknowledgements brings back %v, want all 10", got)
		}
		time.Sleep(51 * time.Millisecond)
		if got := afterCrash(t, st); fmt.Sprint(got) != "[k5-0 k6-0 k7-0 k8-0 k9-0]" {
			t.Errorf("a crash 51 ms later brings back %v, want k5 to k9", got)
		}
		for range 3 {
			receive(t, ch).Ack()
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if got := afterCrash(t, st); fmt.Sprint(got) != "[k8-0 k9-0]" {
			t.Errorf("after Close %v are left, want k8 and k9", got)
		}
	})
}

// afterCrash gives what a bus hands out over a copy of the database as it is now.
func afterCrash(t *testing.T, st *store.Store) (ids []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy")
	if err := st.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	b := openBus(t, openStore(t, path), embedded.Options{})
	ch := subscribe(t, b, embedded.Group{Name: "triage"})
	for {
		synctest.Wait()
		select {
		case m := <-ch:
			ids = append(ids, m.UUID)
			m.Ack()
		default:
			return ids
		}
	}
}

func TestSlowGroupDoesNotHoldOthers(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		slow := subscribe(t, b, embedded.Group{Name: "slow", Window: 1})
		quick := subscribe(t, b, embedded.Group{Name: "quick"})
		publish(t, b, "k", 0, 500)
		receive(t, slow)
		for range 500 {
			receive(t, quick).Ack()
		}
		synctest.Wait()
		for group, want := range map[string]int64{"slow": 500, "quick": 0} {
			if got, err := b.Lag(topic, group); got != want || err != nil {
				t.Errorf("the lag of %s is %d, want %d; error %v", group, got, want, err)
			}
		}
	})
}

func TestFullBacklogIsRefused(t *testing.T) {
	opts := embedded.Options{Topics: map[string]embedded.Topic{topic: {MaxBacklog: 10}}}
	bubble(t, opts, func(t *testing.T, st *store.Store, b *embedded.Bus) {
		ch := subscribe(t, b, embedded.Group{Name: "slow", Coalesce: true})
		publish(t, b, "k", 0, 10)
		one := bus.NewMessage("k-10", "default", "k", nil)
		inTx := func() error {
			return st.Do(t.Context(), func(tx *store.Tx) error { return b.PublishTx(tx, topic, one) })
		}
		direct := func() error { return b.Publisher().Publish(topic, one) }
		for name, try := range map[string]func() error{"PublishTx": inTx, "Publish": direct} {
			var e *hub.Error
			if err := try(); !errors.As(err, &e) || e.Kind != hub.Transient || e.RetryAfter == 0 {
				t.Errorf("%s into a full backlog gives %v", name, err)
			}
		}
		receive(t, ch).Ack()
		synctest.Wait()
		if err := inTx(); err != nil {
			t.Errorf("publishing after one was done: %v", err)
		}
	})
}

func TestPublishTxIsPartOfItsTransaction(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, st *store.Store, b *embedded.Bus) {
		ch := subscribe(t, b, embedded.Group{Name: "triage", Coalesce: true})
		refused := errors.New("refused")
		try := func(id string, fail error) error {
			return st.Do(t.Context(), func(tx *store.Tx) error {
				return errors.Join(b.PublishTx(tx, topic, bus.NewMessage(id, "default", "k", nil)), fail)
			})
		}
		if err := try("a", refused); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		idle(t, ch)
		if err := try("b", nil); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, ch); m.UUID != "b" {
			t.Errorf("%s came, want b", m.UUID)
		}
		err := st.Do(t.Context(), func(tx *store.Tx) error { return b.PublishTx(tx, "unheard of", bus.NewMessage("c", "", "", nil)) })
		if hub.KindOf(err) != hub.Internal {
			t.Errorf("publishing to a topic that nobody declared gives %v", err)
		}
	})
}

func TestRefusedMessagesComeAgainLaterAndLater(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		publish(t, b, "bad", 0, 2)
		publish(t, b, "good", 0, 1)
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		var pauses []string
		last := time.Now()
		for i := range 12 {
			m := receive(t, ch)
			if m.UUID == "good-0" {
				m.Ack()
				m = receive(t, ch)
			}
			if m.UUID != "bad-0" || bus.Attempt(m) != i+1 {
				t.Fatalf("%s came as attempt %d, want bad-0 as %d", m.UUID, bus.Attempt(m), i+1)
			}
			if i > 0 {
				pauses = append(pauses, time.Since(last).String())
			}
			last = time.Now()
			refuse(m, hub.E(hub.Transient, "not now"))
		}
		want := "[100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 30s 30s]"
		if fmt.Sprint(pauses) != want {
			t.Errorf("the pauses were %v, want %s", pauses, want)
		}
		receive(t, ch).Ack()
		if m := receive(t, ch); m.UUID != "bad-1" {
			t.Errorf("%s came, want bad-1", m.UUID)
		}
	})
}

func TestRetryAfterIsALeastPause(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		publish(t, b, "k", 0, 1)
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		start := time.Now()
		refuse(receive(t, ch), &hub.Error{Kind: hub.RateLimited, Msg: "slow down", RetryAfter: 5 * time.Second})
		receive(t, ch)
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("the message came again after %v, want 5s", got)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		attempts int
		reason   string
	}{
		{"refused", hub.Wrap(hub.Invalid, errors.New("secret"), "no such severity"), 1, "no such severity"},
		{"broken", errors.New("nil map"), 10, "internal error: nil map"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, embedded.Options{}, func(t *testing.T, st *store.Store, b *embedded.Bus) {
				m := bus.NewMessage("fnd_1", "default", "k", []byte("payload"))
				m.Metadata["ce_type"] = "finding"
				if err := b.Publisher().Publish(topic, m); err != nil {
					t.Fatal(err)
				}
				ch := subscribe(t, b, embedded.Group{Name: "triage"})
				for range c.attempts {
					refuse(receive(t, ch), c.err)
				}
				idle(t, ch)
				time.Sleep(time.Hour)
				idle(t, ch)
				letters, err := b.DeadLetters(t.Context(), "default", 0, 10)
				if err != nil || len(letters) != 1 {
					t.Fatalf("there are %d dead letters, want 1; error %v", len(letters), err)
				}
				want := bus.DeadLetter{
					Position: letters[0].Position, At: letters[0].At, ID: "fnd_1", Tenant: "default", Key: "k", Topic: topic,
					Stage: "triage", Reason: c.reason, Attempts: c.attempts, Payload: []byte("payload"),
				}
				if fmt.Sprint(letters[0]) != fmt.Sprint(want) {
					t.Errorf("the dead letter is %+v, want %+v", letters[0], want)
				}
				requeued(t, st, b, ch, letters[0].Position)
			})
		})
	}
}

func requeued(t *testing.T, st *store.Store, b *embedded.Bus, ch <-chan *message.Message, position int64) {
	t.Helper()
	requeue := func(tenant hub.TenantID) error {
		return st.Do(t.Context(), func(tx *store.Tx) error { return b.RequeueTx(tx, tenant, position) })
	}
	if err := requeue("other"); hub.KindOf(err) != hub.NotFound {
		t.Errorf("another tenant's requeue gives %v", err)
	}
	if err := requeue("default"); err != nil {
		t.Fatal(err)
	}
	m := receive(t, ch)
	if m.UUID != "fnd_1" || bus.Attempt(m) != 1 || m.Metadata["ce_type"] != "finding" || m.Metadata[bus.DeadReason] != "" {
		t.Errorf("%s came again with %v", m.UUID, m.Metadata)
	}
	m.Ack()
	if err := requeue("default"); hub.KindOf(err) != hub.NotFound {
		t.Errorf("putting it back a second time gives %v", err)
	}
	if letters, err := b.DeadLetters(t.Context(), "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%d dead letters are left, error %v", len(letters), err)
	}
}

func TestTransientErrorsNeverMakeADeadLetter(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		publish(t, b, "k", 0, 1)
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		for range 500 {
			refuse(receive(t, ch), hub.E(hub.Transient, "down"))
		}
		receive(t, ch).Ack()
		if letters, err := b.DeadLetters(t.Context(), "", 0, 10); err != nil || len(letters) != 0 {
			t.Errorf("%d dead letters, error %v", len(letters), err)
		}
	})
}

func TestMessagesAreRemovedInTime(t *testing.T) {
	opts := embedded.Options{Topics: map[string]embedded.Topic{topic: {Retain: time.Hour}}, GroupExpiry: 48 * time.Hour}
	bubble(t, opts, func(t *testing.T, st *store.Store, b *embedded.Bus) {
		left := func() (n int) {
			err := st.View(t.Context(), func(r *store.Reader) error {
				return r.Messages(0, 1<<62, 1e6, func(*store.MessageRow) bool { n++; return true })
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		after := func(d time.Duration, want int, why string) {
			t.Helper()
			time.Sleep(d)
			if got := left(); got != want {
				t.Errorf("%d messages are left, want %d: %s", got, want, why)
			}
		}
		publish(t, b, "k", 0, 1200)
		after(2*time.Hour, 1200, "nobody has read them, but may still come")
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		if err := b.Subscriber(embedded.Group{Name: "away"}).(message.SubscribeInitializer).SubscribeInitialize(topic); err != nil {
			t.Fatal(err)
		}
		for range 700 {
			receive(t, ch).Ack()
		}
		after(time.Minute, 1200, "a group at work has done none of them")
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = openBus(t, st, opts)
		ch = subscribe(t, b, embedded.Group{Name: "triage"})
		after(time.Hour, 1200, "a group that was here an hour ago has done none of them")
		after(48*time.Hour, 500, "that group does not count any more")
		for range 500 {
			receive(t, ch).Ack()
		}
		after(time.Minute, 0, "all are done and old")
		publish(t, b, "k", 1200, 1201)
		receive(t, ch).Ack()
		after(50*time.Minute, 1, "it is done but young")
		after(11*time.Minute, 0, "it is old now")
	})
}

func TestForget(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, st *store.Store, b *embedded.Bus) {
		subscribe(t, b, embedded.Group{Name: "triage"})
		if err := b.Forget(t.Context(), topic, "triage"); hub.KindOf(err) != hub.Conflict {
			t.Errorf("forgetting a group at work gives %v", err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := openBus(t, st, embedded.Options{}).Forget(t.Context(), topic, "triage"); err != nil {
			t.Error(err)
		}
	})
}

func TestPendingFindsWhatIsNotDone(t *testing.T) {
	bubble(t, embedded.Options{}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		if _, found := b.Pending(t.Context(), "default", topic, "k-1"); found {
			t.Error("found a message that was never published")
		}
		publish(t, b, "k", 0, 3000)
		for _, c := range []struct {
			tenant, id string
			want       bool
		}{{"default", "k-0", true}, {"default", "k-2999", true}, {"other", "k-0", false}, {"default", "k-3000", false}} {
			m, found := b.Pending(t.Context(), c.tenant, topic, c.id)
			if found != c.want || found && (m.UUID != c.id || m.Metadata[bus.MetaKey] != "k") {
				t.Errorf("looking for %s of %s finds %v", c.id, c.tenant, m)
			}
		}
		ch := subscribe(t, b, embedded.Group{Name: "triage", Coalesce: true})
		for range 3000 {
			receive(t, ch).Ack()
		}
		synctest.Wait()
		if _, found := b.Pending(t.Context(), "default", topic, "k-0"); found {
			t.Error("found a message that was done long before")
		}
	})
}

// Ids of ours tell when they were made, so that the look-up begins there.
func TestPendingByTheTimeOfTheID(t *testing.T) {
	b := openBus(t, openStore(t, filepath.Join(t.TempDir(), "db")), embedded.Options{})
	ids := publishFindings(t, b, 2000)
	for _, i := range []int{0, 1, 777, 1999} {
		if m, found := b.Pending(t.Context(), "default", topic, ids[i]); !found || m.UUID != ids[i] {
			t.Errorf("finding %d is not found", i)
		}
	}
}

func TestCloseWaitsForMessagesInFlight(t *testing.T) {
	for _, c := range []struct {
		name   string
		takes  time.Duration
		lost   bool
		closes time.Duration
	}{
		{"quick handler", time.Second, false, time.Second},
		{"slow handler", time.Minute, true, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, embedded.Options{}, func(t *testing.T, st *store.Store, b *embedded.Bus) {
				publish(t, b, "k", 0, 1)
				ctx, cancel := context.WithCancel(t.Context())
				ch, err := b.Subscriber(embedded.Group{Name: "triage"}).Subscribe(ctx, topic)
				if err != nil {
					t.Fatal(err)
				}
				m := receive(t, ch)
				cancel()
				start := time.Now()
				time.AfterFunc(c.takes, func() { m.Ack() })
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if got := time.Since(start); got != c.closes {
					t.Errorf("Close took %v, want %v", got, c.closes)
				}
				if ended := m.Context().Err() != nil; !ended {
					t.Error("the context of the message lives on")
				}
				if _, open := <-ch; open {
					t.Error("the channel is open")
				}
				if lost := len(afterCrash(t, st)) == 1; lost != c.lost {
					t.Errorf("the message comes again: %v, want %v", lost, c.lost)
				}
			})
		})
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	bubble(t, embedded.Options{Registry: reg}, func(t *testing.T, _ *store.Store, b *embedded.Bus) {
		publish(t, b, "k", 0, 5)
		ch := subscribe(t, b, embedded.Group{Name: "triage"})
		receive(t, ch).Ack()
		refuse(receive(t, ch), hub.E(hub.Invalid, "no"))
		refuse(receive(t, ch), hub.E(hub.Transient, "not now"))
		receive(t, ch)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[len(m.GetLabel())-1].GetValue() == topic {
					got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		want := map[string]float64{
			"tocsin_bus_published_total": 5, "tocsin_bus_delivered_total": 4, "tocsin_bus_redelivered_total": 1,
			"tocsin_bus_dead_total": 1, "tocsin_bus_lag": 3, "tocsin_bus_in_flight": 1,
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the metrics are %v, want %v", got, want)
		}
	})
}
