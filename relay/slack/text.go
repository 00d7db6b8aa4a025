package slack

import (
	"strings"
	"unicode"
)

// escape makes text from outside harmless in a message and trims it to limit
// characters as Slack counts them, after escaping. & < > are escaped, so that
// no mention and no link can be made; back-ticks, which would open code, become
// look-alikes; @here and its kin are broken up; control and direction
// characters are dropped.
func escape(text string, limit int) string {
	const ellipsis = "…"
	var b strings.Builder
	used, fits := 0, 0 // characters written; bytes that leave room for the ellipsis
	for i, r := range text {
		piece := harmless(text[i:], r)
		n := width(piece)
		if used+n > limit {
			return strings.TrimRightFunc(b.String()[:fits], unicode.IsSpace) + ellipsis
		}
		b.WriteString(piece)
		if used += n; used < limit {
			fits = b.Len()
		}
	}
	return b.String()
}

func harmless(rest string, r rune) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '`':
		return "\u02cb"
	case r == '@' && broadcast(rest[1:]):
		return "@\u2060"
	case r == '\r', r == unicode.ReplacementChar, r != '\n' && r != '\t' && unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return ""
	}
	return string(r)
}

func broadcast(rest string) bool {
	for _, word := range [...]string{"here", "channel", "everyone", "group"} {
		if len(rest) >= len(word) && strings.EqualFold(rest[:len(word)], word) {
			return true
		}
	}
	return false
}

// width counts characters in UTF-16, the larger of the ways Slack may count.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// line is escape for text that has to stay on one line.
func line(text string, limit int) string {
	return escape(strings.Join(strings.Fields(text), " "), limit)
}
