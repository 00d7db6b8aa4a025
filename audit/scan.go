package audit

import (
	"bytes"
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk over JSON that must already be canonical. Each takes
// the position where something starts and gives the one behind it, or -1 if what
// is there is not in canonical form. None allocates, but for names that are not
// plain ASCII.

// scanString walks over a string with the fewest escapes and valid UTF-8.
func scanString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = scanEscape(b, i+1); i < 0 {
				return -1
			}
		case c < ' ':
			return -1
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return -1
			}
			i += n
		}
	}
	return -1
}

// scanEscape walks over what follows a backslash.
func scanEscape(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
	default:
		return -1
	}
	if len(b) < i+5 || b[i+1] != '0' || b[i+2] != '0' || b[i+3] != '0' && b[i+3] != '1' {
		return -1
	}
	low := strings.IndexByte(hexDigits, b[i+4])
	if low < 0 || b[i+3] == '0' && strings.IndexByte("89acd", b[i+4]) >= 0 { // these have a shorter form
		return -1
	}
	return i + 5
}

// scanInt walks over an integer within ±(2^53−1) and gives its value.
func scanInt(b []byte, i int) (value int64, end int) {
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	start := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start <= 16; i++ {
		value = 10*value + int64(b[i]-'0')
	}
	switch n := i - start; {
	case n == 0, n > 16, value > maxInt, b[start] == '0' && (n > 1 || negative):
		return 0, -1
	}
	if negative {
		value = -value
	}
	return value, i
}

// scanValue walks over any value; depth is how many containers it may still
// open.
func scanValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return scanString(b, i)
	case '{':
		return scanObject(b, i, depth-1)
	case '[':
		return scanArray(b, i, depth-1)
	case 't':
		return scanWord(b, i, "true")
	case 'f':
		return scanWord(b, i, "false")
	case 'n':
		return scanWord(b, i, "null")
	}
	_, end := scanInt(b, i)
	return end
}

func scanWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func scanArray(b []byte, i, depth int) int {
	if depth < 0 {
		return -1
	}
	if i++; i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = scanValue(b, i, depth); i < 0 || i >= len(b) {
			return -1
		}
		switch b[i] {
		case ']':
			return i + 1
		case ',':
			i++
		default:
			return -1
		}
	}
}

func scanObject(b []byte, i, depth int) int {
	if depth < 0 {
		return -1
	}
	if i++; i < len(b) && b[i] == '}' {
		return i + 1
	}
	var last []byte // the name before, quoted
	for {
		end := scanString(b, i)
		if end < 0 || last != nil && compareQuoted(last, b[i:end]) >= 0 {
			return -1
		}
		last = b[i:end]
		if end >= len(b) || b[end] != ':' {
			return -1
		}
		if i = scanValue(b, end+1, depth); i < 0 || i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			return i + 1
		case ',':
			i++
		default:
			return -1
		}
	}
}

// compareQuoted orders two names as RFC 8785 does.
func compareQuoted(a, b []byte) int {
	if isPlain(a) && isPlain(b) {
		return bytes.Compare(a[:len(a)-1], b[:len(b)-1])
	}
	return compareNames(unquote(a), unquote(b))
}

func isPlain(b []byte) bool {
	for _, c := range b {
		if c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unquote gives the text of a string that scanString took.
func unquote(b []byte) string {
	if isPlain(b) {
		return string(b[1 : len(b)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, b) // scanString has seen it
	return string(text)
}

// compareNames orders by UTF-16 code units. That is the order of UTF-8, except
// that what UTF-16 writes as a surrogate pair comes before U+E000 and above.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			return cmp.Compare(utf16Rank(ra), utf16Rank(rb))
		}
		a, b = a[na:], b[nb:]
	}
	return cmp.Compare(len(a), len(b))
}

func utf16Rank(r rune) rune {
	switch {
	case r > 0xFFFF:
		return r - 0x10000 + 0xD800
	case r >= 0xE000:
		return r + 0x200000
	}
	return r
}
