package app

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/lease"
	"github.com/tocsin/tocsin/internal/store"
)

// changesEvery is how often a node of several looks whether another one changed
// endpoints, API keys or connectors: what is changed anywhere holds everywhere
// within a second.
const changesEvery = 200 * time.Millisecond

// nodeName is unique to this process since its start, and says which it is.
func nodeName(name string) string {
	if name == "" {
		name, _ = os.Hostname() // the rest of the name is enough without it
	}
	return strings.ReplaceAll(name, "/", "-") + "." + ident.New("node_")
}

// A cluster is this process's part among the nodes over one database. A hub with
// an embedded store is alone: it holds everything, always.
type cluster struct {
	st     *store.Store
	owner  string        // this process since its start, in leases
	keeper *lease.Keeper // nil for a hub that is alone
	log    *slog.Logger

	mu     sync.Mutex       // guards tokens
	tokens map[string]int64 // of the leases that this process holds
}

// newCluster makes the node's part. dead is told of nodes that died.
func newCluster(st *store.Store, owner string, shared bool, log *slog.Logger, dead func(owner string)) *cluster {
	c := &cluster{st: st, owner: owner, log: log, tokens: map[string]int64{}}
	if shared {
		c.keeper = lease.NewKeeper(lease.Options{Store: leases{st}, Owner: owner, Log: log, Dead: dead})
	}
	return c
}

// alone reports whether this is the only node there can be.
func (c *cluster) alone() bool { return c.keeper == nil }

// nodes counts the nodes that are alive.
func (c *cluster) nodes() int {
	if c.keeper == nil {
		return 1
	}
	return len(c.keeper.Nodes())
}

// run keeps the leases until ctx ends.
func (c *cluster) run(ctx context.Context) {
	if c.keeper != nil {
		c.keeper.Run(ctx)
	}
}

// once runs f on one node at a time, until ctx ends. What f does on behalf of
// the lease it does in transactions that call fence.
func (c *cluster) once(ctx context.Context, name string, f func(ctx context.Context)) {
	if c.keeper == nil {
		f(ctx)
		return
	}
	c.keeper.Hold(ctx, name, func(ctx context.Context, token int64) {
		c.hold(name, token)
		defer c.hold(name, 0)
		f(ctx)
	})
}

func (c *cluster) hold(name string, token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == 0 {
		delete(c.tokens, name)
	} else {
		c.tokens[name] = token
	}
}

// holds reports whether this node does what the lease stands for.
func (c *cluster) holds(name string) bool {
	if c.keeper == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens[name] != 0
}

// fence refuses a transaction on behalf of a lease that another node has taken
// over.
func (c *cluster) fence(tx *store.Tx, name string) error {
	if c.keeper == nil {
		return nil
	}
	c.mu.Lock()
	token := c.tokens[name]
	c.mu.Unlock()
	if token == 0 {
		return hub.E(hub.Transient, "another node does this now")
	}
	return tx.Fence(name, token)
}

// watch calls changed whenever another node, or this one, changed what every
// node keeps in memory, until ctx ends.
func (c *cluster) watch(ctx context.Context, changed func(ctx context.Context) error) {
	if c.keeper == nil {
		return
	}
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	known := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var n int64
		err := c.st.View(ctx, func(r *store.Reader) (err error) {
			n, err = r.Changes()
			return err
		})
		if err != nil || n == known {
			continue
		}
		if err := changed(ctx); err != nil {
			c.log.Warn("changes of another node are not in force here yet; trying again", "error", err)
			continue
		}
		known = n
	}
}

// leases are the rows of internal/lease in the store.
type leases struct{ st *store.Store }

var _ lease.Store = leases{}

// Beat counts up what owner holds.
func (l leases) Beat(ctx context.Context, owner string) (all []lease.Row, err error) {
	err = l.st.Do(ctx, func(tx *store.Tx) error {
		all = nil
		if err := tx.BeatLeases(owner); err != nil {
			return err
		}
		rows, err := tx.Leases()
		for _, r := range rows {
			all = append(all, lease.Row(r))
		}
		return err
	})
	return all, err
}

// Take gives a lease to owner.
func (l leases) Take(ctx context.Context, owner, name string, seen lease.Row) (row lease.Row, ok bool, err error) {
	err = l.st.Do(ctx, func(tx *store.Tx) error {
		r, taken, err := tx.TakeLease(name, owner, store.LeaseRow(seen))
		row, ok = lease.Row(r), taken
		return err
	})
	return row, ok && err == nil, err
}

// Release gives a lease up. A node that gives up the one that stands for itself
// stops, and leaves to the others what it had taken on and not begun.
func (l leases) Release(ctx context.Context, name string, token int64) error {
	return l.st.Do(ctx, func(tx *store.Tx) error {
		held, err := tx.ReleaseLease(name, token)
		owner, node := lease.Node(name)
		if err != nil || !held || !node {
			return err
		}
		tx.NoteChange()
		return tx.EndLeasesOf(owner, tx.Now())
	})
}

// Bury ends what a dead node held: its leases, and the deliveries it was sending.
func (l leases) Bury(ctx context.Context, node lease.Row) error {
	return l.st.Do(ctx, func(tx *store.Tx) error {
		rows, err := tx.Leases()
		if err != nil {
			return err
		}
		for _, r := range rows {
			if lease.Row(r) == node {
				tx.Audit(hub.Audited(hub.System(hub.DefaultTenant), "node.died", "node", node.Owner))
				if err := tx.ReleaseLeases(node.Owner); err != nil {
					return err
				}
				return tx.EndLeasesOf(node.Owner, tx.Now())
			}
		}
		return nil
	})
}
