package forward_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/forward"
)

// A box is a source in memory. It outlives forwarders, as a table does.
type box struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	items   []forward.Item
	done    int64
	fails   func() bool
	arrived func(position int64) bool // whether everything up to there was published
}

func (b *box) put(topic, key string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, forward.Item{
		Position: int64(10 * (len(b.items) + 1)), At: time.Now(), Topic: topic,
		Message: bus.NewMessage(fmt.Sprintf("%s-%d", key, n), "default", key, []byte("x")),
	})
}

var errStore = errors.New("the store is away")

func (b *box) Next(_ context.Context, after int64, limit int) ([]forward.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil && b.fails() {
		return nil, errStore
	}
	var next []forward.Item
	for _, it := range b.items {
		if it.Position > max(after, b.done) && len(next) < limit {
			next = append(next, it)
		}
	}
	return next, nil
}

func (b *box) Done(_ context.Context, position int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil && b.fails() {
		return errStore
	}
	if position < b.done {
		b.t.Errorf("done up to %d, after it was up to %d", position, b.done)
	}
	for _, it := range b.items {
		if it.Position <= position && !b.arrived(it.Position) {
			b.t.Errorf("done up to %d, but %d was not published", position, it.Position)
		}
	}
	b.done = position
	return nil
}

func (b *box) undone() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(b.items), func(it forward.Item) bool { return it.Position <= b.done }))
}

// A sink is a publisher that takes messages, or some of them, or fails, as it is
// told.
type sink struct {
	box *box

	mu    sync.Mutex // guards what follows
	order []string   // ids as they came
	got   map[string]bool
	fail  func(topic string, msgs []*message.Message) (taken int, err error)
	takes time.Duration
}

func (s *sink) Publish(topic string, msgs ...*message.Message) error {
	select {
	case <-time.After(s.takes):
	case <-msgs[0].Context().Done():
		return msgs[0].Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := len(msgs), error(nil)
	if s.fail != nil {
		n, err = s.fail(topic, msgs)
	}
	for _, m := range msgs[:n] {
		s.order = append(s.order, m.UUID)
		s.got[m.UUID] = true
	}
	return err
}

func (s *sink) Close() error { return nil }

// came gives the ids that came, in their order.
func (s *sink) came() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

func (s *sink) arrived(position int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[s.box.items[position/10-1].Message.UUID]
}

func pair(t *testing.T) (*box, *sink) {
	b := &box{t: t}
	s := &sink{box: b, got: map[string]bool{}}
	b.arrived = s.arrived
	return b, s
}

// start runs a forwarder until stop is called.
func start(t *testing.T, o forward.Options, b forward.Source, s *sink) (f *forward.Forwarder, stop func()) {
	t.Helper()
	f, err := forward.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { f.Forward(ctx, b, s) })
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(stop)
	return f, stop
}

// checkOrder checks that the first time that a message of a key came, all before
// it had come.
func (s *sink) checkOrder(t *testing.T) {
	t.Helper()
	next := map[string]int{}
	for _, id := range s.came() {
		var key string
		var n int
		if _, err := fmt.Sscanf(id, "%1s-%d", &key, &n); err != nil {
			t.Fatal(err)
		}
		if n > next[key] {
			t.Errorf("%s came, but only %d of its key had", id, next[key])
		}
		next[key] = max(next[key], n+1)
	}
}

// Whatever fails and however often the forwarder is replaced, everything is
// published in the order of its key, and the source is never told too much.
func TestNothingIsLostAndKeysKeepTheirOrder(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				pick := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return rnd.IntN(n)
				}
				chance := func(percent int) bool { return pick(100) < percent }
				b, s := pair(t)
				b.fails = func() bool { return chance(20) }
				s.takes = time.Millisecond
				s.fail = func(_ string, msgs []*message.Message) (int, error) {
					switch {
					case chance(20):
						return 0, hub.E(hub.Transient, "down")
					case chance(10): // some, or all and the answer was lost
						return pick(len(msgs) + 1), errors.New("cut")
					}
					return len(msgs), nil
				}
				count := map[string]int{}
				for range 20 {
					_, stop := start(t, forward.Options{Window: 1 + pick(200), BackoffMax: time.Second}, b, s)
					for range pick(100) {
						key := fmt.Sprintf("%c", 'a'+pick(8))
						b.put("events", key, count[key])
						count[key]++
						if chance(10) {
							time.Sleep(time.Duration(pick(300)) * time.Millisecond)
						}
					}
					stop()
				}
				start(t, forward.Options{}, b, s)
				time.Sleep(time.Hour)
				if n := b.undone(); n != 0 {
					t.Errorf("%d messages are left", n)
				}
				s.checkOrder(t)
			})
		})
	}
}

