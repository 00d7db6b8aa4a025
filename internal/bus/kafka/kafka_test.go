package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	client "github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/test/services"
	"go.uber.org/goleak"
)

const topic = bus.TopicFindings

// hubTopics are options with the hub's own topics.
func hubTopics(partitions int) kafka.Options {
	o := quick(partitions)
	o.Topics, o.AnyTopic = map[string]kafka.Topic{topic: {}, bus.TopicEvents: {}, bus.TopicDeadLetters: {Partitions: 1}}, false
	return o
}

// publish puts messages named by key and number on the topic, in one call.
func publish(t testing.TB, b *kafka.Bus, key string, from, to int) {
	t.Helper()
	var msgs []*message.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, bus.NewMessage(fmt.Sprintf("%s-%d", key, i), "default", key, []byte("x")))
	}
	if err := b.Publisher().Publish(topic, msgs...); err != nil {
		t.Fatal(err)
	}
}

func subscribe(t testing.TB, b *kafka.Bus, g kafka.Group) <-chan *message.Message {
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
	case <-time.After(deadline):
		t.Fatal("no message came")
	}
	return nil
}

func refuse(m *message.Message, err error) {
	bus.Failed(m, err)
	m.Nack()
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestMessagesTravelWhole(t *testing.T) {
	b := openBus(t, hubTopics(3))
	sent := bus.NewMessage("msg_1", "acme", "alt_1", []byte(`{"specversion":"1.0"}`))
	sent.Metadata[bus.MetaContentType] = bus.ContentCloudEvent
	sent.Metadata[bus.MetaEventID], sent.Metadata[bus.MetaEventType] = "msg_1", "alert.created"
	sent.Metadata["traceparent"] = "00-ä"
	if err := b.Publisher().Publish(topic, sent); err != nil {
		t.Fatal(err)
	}
	got := receive(t, subscribe(t, b, kafka.Group{Name: "triage"}))
	if len(got.Metadata[bus.MetaPosition]) != 16 || bus.Attempt(got) != 1 {
		t.Errorf("it came with %v", got.Metadata)
	}
	delete(got.Metadata, bus.MetaPosition)
	if got.UUID != "msg_1" || string(got.Payload) != string(sent.Payload) || fmt.Sprint(got.Metadata) != fmt.Sprint(sent.Metadata) {
		t.Errorf("got %s %q %v, want %s %q %v", got.UUID, got.Payload, got.Metadata, sent.UUID, sent.Payload, sent.Metadata)
	}
	got.Ack()
}

// What other programs see of an event: the CloudEvents binding in structured
// mode.
func TestRecordsOnTheWire(t *testing.T) {
	o := hubTopics(1)
	b := openBus(t, o)
	m := bus.NewMessage("msg_1", "acme", "alt_1", []byte(`{"specversion":"1.0"}`))
	m.Metadata[bus.MetaContentType] = bus.ContentCloudEvent
	m.Metadata[bus.MetaEventID], m.Metadata[bus.MetaEventType] = "msg_1", "alert.created"
	if err := b.Publisher().Publish(bus.TopicEvents, m); err != nil {
		t.Fatal(err)
	}
	res, err := admin(t).Fetch(t.Context(), &client.FetchRequest{
		Topic: o.Prefix + bus.TopicEvents, Offset: client.FirstOffset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: deadline,
	})
	if err != nil || res.Error != nil {
		t.Fatal(err, res)
	}
	r, err := res.Records.ReadRecord()
	if err != nil {
		t.Fatal(err)
	}
	key, _ := client.ReadAll(r.Key)
	value, _ := client.ReadAll(r.Value)
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"message-id": "msg_1", "tenant": "acme", "content-type": "application/cloudevents+json", "ce_id": "msg_1", "ce_type": "alert.created",
	}
	if string(key) != "alt_1" || string(value) != string(m.Payload) || !maps.Equal(headers, want) {
		t.Errorf("the record is %q %q %v", key, value, headers)
	}
	if age := time.Since(r.Time); age < -time.Minute || age > time.Minute {
		t.Errorf("it is of %v", r.Time)
	}
}

// A bus that is closed leaves nothing behind.
func TestCloseEndsAllGoroutines(t *testing.T) {
	services.SharedKafka(t)
	before := goleak.IgnoreCurrent()
	b := openBus(t, hubTopics(3))
	publish(t, b, "k", 0, 1)
	receive(t, subscribe(t, b, kafka.Group{Name: "triage"})).Ack()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	await(t, "all goroutines have ended", func() bool { return goleak.Find(before) == nil })
}

