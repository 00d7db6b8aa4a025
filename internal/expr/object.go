package expr

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// An object is a typed Go struct as expressions see it. Fields are read by
// functions, not by reflection, and only when an expression asks for them.
type object struct {
	name   string
	goType reflect.Type
	fields fields
}

type fields map[string]*types.FieldType

// TypeName implements [ref.Type].
func (o *object) TypeName() string { return o.name }

// HasTrait implements [ref.Type].
func (o *object) HasTrait(trait int) bool {
	return trait&(traits.FieldTesterType|traits.IndexerType) == trait
}

// ReflectType implements [types.StructTypeDescriptor].
func (o *object) ReflectType() reflect.Type { return o.goType }

// FieldNames implements [types.StructTypeDescriptor].
func (o *object) FieldNames() []string { return slices.Sorted(maps.Keys(o.fields)) }

// FindFieldType implements [types.StructTypeDescriptor].
func (o *object) FindFieldType(name string) (*types.FieldType, bool) {
	f, ok := o.fields[name]
	return f, ok
}

// NewValue implements [types.StructTypeDescriptor]: expressions make no objects.
func (o *object) NewValue(types.Adapter, map[string]ref.Val) ref.Val {
	return types.NewErr("an expression cannot make a new %s", o.name)
}

// Adapt implements [types.StructTypeDescriptor].
func (o *object) Adapt(a types.Adapter, v any) ref.Val { return &value{o, a, v} }

// A value is one object in an expression.
type value struct {
	o *object
	a types.Adapter
	v any
}

// ConvertToNative implements [ref.Val].
func (v *value) ConvertToNative(t reflect.Type) (any, error) {
	if reflect.TypeOf(v.v).AssignableTo(t) {
		return v.v, nil
	}
	return nil, fmt.Errorf("%s cannot become %s", v.o.name, t)
}

// ConvertToType implements [ref.Val].
func (v *value) ConvertToType(t ref.Type) ref.Val {
	if t.TypeName() == v.o.name {
		return v
	}
	return types.NewErr("%s cannot become %s", v.o.name, t.TypeName())
}

// Equal implements [ref.Val]: an object equals itself.
func (v *value) Equal(other ref.Val) ref.Val {
	o, ok := other.(*value)
	return types.Bool(ok && o.v == v.v)
}

// Type implements [ref.Val].
func (v *value) Type() ref.Type { return types.NewObjectType(v.o.name) }

// Value implements [ref.Val].
func (v *value) Value() any { return v.v }

// IsSet implements [traits.FieldTester].
func (v *value) IsSet(field ref.Val) ref.Val {
	f, name := v.field(field)
	if f == nil {
		return types.NewErr("unknown field %s", name)
	}
	return types.Bool(f.IsSet(v.v))
}

// Get implements [traits.Indexer].
func (v *value) Get(field ref.Val) ref.Val {
	f, name := v.field(field)
	if f == nil {
		return types.NewErr("unknown field %s", name)
	}
	got, err := f.GetFrom(v.v)
	if err != nil {
		return types.WrapErr(err)
	}
	return v.a.NativeToValue(got)
}

func (v *value) field(name ref.Val) (*types.FieldType, string) {
	s, _ := name.(types.String)
	return v.o.fields[string(s)], string(s)
}

var errUnset = errors.New("the field is not set")

// field makes a field of type t: get reads it, and tells whether it is set. A
// field that is not set reads as what get gives, or as an error if that is nil.
func field[T any](t *cel.Type, get func(T) (any, bool)) *types.FieldType {
	return &types.FieldType{
		Type: t,
		IsSet: func(target any) bool {
			v, ok := target.(T)
			if !ok {
				return false
			}
			_, set := get(v)
			return set
		},
		GetFrom: func(target any) (any, error) {
			v, ok := target.(T)
			if !ok {
				return nil, fmt.Errorf("%T is not what the field belongs to", target)
			}
			got, set := get(v)
			if got == nil && !set {
				return nil, errUnset
			}
			return got, nil
		},
	}
}

func text[T any, S ~string](get func(T) S) *types.FieldType {
	return field(cel.StringType, func(v T) (any, bool) {
		s := string(get(v))
		return types.String(clip(s)), s != ""
	})
}

func number[T any](get func(T) int64) *types.FieldType {
	return field(cel.IntType, func(v T) (any, bool) {
		n := get(v)
		return types.Int(n), n != 0
	})
}

func decimal[T any](get func(T) *float64) *types.FieldType {
	return field(cel.DoubleType, func(v T) (any, bool) {
		if f := get(v); f != nil {
			return types.Double(*f), true
		}
		return nil, false
	})
}

func moment[T any](get func(T) time.Time) *types.FieldType {
	return field(cel.TimestampType, func(v T) (any, bool) {
		if t := get(v); !t.IsZero() {
			return types.Timestamp{Time: t}, true
		}
		return nil, false
	})
}

func texts[T any](get func(T) []string) *types.FieldType {
	return field(cel.ListType(cel.StringType), func(v T) (any, bool) {
		list := get(v)
		return list[:min(len(list), MaxList)], len(list) > 0
	})
}

func mapping[T any](get func(T) map[string]string) *types.FieldType {
	return field(cel.MapType(cel.StringType, cel.StringType), func(v T) (any, bool) {
		m := get(v)
		return clipMap(m), len(m) > 0
	})
}

// part is a field that is itself an object; missing, it reads as an empty one.
func part[T, P any](name string, get func(T) *P) *types.FieldType {
	empty := any(new(P))
	return field(cel.ObjectType(name), func(v T) (any, bool) {
		if p := get(v); p != nil {
			return p, true
		}
		return empty, false
	})
}

// clip cuts s to [MaxText] at a character's start.
func clip(s string) string {
	if len(s) <= MaxText {
		return s
	}
	n := MaxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// clipMap gives m itself unless something in it is too large to be seen whole.
func clipMap(m map[string]string) map[string]string {
	fits := len(m) <= MaxList
	for _, v := range m {
		fits = fits && len(v) <= MaxText
	}
	if fits {
		return m
	}
	cut := make(map[string]string, min(len(m), MaxList))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(cut) == MaxList {
			break
		}
		cut[k] = clip(m[k])
	}
	return cut
}
