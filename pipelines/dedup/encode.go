package dedup

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf8"

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
