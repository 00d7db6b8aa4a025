package elastic

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a flattened field in Elasticsearch. It refuses the whole document
// if objects are nested deeper than 20 levels, if a path and its value exceed
// 32,766 bytes, or if a name holds a NUL. With these limits and ignore_above
// 1024 a path and value stay below 10,000 bytes. Arrays do not count there but
// do here, because the parser has a limit of its own for them.
const (
	rawDepth = 20
	rawName  = 256 // bytes of one member name
)

// raw writes a vendor's object as a flattened member, changed only where
// Elasticsearch would refuse the document for it: too deep parts become text,
// too long names are cut, anything but an object is put under "value".
func (w *builder) raw(name string, v jsontext.Value) {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || string(v) == "null" || string(v) == "{}" {
		return
	}
	w.name(name)
	start := len(w.b)
	switch {
	case v[0] == '{' && flattens(v):
		w.line(v)
	case v[0] == '{' && w.flatten(jsontext.NewDecoder(bytes.NewReader(v)), rawDepth):
	default:
		w.b = append(w.b[:start], `{"value":`...)
		value := len(w.b)
		if !w.flatten(jsontext.NewDecoder(bytes.NewReader(v)), rawDepth-1) {
			w.b = w.b[:value]
			w.quote(string(v))
		}
		w.b = append(w.b, '}')
	}
}

// line appends v on one line: a line feed ends a document in a bulk body.
// Within JSON they stand between tokens only.
func (w *builder) line(v []byte) {
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		w.b = append(w.b, v...)
		return
	}
	for _, c := range v {
		if c != '\n' && c != '\r' {
			w.b = append(w.b, c)
		}
	}
}

// flattens reports whether a JSON object may go into a flattened field as it
// is. It is a scan without allocation that may say no to what would be fine.
func flattens(v []byte) bool {
	depth, begin := 0, -1 // begin is where the current string starts
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case begin >= 0 && c == '\\':
			i++
			if i < len(v) && v[i] == 'u' && bytes.HasPrefix(v[i:], []byte("u0000")) {
				return false // NUL, which only names must not hold
			}
		case begin >= 0 && c == '"':
			if i-begin > rawName && isName(v[i+1:]) {
				return false
			}
			begin = -1
		case begin >= 0:
		case c == '"':
			begin = i
		case c == '{' || c == '[':
			if depth++; depth > rawDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return depth == 0 && begin < 0
}

// isName reports whether a string before rest was a member's name.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// flatten copies one value, with at most depth levels of nesting. It reports
// false if the input is not JSON.
func (w *builder) flatten(d *jsontext.Decoder, depth int) bool {
	kind := d.PeekKind()
	switch {
	case kind != '{' && kind != '[':
		v, err := d.ReadValue()
		w.b = append(w.b, v...)
		return err == nil
	case depth == 0:
		return w.asText(d)
	case kind == '[':
		return w.flattenArray(d, depth-1)
	}
	return w.flattenObject(d, depth-1)
}

func (w *builder) asText(d *jsontext.Decoder) bool {
	v, err := d.ReadValue()
	v = v.Clone()
	if err != nil || v.Compact() != nil {
		return false
	}
	w.quote(string(v))
	return true
}

func (w *builder) flattenArray(d *jsontext.Decoder, depth int) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	w.b = append(w.b, '[')
	for d.PeekKind() != ']' {
		w.next()
		if !w.flatten(d, depth) {
			return false
		}
	}
	w.b = append(w.b, ']')
	_, err := d.ReadToken()
	return err == nil
}

func (w *builder) flattenObject(d *jsontext.Decoder, depth int) bool {
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	w.b = append(w.b, '{')
	used := map[string]bool{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		w.name(freeName(cutName(name.String()), used))
		if !w.flatten(d, depth) {
			return false
		}
	}
	w.b = append(w.b, '}')
	_, err := d.ReadToken()
	return err == nil
}

// cutName makes a name that a flattened field takes.
func cutName(name string) string {
	name = strings.ReplaceAll(name, "\x00", "_")
	if len(name) <= rawName {
		return name
	}
	end := rawName
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// freeName makes name different from those used in the same object: cutting
// may make two names equal, and Elasticsearch refuses duplicates.
func freeName(name string, used map[string]bool) string {
	for used[name] {
		name += "_"
	}
	used[name] = true
	return name
}
