package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
)

// The broker has a batch and the answer is lost: it is sent again, and the broker
// knows it again.
func TestALostAnswerMakesNoDouble(t *testing.T) {
	o := hubTopics(2)
	w := newWire()
	o.DialBy(w.dial)
	b := openBus(t, o)
	for i := range 20 {
		if i%3 == 0 {
			w.loseAnswers(apiProduce, 1)
		}
		publish(t, b, "k", i, i+1)
		publish(t, b, "other", i, i+1)
	}
	if n := w.requests(apiProduce); n != 47 {
		t.Errorf("%d requests were made, want 40 and 7 again", n)
	}
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	next := map[string]int{}
	for range 40 {
		m := receive(t, ch)
		key := m.Metadata[bus.MetaKey]
		if want := fmt.Sprintf("%s-%d", key, next[key]); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
		next[key]++
		m.Ack()
	}
	if n, err := b.Lag(topic, "triage"); err != nil || n > 40 {
		t.Errorf("%d messages are left, error %v", n, err)
	}
	await(t, "nothing more is there", func() bool { n, err := b.Lag(topic, "triage"); return err == nil && n == 0 })
}

// Callers at the same time share requests.
func TestPublishersShareRequests(t *testing.T) {
	o := hubTopics(4)
	w := newWire()
	o.DialBy(w.dial)
	b := openBus(t, o)
	var all sync.WaitGroup
	for k := range 64 {
		all.Go(func() {
			for i := range 20 {
				publish(t, b, fmt.Sprint("k", k), i, i+1)
			}
		})
	}
	all.Wait()
	if n := w.requests(apiProduce); n > 64*20/4 {
		t.Errorf("%d messages took %d requests", 64*20, n)
	}
}

// If no broker answers, publishing fails in time, with an error that says when
// to come back; and nothing needs to be done for it to work again.
func TestPublishingFailsInTimeAndRecovers(t *testing.T) {
	o := hubTopics(2)
	o.PublishTimeout = time.Second
	w := newWire()
	o.DialBy(w.dial)
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	w.cut()
	var all sync.WaitGroup
	for k := range 10 {
		all.Go(func() {
			start := time.Now()
			err := b.Publisher().Publish(topic, bus.NewMessage("x", "default", fmt.Sprint("k", k), nil))
			var e *hub.Error
			if !errors.As(err, &e) || e.Kind != hub.Transient || e.RetryAfter == 0 {
				t.Errorf("publishing gives %v", err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("publishing failed after %v, want about 1s", took)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	m := bus.NewMessage("x", "default", "k", nil)
	m.SetContext(ctx)
	if err := b.Publisher().Publish(topic, m); !errors.Is(err, context.DeadlineExceeded) || hub.KindOf(err) != hub.Transient {
		t.Errorf("publishing with a short context gives %v", err)
	}
	if err := b.Ping(ctx); hub.KindOf(err) != hub.Transient {
		t.Errorf("Ping gives %v", err)
	}
	w.mend()
	await(t, "publishing works again", func() bool {
		return b.Publisher().Publish(topic, bus.NewMessage("y", "default", "k", nil)) == nil
	})
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("Ping gives %v", err)
	}
}

// A message whose Publish failed may be on its way still. It must not be stored
// behind what was published after it.
func TestWhatWasGivenUpDoesNotComeLate(t *testing.T) {
	o := hubTopics(1)
	o.PublishTimeout = time.Second
	w := newWire()
	o.DialBy(w.dial)
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	late := w.holdRequests(apiProduce)
	if err := b.Publisher().Publish(topic, bus.NewMessage("given-up", "default", "k", nil)); err == nil {
		t.Fatal("publishing without an answer gives no error")
	}
	await(t, "the hub gives it up", func() bool { return b.Waiting() == 0 })
	w.letRequests(apiProduce)
	publish(t, b, "k", 1, 2)
	late() // the broker gets it now
	publish(t, b, "k", 2, 3)
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	for i := range 3 {
		if m, want := receive(t, ch), fmt.Sprint("k-", i); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
	}
}

// A message whose Publish failed may be stored. What comes next must not be
// taken for its repeat.
func TestWhatWasGivenUpMayBeStored(t *testing.T) {
	o := hubTopics(1)
	o.PublishTimeout = time.Second
	w := newWire()
	o.DialBy(w.dial)
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	w.loseAnswers(apiProduce, 1_000_000)
	if err := b.Publisher().Publish(topic, bus.NewMessage("k-1", "default", "k", nil)); hub.KindOf(err) != hub.Transient {
		t.Fatalf("publishing without an answer gives %v", err)
	}
	await(t, "the hub gives it up", func() bool { return b.Waiting() == 0 })
	w.loseAnswers(apiProduce, 0)
	publish(t, b, "k", 2, 3)
	publish(t, b, "k", 3, 4)
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	for i := range 4 {
		if m, want := receive(t, ch), fmt.Sprint("k-", i); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
	}
}

// The broker and the hub do not agree about what was sent, as after a broker has
// lost its disk: the hub begins anew.
func TestTheBrokerKnowsOtherwise(t *testing.T) {
	b := openBus(t, hubTopics(1))
	publish(t, b, "k", 0, 2)
	b.Confuse(topic, 0, 100)
	publish(t, b, "k", 2, 4)
	b.Confuse(topic, math.MaxInt16, 0) // the last epoch there is
	publish(t, b, "k", 4, 6)
	b.Confuse(topic, math.MaxInt16, 100)
	publish(t, b, "k", 6, 8)
	publish(t, b, "k", 8, 10)
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	for i := range 10 {
		if m, want := receive(t, ch), fmt.Sprint("k-", i); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
	}
}

func TestClosedBus(t *testing.T) {
	b := openBus(t, hubTopics(1))
	p, s := b.Publisher(), b.Subscriber(kafka.Group{Name: "triage"})
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Publish(topic, bus.NewMessage("x", "", "", nil)); err == nil {
		t.Error("publishing on a closed bus gives no error")
	}
	if _, err := s.Subscribe(t.Context(), topic); err == nil {
		t.Error("subscribing on a closed bus gives no error")
	}
	if _, err := b.Subscriber(kafka.Group{Name: "triage"}).Subscribe(t.Context(), topic); err == nil {
		t.Error("subscribing on a closed bus gives no error")
	}
}

func TestOnlyKnownTopics(t *testing.T) {
	b := openBus(t, hubTopics(1))
	if err := b.Publisher().Publish("other", bus.NewMessage("x", "", "", nil)); hub.KindOf(err) != hub.Internal {
		t.Errorf("publishing to a topic that nobody named gives %v", err)
	}
}