// A key that cannot be published holds up neither the others nor, for ever, the
// reading.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := pair(t)
		down := true
		s.fail = func(_ string, msgs []*message.Message) (int, error) {
			if down && msgs[0].Metadata[bus.MetaKey] == "a" {
				return 0, &hub.Error{Kind: hub.Transient, Msg: "down", RetryAfter: 3 * time.Second}
			}
			return len(msgs), nil
		}
		f, _ := start(t, forward.Options{Window: 100}, b, s)
		for i := range 60 {
			b.put("events", "a", i)
			b.put("events", "b", i)
		}
		time.Sleep(time.Minute)
		if n := len(s.came()); n != 50 {
			t.Errorf("%d messages of the other key came, want those in the window, 50", n)
		}
		if n, age := f.Backlog(); n != 50 || age < 59*time.Second || age > time.Minute {
			t.Errorf("%d messages wait, the oldest for %v", n, age)
		}
		s.mu.Lock()
		down = false
		s.mu.Unlock()
		time.Sleep(10 * time.Second) // the largest pause
		synctest.Wait()
		if n, age := f.Backlog(); n != 0 || age != 0 || len(s.came()) != 120 || b.undone() != 0 {
			t.Errorf("%d messages came, %d wait, the oldest for %v", len(s.came()), n, age)
		}
		s.checkOrder(t)
	})
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := pair(t)
		var at []time.Duration
		begin := time.Now()
		s.fail = func(string, []*message.Message) (int, error) {
			at = append(at, time.Since(begin).Round(time.Millisecond))
			return 0, errors.New("broken")
		}
		b.put("events", "a", 0)
		_, stop := start(t, forward.Options{BackoffMin: time.Second, BackoffMax: 5 * time.Second}, b, s)
		time.Sleep(25 * time.Second)
		stop()
		want := []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 12 * time.Second, 17 * time.Second, 22 * time.Second}
		if !slices.Equal(at, want) {
			t.Errorf("it was tried at %v, want %v", at, want)
		}
	})
}

// A message that can never be published is put aside, and only that one.
func TestWhatCanNeverBePublished(t *testing.T) {
	for _, able := range []bool{true, false} {
		t.Run(fmt.Sprint("put aside: ", able), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s := pair(t)
				s.fail = func(_ string, msgs []*message.Message) (int, error) {
					for _, m := range msgs {
						if m.UUID == "a-2" {
							return 0, hub.E(hub.TooLarge, "too large")
						}
					}
					return len(msgs), nil
				}
				o := forward.Options{}
				if able {
					o.Refused = func(_ context.Context, it forward.Item, err error) error {
						if it.Message.UUID != "a-2" || hub.KindOf(err) != hub.TooLarge {
							t.Errorf("%s is refused: %v", it.Message.UUID, err)
						}
						s.mu.Lock()
						defer s.mu.Unlock()
						s.got["a-2"] = true
						return nil
					}
				}
				for i := range 5 {
					b.put("events", "a", i)
				}
				b.put("events", "b", 0)
				start(t, o, b, s)
				time.Sleep(time.Minute)
				came := s.came()
				slices.Sort(came)
				got, want := fmt.Sprint(came), "[a-0 a-1 a-3 a-4 b-0]"
				if !able {
					want = "[a-0 a-1 b-0]"
				}
				if got != want {
					t.Errorf("%s came, want %s", got, want)
				}
			})
		})
	}
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := pair(t)
		wake := make(chan struct{}, 1)
		start(t, forward.Options{Poll: time.Hour, Wake: wake}, b, s)
		synctest.Wait()
		b.put("events", "a", 0)
		synctest.Wait()
		if len(s.came()) != 0 {
			t.Error("it came without being asked for")
		}
		wake <- struct{}{}
		synctest.Wait()
		if len(s.came()) != 1 {
			t.Error("it did not come")
		}
		b.put("events", "a", 1)
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if len(s.came()) != 2 {
			t.Error("it did not come in time")
		}
	})
}

// countingBox knows how much waits in it.
type countingBox struct{ *box }

func (b countingBox) Waiting(context.Context) (int64, error) { return int64(b.undone()), nil }

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	synctest.Test(t, func(t *testing.T) {
		b, s := pair(t)
		down := true
		s.fail = func(_ string, msgs []*message.Message) (int, error) {
			if down {
				return 0, errors.New("down")
			}
			return len(msgs), nil
		}
		for i := range 10 {
			b.put("events", "a", i)
		}
		f, stop := start(t, forward.Options{Registry: reg, Window: 4, BackoffMin: time.Second, BackoffMax: time.Second}, countingBox{b}, s)
		time.Sleep(3500 * time.Millisecond)
		if n, age := f.Backlog(); n != 10 || age.Round(time.Millisecond) != 3500*time.Millisecond {
			t.Errorf("%d wait, the oldest for %v", n, age)
		}
		s.mu.Lock()
		down = false
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		if n, age := f.Backlog(); n != 0 || age != 0 {
			t.Errorf("%d wait, the oldest for %v", n, age)
		}
		stop()
	})
	values := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		values[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
	}
	want := map[string]float64{
		"tocsin_outbox_published_total": 10, "tocsin_outbox_failed_total": 4, "tocsin_outbox_refused_total": 0,
		"tocsin_outbox_backlog": 0, "tocsin_outbox_age_seconds": 0,
	}
	if fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("the metrics are %v, want %v", values, want)
	}
}
