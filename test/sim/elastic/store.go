package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// searchDelay is the default refresh interval: what is written is not searched
// before.
const searchDelay = time.Second

// A stream is a data stream: documents go to the last of its backing indices,
// and only there are ids compared.
type stream struct {
	template string
	backing  []*index
	failures []json.RawMessage
}

// An index holds documents by id.
type index struct {
	name     string
	mapping  *mapping
	pipeline string
	docs     map[string]*stored
	order    []string
}

type stored struct {
	id      string
	version int64
	source  json.RawMessage
	at      time.Time // searchable from then on

	fields map[string]any // decoded when it is first asked for
}

// decoded gives the document's fields; nil if it is no object.
func (d *stored) decoded() map[string]any {
	if d.fields == nil {
		decoder := json.NewDecoder(bytes.NewReader(d.source))
		decoder.UseNumber()
		if decoder.Decode(&d.fields) != nil {
			d.fields = nil
		}
	}
	return d.fields
}

// A Document is what a search would find.
type Document struct {
	Index   string          `json:"_index"` // the backing index, for a data stream
	ID      string          `json:"_id"`
	Version int64           `json:"_version"`
	Source  json.RawMessage `json:"_source"`

	from *stored
}

func (s *Sim) newIndex(name string, t *template) *index {
	m, final := s.compose(t)
	return &index{name: name, mapping: m, pipeline: final, docs: map[string]*stored{}}
}

// open finds or makes the index that a write to target goes to.
func (s *Sim) open(target string, streamOnly bool) (*index, *stream, *itemError) {
	if st := s.streams[target]; st != nil {
		return st.backing[len(st.backing)-1], st, nil
	}
	if ix := s.indices[target]; ix != nil {
		if streamOnly {
			return nil, nil, &itemError{404, "index_not_found_exception", "no such index [" + target + "] and it is not a data stream"}
		}
		return ix, nil, nil
	}
	name, t := s.match(target)
	if t != nil && t.DataStream != nil {
		if name == stockName {
			s.violate("the stock template made the data stream " + target + ": ours are not installed")
		}
		st := &stream{template: name}
		s.streams[target] = st
		s.rollover(target, st)
		return st.backing[0], st, nil
	}
	if streamOnly {
		return nil, nil, &itemError{404, "index_not_found_exception", "no such index [" + target +
			"] and the index creation request requires a data stream, but no matching index template with data stream template was found for it"}
	}
	if t == nil {
		s.violate("no template matched the new index " + target)
	}
	s.indices[target] = s.newIndex(target, t)
	return s.indices[target], nil, nil
}

// Rollover gives a data stream a new backing index.
func (s *Sim) Rollover(stream string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[stream]
	if st != nil {
		s.rollover(stream, st)
	}
	return st != nil
}

func (s *Sim) rollover(name string, st *stream) {
	backing := fmt.Sprintf(".ds-%s-%06d", name, len(st.backing)+1)
	st.backing = append(st.backing, s.newIndex(backing, s.templates[st.template]))
}

func (s *Sim) rolloverAll() {
	for name, st := range s.streams {
		s.rollover(name, st)
	}
}

// put stores a document that passed all checks.
func (s *Sim) put(target string, ix *index, st *stream, id string, version int64, source json.RawMessage) {
	if st != nil {
		for _, other := range st.backing {
			if other != ix && other.docs[id] != nil {
				s.violate("document " + id + " is in two backing indices of " + target)
			}
		}
	}
	if ix.docs[id] == nil {
		ix.order = append(ix.order, id)
	}
	at := time.Now()
	if !s.kind {
		at = at.Add(searchDelay)
	}
	ix.docs[id] = &stored{id: id, version: version, source: source, at: at}
}

// resolve gives the indices that a name or pattern with * stands for.
func (s *Sim) resolve(target string) (found []*index) {
	for _, t := range strings.Split(target, ",") {
		for name, st := range s.streams {
			if globs(t, name) {
				found = append(found, st.backing...)
			}
		}
		for name, ix := range s.indices {
			if globs(t, name) {
				found = append(found, ix)
			}
		}
	}
	slices.SortFunc(found, func(a, b *index) int { return strings.Compare(a.name, b.name) })
	return found
}

func globs(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	for i := len(head); i <= len(name); i++ {
		if globs(rest, name[i:]) {
			return true
		}
	}
	return false
}

// Documents gives every document of a stream, index or pattern with *, in the
// order of writing, searchable or not.
func (s *Sim) Documents(target string) []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.documents(target, time.Time{})
}

// documents gives those that are searchable at a time; the zero time: all.
func (s *Sim) documents(target string, now time.Time) []Document {
	list := []Document{}
	for _, ix := range s.resolve(target) {
		for _, id := range ix.order {
			if d := ix.docs[id]; now.IsZero() || !d.at.After(now) {
				list = append(list, Document{Index: ix.name, ID: id, Version: d.version, Source: d.source, from: d})
			}
		}
	}
	return list
}

// Failures gives the documents in a stream's failure store.
func (s *Sim) Failures(stream string) []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[stream]; st != nil {
		return slices.Clone(st.failures)
	}
	return nil
}
