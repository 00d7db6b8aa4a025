package dedup

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// stateVersion is the first byte of an encoded state. A reader knows every
// version ever written; a new field needs a new version. Version 2 knows of
// acknowledgements at the sources; a state without any is written as version 1,
// so that a node that was not updated yet can read it.
const stateVersion = 2

// AppendBinary appends the state's stored form: compact, for storing with every
// finding. Times are differences, as those of one identity lie close together.
func (s *State) AppendBinary(b []byte) []byte {
	if b == nil {
		b = make([]byte, 0, 96+16*len(s.history)+32*len(s.sources))
	}
	version := s.version()
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(len(s.sources)))
	for i := range s.sources {
		src := &s.sources[i]
		b = appendText(b, src.name)
		if b = append(b, src.packed()); src.state != silent {
			b = src.newest.append(b, moment{})
		}
	}
	b = s.base.append(b)
	b = s.horizon.append(b, moment{})
	b = s.began.append(b, moment{})
	b = binary.AppendUvarint(b, uint64(len(s.history)))
	before := s.horizon
	for i := range s.history {
		o := &s.history[i]
		b = append(b, byte(o.kind)<<4|o.sev, o.source)
		b = o.append(b, before)
		before = o.moment
	}
	for _, v := range [...]int64{s.early, s.lives, s.held, s.due, s.summarized, s.quiet, s.told.gen} {
		b = binary.AppendVarint(b, v)
	}
	b = append(b, byte(s.told.status), s.told.sev, s.calmed, s.override, s.overrode)
	b = appendHashes(appendHashes(b, s.assets), s.evidence)
	b = binary.AppendUvarint(b, uint64(len(s.labels)))
	for _, l := range s.labels {
		b = appendText(b, l)
	}
	if version >= 2 {
		b = binary.AppendVarint(b, s.acked)
	}
	return b
}

// version is the first version that can hold the state.
func (s *State) version() byte {
	if s.acked != 0 {
		return 2
	}
	for i := range s.history {
		if s.history[i].kind == kindTaken {
			return 2
		}
	}
	return 1
}

func (s *support) packed() byte {
	b := byte(s.state)<<4 | s.sev
	if s.hushed {
		b |= 0x80
	}
	return b
}

func (m moment) append(b []byte, before moment) []byte {
	b = binary.AppendVarint(b, m.at-before.at)
	b = binary.AppendVarint(b, m.sequence)
	return binary.LittleEndian.AppendUint32(b, m.sum)
}

func (l *life) append(b []byte) []byte {
	b = append(b, byte(l.status)<<4|l.sev)
	for _, v := range [...]int64{l.gen, l.ended, l.closed} {
		b = binary.AppendVarint(b, v)
	}
	return binary.AppendUvarint(b, uint64(l.changes))
}

func appendHashes(b []byte, list []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

var errState = errors.New("the stored state of a fingerprint is damaged")

// UnmarshalBinary reads what AppendBinary wrote; nothing at all is the zero
// State.
func (s *State) UnmarshalBinary(b []byte) error {
	*s = State{}
	if len(b) == 0 {
		return nil
	}
	if b[0] == 0 || b[0] > stateVersion {
		return fmt.Errorf("the stored state of a fingerprint has version %d; this program knows %d", b[0], stateVersion)
	}
	r := reader{b: b[1:]}
	r.state(s)
	if b[0] >= 2 {
		s.acked = r.varint()
	}
	if r.bad || len(r.b) != 0 {
		*s = State{}
		return errState
	}
	return nil
}

// A reader takes values off the front of b. After the first fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) state(s *State) {
	s.sources = make([]source, r.count(keepSources))
	for i := range s.sources {
		src := &s.sources[i]
		src.name = r.text()
		if src.support = r.support(); src.state != silent {
			src.newest = r.moment(moment{})
		}
	}
	s.base = r.life()
	s.horizon = r.moment(moment{})
	s.began = r.moment(moment{})
	s.history = make([]observation, r.count(keepChanges))
	before := s.horizon
	for i := range s.history {
		s.history[i] = r.observation(len(s.sources), before)
		before = s.history[i].moment
	}
	for _, v := range [...]*int64{&s.early, &s.lives, &s.held, &s.due, &s.summarized, &s.quiet, &s.told.gen} {
		*v = r.varint()
	}
	s.told.status, s.told.sev = status(r.upTo(byte(dismissed))), r.upTo(maxRank)
	s.calmed, s.override, s.overrode = r.upTo(maxRank), r.upTo(maxRank), r.upTo(maxRank)
	s.assets, s.evidence = r.hashes(keepAssets), r.hashes(keepEvidence)
	s.labels = make([]string, r.count(keepLabels))
	for i := range s.labels {
		s.labels[i] = r.text()
	}
}

// maxRank is the rank of the worst severity.
const maxRank = 5

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// upTo reads a byte that must not exceed limit.
func (r *reader) upTo(limit byte) byte {
	c := r.byte()
	if c > limit {
		r.fail()
		return 0
	}
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) count(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes(int(min(r.uvarint(), 1<<20)))) }

func (r *reader) support() support {
	c := r.byte()
	s := support{state: stance(c >> 4 & 7), hushed: c&0x80 != 0, sev: c & 15}
	if s.state > denies || s.sev > maxRank {
		r.fail()
	}
	return s
}

func (r *reader) life() life {
	c := r.byte()
	l := life{status: status(c >> 4), sev: c & 15}
	l.gen, l.ended, l.closed = r.varint(), r.varint(), r.varint()
	changes := r.uvarint()
	if l.changes = uint32(changes); uint64(l.changes) != changes || l.status > dismissed || l.sev > maxRank {
		r.fail()
	}
	return l
}

func (r *reader) moment(before moment) moment {
	m := moment{at: before.at + r.varint(), sequence: r.varint()}
	if sum := r.bytes(4); sum != nil {
		m.sum = binary.LittleEndian.Uint32(sum)
	}
	return m
}

func (r *reader) observation(sources int, before moment) observation {
	c, src := r.byte(), r.byte()
	o := observation{kind: kind(c >> 4), sev: c & 15, source: src}
	hand := o.kind == kindHandClose || o.kind == kindHandOpen
	if o.kind > kindTaken || o.sev > maxRank || hand != (src == byHand) || !hand && int(src) >= sources {
		r.fail()
		o.source, o.kind = byHand, kindHandClose
	}
	o.moment = r.moment(before)
	return o
}

func (r *reader) hashes(limit int) []uint64 {
	list := make([]uint64, r.count(limit))
	for i := range list {
		if v := r.bytes(8); v != nil {
			list[i] = binary.LittleEndian.Uint64(v)
		}
	}
	return list
}
