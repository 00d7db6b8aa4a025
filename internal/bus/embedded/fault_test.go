package embedded_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/drivertest"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// Every write of publishing and of keeping progress fails in turn. Each message
// that was acknowledged to its publisher is handed out, and so is one whose
// commit happened though its publisher was told otherwise, without waiting for
// the next publishing. After a restart nothing that was done long before comes
// again, and everything else does.
func TestFaults(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprint("applied ", applied), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			synctest.Test(t, func(t *testing.T) { faults(t, path, applied) })
		})
	}
}

func faults(t *testing.T, path string, applied bool) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	f := &drivertest.Faulty{Engine: e}
	st, err := store.Open(t.Context(), f, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := openBus(t, st, embedded.Options{})
	got := &tally{all: map[string]int{}}
	got.start(t, b)
	want := map[string]bool{} // acknowledged
	for n, misses := 1, 0; misses < 2; n++ {
		f.Arm(n, driver.IO, applied, 0)
		for i := range 3 {
			id := fmt.Sprintf("m%d.%d", n, i)
			err := b.Publisher().Publish(topic, bus.NewMessage(id, "default", id, nil))
			if err != nil && hub.KindOf(err) != hub.Transient {
				t.Errorf("when %q failed, publishing gives %v", f.Hit(), err)
			}
			want[id] = err == nil
		}
		time.Sleep(3 * time.Second) // the store comes back, and the bus looks again
		synctest.Wait()
		if f.Hit() == "" {
			misses++
		} else if f.Hit() == "commit" && applied && got.count(fmt.Sprintf("m%d.0", n)) == 0 {
			t.Errorf("the message of a lost answer was not handed out")
		}
		if lag, err := b.Lag(topic, "triage"); lag != 0 || err != nil {
			t.Errorf("when %q failed, the lag stays at %d; error %v", f.Hit(), lag, err)
		}
	}
	for id, acknowledged := range want {
		if n := got.count(id); acknowledged && n != 1 || n > 1 {
			t.Errorf("%s (acknowledged: %v) was handed out %d times", id, acknowledged, n)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	again := openBus(t, openStore(t, path), embedded.Options{})
	idle(t, subscribe(t, again, embedded.Group{Name: "triage"}))
}

// A tally counts messages by id, and acknowledges them.
type tally struct {
	mu  sync.Mutex // guards all
	all map[string]int
}

func (c *tally) start(t *testing.T, b *embedded.Bus) {
	ch := subscribe(t, b, embedded.Group{Name: "triage"})
	go func() { // ends with the bus
		for m := range ch {
			c.add(m)
			m.Ack()
		}
	}()
}

func (c *tally) add(m *message.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[m.UUID]++
}

func (c *tally) count(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[id]
}
