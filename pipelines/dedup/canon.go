package dedup

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/unicode/norm"
)

// The canonical encoding. Every value starts with its type and carries its
// length, so that no two different values, and no two different lists of
// values, have the same bytes.
const (
	tagMissing = 'm'
	tagNull    = 'z'
	tagTrue    = 't'
	tagFalse   = 'f'
	tagNumber  = 'n'
	tagBigExp  = 'N' // a number whose exponent is out of any use: its text
	tagString  = 's'
	tagArray   = 'a'
	tagObject  = 'o'
	tagEnd     = 'e'
	tagInvalid = 'x' // what is no JSON: its bytes
)

// maxDepth is how deep a payload is understood; what is nested deeper is taken
// by its bytes.
const maxDepth = 256

// appendString appends s in Unicode NFC.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, tagString)
	if isASCII(s) {
		return appendText(b, s)
	}
	return appendText(b, norm.NFC.Bytes([]byte(s)))
}

// appendText appends s with its length.
func appendText[T string | []byte](b []byte, s T) []byte {
	if len(s) < 0x80 {
		b = append(b, byte(len(s)))
	} else {
		b = binary.AppendUvarint(b, uint64(len(s)))
	}
	return append(b, s...)
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendField appends a named text; an empty one is missing, as findings do not
// tell the two apart.
func appendField(b []byte, name byte, s string) []byte {
	b = append(b, name)
	if s == "" {
		return append(b, tagMissing)
	}
	return appendString(b, s)
}

// appendFloat appends an optional number.
func appendFloat(b []byte, name byte, f *float64) []byte {
	b = append(b, name)
	if f == nil {
		return append(b, tagMissing)
	}
	var text [32]byte
	return appendNumber(b, strconv.AppendFloat(text[:0], *f, 'g', -1, 64))
}

// appendLabels appends a map of texts in the order of its names.
func appendLabels(b []byte, name byte, m map[string]string) []byte {
	b = append(b, name)
	b = binary.AppendUvarint(b, uint64(len(m)))
	var few [16]string
	names := few[:0]
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		b = appendString(appendString(b, k), m[k])
	}
	return b
}

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

// appendNumber appends a number by its value: 1, 1.0 and 1e0 are one. The value
// is exact, as sources use integers beyond 2^53 as ids.
func appendNumber(b, text []byte) []byte {
	mantissa, exp, ok := cutExponent(text)
	if !ok {
		b = binary.AppendUvarint(append(b, tagBigExp), uint64(len(text)))
		return append(b, text...)
	}
	sign := byte('+')
	if len(mantissa) > 0 && mantissa[0] == '-' {
		sign, mantissa = '-', mantissa[1:]
	}
	var few [40]byte
	digits := few[:0]
	whole, frac, _ := bytes.Cut(mantissa, []byte("."))
	digits = append(append(digits, whole...), frac...)
	exp -= int64(len(frac))
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits, exp = digits[:len(digits)-1], exp+1
	}
	digits = bytes.TrimLeft(digits, "0")
	if len(digits) == 0 {
		sign, exp = '+', 0
	}
	b = binary.AppendVarint(append(b, tagNumber, sign), exp)
	b = binary.AppendUvarint(b, uint64(len(digits)))
	return append(b, digits...)
}

func cutExponent(text []byte) (mantissa []byte, exp int64, ok bool) {
	i := bytes.IndexAny(text, "eE")
	if i < 0 {
		return text, 0, true
	}
	exp, err := strconv.ParseInt(string(text[i+1:]), 10, 32)
	return text[:i], exp, err == nil
}
