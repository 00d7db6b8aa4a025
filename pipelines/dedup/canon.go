package dedup

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep a payload is understood; what is nested deeper is taken
// by its bytes.
const maxDepth = 256

// A canon writes JSON canonically: members sorted, escapes undone, numbers
// reduced, spaces gone.
type canon struct {
	dst     []byte
	profile *Profile // nil: nothing is left out and every list is ordered
	path    []byte   // JSON pointer to the value at hand; only kept for a profile with pointers
	skip    bool     // leave volatile members out
	spare   []byte   // for sorting
}

// appendJSON appends the JSON value v.
func appendJSON(b, v []byte) []byte {
	return appendJSONAt(b, v, nil, "", false)
}

// appendJSONAt appends the value v that stands at the pointer at in a payload.
// With skip, what p calls volatile is left out.
func appendJSONAt(b []byte, v []byte, p *Profile, at string, skip bool) []byte {
	start := len(b)
	c := canon{dst: b, profile: p, skip: skip, path: []byte(at)}
	if len(v) == 0 || c.volatile(nil, -1) {
		return append(b, tagMissing)
	}
	if rest, ok := c.value(v, 0); ok && len(skipSpace(rest)) == 0 {
		return c.dst
	}
	b = append(c.dst[:start], tagInvalid)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// value appends the value that src starts with and gives what follows it.
func (c *canon) value(src []byte, depth int) ([]byte, bool) {
	src = skipSpace(src)
	if len(src) == 0 || depth > maxDepth {
		return nil, false
	}
	switch src[0] {
	case '{':
		return c.object(src[1:], depth)
	case '[':
		return c.array(src[1:], depth)
	case '"':
		return c.text(src)
	case 'n':
		return c.literal(src, "null", tagNull)
	case 't':
		return c.literal(src, "true", tagTrue)
	case 'f':
		return c.literal(src, "false", tagFalse)
	}
	n := numberLen(src)
	c.dst = appendNumber(c.dst, src[:n])
	return src[n:], n > 0
}

func (c *canon) literal(src []byte, word string, tag byte) ([]byte, bool) {
	c.dst = append(c.dst, tag)
	return bytes.CutPrefix(src, []byte(word))
}

func (c *canon) text(src []byte) ([]byte, bool) {
	n, plain := stringLen(src)
	if n == 0 {
		return nil, false
	}
	if plain {
		c.dst = appendText(append(c.dst, tagString), src[1:n-1])
		return src[n:], true
	}
	s, err := jsontext.AppendUnquote(nil, src[:n])
	if err != nil {
		return nil, false
	}
	c.dst = appendString(c.dst, s)
	return src[n:], true
}

func (c *canon) array(src []byte, depth int) ([]byte, bool) {
	c.dst = append(c.dst, tagArray)
	var few [16]int
	starts, path := few[:0], len(c.path)
	for {
		if src = skipSpace(src); len(src) == 0 {
			return nil, false
		}
		if src[0] == ']' {
			break
		}
		if len(starts) > 0 {
			if src[0] != ',' {
				return nil, false
			}
			src = src[1:]
		}
		if c.tracks() {
			c.path = strconv.AppendInt(append(c.path[:path], '/'), int64(len(starts)), 10)
		}
		starts = append(starts, len(c.dst))
		var ok bool
		if src, ok = c.value(src, depth+1); !ok {
			return nil, false
		}
	}
	c.path = c.path[:path]
	if c.unordered() {
		c.sort(starts)
	}
	c.dst = append(c.dst, tagEnd)
	return src[1:], true
}

func (c *canon) object(src []byte, depth int) ([]byte, bool) {
	c.dst = append(c.dst, tagObject)
	var few [32]int
	starts, path := few[:0], len(c.path)
	for first := true; ; first = false {
		if src = skipSpace(src); len(src) == 0 {
			return nil, false
		}
		if src[0] == '}' {
			break
		}
		if !first {
			if src[0] != ',' {
				return nil, false
			}
			src = skipSpace(src[1:])
		}
		start := len(c.dst)
		rest, keep, ok := c.member(src, depth)
		if !ok {
			return nil, false
		}
		if src, c.path = rest, c.path[:path]; keep {
			starts = append(starts, start)
		} else {
			c.dst = c.dst[:start]
		}
	}
	c.sort(starts)
	c.dst = append(c.dst, tagEnd)
	return src[1:], true
}

// member appends one member of an object and tells whether it is to be kept.
func (c *canon) member(src []byte, depth int) (rest []byte, keep, ok bool) {
	if len(src) == 0 || src[0] != '"' {
		return nil, false, false
	}
	start := len(c.dst)
	if src, ok = c.text(src); !ok {
		return nil, false, false
	}
	if src = skipSpace(src); len(src) == 0 || src[0] != ':' {
		return nil, false, false
	}
	name := c.dst[start+1:]
	_, n := binary.Uvarint(name)
	if c.tracks() {
		c.path = appendToken(c.path, name[n:])
	}
	keep = !c.volatile(name[n:], depth)
	rest, ok = c.value(src[1:], depth+1)
	return rest, keep, ok
}

// tracks tells whether the path must be known.
func (c *canon) tracks() bool {
	return c.profile != nil && len(c.profile.Volatile)+len(c.profile.Unordered) > 0
}

func (c *canon) unordered() bool {
	return c.tracks() && slices.Contains(c.profile.Unordered, string(c.path))
}

func (c *canon) volatile(name []byte, depth int) bool {
	if !c.skip || c.profile == nil {
		return false
	}
	if c.profile.Volatile == nil {
		return depth == 0 && commonlyVolatile(name)
	}
	return slices.Contains(c.profile.Volatile, string(c.path))
}

// sort orders the parts of dst that begin at starts, the last of which ends
// where dst does.
func (c *canon) sort(starts []int) {
	if len(starts) < 2 {
		return
	}
	var few [32]span
	parts, sorted := few[:0], true
	for i, start := range starts {
		end := len(c.dst)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		parts = append(parts, span{start, end})
		sorted = sorted && (i == 0 || c.compare(parts[i-1], parts[i]) <= 0)
	}
	if sorted {
		return
	}
	slices.SortFunc(parts, c.compare)
	if c.spare == nil {
		c.spare = make([]byte, 0, cap(c.dst))
	}
	c.spare = c.spare[:0]
	for _, p := range parts {
		c.spare = append(c.spare, c.dst[p.start:p.end]...)
	}
	copy(c.dst[starts[0]:], c.spare)
}

// A span is a part of dst.
type span struct{ start, end int }

func (c *canon) compare(a, b span) int {
	return bytes.Compare(c.dst[a.start:a.end], c.dst[b.start:b.end])
}

// appendToken appends a name to a JSON pointer.
func appendToken(path, name []byte) []byte {
	path = append(path, '/')
	for _, ch := range name {
		switch ch {
		case '~':
			path = append(path, "~0"...)
		case '/':
			path = append(path, "~1"...)
		default:
			path = append(path, ch)
		}
	}
	return path
}