func TestOneKeyKeepsItsOrderWhileOthersGoOn(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			b := openBus(t, hubTopics(partitions))
			const keys, each = 20, 60
			j := newJudge(t)
			var publishers sync.WaitGroup
			for k := range keys {
				publishers.Go(func() {
					for i := range each {
						publish(t, b, fmt.Sprint("k", k), i, i+1)
					}
				})
			}
			j.refuses = 7
			j.consume(subscribe(t, b, kafka.Group{Name: "triage", Window: 8}))
			publishers.Wait()
			j.awaitAll(keys, each)
			if j.again > keys*each/6 {
				t.Errorf("%d messages came again, but only one in 7 deliveries was refused", j.again)
			}
		})
	}
}

// The window is of each partition, and one key in it takes one place.
func TestWindow(t *testing.T) {
	b := openBus(t, hubTopics(1))
	for k := range 10 {
		publish(t, b, fmt.Sprint("k", k), 0, 2)
	}
	ch := subscribe(t, b, kafka.Group{Name: "triage", Window: 4})
	var flying []*message.Message
	for range 4 {
		flying = append(flying, receive(t, ch))
	}
	seen := map[string]bool{}
	for _, m := range flying {
		if key := m.Metadata[bus.MetaKey]; seen[key] {
			t.Errorf("two messages of %s are in flight", key)
		} else {
			seen[key] = true
		}
	}
	for next := 4; next < 20; next++ {
		select {
		case m := <-ch:
			t.Fatalf("%s came, though the window is full", m.UUID)
		default:
		}
		flying[0].Ack()
		flying = append(flying[1:], receive(t, ch))
	}
}

func TestCoalesceLetsOneKeyGo(t *testing.T) {
	b := openBus(t, hubTopics(1))
	publish(t, b, "k", 0, 50)
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	for i := range 50 {
		if m, want := receive(t, ch), fmt.Sprintf("k-%d", i); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
	}
}

func TestARefusedMessageComesAgainAfterAPause(t *testing.T) {
	o := hubTopics(1)
	o.BackoffMin, o.BackoffMax = 200*time.Millisecond, 300*time.Millisecond
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	start := time.Now()
	for i, least := range []time.Duration{0, 200 * time.Millisecond, 500 * time.Millisecond, 800 * time.Millisecond} {
		m := receive(t, ch)
		if got := time.Since(start); got < least || bus.Attempt(m) != i+1 {
			t.Errorf("attempt %d came after %v, want attempt %d after at least %v", bus.Attempt(m), got, i+1, least)
		}
		refuse(m, hub.E(hub.Transient, "not now"))
	}
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
			b := openBus(t, hubTopics(2))
			m := bus.NewMessage("fnd_1", "default", "k", []byte("payload"))
			m.Metadata["ce_type"] = "finding"
			if err := b.Publisher().Publish(topic, m); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "k", 1, 2) // shows that the first is done
			ch := subscribe(t, b, kafka.Group{Name: "triage"})
			for range c.attempts {
				refuse(receive(t, ch), c.err)
			}
			if next := receive(t, ch); next.UUID != "k-1" {
				t.Errorf("%s came behind the dead letter", next.UUID)
			} else {
				next.Ack()
			}
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
			requeued(t, b, ch, letters[0].Position)
		})
	}
}

func requeued(t *testing.T, b *kafka.Bus, ch <-chan *message.Message, position int64) {
	t.Helper()
	if err := b.Requeue(t.Context(), "other", position); hub.KindOf(err) != hub.NotFound {
		t.Errorf("another tenant's requeue gives %v", err)
	}
	if err := b.Requeue(t.Context(), "default", position+1); hub.KindOf(err) != hub.NotFound {
		t.Errorf("putting back what is not there gives %v", err)
	}
	if err := b.Requeue(t.Context(), "default", position); err != nil {
		t.Fatal(err)
	}
	m := receive(t, ch)
	if m.UUID != "fnd_1" || bus.Attempt(m) != 1 || m.Metadata["ce_type"] != "finding" || m.Metadata[bus.DeadReason] != "" {
		t.Errorf("%s came again with %v", m.UUID, m.Metadata)
	}
	m.Ack()
	if err := b.Requeue(t.Context(), "default", position); hub.KindOf(err) != hub.NotFound {
		t.Errorf("putting it back a second time gives %v", err)
	}
	if letters, err := b.DeadLetters(t.Context(), "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%d dead letters are left, error %v", len(letters), err)
	}
}

func TestTransientErrorsNeverMakeADeadLetter(t *testing.T) {
	o := hubTopics(1)
	o.BackoffMin, o.BackoffMax = time.Microsecond, time.Microsecond
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	for range 100 {
		refuse(receive(t, ch), hub.E(hub.Transient, "down"))
	}
	receive(t, ch).Ack()
	if letters, err := b.DeadLetters(t.Context(), "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%d dead letters, error %v", len(letters), err)
	}
}

