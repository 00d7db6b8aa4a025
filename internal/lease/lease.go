// Package lease lets several hubs over one database agree on who does what must
// be done once: polling a source, forwarding the outbox, sending to an endpoint
// that wants its events in order.
//
// A lease is a row that its holder counts up while it is alive. Nobody compares
// clocks: the others take a lease over when they have not seen it move for its
// time to live, each by its own monotonic clock, so a node whose clock jumps
// disturbs nobody. A holder that cannot count its lease up gives it up by itself
// before any other can take it over.
//
// A holder that is stopped in mid-work and goes on later may not know that it
// has lost its lease. Each take-over has a new token; who writes on behalf of a
// lease checks the token in the transaction that writes (fencing).
package lease

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A Row is a lease as it is stored.
type Row struct {
	Name  string
	Owner string
	Token int64 // never used for another take-over
	Beat  int64 // grows while the holder is alive
}

// A Store keeps leases. Each method is one transaction.
type Store interface {
	// Beat counts up the leases of owner and then gives all there are.
	Beat(ctx context.Context, owner string) ([]Row, error)
	// Take gives a lease to owner if it is still as it was seen, the zero Row being
	// one that there is not yet.
	Take(ctx context.Context, owner, name string, seen Row) (Row, bool, error)
	// Release removes a lease, if it is still held under the token.
	Release(ctx context.Context, name string, token int64) error
	// Bury ends whatever a dead node held: its leases, and what else it had in hand.
	// It does nothing if the node's own lease is not as it was seen.
	Bury(ctx context.Context, node Row) error
}

// nodePrefix begins the names of the leases that stand for the nodes themselves.
const nodePrefix = "node/"

// Node tells of which node the lease of a name is the sign of life, if it is one.
func Node(name string) (owner string, ok bool) { return strings.CutPrefix(name, nodePrefix) }

// Options of a keeper.
type Options struct {
	Store Store
	Owner string // unique to this process
	// TTL is how long a lease that does not move is left to its holder; 0 is 3 s.
	TTL time.Duration
	Log *slog.Logger
	// Dead is told that another node was found dead and buried.
	Dead func(owner string)
}

// A Keeper holds the leases of one process.
type Keeper struct {
	opts Options

	mu    sync.Mutex // guards what follows
	wants map[string]*want
	seen  map[string]sighting
	poked chan struct{}
}

// A want is one lease that this process would like to hold.
type want struct {
	name  string
	held  Row
	until time.Time          // held no longer than this, unless it is counted up
	lost  context.CancelFunc // ends the work, while held
	news  chan struct{}      // tells that held has changed
}

// A sighting is when a lease was last seen to move.
type sighting struct {
	row Row
	at  time.Time
}

// NewKeeper makes a keeper; Run sets it going.
func NewKeeper(opts Options) *Keeper {
	if opts.TTL == 0 {
		opts.TTL = 3 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Dead == nil {
		opts.Dead = func(string) {}
	}
	return &Keeper{opts: opts, wants: map[string]*want{}, seen: map[string]sighting{}, poked: make(chan struct{}, 1)}
}

// Nodes lists the owners of the nodes that are alive, as of the last look.
func (k *Keeper) Nodes() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for name, s := range k.seen {
		if strings.HasPrefix(name, nodePrefix) && time.Since(s.at) < k.opts.TTL {
			all = append(all, s.row.Owner)
		}
	}
	return all
}

// Hold runs f whenever this process holds the lease, until ctx ends; f's context
// ends when the lease is lost, and f must return soon then. When f returns by
// itself the lease is given up and taken anew after a while. One call for a name
// at a time.
func (k *Keeper) Hold(ctx context.Context, name string, f func(ctx context.Context, token int64)) {
	w := &want{name: name, news: make(chan struct{}, 1)}
	k.mu.Lock()
	k.wants[name] = w
	k.mu.Unlock()
	k.poke()
	defer k.forget(name)
	for ctx.Err() == nil {
		work, token, ok := k.begin(ctx, w)
		if !ok {
			select {
			case <-ctx.Done():
			case <-w.news:
			}
			continue
		}
		f(work, token)
		k.end(ctx, w, token)
	}
}

func (k *Keeper) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.wants, name)
}

// begin gives the context of the work, if the lease is held.
func (k *Keeper) begin(ctx context.Context, w *want) (context.Context, int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.held.Token == 0 || !time.Now().Before(w.until) {
		return nil, 0, false
	}
	work, cancel := context.WithCancel(ctx)
	w.lost = cancel
	return work, w.held.Token, true
}

