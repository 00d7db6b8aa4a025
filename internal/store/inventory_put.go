package store

import (
	"slices"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
)

// PutInventory takes what a source reports. Things that share a key, in the
// reports or with what is stored, become one node, which has the oldest id.
// Edges may come before the things at their ends.
//
// The reports may be thousands: what is asked is asked for many at a time, and
// what did not change since it was last reported costs little.
func (tx *Tx) PutInventory(inv *Inventory) (InventoryChange, error) {
	p := &reporting{
		tx: tx, tenant: inv.tenant, source: inv.source, words: make([]hub.NodeWord, len(inv.nodes)), parts: make([]*cluster, len(inv.nodes)),
		byKey: make(map[string]*cluster, 2*len(inv.nodes)), byNode: map[hub.AssetID]*cluster{},
	}
	for i := range inv.nodes {
		p.read(i, &inv.nodes[i])
	}
	for _, step := range []func() error{p.findNodes, p.settle, p.findWords, p.writeWords, p.writeNodes} {
		if err := step(); err != nil {
			return p.change, err
		}
	}
	var err error
	p.change.Edges, err = tx.putEdges(inv.tenant, inv.source, inv.edges)
	return p.change, err
}

// A reporting is the work on one source's reports.
type reporting struct {
	tx     *Tx
	tenant hub.TenantID
	source string
	change InventoryChange

	words  []hub.NodeWord // what is to be written in the end
	states []wordState
	parts  []*cluster // which the words are of
	keys   []string   // of all, each once
	byKey  map[string]*cluster
	byNode map[hub.AssetID]*cluster
	all    []*cluster // those with into are part of another
}

// A wordState says what is to be done with a word.
type wordState byte

const (
	wordNew   wordState = iota
	wordKnown           // as it is stored
	wordAgain           // as it is stored, but for the times
	wordChanged
)

// A cluster is what will be one node: keys of the reports and the nodes that are
// stored under them.
type cluster struct {
	into  *cluster
	id    hub.AssetID
	nodes []hub.AssetID // stored ones, in order once settled
	keys  []string      // those that are not stored yet
	words []int         // places of what is said of it
	dirty bool          // something else is known of it now
}

func (c *cluster) root() *cluster {
	for c.into != nil {
		if c.into.into != nil {
			c.into = c.into.into
		}
		c = c.into
	}
	return c
}

// union makes one of two clusters.
func union(a, b *cluster) {
	a, b = a.root(), b.root()
	if a == b {
		return
	}
	if len(a.nodes)+len(a.keys) < len(b.nodes)+len(b.keys) {
		a, b = b, a
	}
	b.into = a
	a.nodes, a.keys = append(a.nodes, b.nodes...), append(a.keys, b.keys...)
	b.nodes, b.keys = nil, nil
}

// read puts the keys of a node together.
func (p *reporting) read(i int, n *toldNode) {
	p.words[i] = n.word
	for _, key := range n.keys {
		c := p.byKey[key]
		if c == nil {
			c = new(cluster)
			p.byKey[key] = c
			p.keys, p.all = append(p.keys, key), append(p.all, c)
		}
		if p.parts[i] == nil {
			p.parts[i] = c
		}
		union(p.parts[i], c)
	}
}

// findNodes adds the nodes that are stored under the keys.
func (p *reporting) findNodes() error {
	stored := map[string]bool{}
	err := queryIn(&p.tx.Reader, "SELECT key, node FROM inv_keys WHERE tenant = $1 AND key IN (?)", []any{string(p.tenant)}, anys(p.keys), func(v []any) error {
		key, id := v[0].(string), hub.AssetID(v[1].(string))
		stored[key] = true
		c := p.byKey[key].root()
		if other := p.byNode[id]; other != nil {
			union(other, c)
			return nil
		}
		p.byNode[id] = c
		c.nodes = append(c.nodes, id)
		return nil
	})
	for _, key := range p.keys {
		if !stored[key] {
			c := p.byKey[key].root()
			c.keys = append(c.keys, key)
		}
	}
	return err
}

