package audit

import (
	"cmp"
	"slices"
)

// A claim is what a checkpoint says of a log.
type claim struct {
	size    int64
	root    [32]byte
	covers  bool // it was signed or comes from outside, so it vouches for entries
	outside bool // it was kept outside the log
	noRoot  bool // it is a stored size only
}

// claims are all that is said of a log.
type claims struct{ list []claim }

func (c *claims) add(one claim) { c.list = append(c.list, one) }

// addStored takes the size of the head, which its own signature does not cover.
func (c *claims) addStored(size int64) { c.add(claim{size: size, noRoot: true}) }

func (c *claims) sort() {
	slices.SortStableFunc(c.list, func(a, b claim) int { return cmp.Compare(a.size, b.size) })
}

// newest gives the greatest size said, by the log itself or from outside.
func (c *claims) newest(outside bool) int64 {
	size := int64(0)
	for i := range c.list {
		if c.list[i].outside == outside {
			size = max(size, c.list[i].size)
		}
	}
	return size
}