// What was done is committed when the bus is closed, and only the finished
// prefix of it.
func TestCloseCommitsTheFinishedPrefix(t *testing.T) {
	for _, c := range []struct {
		name  string
		acks  []int
		comes string // first, to the next process
	}{
		{"all", []int{0, 1, 2, 3}, "k4-0"},
		{"none", nil, "k0-0"},
		{"a gap", []int{0, 1, 3}, "k2-0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := hubTopics(1)
			b := openBus(t, o)
			for k := range 5 {
				publish(t, b, fmt.Sprint("k", k), 0, 1)
			}
			ch := subscribe(t, b, kafka.Group{Name: "triage", Window: 4})
			var flying []*message.Message
			for range 4 {
				flying = append(flying, receive(t, ch))
			}
			for _, i := range c.acks {
				flying[i].Ack()
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if m := receive(t, subscribe(t, openBus(t, o), kafka.Group{Name: "triage"})); m.UUID != c.comes {
				t.Errorf("%s comes first, want %s", m.UUID, c.comes)
			}
		})
	}
}

func TestCloseWaitsForMessagesInFlight(t *testing.T) {
	for _, c := range []struct {
		name string
		slow bool
	}{{"quick handler", false}, {"slow handler", true}} {
		t.Run(c.name, func(t *testing.T) {
			o := hubTopics(1)
			o.Grace = 500 * time.Millisecond
			b := openBus(t, o)
			publish(t, b, "k", 0, 1)
			ch := subscribe(t, b, kafka.Group{Name: "triage"})
			m := receive(t, ch)
			closed := make(chan error, 1)
			go func() { closed <- b.Close() }()
			if !c.slow {
				if _, open := <-ch; open {
					t.Error("the channel is open") // now nothing more is handed out
				}
				if err := m.Context().Err(); err != nil {
					t.Errorf("the context has ended before the handler: %v", err)
				}
				m.Ack()
			}
			if err := <-closed; err != nil {
				t.Error(err)
			}
			if m.Context().Err() == nil {
				t.Error("the context of the message lives on")
			}
			m.Ack() // too late for the slow one
			b = openBus(t, o)
			publish(t, b, "last", 0, 1)
			want := map[bool]string{true: "k-0", false: "last-0"}[c.slow]
			if m := receive(t, subscribe(t, b, kafka.Group{Name: "triage"})); m.UUID != want {
				t.Errorf("%s comes first, want %s", m.UUID, want)
			}
		})
	}
}

func TestTooLargeIsRefusedAtOnce(t *testing.T) {
	o := hubTopics(1)
	o.MaxMessageBytes = 2000
	b := openBus(t, o)
	for _, c := range []struct {
		size int
		want hub.Kind
	}{{1500, ""}, {1800, ""}, {2000, hub.TooLarge}, {100_000, hub.TooLarge}} {
		err := b.Publisher().Publish(topic, bus.NewMessage("x", "default", "k", make([]byte, c.size)))
		if hub.KindOf(err) != c.want {
			t.Errorf("%d bytes: got %v, want kind %q", c.size, err, c.want)
		}
	}
}

func TestLargeMessagesAndCompression(t *testing.T) {
	for _, how := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			o := hubTopics(1)
			o.Compression = how
			b := openBus(t, o)
			want := strings.Repeat(ident.New(""), 6<<20/26)
			for i := range 3 {
				if err := b.Publisher().Publish(topic, bus.NewMessage(fmt.Sprint(i), "default", "k", []byte(want))); err != nil {
					t.Fatal(err)
				}
			}
			ch := subscribe(t, b, kafka.Group{Name: "triage"})
			for i := range 3 {
				m := receive(t, ch)
				if m.UUID != fmt.Sprint(i) || string(m.Payload) != want {
					t.Errorf("%s came with %d bytes", m.UUID, len(m.Payload))
				}
				m.Ack()
			}
		})
	}
	if _, err := kafka.New(t.Context(), kafka.Options{Brokers: []string{"x:1"}, Compression: "zip"}); hub.KindOf(err) != hub.Invalid {
		t.Errorf("an unknown compression gives %v", err)
	}
}

func TestPendingFindsWhatIsNotDone(t *testing.T) {
	b := openBus(t, hubTopics(4))
	if _, found := b.Pending(t.Context(), "default", topic, "k-1"); found {
		t.Error("found a message that was never published")
	}
	ids := make([]string, 600)
	var msgs []*message.Message
	for i := range ids {
		ids[i] = ident.New("fnd_")
		msgs = append(msgs, bus.NewMessage(ids[i], "default", fmt.Sprint(i), []byte("x")))
	}
	if err := b.Publisher().Publish(topic, msgs...); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "k", 0, 1)
	for _, c := range []struct {
		tenant, id string
		want       bool
	}{
		{"default", ids[0], true},
		{"default", ids[599], true},
		{"other", ids[0], false},
		{"default", ident.New("fnd_"), false},
		{"default", "k-0", true},
	} {
		m, found := b.Pending(t.Context(), c.tenant, topic, c.id)
		if found != c.want || found && m.UUID != c.id {
			t.Errorf("looking for %s of %s finds %v", c.id, c.tenant, m)
		}
	}
}

