package connectortest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A Store records findings and cursors, drops exact repeats as the hub's dedup
// does, and fails when told to.
type Store struct {
	mu       sync.Mutex // guards all below
	cursors  map[string][]byte
	findings []hub.Finding
	nodes    []hub.NodeReport
	edges    []hub.EdgeReport
	rejects  []connectors.Reject
	known    map[[32]byte]bool
	repeats  int
	random   *rand.Rand
	failing  float64
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{cursors: map[string][]byte{}, known: map[[32]byte]bool{}}
}

// Fail lets a part of all calls fail; half of the commits that fail have
// happened all the same.
func (s *Store) Fail(r *rand.Rand, part float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.random, s.failing = r, part
	if r != nil {
		s.random = rand.New(rand.NewPCG(r.Uint64(), 0))
	}
}

var errStore = hub.E(hub.Transient, "the store is not there for a moment")

func (s *Store) chance(p float64) bool { return p > 0 && s.random.Float64() < p }

// Cursor gives the cursor that was committed last.
func (s *Store) Cursor(_ context.Context, _ hub.TenantID, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chance(s.failing) {
		return nil, errStore
	}
	return slices.Clone(s.cursors[name]), nil
}

// Commit stores a page and cursor together.
func (s *Store) Commit(ctx context.Context, _ hub.TenantID, name string, page connectors.Page, cursor []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	fails := s.chance(s.failing)
	if fails && s.chance(0.5) {
		return errStore
	}
	for _, f := range page.Findings {
		s.add(f)
	}
	s.nodes, s.edges = append(s.nodes, page.Nodes...), append(s.edges, page.Edges...)
	s.rejects = append(s.rejects, page.Rejects...)
	if cursor != nil {
		s.cursors[name] = slices.Clone(cursor)
	}
	if fails {
		return errors.Join(errStore, errors.New("though it was stored"))
	}
	return nil
}

// add keeps a finding unless it was seen before: same source id, time and
// content.
func (s *Store) add(f hub.Finding) {
	content := f
	content.ID, content.ReceivedAt = "", content.ObservedAt
	b, err := json.Marshal(content, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	if s.known[sum] {
		s.repeats++
		return
	}
	s.known[sum] = true
	s.findings = append(s.findings, f)
}

// Findings gives what was taken in, without exact repeats.
func (s *Store) Findings() []hub.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.findings)
}

// Rejects gives what was kept because it could not be used.
func (s *Store) Rejects() []connectors.Reject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rejects)
}

// Inventory gives every report on the inventory, in the order they came.
func (s *Store) Inventory() ([]hub.NodeReport, []hub.EdgeReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes), slices.Clone(s.edges)
}

// Len is how many findings came, exact repeats included.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.findings) + s.repeats
}

// histories gives the findings of each item in the order that the hub uses:
// event time, then the source's sequence.
func (s *Store) histories() map[string][]hub.Finding {
	items := map[string][]hub.Finding{}
	for _, f := range s.Findings() {
		items[f.SourceID] = append(items[f.SourceID], f)
	}
	for _, h := range items {
		slices.SortStableFunc(h, func(a, b hub.Finding) int {
			return cmp.Or(a.ObservedAt.Compare(b.ObservedAt), cmp.Compare(a.SourceSequence, b.SourceSequence))
		})
	}
	return items
}

// difference says how the newest findings differ from the far side's items.
func (s *Store) difference(want map[string]string, seen func(hub.Finding) string) string {
	items := s.histories()
	var faults []string
	for id, state := range want {
		switch h := items[id]; {
		case len(h) == 0:
			faults = append(faults, fmt.Sprintf("%s is %s there and never arrived", id, state))
		case seen(h[len(h)-1]) != state:
			faults = append(faults, fmt.Sprintf("%s is %s there, and %s by the newest finding", id, state, seen(h[len(h)-1])))
		}
	}
	for id := range items {
		if _, ok := want[id]; !ok {
			faults = append(faults, id+" arrived and is not there")
		}
	}
	slices.Sort(faults)
	if len(faults) > 10 {
		faults = append(faults[:10], fmt.Sprintf("… and %d more", len(faults)-10))
	}
	return strings.Join(faults, "\n")
}

// twice names items of which one change was told twice.
func (s *Store) twice(seen func(hub.Finding) string) string {
	var faults []string
	for id, h := range s.histories() {
		for i := 1; i < len(h) && len(faults) < 10; i++ {
			if seen(h[i]) == seen(h[i-1]) {
				faults = append(faults, fmt.Sprintf("%s was told to be %s twice in a row: at %v #%d and %v #%d", id, seen(h[i]),
					h[i-1].ObservedAt, h[i-1].SourceSequence, h[i].ObservedAt, h[i].SourceSequence))
			}
		}
	}
	return strings.Join(faults, "\n")
}
