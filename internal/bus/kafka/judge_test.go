package kafka_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
)

// A judge handles the messages of any number of subscriptions, and checks that
// of each key one is handled at a time, none before the one before it is done.
// Messages that are done may come again.
type judge struct {
	t       *testing.T
	refuses int  // one in so many deliveries is refused; 0 is none
	poison  int  // one in so many messages of a key can never be handled; 0 is none
	overlap bool // a key may be handled twice at a time: its first owner was cut off

	before func(*message.Message) // is told of each; may be nil

	handlers sync.WaitGroup

	mu    sync.Mutex // guards what follows
	next  map[string]int
	busy  map[string]bool
	seen  int
	dead  int
	again int // that came though they were done or were refused
}

func newJudge(t *testing.T) *judge {
	j := &judge{t: t, next: map[string]int{}, busy: map[string]bool{}}
	t.Cleanup(j.handlers.Wait)
	return j
}

// consume handles what comes from a subscription until it ends.
func (j *judge) consume(ch <-chan *message.Message) {
	j.handlers.Go(func() {
		for m := range ch {
			j.handlers.Go(func() { j.handle(m) })
		}
	})
}

func (j *judge) handle(m *message.Message) {
	if j.before != nil {
		j.before(m)
	}
	key, text, _ := strings.Cut(m.UUID, "-")
	var n int
	_, _ = fmt.Sscan(text, &n)
	first := j.begin(key, n)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busy[key] = false
	j.seen++
	if j.refuses > 0 && j.seen%j.refuses == 0 {
		refuse(m, hub.E(hub.Transient, "not now"))
		j.again++
		return
	}
	if j.poison > 0 && n%j.poison == 7 {
		if first && m.Context().Err() == nil {
			j.next[key] = n + 1
			j.dead++
		}
		refuse(m, hub.E(hub.Invalid, "poison"))
		return
	}
	// If it was taken back before it was done, it comes again; if in between, it is
	// done twice.
	if first && m.Context().Err() == nil {
		j.next[key] = n + 1
	}
	m.Ack()
}

// begin reports whether the message is the next of its key.
func (j *judge) begin(key string, n int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n > j.next[key] {
		j.t.Errorf("%s-%d came, but %d of its key are done", key, n, j.next[key])
	}
	if n < j.next[key] {
		j.again++
	}
	if j.busy[key] && !j.overlap {
		j.t.Errorf("%s-%d came while another of its key was handled", key, n)
	}
	j.busy[key] = true
	return n == j.next[key]
}

func (j *judge) done() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, x := range j.next {
		n += x
	}
	return n
}

func (j *judge) awaitAll(keys, each int) {
	j.t.Helper()
	await(j.t, "all messages are done", func() bool { return j.done() >= keys*each || j.t.Failed() })
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, n := range j.next {
		if n != each {
			j.t.Errorf("%d messages of %s are done, want %d", n, key, each)
		}
	}
}

// A load publishes numbered messages of many keys, each until it is accepted.
type load struct {
	keys   int
	stop   chan struct{}
	done   sync.WaitGroup
	failed int // calls of Publish

	mu   sync.Mutex // guards what follows
	each map[string]int
}

// startLoad has one goroutine a key publish until the load is ended.
func startLoad(topic string, keys int, publishers ...message.Publisher) *load {
	l := &load{keys: keys, stop: make(chan struct{}), each: map[string]int{}}
	for k := range keys {
		l.done.Go(func() { l.run(topic, fmt.Sprint("k", k), publishers[k%len(publishers)]) })
	}
	return l
}

func (l *load) run(topic, key string, p message.Publisher) {
	for n := 0; ; {
		select {
		case <-l.stop:
			return
		default:
		}
		err := p.Publish(topic, bus.NewMessage(fmt.Sprintf("%s-%d", key, n), "default", key, []byte("payload")))
		l.mu.Lock()
		if err != nil {
			l.failed++
		} else {
			n++
			l.each[key] = n
		}
		l.mu.Unlock()
	}
}

func (l *load) accepted() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.each {
		n += x
	}
	return n
}

// end stops publishing and gives how many messages were accepted.
func (l *load) end() int {
	close(l.stop)
	l.done.Wait()
	return l.accepted()
}

// check waits until everything that was accepted is done.
func (j *judge) check(l *load) {
	j.t.Helper()
	want := l.end()
	end := time.Now().Add(deadline)
	await(j.t, "everything that was accepted is done", func() bool {
		return j.caughtUp(l) || j.t.Failed() || time.Now().After(end.Add(-time.Second))
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, n := range l.each {
		if j.next[key] < n {
			j.t.Errorf("%d messages of %s are done, %d were accepted", j.next[key], key, n)
		}
	}
	j.t.Logf("%d messages accepted, %d calls of Publish failed, %d messages came again", want, l.failed, j.again)
}

// caughtUp reports whether of each key what was accepted is done. What was not
// accepted may have arrived all the same, so that counting all of them together
// would not tell.
func (j *judge) caughtUp(l *load) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, n := range l.each {
		if j.next[key] < n {
			return false
		}
	}
	return true
}

// checkDead compares the dead letters with the messages that could not be
// handled; some may be there twice.
func (j *judge) checkDead(b *kafka.Bus) {
	j.t.Helper()
	found := map[string]bool{}
	await(j.t, "all dead letters are there", func() bool {
		letters, err := b.DeadLetters(j.t.Context(), "default", 0, 100_000)
		if err != nil {
			j.t.Fatal(err)
		}
		for _, x := range letters {
			if x.Reason != "poison" || x.Stage != "triage" || x.Topic != topic {
				j.t.Errorf("dead letter %+v", x)
			}
			found[x.ID] = true
		}
		return len(found) >= j.dead
	})
	if len(found) != j.dead {
		j.t.Errorf("there are %d dead letters, want %d", len(found), j.dead)
	}
}
