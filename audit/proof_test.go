package audit

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin/tocsin/hub"
)

func leavesOf(all [][32]byte) Leaves {
	return func(from, end int64) ([][32]byte, error) { return all[from:min(end, int64(len(all)))], nil }
}

func randomLeaves(n int) (all [][32]byte, roots []tlog.Hash) {
	r := rand.New(rand.NewPCG(51, 52))
	all = make([][32]byte, n)
	roots = append(roots, root(nil))
	var frontier [][32]byte
	for i := range all {
		for j := range all[i] {
			all[i][j] = byte(r.Uint32())
		}
		frontier = grow(frontier, int64(i), all[i])
		roots = append(roots, root(frontier))
	}
	return all, roots
}

func TestProofs(t *testing.T) {
	all, roots := randomLeaves(3000)
	tree := NewTree(leavesOf(all))
	r := rand.New(rand.NewPCG(53, 54))
	for trial := range 600 {
		size := 1 + r.Int64N(int64(1+trial*5)) // the tree grows while it is asked
		seq := r.Int64N(size)
		p, err := tree.Inclusion(seq, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(); err != nil || p.Root != hexHash(roots[size]) || p.IntegrityHash != hexHash(all[seq]) {
			t.Fatalf("%d in %d: %v, %+v", seq, size, err, p)
		}
		p.Sequence = (seq + 1) % size
		if p.Sequence != seq && p.Check() == nil {
			t.Fatalf("%d in %d: the proof holds for %d too", seq, size, p.Sequence)
		}
		old := 1 + r.Int64N(size)
		path, err := tree.Consistency(old, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(hashesOf(t, path), size, roots[size], old, roots[old]); err != nil {
			t.Fatalf("%d to %d: %v", old, size, err)
		}
	}
}

func hashesOf(t *testing.T, texts []string) []tlog.Hash {
	all := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		if !parseHash((*[32]byte)(&all[i]), []byte(text)) {
			t.Fatalf("%q is no hash", text)
		}
	}
	return all
}

func TestNoProofs(t *testing.T) {
	all, _ := randomLeaves(300)
	tree := NewTree(leavesOf(all))
	for _, c := range [][2]int64{{-1, 5}, {5, 5}, {0, 0}} {
		if _, err := tree.Inclusion(c[0], c[1]); hub.KindOf(err) != hub.NotFound {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := tree.Inclusion(5, 1000); err == nil {
		t.Error("there are no 1000 leaves")
	}
	if _, err := tree.Consistency(0, 5); hub.KindOf(err) != hub.Malformed {
		t.Error(err)
	}
	for _, p := range []Proof{{}, {Size: 1}, {Size: 1, IntegrityHash: "x", Root: "y"}} {
		if p.Check() == nil {
			t.Errorf("%+v holds", p)
		}
	}
}
