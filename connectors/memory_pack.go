package connectors

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// packVersion starts a packed memory. Another one is refused.
const packVersion = 1

var errTorn = errors.New("memory of items is torn")

// AppendText packs m: version, sweep, horizon, then for each item in the order
// of their keys key, digest and varints, about 32 bytes; base64 around it.
func (m *Memory) AppendText(b []byte) ([]byte, error) {
	keys := make([]memoryKey, 0, len(m.items))
	for k := range m.items {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b memoryKey) int { return bytes.Compare(a[:], b[:]) })
	out := make([]byte, 0, 24+36*len(keys))
	out = append(out, packVersion)
	out = binary.AppendUvarint(out, m.sweep)
	out = binary.AppendVarint(out, hub.Micros(m.horizon))
	for _, k := range keys {
		e := m.items[k]
		out = append(append(out, k[:]...), e.digest[:]...)
		out = binary.AppendVarint(out, hub.Micros(e.place.At))
		out = binary.AppendVarint(out, e.place.Sequence)
		out = binary.AppendVarint(out, seconds(e.created))
		out = binary.AppendUvarint(out, e.sweep)
		out = binary.AppendUvarint(out, e.missed<<1|flag(e.closed))
	}
	return base64.RawStdEncoding.AppendEncode(b, out), nil
}

// MarshalText packs m for a cursor.
func (m *Memory) MarshalText() ([]byte, error) { return m.AppendText(nil) }

// UnmarshalText reads what MarshalText wrote.
func (m *Memory) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil || len(b) == 0 || b[0] != packVersion {
		return errTorn
	}
	r := unpacker{b: b[1:]}
	*m = Memory{items: make(map[memoryKey]memo, len(b)/32)}
	m.sweep, m.horizon = r.uint(), hub.FromMicros(r.int())
	for len(r.b) > 0 && !r.torn {
		k, e := memoryKey(r.eight()), memo{}
		e.digest = Digest(r.eight())
		e.place = Place{hub.FromMicros(r.int()), r.int()}
		e.created = fromSeconds(r.int())
		e.sweep = r.uint()
		rest := r.uint()
		e.missed, e.closed = rest>>1, rest&1 == 1
		m.items[k] = e
	}
	if r.torn {
		return errTorn
	}
	return nil
}

// An unpacker takes values from the front of b until one is not there whole.
type unpacker struct {
	b    []byte
	torn bool
}

func (u *unpacker) eight() (out [8]byte) {
	if len(u.b) < 8 {
		u.b, u.torn = nil, true
		return out
	}
	out, u.b = [8]byte(u.b), u.b[8:]
	return out
}

func (u *unpacker) int() int64 {
	v, n := binary.Varint(u.b)
	u.skip(n)
	return v
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	u.skip(n)
	return v
}

func (u *unpacker) skip(n int) {
	if n <= 0 {
		u.b, u.torn = nil, true
		return
	}
	u.b = u.b[n:]
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
