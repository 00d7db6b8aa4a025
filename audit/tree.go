package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
)

// Hash gives the integrity hash of an entry's bytes, which is its leaf hash in
// the tree of RFC 6962.
func Hash(entry []byte) [32]byte {
	return sha256.Sum256(append(make([]byte, 1, 1+len(entry)), entry...))
}

func hexHash(h [32]byte) string { return hex.EncodeToString(h[:]) }

// nodeHash joins two subtrees.
func nodeHash(left, right *[32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// grow appends a leaf to the frontier of a tree of the size.
func grow(frontier [][32]byte, size int64, leaf [32]byte) [][32]byte {
	for ; size&1 == 1; size >>= 1 {
		last := len(frontier) - 1
		leaf = nodeHash(&frontier[last], &leaf)
		frontier = frontier[:last]
	}
	return append(frontier, leaf)
}

// root gives the root of the tree that has the frontier.
func root(frontier [][32]byte) [32]byte {
	if len(frontier) == 0 {
		return sha256.Sum256(nil)
	}
	r := frontier[len(frontier)-1]
	for i := len(frontier) - 2; i >= 0; i-- {
		r = nodeHash(&frontier[i], &r)
	}
	return r
}

// frontierLen is how many perfect subtrees a tree of the size has.
func frontierLen(size int64) int { return bits.OnesCount64(uint64(size)) }
