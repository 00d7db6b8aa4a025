package kafka_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	client "github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
)

// Processes come and go under load. Each partition is handed over in good order,
// so nothing is lost or out of order, and a key is never handled in two places at a
// time. Nothing comes again either, as a rule: but the coordinator refuses a commit
// if the group changes once more before it, and then what was in hand does.
func TestProcessesComeAndGo(t *testing.T) {
	o := hubTopics(12)
	o.Grace = 5 * time.Second
	first := openBus(t, o)
	j := newJudge(t)
	l := startLoad(topic, 40, first.Publisher())
	j.consume(subscribe(t, first, kafka.Group{Name: "triage", Window: 32}))
	rnd := rand.New(rand.NewPCG(1, 2))
	var others []*kafka.Bus
	for step := range 10 {
		before := j.done()
		if len(others) == 0 || len(others) < 4 && rnd.IntN(2) == 0 {
			b := openBus(t, o)
			j.consume(subscribe(t, b, kafka.Group{Name: "triage", Window: 32}))
			others = append(others, b)
		} else {
			i := rnd.IntN(len(others))
			if err := others[i].Close(); err != nil {
				t.Error(err)
			}
			others = append(others[:i], others[i+1:]...)
		}
		await(t, fmt.Sprint("work goes on after change ", step), func() bool { return j.done() > before+2000 })
	}
	j.check(l)
	if most := 2 * 32; j.again > most { // two windows
		t.Errorf("%d messages were done twice, though every process left in good order; want at most %d", j.again, most)
	}
}

// A process that comes gets its share, while the others go on with theirs.
func TestAProcessThatComesGetsItsShare(t *testing.T) {
	o := hubTopics(6)
	first, second := openBus(t, o), openBus(t, o)
	for k := range 60 {
		publish(t, first, fmt.Sprint("k", k), 0, 1)
	}
	ch := subscribe(t, first, kafka.Group{Name: "triage"})
	held := receive(t, ch) // a slow handler, whose partition may be one to be handed over
	other := subscribe(t, second, kafka.Group{Name: "triage"})
	seen := map[*kafka.Bus]map[string]bool{first: {}, second: {}}
	note := func(b *kafka.Bus, m *message.Message) {
		seen[b][m.Metadata[bus.MetaPosition][:4]] = true
		m.Ack()
	}
	end := time.After(deadline)
	for k := 60; len(seen[second]) < 3; k++ {
		publish(t, first, fmt.Sprint("k", k), 0, 1)
		select {
		case m := <-ch:
			note(first, m)
		case m := <-other:
			if held.Context().Err() == nil && m.Metadata[bus.MetaPosition][:4] == held.Metadata[bus.MetaPosition][:4] {
				t.Errorf("%s came to another process while %s was in flight", m.UUID, held.UUID)
			}
			note(second, m)
		case <-end:
			t.Fatalf("the second process got messages of %d partitions, want 3", len(seen[second]))
		}
	}
	held.Ack()
}

// A message that was read but not taken by a handler yet does not hold up its
// partition.
func TestWhatNobodyTakesIsHandedOver(t *testing.T) {
	o := hubTopics(2)
	o.Grace = 10 * deadline
	first, second := openBus(t, o), openBus(t, o)
	ch := subscribe(t, first, kafka.Group{Name: "triage"})
	// Of its two partitions, the first process will keep 0.
	key := ""
	for k := 0; key == "" || (client.Murmur2Balancer{}).Balance(client.Message{Key: []byte(key)}, 0, 1) != 1; k++ {
		key = fmt.Sprint("k", k)
	}
	publish(t, first, key, 0, 1)
	receive(t, ch).Ack()
	publish(t, first, key, 1, 2)
	if m := receive(t, subscribe(t, second, kafka.Group{Name: "triage"})); m.UUID != key+"-1" {
		t.Errorf("%s came", m.UUID)
	} else {
		m.Ack()
	}
}

// A process that is cut off goes on with what it has, not knowing. The others
// take over when its session ends, and what it acknowledges later must not
// count: else messages that they have would be skipped.
func TestACutOffProcessIsFenced(t *testing.T) {
	o := hubTopics(4)
	w := newWire()
	lone := o
	lone.DialBy(w.dial)
	healthy := openBus(t, o)
	j := newJudge(t)
	j.overlap = true
	l := startLoad(topic, 20, healthy.Publisher())

	cut := openBus(t, lone)
	ch, err := cut.Subscriber(kafka.Group{Name: "triage", Window: 8}).Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var flying []*message.Message
	for range 8 {
		flying = append(flying, receive(t, ch))
	}
	j.before = func(m *message.Message) {
		for _, x := range flying {
			if m.Metadata[bus.MetaPosition][:4] == x.Metadata[bus.MetaPosition][:4] && x.Context().Err() == nil {
				t.Errorf("%s came to the other process, but the one that was cut off still handles %s", m.UUID, x.UUID)
			}
		}
	}
	w.cut()
	j.consume(subscribe(t, healthy, kafka.Group{Name: "triage"}))
	for _, m := range flying {
		select {
		case <-m.Context().Done(): // it found out by itself, before it could reach anybody
		case <-time.After(deadline):
			t.Fatal("the context of a message in flight lives on, though its partition is another's")
		}
		m.Ack()
	}
	await(t, "the other process works", func() bool { return j.done() > 1000 })
	w.mend()
	j.consume(ch) // it comes back as one of two
	before := j.done()
	await(t, "both work", func() bool { return j.done() > before+2000 })
	j.check(l)
}

// The pause before a refused message comes again does not outlive the
// subscription or keep it from ending.
func TestCloseDoesNotWaitForPauses(t *testing.T) {
	o := hubTopics(1)
	o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := b.Subscriber(kafka.Group{Name: "triage"}).Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	refuse(receive(t, ch), hub.E(hub.Transient, "not now"))
	cancel()
	if _, open := <-ch; open {
		t.Error("something came")
	}
	if m := receive(t, subscribe(t, b, kafka.Group{Name: "triage"})); m.UUID != "k-0" {
		t.Errorf("%s came", m.UUID)
	}
}
