package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/store"
)

// Whatever publishers, handlers, subscriptions and restarts do, each group gets
// each message until it is done, in the order of its key, and not again after:
// but for restarts, which may bring back once what was done before others were.
func TestAnythingMayHappen(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), st: openStore(t, path), opts: embedded.Options{DefaultPartitions: 1 + int(seed%3)}}
				c.run()
			})
		})
	}
}

type chaos struct {
	t      *testing.T
	rnd    *rand.Rand
	st     *store.Store
	opts   embedded.Options
	bus    *embedded.Bus
	groups []*chaosGroup
	ending bool   // nothing is refused any more
	next   [5]int // number of the next message of each key
}

type chaosGroup struct {
	conf   embedded.Group
	ch     <-chan *message.Message // nil while there is no subscription
	cancel context.CancelFunc
	flying []*message.Message
	done   [5]map[int]bool
	old    [5]map[int]bool // done before a restart and perhaps not stored
}

func (c *chaos) run() {
	c.bus = openBus(c.t, c.st, c.opts)
	for i := range 3 {
		g := &chaosGroup{conf: embedded.Group{Name: fmt.Sprint("g", i), Window: 1 + c.rnd.IntN(20), Coalesce: i == 2}}
		for k := range g.done {
			g.done[k], g.old[k] = map[int]bool{}, map[int]bool{}
		}
		c.groups = append(c.groups, g)
		c.subscribe(g)
	}
	for range 400 {
		c.step(c.groups[c.rnd.IntN(len(c.groups))])
	}
	c.finish()
}

func (c *chaos) step(g *chaosGroup) {
	switch n := c.rnd.IntN(100); {
	case n < 20:
		c.publish(1+c.rnd.IntN(10), c.rnd.IntN(4) == 0)
	case n < 21:
		c.publish(6000, false) // more than is kept in memory
	case n < 55:
		c.receive(g)
	case n < 85:
		c.settle(g)
	case n < 90:
		time.Sleep(time.Duration(c.rnd.IntN(2000)) * time.Millisecond)
	case n < 94:
		c.unsubscribe(g)
	case n < 98:
		c.subscribe(g)
	default:
		c.restart()
	}
}

func (c *chaos) publish(n int, fail bool) {
	var msgs []*message.Message
	next := c.next
	for range n {
		k := c.rnd.IntN(len(next))
		msgs = append(msgs, bus.NewMessage(fmt.Sprintf("%d-%d", k, next[k]), "default", fmt.Sprint(k), []byte("x")))
		next[k]++
	}
	refused := errors.New("refused")
	err := c.st.Do(c.t.Context(), func(tx *store.Tx) error {
		if err := c.bus.PublishTx(tx, topic, msgs...); err != nil || !fail {
			return err
		}
		return refused
	})
	switch {
	case fail && !errors.Is(err, refused), !fail && err != nil:
		c.t.Fatal(err)
	case !fail:
		c.next = next
	}
}

func (c *chaos) subscribe(g *chaosGroup) {
	if g.ch != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ch, err := c.bus.Subscriber(g.conf).Subscribe(ctx, topic)
	if err != nil {
		c.t.Fatal(err)
	}
	g.ch, g.cancel = ch, cancel
}

// unsubscribe ends the subscription; what is in flight is still answered.
func (c *chaos) unsubscribe(g *chaosGroup) {
	if g.ch == nil {
		return
	}
	g.cancel()
	g.ch = nil
	for len(g.flying) > 0 {
		c.settle(g)
	}
	synctest.Wait()
}

func (c *chaos) restart() {
	for _, g := range c.groups {
		c.unsubscribe(g)
		for k := range g.done {
			maps.Copy(g.old[k], g.done[k])
		}
	}
	if err := c.bus.Close(); err != nil {
		c.t.Error(err)
	}
	c.bus = openBus(c.t, c.st, c.opts)
	for _, g := range c.groups {
		c.subscribe(g)
	}
}

func (c *chaos) receive(g *chaosGroup) {
	synctest.Wait()
	select {
	case m := <-g.ch:
		if m == nil {
			c.t.Fatal("a subscription ended by itself")
		}
		c.judge(g, m)
		if g.flying = append(g.flying, m); len(g.flying) > g.conf.Window {
			c.t.Errorf("%d messages are in flight, the window is %d", len(g.flying), g.conf.Window)
		}
	default:
	}
}

func (c *chaos) judge(g *chaosGroup, m *message.Message) {
	k, n := place(c.t, m)
	if g.old[k][n] && bus.Attempt(m) == 1 {
		delete(g.old[k], n)
		return
	}
	if g.done[k][n] && bus.Attempt(m) == 1 {
		c.t.Errorf("%s got %s again", g.conf.Name, m.UUID)
	}
	if !g.conf.Coalesce && !g.done[k][n] && len(g.done[k]) != n {
		c.t.Errorf("%s got %s, but %d of its key are done", g.conf.Name, m.UUID, len(g.done[k]))
	}
}

func place(t *testing.T, m *message.Message) (key, n int) {
	t.Helper()
	if _, err := fmt.Sscanf(m.UUID, "%d-%d", &key, &n); err != nil {
		t.Fatal(err)
	}
	return key, n
}

// settle answers a message in flight.
func (c *chaos) settle(g *chaosGroup) {
	if len(g.flying) == 0 {
		return
	}
	i := c.rnd.IntN(len(g.flying))
	m := g.flying[i]
	g.flying = append(g.flying[:i], g.flying[i+1:]...)
	if !c.ending && c.rnd.IntN(5) == 0 {
		refuse(m, hub.E(hub.Transient, "not now"))
		return
	}
	k, n := place(c.t, m)
	g.done[k][n] = true
	m.Ack()
}

// finish lets everything be done.
func (c *chaos) finish() {
	c.ending = true
	c.publish(5000, false) // of which the older part must be read from the table, the newer from memory
	for _, g := range c.groups {
		c.subscribe(g)
		for idle := 0; idle < 40; {
			before := len(g.flying)
			c.receive(g)
			if len(g.flying) == before {
				idle++
				time.Sleep(time.Second) // for what waits to come again
			} else {
				idle = 0
			}
			for len(g.flying) > 0 {
				c.settle(g)
			}
		}
		for k, want := range c.next {
			if got := len(g.done[k]); got != want {
				c.t.Errorf("%s has done %d of key %d, want %d", g.conf.Name, got, k, want)
			}
		}
		if lag, err := c.bus.Lag(topic, g.conf.Name); lag != 0 || err != nil {
			c.t.Errorf("the lag of %s at the end is %d; error %v", g.conf.Name, lag, err)
		}
	}
}
