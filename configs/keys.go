package configs

import "reflect"

// A Key is one key of the configuration, for people.
type Key struct {
	Path    string `json:"path"`              // such as relay.workers, endpoints[].url or dedup.profiles.<source>.volatile
	Env     string `json:"env,omitempty"`     // the variable that sets it; "" for one in a list or map
	Type    string `json:"type"`              // such as duration or list of text
	Default string `json:"default,omitempty"` // as it would be written
	Range   string `json:"range,omitempty"`   // what is allowed, where not anything
	Doc     string `json:"doc"`               // a sentence
}

// Keys lists every key in the order of the sections, each section before what
// is in it. What connectors take beside name and kind is not here; it is theirs.
func Keys() []Key {
	var out []Key
	appendKeys(&out, reflect.ValueOf(Default()).Elem(), "", true)
	return out
}

func appendKeys(out *[]Key, v reflect.Value, path string, env bool) {
	for _, f := range fieldsOf(v.Type()) {
		appendKey(out, f, v.FieldByIndex(f.index), join(path, f.name), env)
	}
}

func appendKey(out *[]Key, f field, v reflect.Value, path string, env bool) {
	k := Key{Path: path, Type: nameOf(f.typ), Range: f.bounds(), Doc: f.doc}
	inner := f.typ
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	switch {
	case isScalar(inner), inner.Kind() == reflect.Slice && isScalar(inner.Elem()):
		if !unset(f, v) {
			k.Default = formatValue(v)
		}
		if env {
			k.Env = envName(path)
		}
		*out = append(*out, k)
	case inner.Kind() == reflect.Struct:
		*out = append(*out, k)
		appendKeys(out, structOf(v, inner), path, env && v.Kind() == reflect.Struct)
	default:
		*out = append(*out, k)
		appendItems(out, f, path)
	}
}

// appendItems lists the keys of the entries of a list or map.
func appendItems(out *[]Key, f field, path string) {
	if f.typ.Kind() == reflect.Map {
		path += ".<" + f.key + ">"
	} else {
		path += "[]"
	}
	if elem := f.typ.Elem(); elem.Kind() == reflect.Struct && !isScalar(elem) {
		appendKeys(out, newItem(elem), path, false)
	}
}

// structOf gives v, or what it points to, or a new one where it is nil.
func structOf(v reflect.Value, t reflect.Type) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		return newItem(t)
	}
	return v.Elem()
}

// unset reports whether v is a zero that could not be written in the file: it
// stands for no value.
func unset(f field, v reflect.Value) bool {
	return f.min != "" && (v.CanInt() || v.CanFloat()) && v.IsZero() && compare(v, f.min) < 0
}
