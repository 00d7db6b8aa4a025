package audit

import (
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin/tocsin/hub"
)

// A Proof shows that an entry is in a log of a given size, by the audit path of
// RFC 6962. Its root is what a checkpoint of that size signs.
type Proof struct {
	Sequence      int64    `json:"sequence"`       // the leaf's index in the tree
	IntegrityHash string   `json:"integrity_hash"` // the leaf hash
	Size          int64    `json:"size"`
	Path          []string `json:"path"` // hashes in hexadecimal, from the leaf up
	Root          string   `json:"root"`
}

// Check recomputes the root from the entry's hash and the path.
func (p *Proof) Check() error {
	leaf, path, top, err := p.hashes()
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, p.Size, top, p.Sequence, leaf)
}

func (p *Proof) hashes() (leaf tlog.Hash, path tlog.RecordProof, top tlog.Hash, err error) {
	ok := p.Sequence >= 0 && p.Sequence < p.Size
	ok = ok && parseHash((*[32]byte)(&leaf), []byte(p.IntegrityHash)) && parseHash((*[32]byte)(&top), []byte(p.Root))
	path = make(tlog.RecordProof, len(p.Path))
	for i, text := range p.Path {
		ok = ok && parseHash((*[32]byte)(&path[i]), []byte(text))
	}
	if !ok {
		err = hub.E(hub.Malformed, "this is no proof: it wants sequence below size, and hashes of 64 hexadecimal digits")
	}
	return leaf, path, top, err
}

// Leaves gives the integrity hashes of entries from to end−1.
type Leaves func(from, end int64) ([][32]byte, error)

const (
	// blockLevel is the level below which hashes are not kept but made from at
	// most 256 leaves again: so a million entries cost a quarter of a megabyte.
	blockLevel = 8
	block      = 1 << blockLevel
)

// A Tree makes proofs. It keeps the upper part of the tree in memory and reads
// leaves where it needs them. It is not safe for overlapping calls.
type Tree struct {
	leaves Leaves
	size   int64         // leaves seen, a multiple of block
	upper  [][]tlog.Hash // upper[k] are the complete subtrees of block·2^k leaves
}

// NewTree makes a tree over the leaves, of which it has read none.
func NewTree(leaves Leaves) *Tree { return &Tree{leaves: leaves} }

// Grow reads the leaves up to size. It is called with the size that proofs are
// wanted of; for what was read before it costs nothing.
func (t *Tree) Grow(size int64) error {
	for t.size+block <= size {
		h, err := t.subtree(blockLevel, t.size/block)
		if err != nil {
			return err
		}
		t.put(h)
	}
	return nil
}

// put adds the root of the next block.
func (t *Tree) put(h tlog.Hash) {
	for k, n := 0, t.size/block; ; k, n = k+1, n/2 {
		if k == len(t.upper) {
			t.upper = append(t.upper, nil)
		}
		t.upper[k] = append(t.upper[k], h)
		if n&1 == 0 {
			break
		}
		h = tlog.NodeHash(t.upper[k][n-1], h)
	}
	t.size += block
}

// subtree makes the hash of a subtree of at most one block from its leaves.
func (t *Tree) subtree(level int, n int64) (tlog.Hash, error) {
	from, end := n<<level, (n+1)<<level
	leaves, err := t.leaves(from, end)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("read audit hashes %d to %d: %w", from, end-1, err)
	}
	if int64(len(leaves)) != end-from {
		return tlog.Hash{}, fmt.Errorf("read audit hashes %d to %d: there are %d", from, end-1, len(leaves))
	}
	var frontier [][32]byte
	for i, leaf := range leaves {
		frontier = grow(frontier, int64(i), leaf)
	}
	return frontier[0], nil
}

// ReadHashes gives the hashes that the tlog package asks for.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if k := level - blockLevel; k >= 0 {
			if k >= len(t.upper) || n >= int64(len(t.upper[k])) {
				return nil, errors.New("the audit tree has not grown so far")
			}
			hashes[i] = t.upper[k][n]
			continue
		}
		var err error
		if hashes[i], err = t.subtree(level, n); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// Inclusion proves that the entry with the sequence number is in the log of the
// size.
func (t *Tree) Inclusion(sequence, size int64) (Proof, error) {
	if sequence < 0 || sequence >= size {
		return Proof{}, hub.E(hub.NotFound, fmt.Sprintf("there is no audit entry %d in a log of %d", sequence, size))
	}
	if err := t.Grow(size); err != nil {
		return Proof{}, err
	}
	leaf, err := t.subtree(0, sequence)
	if err != nil {
		return Proof{}, err
	}
	top, err := tlog.TreeHash(size, t)
	if err != nil {
		return Proof{}, err
	}
	path, err := tlog.ProveRecord(size, sequence, t)
	if err != nil {
		return Proof{}, err
	}
	return Proof{Sequence: sequence, IntegrityHash: hexHash(leaf), Size: size, Path: hexHashes(path), Root: hexHash(top)}, nil
}

// Consistency gives the hashes, in hexadecimal, that show that the log of the
// greater size begins with the log of the smaller, by RFC 6962.
func (t *Tree) Consistency(old, size int64) ([]string, error) {
	if old < 1 || old > size {
		return nil, hub.E(hub.Malformed, fmt.Sprintf("a log of %d has no consistency proof from %d", size, old))
	}
	if err := t.Grow(size); err != nil {
		return nil, err
	}
	path, err := tlog.ProveTree(size, old, t)
	return hexHashes(path), err
}

func hexHashes(hashes []tlog.Hash) []string {
	all := make([]string, len(hashes))
	for i := range hashes {
		all[i] = hex.EncodeToString(hashes[i][:])
	}
	return all
}
