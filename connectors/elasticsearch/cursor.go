package elasticsearch

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
)

// A stored is the cursor as it is stored. Fields are only added; another Version
// is refused.
type stored struct {
	Version int              `json:"v"`
	Marks   map[string]int64 `json:"marks"` // by time field: the newest time seen, in Unix microseconds
	Seen    []byte           `json:"seen"`  // keys of what a pull would meet again, eight bytes each
}

const version = 1

// maxSeen bounds what is remembered. Of more, the oldest is told again, and then
// dropped by the hub's deduplication.
const maxSeen = 50_000

// A key stands for a version of a document: the first eight bytes of a SHA-256.
type key uint64

func keyOf(h *document.Hit) key {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", h.Index, h.ID, h.Version))
	return key(binary.BigEndian.Uint64(sum[:8]))
}

// A position is where pulls are.
type position struct {
	walks   []walked
	told    map[key]bool // by earlier pulls, needed until this one is done
	changed bool
}

// A walked is how far the documents were seen by one time field, and which of
// those that the next walk meets again.
type walked struct {
	field string
	mark  time.Time
	met   map[key]time.Time
}

// restore reads a stored cursor; a field that it does not know begins at start.
func restore(cursor []byte, fields []string, start time.Time) (*position, error) {
	var s stored
	p := &position{told: map[key]bool{}}
	if len(cursor) > 0 {
		if err := json.Unmarshal(cursor, &s); err != nil {
			return nil, hub.Wrap(hub.Internal, err, "the stored cursor cannot be read")
		}
		if s.Version != version || len(s.Seen)%8 != 0 {
			return nil, hub.E(hub.Internal, fmt.Sprintf("the stored cursor has version %d; this program knows %d", s.Version, version))
		}
	}
	for _, field := range fields {
		w := walked{field: field, mark: hub.Truncate(start), met: map[key]time.Time{}}
		if micros, there := s.Marks[field]; there {
			w.mark = time.UnixMicro(micros).UTC()
		}
		p.walks = append(p.walks, w)
	}
	for i := 0; i < len(s.Seen); i += 8 {
		p.told[key(binary.BigEndian.Uint64(s.Seen[i:]))] = true
	}
	return p, nil
}

// see notes that a walk has met a version of a document, and tells whether that
// one was told before.
func (p *position) see(w *walked, k key, at time.Time) (known bool) {
	known = p.told[k]
	for i := range p.walks {
		_, met := p.walks[i].met[k]
		known = known || met
	}
	if _, met := w.met[k]; !met {
		w.met[k] = at
		p.changed = p.changed || !p.told[k]
	}
	return known
}

// forget drops what the walk will not meet again: what is before the place where
// the next one begins.
func (p *position) forget(w *walked, before time.Time) {
	maps.DeleteFunc(w.met, func(_ key, at time.Time) bool { return at.Before(before) })
}

// finish ends a pull: what earlier pulls told and this one did not meet will not
// be met again.
func (p *position) finish(overlap time.Duration) (changed bool) {
	for i := range p.walks {
		p.forget(&p.walks[i], p.walks[i].mark.Add(-overlap))
	}
	old := len(p.told)
	p.told = map[key]bool{}
	return p.changed || len(p.keys()) != old
}

// keys are what is to be remembered, the oldest last if there are too many.
func (p *position) keys() []key {
	at := map[key]time.Time{}
	for k := range p.told {
		at[k] = time.Time{}
	}
	for i := range p.walks {
		for k, t := range p.walks[i].met {
			if old, there := at[k]; !there || t.After(old) {
				at[k] = t
			}
		}
	}
	keys := slices.Collect(maps.Keys(at))
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(at[b].Compare(at[a]), cmp.Compare(a, b)) })
	return keys[:min(len(keys), maxSeen)]
}

// store gives the cursor to be stored.
func (p *position) store() []byte {
	s := stored{Version: version, Marks: map[string]int64{}}
	for _, w := range p.walks {
		s.Marks[w.field] = w.mark.UnixMicro()
	}
	for _, k := range p.keys() {
		s.Seen = binary.BigEndian.AppendUint64(s.Seen, uint64(k))
	}
	b, err := json.Marshal(s, json.Deterministic(true))
	if err != nil {
		panic(err) // numbers and texts of our own making
	}
	return b
}

// Describe shows a stored cursor to people.
func (s *Source) Describe(cursor []byte) string {
	p, err := restore(cursor, s.fields(), time.Time{})
	if err != nil {
		return "unreadable"
	}
	marks := make([]string, len(p.walks))
	for i, w := range p.walks {
		marks[i] = w.field + " up to " + w.mark.Format(time.RFC3339)
	}
	return fmt.Sprintf("%s; %d documents remembered", strings.Join(marks, ", "), len(p.told))
}
