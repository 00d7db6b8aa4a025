package hub

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A NodeWord is what is kept of all that one source said under one first key:
// its newest details, and when it said what. The order in which reports come
// does not matter.
type NodeWord struct {
	Source string
	Key    string // the first of the reports

	FirstSeen time.Time // time of the oldest report
	SeenAt    time.Time // of the newest
	LiveAt    time.Time // of the newest that does not say gone; zero: all do
	Gone      bool      // the newest says so

	// Doc holds the details of the newest report that does not say gone or, if
	// all do, of the newest: what is gone is often told by its key alone.
	Doc []byte
}

// A nodeDoc is the stored form of a report's details. Fields are only ever added.
type nodeDoc struct {
	Kind       NodeKind       `json:"kind"`
	SourceID   string         `json:"source_id,omitempty"`
	Asset      Asset          `json:"asset,omitzero"`
	RiskScore  *float64       `json:"risk_score,omitempty"`
	Attributes jsontext.Value `json:"attributes,omitempty"`
}

// WordOf gives a report as a word under the first key. Attributes that are no
// proper JSON are left out.
func WordOf(source, key string, r *NodeReport) (NodeWord, error) {
	d := nodeDoc{r.Kind, r.SourceID, r.Asset, r.RiskScore, r.Attributes}
	if !r.Kind.Valid() {
		d.Kind = NodeAsset
	}
	if !d.Attributes.IsValid() {
		d.Attributes = nil
	}
	doc, err := json.Marshal(&d, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return NodeWord{}, fmt.Errorf("encode the report on %q: %w", key, err)
	}
	at := Truncate(r.SeenAt)
	w := NodeWord{Source: source, Key: key, FirstSeen: at, SeenAt: at, Gone: r.Gone, Doc: doc}
	if !r.Gone {
		w.LiveAt = at
	}
	return w, nil
}

// Add adds what the same source said under the same key at other times. Of two
// reports of one time, the one that does not say gone counts.
func (w *NodeWord) Add(o NodeWord) {
	if c := cmp.Or(w.LiveAt.Compare(o.LiveAt), w.docAt().Compare(o.docAt()), bytes.Compare(w.Doc, o.Doc)); c < 0 {
		w.Doc = o.Doc
	}
	switch c := o.SeenAt.Compare(w.SeenAt); {
	case c > 0:
		w.SeenAt, w.Gone = o.SeenAt, o.Gone
	case c == 0:
		w.Gone = w.Gone && o.Gone
	}
	if o.LiveAt.After(w.LiveAt) {
		w.LiveAt = o.LiveAt
	}
	if o.FirstSeen.Before(w.FirstSeen) {
		w.FirstSeen = o.FirstSeen
	}
}

func (w *NodeWord) docAt() time.Time {
	if w.LiveAt.IsZero() {
		return w.SeenAt
	}
	return w.LiveAt
}

// Same reports whether o says the same as w, if perhaps at other times.
func (w *NodeWord) Same(o *NodeWord) bool {
	return w.Gone == o.Gone && w.FirstSeen.Equal(o.FirstSeen) && bytes.Equal(w.Doc, o.Doc)
}

// NodeOf puts together what the sources say of one thing.
//
// Where they differ, those that do not say gone come first and, of those, the
// one that has known it longest; a lower one fills in what those before it leave
// open. The risk score is the highest, because it is about the worst.
func NodeOf(tenant TenantID, id AssetID, keys []string, words []NodeWord) (*Node, error) {
	n := &Node{ID: id, Tenant: tenant, Keys: slices.Sorted(slices.Values(keys)), Gone: true}
	words = slices.Clone(words)
	slices.SortFunc(words, func(a, b NodeWord) int {
		return cmp.Or(compareBool(a.Gone, b.Gone), a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Key, b.Key))
	})
	own := map[string]*said{}
	for i := range words {
		var d nodeDoc
		if err := json.Unmarshal(words[i].Doc, &d, jsontext.AllowInvalidUTF8(true)); err != nil {
			return nil, fmt.Errorf("read what %s said of %s: %w", words[i].Source, id, err)
		}
		n.fill(&words[i], &d)
		if own[words[i].Source] == nil {
			own[words[i].Source] = &said{NodeSource: NodeSource{Source: words[i].Source, FirstSeen: words[i].FirstSeen, Gone: true}}
		}
		own[words[i].Source].add(&words[i], &d)
	}
	n.Attributes = attributesOf(own)
	for _, s := range own {
		n.Sources = append(n.Sources, s.source())
	}
	slices.SortFunc(n.Sources, func(a, b NodeSource) int {
		return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.Source, b.Source))
	})
	return n, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// fill takes from a word what those before it left open.
