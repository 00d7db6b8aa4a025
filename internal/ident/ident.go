// Package ident makes identifiers: a prefix that says what is named, and a
// ULID, so that identifiers made later sort later. They hold no dot.
package ident

import (
	"crypto/rand"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

var source = &generator{entropy: ulid.Monotonic(&bufferedRandom{}, 0)}

type generator struct {
	mu      sync.Mutex // guards entropy, which remembers the last id to stay monotonic
	entropy *ulid.MonotonicEntropy
}

// New gives a new identifier with the prefix, such as "fnd_". Identifiers made
// by one process are strictly increasing.
func New(prefix string) string {
	source.mu.Lock()
	defer source.mu.Unlock()
	id, err := ulid.New(ulid.Timestamp(time.Now()), source.entropy)
	for err != nil { // the random part overflowed within one millisecond
		time.Sleep(time.Millisecond)
		id, err = ulid.New(ulid.Timestamp(time.Now()), source.entropy)
	}
	return prefix + id.String()
}

// A Generator makes identifiers of times that its caller gives. It is not for
// several goroutines at once.
type Generator struct{ entropy *ulid.MonotonicEntropy }

// NewGenerator makes a generator.
func NewGenerator() *Generator { return &Generator{ulid.Monotonic(&bufferedRandom{}, 0)} }

// At gives a new identifier of a millisecond. Those of one millisecond that are
// asked for one after the other are strictly increasing; false if there are no
// more of it.
func (g *Generator) At(prefix string, milli int64) (string, bool) {
	id, err := ulid.New(uint64(milli), g.entropy)
	return prefix + id.String(), err == nil
}

// Floor gives a text that sorts before every identifier with the prefix that is
// made at a time or later, and behind those made before it.
func Floor(prefix string, at time.Time) string {
	var u ulid.ULID
	if at.Before(time.Unix(0, 0)) {
		at = time.Unix(0, 0)
	}
	_ = u.SetTime(ulid.Timestamp(at)) // it fails only after the year 10889
	return prefix + u.String()
}

// Time gives the time at which an identifier was made, or false if it is none
// of ours.
func Time(id string) (time.Time, bool) {
	_, text, found := strings.Cut(id, "_")
	if !found {
		return time.Time{}, false
	}
	u, err := ulid.ParseStrict(text)
	if err != nil {
		return time.Time{}, false
	}
	return ulid.Time(u.Time()).UTC(), true
}

// bufferedRandom reads from the system's source in blocks, because a system
// call for each id is a tenth of the cost of accepting a finding.
type bufferedRandom struct {
	buf [4096]byte
	n   int // bytes of buf not yet used
}

func (b *bufferedRandom) Read(p []byte) (int, error) {
	if b.n < len(p) {
		if _, err := io.ReadFull(rand.Reader, b.buf[:]); err != nil {
			return 0, err
		}
		b.n = len(b.buf)
	}
	n := copy(p, b.buf[len(b.buf)-b.n:])
	b.n -= n
	return n, nil
}
