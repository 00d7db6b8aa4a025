package postgres

import (
	"strings"
	"unicode/utf8"
)

// PostgreSQL takes every text but those with a zero byte or with bytes that are
// not UTF-8, and the store takes every text. Such a byte becomes mark and what
// stands for it: 1 for the byte 0, 2 for the mark itself, and the character of
// the same number for a byte that is no character. Texts without them, which are
// nearly all, are stored as they are, and the order of bytes is kept but for
// those that are not UTF-8.
const mark = 1

// appendText appends s as it is stored.
func appendText(b []byte, s string) []byte {
	if isPlain(s) {
		return append(b, s...)
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case s[0] <= mark:
			b = append(b, mark, s[0]+1)
		case r == utf8.RuneError && size == 1:
			b = utf8.AppendRune(append(b, mark), rune(s[0]))
		default:
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return b
}

func isPlain(s string) bool {
	return strings.IndexByte(s, 0) < 0 && strings.IndexByte(s, mark) < 0 && utf8.ValidString(s)
}

// readText gives the text that is stored as b.
func readText(b []byte) string {
	s := string(b)
	first := strings.IndexByte(s, mark)
	if first < 0 {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:first]...)
	for s = s[first:]; len(s) > 0; {
		if s[0] != mark {
			out, s = append(out, s[0]), s[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s[1:])
		if r <= mark+1 {
			r--
		}
		out, s = append(out, byte(r)), s[1+size:]
	}
	return string(out)
}