func (n *Node) fill(w *NodeWord, d *nodeDoc) {
	n.Kind = cmp.Or(n.Kind, d.Kind)
	n.Type, n.Provider, n.Account = cmp.Or(n.Type, d.Asset.Type), cmp.Or(n.Provider, d.Asset.Provider), cmp.Or(n.Account, d.Asset.Account)
	n.Region, n.Name = cmp.Or(n.Region, d.Asset.Region), cmp.Or(n.Name, d.Asset.Name)
	for name, value := range d.Asset.Tags {
		if _, there := n.Tags[name]; !there {
			if n.Tags == nil {
				n.Tags = map[string]string{}
			}
			n.Tags[name] = value
		}
	}
	// Words that say gone come last: theirs counts if no other has one.
	if d.RiskScore != nil && (n.RiskScore == nil || *d.RiskScore > *n.RiskScore && w.Gone == n.Gone) {
		n.RiskScore = d.RiskScore
	}
	n.Gone = n.Gone && w.Gone
	if n.FirstSeen.IsZero() || w.FirstSeen.Before(n.FirstSeen) {
		n.FirstSeen = w.FirstSeen
	}
	if at := w.docAt(); at.After(n.LastSeen) {
		n.LastSeen = at
	}
}

// said is what one source says under all its keys.
type said struct {
	NodeSource
	newest     time.Time // of SourceID
	attributed time.Time // of attributes
	attributes jsontext.Value
	goneAt     time.Time
}

func (s *said) add(w *NodeWord, d *nodeDoc) {
	at := w.docAt()
	if w.FirstSeen.Before(s.FirstSeen) {
		s.FirstSeen = w.FirstSeen
	}
	if at.After(s.LastSeen) {
		s.LastSeen = at
	}
	if d.SourceID != "" && (s.SourceID == "" || at.After(s.newest)) {
		s.SourceID, s.newest = d.SourceID, at
	}
	if d.Attributes != nil && (s.attributes == nil || at.After(s.attributed)) {
		s.attributes, s.attributed = d.Attributes, at
	}
	if w.SeenAt.After(s.goneAt) {
		s.goneAt = w.SeenAt
	}
	s.Gone = s.Gone && w.Gone
}

func (s *said) source() NodeSource {
	if s.Gone {
		s.GoneAt = s.goneAt
	}
	return s.NodeSource
}

// attributesOf gives an object with each source's attributes under its name.
func attributesOf(own map[string]*said) jsontext.Value {
	var b []byte
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name, s := range own {
			if s.attributes != nil && !yield(name) {
				return
			}
		}
	}) {
		b = append(b, "{,"[min(len(b), 1)])
		b = appendText(b, "", name)
		b = append(append(b, ':'), own[name].attributes...)
	}
	if b == nil {
		return nil
	}
	return append(b, '}')
}

// maxNodeKey is how long a key of the inventory is at most, in bytes, as long as
// the asset_id of a finding.
const maxNodeKey = 1024

// NodeKey gives a key as it is stored: proper text of limited length. The end of
// one that is too long is its sum, and a blank one is "", which is none.
func NodeKey(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxNodeKey {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return strings.ToValidUTF8(s[:maxNodeKey-2*len(sum)], "") + hex.EncodeToString(sum[:])
}
