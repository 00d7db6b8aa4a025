package lease

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// table is a store in memory that can be cut off from some of its users.
type table struct {
	mu     sync.Mutex
	rows   map[string]Row
	tokens int64
	cut    map[string]bool
	buried []string
}

func newTable() *table { return &table{rows: map[string]Row{}, cut: map[string]bool{}} }

var errCut = errors.New("cut off")

func (t *table) Beat(_ context.Context, owner string) ([]Row, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut[owner] {
		return nil, errCut
	}
	var all []Row
	for name, r := range t.rows {
		if r.Owner == owner {
			r.Beat++
			t.rows[name] = r
		}
		all = append(all, r)
	}
	return all, nil
}

func (t *table) Take(_ context.Context, owner, name string, seen Row) (Row, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut[owner] {
		return Row{}, false, errCut
	}
	if t.rows[name] != seen {
		return Row{}, false, nil
	}
	t.tokens++
	r := Row{Name: name, Owner: owner, Token: t.tokens}
	t.rows[name] = r
	return r, true, nil
}

func (t *table) Release(_ context.Context, name string, token int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[name].Token == token {
		delete(t.rows, name)
	}
	return nil
}

func (t *table) Bury(_ context.Context, node Row) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[node.Name] == node {
		delete(t.rows, node.Name)
		t.buried = append(t.buried, node.Owner)
	}
	return nil
}

func (t *table) cutOff(owner string, cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut[owner] = cut
}

// work counts who does something that must be done by one at a time.
type work struct {
	mu     sync.Mutex
	doing  map[string]int64 // tokens by owner
	begins []string
	worst  int
}

func (w *work) do(owner string) func(context.Context, int64) {
	return func(ctx context.Context, token int64) {
		w.mu.Lock()
		w.doing[owner] = token
		w.begins = append(w.begins, owner)
		w.worst = max(w.worst, len(w.doing))
		w.mu.Unlock()
		<-ctx.Done()
		w.mu.Lock()
		delete(w.doing, owner)
		w.mu.Unlock()
	}
}

func (w *work) by() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for owner := range w.doing {
		return owner
	}
	return ""
}

// A node is a keeper with one thing to do.
type node struct {
	keeper *Keeper
	stop   func()
}

func begin(t *testing.T, store Store, owner string, w *work) node {
	k := NewKeeper(Options{Store: store, Owner: owner})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.Run(ctx) })
	all.Go(func() { k.Hold(ctx, "job", w.do(owner)) })
	return node{k, func() { cancel(); all.Wait() }}
}

func TestOneOfManyHoldsALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newTable(), &work{doing: map[string]int64{}}
		a := begin(t, store, "a", w)
		time.Sleep(2 * time.Second)
		b, c := begin(t, store, "b", w), begin(t, store, "c", w)
		time.Sleep(10 * time.Second)
		if w.by() != "a" || len(w.begins) != 1 {
			t.Errorf("a is at work all the time, but work began at %v", w.begins)
		}
		if n := len(b.keeper.Nodes()); n != 3 {
			t.Errorf("b knows of %d nodes, want 3", n)
		}
		a.stop()
		time.Sleep(time.Second)
		if w.by() == "" {
			t.Error("a lease that was given up waits to expire")
		}
		b.stop()
		c.stop()
		if w.worst != 1 {
			t.Errorf("%d did the work at a time", w.worst)
		}
		if len(store.rows) != 0 {
			t.Errorf("left behind: %v", store.rows)
		}
	})
}

// A holder that is cut off from the store gives up before another takes over.
func TestAHolderThatIsCutOffGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newTable(), &work{doing: map[string]int64{}}
		a := begin(t, store, "a", w)
		time.Sleep(time.Second)
		b := begin(t, store, "b", w)
		time.Sleep(time.Second)
		store.cutOff("a", true)
		time.Sleep(5 * time.Second)
		if w.by() != "b" || w.worst != 1 {
			t.Errorf("%q does the work, at worst %d at a time", w.by(), w.worst)
		}
		if len(store.buried) != 1 || store.buried[0] != "a" {
			t.Errorf("buried were %v", store.buried)
		}
		store.cutOff("a", false)
		time.Sleep(5 * time.Second)
		if w.by() != "b" || w.worst != 1 {
			t.Errorf("after a came back %q does the work, at worst %d at a time", w.by(), w.worst)
		}
		a.stop()
		b.stop()
	})
}

// Work that ends by itself is begun again, under another token.
func TestWorkThatEndsIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		k := NewKeeper(Options{Store: store, Owner: "a"})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { k.Run(ctx) })
		var tokens []int64
		all.Go(func() {
			k.Hold(ctx, "job", func(_ context.Context, token int64) { tokens = append(tokens, token) })
		})
		time.Sleep(5 * time.Second)
		cancel()
		all.Wait()
		if len(tokens) < 3 {
			t.Errorf("work began %d times", len(tokens))
		}
		for i := 1; i < len(tokens); i++ {
			if tokens[i] <= tokens[i-1] {
				t.Errorf("the tokens were %v", tokens)
			}
		}
	})
}
