package configs

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "TOCSIN_"

// override takes the variables that name a key into c. They win over the file.
func (l *loader) override(c *Config) {
	l.folder = "" // relative paths in variables are from the folder the hub runs in
	keys := envKeys(c)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		text := l.environ[name]
		if text == "" {
			continue
		}
		k := keys[name]
		at := place{file: "environment " + name}
		l.forget(k.path)
		n := l.envNode(text, k.value.Kind() == reflect.Slice, k.path, at)
		l.decode(n, k.value, k.path, k.field)
	}
	l.unknownVariables(keys)
}

// forget drops the places of the items that the file had at path.
func (l *loader) forget(path string) {
	maps.DeleteFunc(l.places, func(p string, _ place) bool { return strings.HasPrefix(p, path+"[") })
	delete(l.bad, path)
}

// envNode makes a node of a variable's text.
func (l *loader) envNode(text string, isList bool, path string, at place) *node {
	l.places[path] = at
	if !isList {
		n := &node{kind: scalar, at: at, text: text, tag: "!!str"}
		l.expand(n, path)
		l.hidden[path] = n.hidden
		return n
	}
	out := &node{kind: list, at: at}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			item := index(path, len(out.items))
			out.items = append(out.items, l.envNode(part, false, item, at))
		}
	}
	return out
}

// An envKey is a key that a variable can set.
type envKey struct {
	path  string
	field field
	value reflect.Value
}

// envKeys lists them by the name of the variable.
func envKeys(c *Config) map[string]envKey {
	out := map[string]envKey{}
	walkScalars(reflect.ValueOf(c).Elem(), "", func(path string, f field, v reflect.Value) {
		out[envName(path)] = envKey{path, f, v}
	})
	return out
}

// walkScalars calls visit for every scalar and list of scalars that stands in
// structs only, with its path.
func walkScalars(v reflect.Value, path string, visit func(string, field, reflect.Value)) {
	for _, f := range fieldsOf(v.Type()) {
		at, value := join(path, f.name), v.FieldByIndex(f.index)
		switch {
		case isScalar(f.typ) || f.typ.Kind() == reflect.Slice && isScalar(f.typ.Elem()):
			visit(at, f, value)
		case f.typ.Kind() == reflect.Struct:
			walkScalars(value, at, visit)
		}
	}
}

// envName gives the name of the variable that sets the key at path.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// serviceLink is how Kubernetes goes on after the name of a service in the
// variables it sets in every container: a service called tocsin-server must not
// keep the hub from starting.
var serviceLink = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$`)

// unknownVariables reports those that name a section but no key of it: a slip
// that would otherwise have no effect and no sign.
func (l *loader) unknownVariables(keys map[string]envKey) {
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		rest, ours := strings.CutPrefix(name, envPrefix)
		if _, known := keys[name]; !ours || known {
			continue
		}
		section, rest, _ := strings.Cut(rest, "_")
		at := find(fieldsOf(reflect.TypeFor[Config]()), strings.ToLower(section))
		if at < 0 || rest == "" || serviceLink.MatchString(rest) {
			continue
		}
		l.report(place{file: "environment " + name}, "", "unknown variable; "+l.variables(name, section, keys))
	}
}

// variables says what would be right in place of the variable name.
func (l *loader) variables(name, section string, keys map[string]envKey) string {
	var known []string
	for k := range keys {
		if strings.HasPrefix(k, envPrefix+section+"_") {
			known = append(known, k)
		}
	}
	if len(known) == 0 {
		return "entries of " + strings.ToLower(section) + " cannot be set by variables; write ${env:NAME} where the file needs one"
	}
	slices.Sort(known)
	return expected(name, known)
}
