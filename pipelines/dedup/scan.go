package dedup

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The scanner reads JSON that was checked when it came in. It is lenient with
// what is none, and never reads beyond its end.

func skipSpace(b []byte) []byte {
	for i, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return b[i:]
		}
	}
	return nil
}

// stringLen gives the length of the string that b starts with, quotes
// included, and whether its bytes are its text. 0 means that it does not end.
func stringLen(b []byte) (n int, plain bool) {
	plain = true
	for i := 1; i < len(b); i++ {
		c := b[i]
		if c == '"' {
			return i + 1, plain
		}
		if c >= utf8.RuneSelf { // may be invalid UTF-8
			plain = false
		} else if c == '\\' {
			plain = false
			i++
		}
	}
	return 0, false
}

func numberLen(b []byte) int {
	for i, c := range b {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return i
		}
	}
	return len(b)
}

// valueLen gives the length of the value that b starts with, or 0.
func valueLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		n := 1
		switch b[i] {
		case '"':
			if n, _ = stringLen(b[i:]); n == 0 {
				return 0
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
		default:
			n = wordLen(b[i:])
		}
		if i += n; depth == 0 {
			return i
		}
	}
	return 0
}

// wordLen gives the length of a number or literal, at least 1.
func wordLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case ',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return len(b)
}

// lookup finds the value that the JSON pointer names; nil if there is none.
func lookup(v jsontext.Value, pointer string) []byte {
	b := skipSpace(v)
	for token := range jsontext.Pointer(pointer).Tokens() {
		if b = child(b, token); b == nil {
			return nil
		}
	}
	return b[:valueLen(b)]
}

// child gives what follows the start of the member or element called token.
func child(b []byte, token string) []byte {
	if len(b) == 0 || b[0] != '{' && b[0] != '[' {
		return nil
	}
	object := b[0] == '{'
	b = skipSpace(b[1:])
	for i := 0; len(b) > 0 && b[0] != '}' && b[0] != ']'; i++ {
		found := false
		if object {
			n := valueLen(b)
			found = isName(b[:n], token)
			if b = skipSpace(b[n:]); n == 0 || len(b) == 0 {
				return nil
			}
			b = skipSpace(b[1:]) // the colon
		} else {
			found = strconv.Itoa(i) == token
		}
		if found {
			return b
		}
		n := valueLen(b)
		if n == 0 {
			return nil
		}
		if b = skipSpace(b[n:]); len(b) > 0 && b[0] == ',' {
			b = skipSpace(b[1:])
		}
	}
	return nil
}

// isName tells whether the quoted string q is the name token.
func isName(q []byte, token string) bool {
	if len(q) < 2 {
		return false
	}
	if bytes.IndexByte(q, '\\') < 0 && isASCII(q) {
		return string(q[1:len(q)-1]) == token
	}
	s, err := jsontext.AppendUnquote(nil, q)
	return err == nil && bytes.Equal(appendString(nil, s), appendString(nil, token))
}
