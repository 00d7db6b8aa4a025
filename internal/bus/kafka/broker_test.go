package kafka_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/test/services"
)

// Whatever happens to the broker, what was accepted is handled, in the order of
// its key, and what could not be handled is a dead letter.
func TestBrokerGoesAndComesBack(t *testing.T) {
	for _, c := range []struct {
		name string
		away func(t *testing.T, k *services.KafkaServer)
	}{
		{"restart", func(t *testing.T, k *services.KafkaServer) { k.Stop(t); k.Start(t) }},
		{"kill", func(t *testing.T, k *services.KafkaServer) { k.Kill(t); k.Start(t) }},
		{"a short pause", func(t *testing.T, k *services.KafkaServer) { k.Pause(t); <-time.After(2 * time.Second); k.Resume(t) }},
		{"a pause longer than a session", func(t *testing.T, k *services.KafkaServer) { k.Pause(t); <-time.After(9 * time.Second); k.Resume(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := services.SharedKafka(t)
			o := hubTopics(6)
			o.PublishTimeout = 2 * time.Second
			first, second := openBus(t, o), openBus(t, o)
			j := newJudge(t)
			j.refuses = 100
			j.poison = 500
			l := startLoad(topic, 30, first.Publisher(), second.Publisher())
			for _, b := range []*kafka.Bus{first, second} {
				j.consume(subscribe(t, b, kafka.Group{Name: "triage", Window: 16}))
			}
			await(t, "work has begun", func() bool { return j.done() > 1000 })
			c.away(t, k)
			back := time.Now()
			before, accepted := j.done(), l.accepted()
			await(t, "messages are accepted again", func() bool { return l.accepted() > accepted+1000 })
			t.Logf("1,000 accepted %v after the broker came back", time.Since(back).Round(time.Millisecond))
			await(t, "work goes on", func() bool { return j.done() > before+1000 })
			t.Logf("1,000 done %v after the broker came back", time.Since(back).Round(time.Millisecond))
			j.check(l)
			j.checkDead(first)
		})
	}
}

// While the broker is away, publishing fails within its time and not before it
// was tried. A subscription that begins meanwhile works when it is back.
func TestWhileTheBrokerIsAway(t *testing.T) {
	k := services.SharedKafka(t)
	o := hubTopics(3)
	o.PublishTimeout = time.Second
	b := openBus(t, o)
	for _, c := range []struct {
		name       string
		away, back func(testing.TB)
	}{{"stopped", k.Stop, k.Start}, {"paused", k.Pause, k.Resume}} {
		publish(t, b, "k", 0, 1)
		c.away(t)
		start := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				err := b.Publisher().Publish(topic, bus.NewMessage("x", "default", fmt.Sprint(i), nil))
				if hub.KindOf(err) != hub.Transient {
					t.Errorf("%s: publishing gives %v", c.name, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took < 900*time.Millisecond || took > 3*time.Second {
			t.Errorf("%s: publishing failed after %v, want about 1s", c.name, took)
		}
		ch := subscribe(t, b, kafka.Group{Name: c.name})
		c.back(t)
		await(t, "publishing works again", func() bool {
			return b.Publisher().Publish(topic, bus.NewMessage("y", "default", "k", nil)) == nil
		})
		receive(t, ch).Ack()
	}
}
