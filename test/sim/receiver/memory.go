package receiver

import (
	"crypto/sha256"
	"sync"
)

// A memory knows every id that came: 16 bytes of the id's hash, 8 of the
// body's, and whether it was taken.
type memory struct{ shards [16]shard }

type shard struct {
	mu  sync.Mutex // guards ids
	ids map[[16]byte]trace
}

type trace struct {
	body  [8]byte
	taken bool
}

func (m *memory) init() {
	for i := range m.shards {
		m.shards[i].ids = map[[16]byte]trace{}
	}
}

func short(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

func (m *memory) shard(k [16]byte) *shard { return &m.shards[k[0]&15] }

// see notes an id with its body. It reports whether the body is the same as
// before and whether the id was taken before.
func (m *memory) see(id string, body []byte) (same, taken bool) {
	k, sum := short(id), sha256.Sum256(body)
	digest := [8]byte(sum[:8])
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.ids[k]
	if !known {
		s.ids[k] = trace{body: digest}
		return true, false
	}
	return t.body == digest, t.taken
}

// take marks an id as taken; false if it was already.
func (m *memory) take(id string) bool {
	k := short(id)
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.ids[k]
	if t.taken {
		return false
	}
	t.taken = true
	s.ids[k] = t
	return true
}

func (m *memory) taken(id string) bool {
	k := short(id)
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[k].taken
}