// end gives a lease up whose work has ended.
func (k *Keeper) end(ctx context.Context, w *want, token int64) {
	k.mu.Lock()
	if w.lost != nil {
		w.lost()
		w.lost = nil
	}
	held := w.held.Token == token
	w.held = Row{}
	if ctx.Err() != nil {
		delete(k.wants, w.name) // before it is free, so that it is not taken anew
	}
	k.mu.Unlock()
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.opts.TTL)
	defer cancel()
	if err := k.opts.Store.Release(ctx, w.name, token); err != nil {
		k.opts.Log.Warn("a lease could not be given up; others wait until it expires", "lease", w.name, "error", err)
	}
}

func (k *Keeper) poke() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

// Run counts the leases up, takes those that are free and buries dead nodes,
// until ctx ends. It holds a lease that stands for the node itself.
func (k *Keeper) Run(ctx context.Context) {
	var self sync.WaitGroup
	self.Go(func() { k.Hold(ctx, nodePrefix+k.opts.Owner, func(ctx context.Context, _ int64) { <-ctx.Done() }) })
	defer self.Wait()
	for ctx.Err() == nil {
		k.round(ctx)
		k.expire()
		timer := time.NewTimer(k.opts.TTL / 6)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.poked:
		}
		timer.Stop()
	}
}

// round is one look at all leases.
func (k *Keeper) round(ctx context.Context) {
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, k.opts.TTL/2)
	defer cancel()
	rows, err := k.opts.Store.Beat(limited, k.opts.Owner)
	if err != nil {
		if ctx.Err() == nil {
			k.opts.Log.Debug("leases could not be counted up", "error", err)
		}
		return
	}
	k.note(rows, begun)
	for _, w := range k.free() {
		row, ok, err := k.opts.Store.Take(limited, k.opts.Owner, w.name, k.rowOf(w.name))
		if ok && !k.gain(w, row, begun) {
			err = k.opts.Store.Release(limited, row.Name, row.Token)
		}
		if err != nil {
			return
		}
	}
	k.bury(limited)
}

// note takes in what a look showed. Leases of ours that it shows are held for a
// while from the begin of the look on, which is before they were counted up.
func (k *Keeper) note(rows []Row, begun time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, there := time.Now(), map[string]bool{}
	for _, r := range rows {
		there[r.Name] = true
		if s, known := k.seen[r.Name]; !known || s.row != r {
			k.seen[r.Name] = sighting{r, now}
		}
		if w := k.wants[r.Name]; w != nil && r.Owner == k.opts.Owner && r.Token == w.held.Token {
			w.until = begun.Add(k.hold())
		}
	}
	for name := range k.seen {
		if !there[name] {
			delete(k.seen, name)
		}
	}
	for _, w := range k.wants {
		if s := k.seen[w.name]; w.held.Token != 0 && (s.row.Owner != k.opts.Owner || s.row.Token != w.held.Token) {
			k.lose(w)
		}
	}
}

// hold is how long a lease is held without being counted up: less than others
// wait, by what a context needs to end.
func (k *Keeper) hold() time.Duration { return k.opts.TTL * 3 / 4 }

// free lists the wanted leases that can be taken.
func (k *Keeper) free() []*want {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*want
	for _, w := range k.wants {
		s, known := k.seen[w.name]
		if w.held.Token == 0 && w.lost == nil && (!known || s.row.Owner == k.opts.Owner || time.Since(s.at) >= k.opts.TTL) {
			all = append(all, w)
		}
	}
	return all
}

func (k *Keeper) rowOf(name string) Row {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[name].row
}

// gain notes a lease that was taken, unless nobody wants it any more.
func (k *Keeper) gain(w *want, row Row, begun time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wants[w.name] != w {
		return false
	}
	w.held, w.until = row, begun.Add(k.hold())
	k.seen[w.name] = sighting{row, time.Now()}
	select {
	case w.news <- struct{}{}:
	default:
	}
	return true
}

// lose ends the work of a lease that is held no more.
func (k *Keeper) lose(w *want) {
	w.held = Row{}
	if w.lost != nil {
		k.opts.Log.Warn("lease lost", "lease", w.name)
		w.lost()
	}
}

// expire gives up what could not be counted up in time.
func (k *Keeper) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wants {
		if w.held.Token != 0 && !time.Now().Before(w.until) {
			k.lose(w)
		}
	}
}

// bury ends what dead nodes held.
func (k *Keeper) bury(ctx context.Context) {
	for _, node := range k.dead() {
		if err := k.opts.Store.Bury(ctx, node); err != nil {
			return
		}
		k.opts.Log.Warn("another node has died; its work goes on here and elsewhere", "node", node.Owner)
		k.opts.Dead(node.Owner)
	}
}

func (k *Keeper) dead() []Row {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Row
	for name, s := range k.seen {
		if strings.HasPrefix(name, nodePrefix) && s.row.Owner != k.opts.Owner && time.Since(s.at) >= k.opts.TTL {
			all = append(all, s.row)
		}
	}
	return all
}