// settle gives each cluster its id, stores its new keys and makes one of its
// nodes.
func (p *reporting) settle() error {
	for _, c := range p.all {
		if c.into != nil {
			continue
		}
		slices.Sort(c.nodes)
		c.dirty = len(c.keys) > 0 || len(c.nodes) > 1
		if len(c.nodes) > 0 {
			c.id = c.nodes[0]
		} else {
			c.id = hub.AssetID(ident.New(hub.PrefixAsset))
		}
		for _, key := range c.keys {
			p.tx.appendRow(keysTable, string(p.tenant), key, string(c.id))
		}
		if len(c.nodes) > 1 {
			if err := p.merge(c.id, c.nodes[1:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge makes nodes part of another. Their ids lead to it from now on.
func (p *reporting) merge(id hub.AssetID, others []hub.AssetID) error {
	fixed, keys := []any{string(p.tenant), string(id)}, anys(others)
	for _, text := range []string{
		"UPDATE inv_keys SET node = $2 WHERE tenant = $1 AND node IN (?)",
		"UPDATE inv_words SET node = $2 WHERE tenant = $1 AND node IN (?)",
		"UPDATE inv_moved SET node = $2 WHERE tenant = $1 AND node IN (?)",
	} {
		if _, err := execIn(p.tx, text, fixed, keys); err != nil {
			return err
		}
	}
	if _, err := execIn(p.tx, "DELETE FROM inv_nodes WHERE "+ofTenant+" AND id IN (?)", fixed[:1], keys); err != nil {
		return err
	}
	for _, old := range others {
		err := p.tx.send("INSERT INTO inv_moved (tenant, id, node) VALUES ($1, $2, $3)", string(p.tenant), string(old), string(id))
		if err != nil {
			return err
		}
	}
	p.change.Merged += len(others)
	return nil
}

// findWords adds what the source said before, and tells what is to be written.
func (p *reporting) findWords() error {
	var known []string // a new thing has no words
	for i := range p.words {
		c := p.parts[i].root()
		c.words = append(c.words, i)
		if len(c.nodes) > 0 {
			known = append(known, p.words[i].Key)
		}
	}
	before := make(map[string]*hub.NodeWord, len(known))
	err := queryIn(&p.tx.Reader, wordsQuery+" WHERE tenant = $1 AND source = $2 AND key IN (?)", []any{string(p.tenant), p.source}, anys(known), func(v []any) error {
		_, w := wordRow(v)
		before[w.Key] = &w
		return nil
	})
	p.states = make([]wordState, len(p.words))
	for i := range p.words {
		if old := before[p.words[i].Key]; old != nil {
			p.states[i] = p.compare(i, old)
		}
		if p.states[i] == wordNew || p.states[i] == wordChanged {
			p.parts[i].root().dirty = true
		}
	}
	return err
}

// compare adds a stored word to the one reported.
func (p *reporting) compare(i int, old *hub.NodeWord) wordState {
	w := &p.words[i]
	w.Add(*old)
	switch {
	case !w.Same(old):
		return wordChanged
	case w.SeenAt.Equal(old.SeenAt) && w.LiveAt.Equal(old.LiveAt):
		return wordKnown
	}
	return wordAgain
}

// writeWords stores the words. Most were only seen again, many at one time.
func (p *reporting) writeWords() error {
	type times struct{ seen, live int64 }
	again := map[times][]any{}
	for i := range p.words {
		w := &p.words[i]
		first, at := hub.Micros(w.FirstSeen), times{hub.Micros(w.SeenAt), hub.Micros(w.LiveAt)}
		switch p.states[i] {
		case wordNew:
			p.tx.appendRow(wordsTable, string(p.tenant), w.Source, w.Key, string(p.parts[i].root().id), first, at.seen, at.live, w.Gone, w.Doc)
		case wordAgain:
			again[at] = append(again[at], w.Key)
		case wordChanged:
			err := p.tx.send("UPDATE inv_words SET first_seen = $4, seen_at = $5, live_at = $6, gone = $7, doc = $8 WHERE tenant = $1 AND source = $2 AND key = $3",
				string(p.tenant), p.source, w.Key, first, at.seen, at.live, w.Gone, w.Doc)
			if err != nil {
				return err
			}
		}
	}
	for at, keys := range again {
		_, err := execIn(p.tx, "UPDATE inv_words SET seen_at = $3, live_at = $4 WHERE tenant = $1 AND source = $2 AND key IN (?)",
			[]any{string(p.tenant), p.source, at.seen, at.live}, keys)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeNodes puts the nodes together of which something else is known now.
func (p *reporting) writeNodes() error {
	var stored []hub.AssetID
	for _, c := range p.all {
		if c.into == nil && c.dirty && len(c.nodes) > 0 {
			stored = append(stored, c.id)
		}
	}
	known, err := p.tx.nodes(p.tenant, stored)
	if err != nil {
		return err
	}
	for _, c := range p.all {
		switch {
		case c.into != nil || !c.dirty:
		case len(c.nodes) > 0:
			p.change.Changed++
			err = p.tx.updateNode(known[c.id])
		default:
			p.change.New++
			err = p.insertNode(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *reporting) insertNode(c *cluster) error {
	words := make([]hub.NodeWord, len(c.words))
	for i, at := range c.words {
		words[i] = p.words[at]
	}
	n, err := hub.NodeOf(p.tenant, c.id, c.keys, words)
	if err == nil {
		p.tx.appendRow(nodesTable, nodeValues(n)...)
	}
	return err
}

func (tx *Tx) updateNode(n *hub.Node) error {
	return tx.send(`UPDATE inv_nodes SET kind = $3, type = $4, provider = $5, account = $6, region = $7, name = $8, risk = $9, gone = $10, jewel = $11, search = $12
		WHERE tenant = $1 AND id = $2`, nodeValues(n)...)
}
