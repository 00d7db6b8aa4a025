package configs

import (
	"fmt"
	"reflect"
	"strings"
)

// decode puts n into v, which may hold defaults already. What is wrong is
// reported at its place and leaves v as it was there. F says to what bounds
// scalars are held, also those in lists and maps.
func (l *loader) decode(n *node, v reflect.Value, path string, f field) {
	switch {
	case n.kind == broken:
		l.bad[path] = true
	case n.kind == null:
		l.decodeNull(n, v, path)
	case v.Type() == connectorType:
		l.decodeConnector(n, v, path)
	case v.Kind() == reflect.Pointer && !v.Type().Implements(textType):
		into := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			into.Elem().Set(v.Elem())
		}
		l.decode(n, into.Elem(), path, f)
		v.Set(into)
	case isScalar(v.Type()):
		l.decodeScalar(n, v, path, f)
	default:
		l.decodeMany(n, v, path, f)
	}
}

func (l *loader) decodeMany(n *node, v reflect.Value, path string, f field) {
	switch v.Kind() {
	case reflect.Struct:
		l.decodeStruct(n, v, path)
	case reflect.Map:
		l.decodeMap(n, v, path, f)
	case reflect.Slice:
		l.decodeList(n, v, path, f)
	case reflect.Interface:
		v.Set(reflect.ValueOf(plain(n)))
	default:
		panic(fmt.Sprintf("configs: cannot decode into %s", v.Type()))
	}
}

// decodeNull takes a key without a value: a section or list whose content is
// commented out is as good as absent, a scalar was forgotten.
func (l *loader) decodeNull(n *node, v reflect.Value, path string) {
	if !isScalar(v.Type()) {
		return
	}
	text := "has no value; give one, or remove the line for the default"
	if strings.HasPrefix(n.text, "#") && !strings.HasPrefix(n.text, "# ") {
		text += "; a value that starts with # must stand in quotes"
	}
	l.fault(n.at, path, text)
}

func (l *loader) decodeStruct(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		l.fault(n.at, path, "must be keys with values, one \"key: value\" a line")
		return
	}
	fields := fieldsOf(v.Type())
	for i, k := range n.keys {
		at := find(fields, k.name)
		if at < 0 {
			l.report(k.at, join(path, k.name), "unknown key; "+expected(k.name, names(fields)))
			continue
		}
		l.decode(n.items[i], v.FieldByIndex(fields[at].index), join(path, k.name), fields[at])
	}
}

func (l *loader) decodeMap(n *node, v reflect.Value, path string, f field) {
	if n.kind != mapping || v.Type().Key().Kind() != reflect.String {
		l.fault(n.at, path, "must be keys with values, one \"key: value\" a line")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.keys))
	for i, k := range n.keys {
		item := newItem(v.Type().Elem())
		l.decode(n.items[i], item, join(path, k.name), f)
		out.SetMapIndex(reflect.ValueOf(k.name).Convert(v.Type().Key()), item)
	}
	v.Set(out)
}

func (l *loader) decodeList(n *node, v reflect.Value, path string, f field) {
	if n.kind != list {
		l.fault(n.at, path, "must be a list; write [a, b], or \"- a\" lines")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		out.Index(i).Set(newItem(v.Type().Elem()))
		l.decode(item, out.Index(i), index(path, i), f)
	}
	v.Set(out)
}

// newItem gives an entry of a list or map with its defaults.
func newItem(t reflect.Type) reflect.Value {
	item := reflect.New(t)
	if d, ok := item.Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
	return item.Elem()
}

func find(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].name
	}
	return out
}

// expected says what would be right in place of got.
func expected(got string, known []string) string {
	best, least := "", 3 // more than two slips is another word
	for _, k := range known {
		if d := distance(got, k); d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance is how many letters must be put in, left out or changed to make b
// of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
