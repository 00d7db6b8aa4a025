package configs

import (
	"encoding"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// A field is one key of a section, as the tags of its struct field tell.
type field struct {
	name     string // yaml
	doc      string // a sentence for people
	enum     []string
	min, max string // as they would be written; "" for none
	key      string // what the keys of a map are, for people
	beside   bool   // a path that is relative to the config file
	index    []int
	typ      reflect.Type
}

// fieldsOf lists the keys that a struct takes. A struct that is embedded, or
// tagged inline, gives its keys to the one around it. Fields without a yaml
// tag go by their name in lower case, as YAML readers have it; "-" leaves out.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inline := options == "inline" || f.Anonymous && name == ""
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case inline && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		default:
			out = append(out, newField(f, name, i))
		}
	}
	return out
}

func newField(f reflect.StructField, name string, i int) field {
	out := field{
		name: name, doc: f.Tag.Get("doc"), min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		key: f.Tag.Get("key"), beside: f.Tag.Get("path") == "beside", index: []int{i}, typ: f.Type,
	}
	if out.name == "" {
		out.name = strings.ToLower(f.Name)
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		out.enum = strings.Split(enum, ",")
	}
	return out
}

// bounds tells what a scalar may be, "" if anything.
func (f *field) bounds() string {
	switch {
	case len(f.enum) > 0:
		return strings.Join(f.enum, ", ")
	case f.min != "" && f.max != "":
		return f.min + " to " + f.max
	case f.min != "":
		return f.min + " or more"
	case f.max != "":
		return f.max + " or less"
	}
	return ""
}

// Types that are written as one text though they are structs or numbers.
var (
	durationType    = reflect.TypeFor[time.Duration]()
	hubDurationType = reflect.TypeFor[hub.Duration]()
	sizeType        = reflect.TypeFor[Size]()
	prefixType      = reflect.TypeFor[netip.Prefix]()
	secretType      = reflect.TypeFor[secret.Secret]()
	connectorType   = reflect.TypeFor[Connector]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isScalar reports whether t is written as one text.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textType) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer:
		return isScalar(t.Elem())
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface:
		return false
	}
	return true
}

// nameOf is what people call values of type t.
func nameOf(t reflect.Type) string {
	switch t {
	case durationType, hubDurationType:
		return "duration"
	case sizeType:
		return "size"
	case prefixType:
		return "network"
	case secretType:
		return "secret"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nameOf(t.Elem())
	case reflect.Slice:
		return "list of " + nameOf(t.Elem())
	case reflect.Map:
		return "map of " + nameOf(t.Elem())
	case reflect.Struct:
		return "section"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	return "whole number"
}

var endpointType = reflect.TypeFor[Endpoint]()

// empty reports whether the field of e has no value.
func (e *Endpoint) empty(name string) bool {
	fields := fieldsOf(endpointType)
	return reflect.ValueOf(e).Elem().FieldByIndex(fields[find(fields, name)].index).IsZero()
}
