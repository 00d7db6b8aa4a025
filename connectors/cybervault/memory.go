package cybervault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A key stands for an alert id: the first eight bytes of its SHA-256. Two of
// 100,000 alerts have the same with a chance of 1 in 3,000,000,000.
type key [8]byte

func keyOf(id string) key { return key(head(id)) }

func head(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:8]
}

// An entry is what is remembered of one alert.
type entry struct {
	digest   [8]byte   // of what the alert said last
	observed time.Time // order of the last finding made of it: event time,
	sequence int64     // then sequence
	created  time.Time // to the second
	sweep    uint64    // the last one that saw it
	missed   uint64    // sweeps in a row that did not, while it was thought open
	closed   bool
}

// digest covers the fields whose change is a change of the alert. Unknown
// fields are left out, because they may hold counters or times. A closed alert
// is only that: what changes of it afterwards is not followed, since the closed
// lists are not read in full, until it opens again.
func (a alert) digest() [8]byte {
	if a.closed() {
		return [8]byte(head("closed"))
	}
	return [8]byte(head(strings.Join([]string{a.Status, a.Severity, a.Type, a.AssetID, a.CreatedAt, a.Title}, "\x00")))
}

// due reports whether a missing alert is looked for in this sweep: in the
// first, second, fourth, eighth … after it was seen last, and every 64th, so
// that alerts deleted there cost little for ever after.
func (e entry) due() bool { return e.missed&(e.missed+1) == 0 || e.missed%64 == 63 }

// A memory holds the open alerts, and the closed ones that the walk over new
// alerts would meet again.
type memory map[key]entry

// pack writes m in the order of its keys: key, digest, then varints. An entry
// takes about 32 bytes.
func (m memory) pack() []byte {
	keys := make([]key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return bytes.Compare(a[:], b[:]) })
	out := make([]byte, 0, 36*len(m))
	for _, k := range keys {
		e := m[k]
		out = append(append(out, k[:]...), e.digest[:]...)
		out = binary.AppendVarint(out, hub.Micros(e.observed))
		out = binary.AppendVarint(out, e.sequence)
		out = binary.AppendVarint(out, unix(e.created))
		out = binary.AppendUvarint(out, e.sweep)
		out = binary.AppendUvarint(out, e.missed<<1|bit(e.closed))
	}
	return out
}

var errTorn = errors.New("memory of alerts is torn")

// unpack reads what pack wrote.
func unpack(b []byte) (memory, error) {
	m := make(memory, len(b)/32)
	for len(b) > 0 {
		if len(b) < 16 {
			return nil, errTorn
		}
		k := key(b[:8])
		e := entry{digest: [8]byte(b[8:16])}
		var numbers [3]int64
		var rest [2]uint64
		b = b[16:]
		for i := range numbers {
			v, n := binary.Varint(b)
			if n <= 0 {
				return nil, errTorn
			}
			numbers[i], b = v, b[n:]
		}
		for i := range rest {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, errTorn
			}
			rest[i], b = v, b[n:]
		}
		e.observed, e.sequence, e.created = hub.FromMicros(numbers[0]), numbers[1], fromUnix(numbers[2])
		e.sweep, e.missed, e.closed = rest[0], rest[1]>>1, rest[1]&1 == 1
		m[k] = e
	}
	return m, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
