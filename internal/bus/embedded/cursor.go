package embedded

import "sync/atomic"

// A cursor is the work of a group on one partition: how far it has read, and
// which of the messages read are done. Its group's mutex guards it, but for
// done, which anyone may read, and stored, which belongs to Bus.flush.
type cursor struct {
	part *partition
	no   int

	read    int64 // everything up to here was read
	entries []entry
	base    int // sequence number of entries[0]
	front   int // index of the first entry that is not done

	done   atomic.Int64 // everything up to here is done
	stored int64        // and this much of it is stored
}

type entry struct {
	pos  int64
	done bool
}

func (c *cursor) behind() bool {
	return c.read < c.part.head.Load() && c.read-c.done.Load() < maxSpan
}

// push adds a message that was read and gives its sequence number.
func (c *cursor) push(pos int64) int {
	c.entries = append(c.entries, entry{pos: pos})
	return c.base + len(c.entries) - 1
}

// passed says that everything up to pos was read. Places without a message
// behind the last one are done when that is.
func (c *cursor) passed(pos int64) {
	c.read = max(c.read, pos)
	c.advance()
}

func (c *cursor) finish(seq int) {
	c.entries[seq-c.base].done = true
	if seq-c.base == c.front {
		c.advance()
	}
}

// advance moves done over the finished prefix.
func (c *cursor) advance() {
	for c.front < len(c.entries) && c.entries[c.front].done {
		c.done.Store(c.entries[c.front].pos)
		c.front++
	}
	if c.front == len(c.entries) {
		c.done.Store(c.read)
		c.base += c.front
		c.entries, c.front = c.entries[:0], 0
	} else if c.front > 4096 && c.front > len(c.entries)/2 {
		kept := copy(c.entries, c.entries[c.front:])
		c.base += c.front
		c.entries, c.front = c.entries[:kept], 0
	}
}
