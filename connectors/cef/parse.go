package cef

import (
	"errors"
	"strings"
)

// An Event is a message in ArcSight's Common Event Format or IBM's Log Event
// Extended Format.
type Event struct {
	Format   string // "CEF" or "LEEF"
	Version  string
	Vendor   string
	Product  string
	Release  string // version of the product
	Class    string // CEF: device event class id, LEEF: event id
	Name     string // CEF only
	Severity string // CEF: of the header, LEEF: the attribute sev
	Fields   map[string]string
}

// Find tells where in text a message of either format begins, -1 if nowhere.
func Find(text string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], "EF:")
		if i < 0 {
			return -1
		}
		i += from
		for _, mark := range [...]string{"LEEF:", "CEF:"} {
			start := i + len("EF:") - len(mark)
			if start >= from && strings.HasPrefix(text[start:], mark) && isVersion(text[start+len(mark):]) {
				return start
			}
		}
		from = i + len("EF:")
	}
}

// isVersion reports whether s begins with digits and a bar, as in "0|" and
// "2.0|".
func isVersion(s string) bool {
	i := 0
	for i < len(s) && i < 4 && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' && i > 0) {
		i++
	}
	return i > 0 && i < len(s) && s[i] == '|'
}

// Parse reads a message that begins where [Find] says.
func Parse(text string) (Event, error) {
	switch {
	case strings.HasPrefix(text, "CEF:"):
		return parseCEF(text[len("CEF:"):])
	case strings.HasPrefix(text, "LEEF:"):
		return parseLEEF(text[len("LEEF:"):])
	}
	return Event{}, errors.New("it does not begin as CEF or LEEF do")
}

func parseCEF(s string) (Event, error) {
	e := Event{Format: "CEF"}
	header := [...]*string{&e.Version, &e.Vendor, &e.Product, &e.Release, &e.Class, &e.Name, &e.Severity}
	for i, field := range header {
		value, rest, found := cutHeader(s)
		if !found && i < len(header)-1 {
			return Event{}, errors.New("the CEF header has fewer than 7 fields")
		}
		*field, s = strings.TrimSpace(value), rest
	}
	if e.Class == "" && e.Name == "" {
		return Event{}, errors.New("the CEF header has neither a class id nor a name")
	}
	e.Fields = extension(s)
	return e, nil
}

// cutHeader gives the text before the next bar that is not escaped.
func cutHeader(s string) (value, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '|' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '|':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", false
}

// extension reads key=value pairs with a blank between. A value may hold blanks:
// it ends before the blank in front of the next key. An equals sign that is not
// escaped, as it should be, belongs to the value unless what stands before it
// looks like a key.
func extension(s string) map[string]string {
	fields := map[string]string{}
	key, from, last := "", 0, 0 // of the value at hand; last is behind the last blank in it, -1 if there is none
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == ' ' || s[i] == '\t':
			last = i + 1
		case s[i] == '=' && last >= 0 && isKey(s[last:i]):
			put(fields, key, s[from:last])
			key, from, last = s[last:i], i+1, -1
		}
	}
	put(fields, key, s[from:])
	return fields
}

// isKey reports whether s may be a key: letters, digits and what vendors add.
func isKey(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' && c != '[' && c != ']' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// maxFields bounds what is kept of one message.
const maxFields = 500

// put keeps the first value of a key.
func put(fields map[string]string, key, raw string) {
	if _, there := fields[key]; key == "" || there || len(fields) >= maxFields {
		return
	}
	fields[key] = unescape(strings.TrimRight(raw, " \t\r\n"))
}

// unescape reads \=, \\, \|, \n and \r; any other backslash stands for itself.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch i++; s[i] {
		case '=', '\\', '|':
			b.WriteByte(s[i])
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