func TestLagCountsAllProcesses(t *testing.T) {
	o := hubTopics(6)
	b := openBus(t, o)
	if _, err := b.Lag(topic, "triage"); hub.KindOf(err) != hub.NotFound {
		t.Errorf("the lag of a group that is not there is %v", err)
	}
	for k := range 30 {
		publish(t, b, fmt.Sprint("k", k), 0, 1)
	}
	lag := func(b *kafka.Bus) int64 {
		n, err := b.Lag(topic, "triage")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	if n := lag(b); n != 30 {
		t.Errorf("the lag is %d, want 30", n)
	}
	for range 30 {
		receive(t, ch).Ack()
	}
	await(t, "the lag is 0", func() bool { return lag(b) == 0 })
	other := openBus(t, o)
	subscribe(t, other, kafka.Group{Name: "triage"})
	for k := range 30 {
		publish(t, b, fmt.Sprint("k", k), 1, 2)
	}
	await(t, "both see the whole lag", func() bool { return lag(b) == 30 && lag(other) == 30 })
}

// A reader that has no room does not fetch, so does not learn how much there is.
func TestLagCountsWhatIsNotRead(t *testing.T) {
	b := openBus(t, hubTopics(1))
	publish(t, b, "k", 0, 2000)
	m := receive(t, subscribe(t, b, kafka.Group{Name: "triage"}))
	publish(t, b, "k", 2000, 2100)
	if n, err := b.Lag(topic, "triage"); n != 2100 || err != nil {
		t.Errorf("the lag is %d, %v, want 2100", n, err)
	}
	m.Ack()
}

func TestAFullBacklogRefusesMessages(t *testing.T) {
	o := hubTopics(1)
	o.Topics[topic] = kafka.Topic{MaxBacklog: 10}
	b := openBus(t, o)
	publish(t, b, "k", 0, 10)
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	try := func() error { return b.Publisher().Publish(topic, bus.NewMessage("x", "default", "x", nil)) }
	await(t, "messages are refused", func() bool { return try() != nil })
	err := try()
	var e *hub.Error
	if !errors.As(err, &e) || e.Kind != hub.Transient || e.RetryAfter == 0 {
		t.Errorf("a full backlog gives %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range ch {
			m.Ack()
		}
	}()
	await(t, "messages are accepted again", func() bool { return try() == nil })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	o := hubTopics(1)
	o.Registry = reg
	b := openBus(t, o)
	publish(t, b, "k", 0, 5)
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	receive(t, ch).Ack()
	refuse(receive(t, ch), hub.E(hub.Invalid, "no"))
	refuse(receive(t, ch), hub.E(hub.Transient, "not now"))
	receive(t, ch)
	want := fmt.Sprint(map[string]float64{
		"published_total": 5, "publish_failed_total": 0, "delivered_total": 4, "redelivered_total": 1, "dead_total": 1,
		"lag": 3, "in_flight": 1, "rebalanced_total": 1, "taken_back_total": 0,
	})
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("the metrics are %v, want %v", got, want)
		}
	}()
	await(t, "the metrics are right", func() bool { got = metricsOf(t, reg); return got == want })
}

// metricsOf gives the metrics of the topic.
func metricsOf(t *testing.T, reg prometheus.Gatherer) string {
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "topic" && l.GetValue() == topic {
					got[strings.TrimPrefix(f.GetName(), "tocsin_bus_")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return fmt.Sprint(got)
}

func TestOptionsThatCannotBe(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, c := range []struct {
		name string
		opts kafka.Options
		want hub.Kind
	}{
		{"no broker", kafka.Options{}, hub.Invalid},
		{"nobody there", kafka.Options{Brokers: []string{"127.0.0.1:1"}}, hub.Transient},
		{"certificate without TLS", kafka.Options{Brokers: []string{"x:1"}, Security: kafka.Security{CAFile: "x"}}, hub.Invalid},
		{"no such file", kafka.Options{Brokers: []string{"x:1"}, Security: kafka.Security{TLS: true, CAFile: "/nowhere"}}, hub.Invalid},
		{"no such mechanism", kafka.Options{Brokers: []string{"x:1"}, Security: kafka.Security{SASL: "gssapi"}}, hub.Invalid},
	} {
		if _, err := kafka.New(ctx, c.opts); hub.KindOf(err) != c.want {
			t.Errorf("%s: got %v, want kind %s", c.name, err, c.want)
		}
	}
}
