package expr

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A document is untyped JSON that is decoded once, when it is first asked for.
type document struct {
	raw  jsontext.Value
	from *byte // the first byte of what val was decoded from
	val  any
	err  error
}

// decoded gives the document as plain values; an empty one is an empty map.
func (d *document) decoded() (any, error) {
	if len(d.raw) == 0 {
		return map[string]any{}, nil
	}
	if d.from != &d.raw[0] {
		d.val, d.err = Decode(d.raw)
		d.from = &d.raw[0]
	}
	return d.val, d.err
}

// Decode reads JSON as plain values, whole numbers as int64, and shows no more of
// it than an expression may see: [MaxList], [MaxText], [MaxDocument].
func Decode(raw jsontext.Value) (any, error) {
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("the document has %d bytes, an expression reads at most %d", len(raw), MaxDocument)
	}
	return decode(jsontext.NewDecoder(bytes.NewReader(raw)))
}

func decode(d *jsontext.Decoder) (any, error) {
	switch d.PeekKind() {
	case '{':
		return decodeObject(d)
	case '[':
		return decodeArray(d)
	}
	tok, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return clip(tok.String()), nil
	}
	if n, err := strconv.ParseInt(tok.String(), 10, 64); err == nil {
		return n, nil
	}
	return strconv.ParseFloat(tok.String(), 64)
}

func decodeObject(d *jsontext.Decoder) (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	m := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if m[key], err = decode(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return m, err
}

func decodeArray(d *jsontext.Decoder) (any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	list := []any{}
	for d.PeekKind() != ']' {
		if len(list) == MaxList {
			if err := d.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		v, err := decode(d)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.ReadToken()
	return list, err
}

// Encode writes a plain value as JSON, the keys of objects in order.
func Encode(v any) (jsontext.Value, error) {
	switch v := v.(type) {
	case jsontext.Value:
		return v, nil
	case nil:
		return jsontext.Value("null"), nil
	case string:
		return jsontext.AppendQuote(nil, v)
	}
	b, err := json.Marshal(plain(v), json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return b, nil
}

// plain turns times into text, which is how JSON has them.
func plain(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.String()
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

var errResult = errors.New("the result cannot be used as a value")

// native turns an expression's result into a plain value that shares nothing
// with the expression's input.
func native(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return int64(v), nil
	case types.Double:
		return float64(v), nil
	case types.String:
		return string(v), nil
	case types.Timestamp:
		return v.Time, nil
	case types.Duration:
		return v.Duration, nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return native(v.GetValue())
	case *value:
		return objectJSON(v)
	case traits.Mapper:
		return nativeMap(v)
	case traits.Lister:
		return nativeList(v)
	}
	return nil, fmt.Errorf("%w: it is a %s", errResult, typeName(v))
}

func nativeMap(m traits.Mapper) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		key, ok := k.(types.String)
		if !ok {
			return nil, fmt.Errorf("%w: a key is a %s, want text", errResult, typeName(k))
		}
		v, err := native(m.Get(k))
		if err != nil {
			return nil, err
		}
		out[string(key)] = v
	}
	return out, nil
}

func nativeList(l traits.Lister) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		v, err := native(it.Next())
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// objectJSON gives a typed object as its JSON form.
func objectJSON(v *value) (any, error) {
	var in any
	switch o := v.v.(type) {
	case *alertView:
		in = o.Alert
	case *findingView:
		in = o.Finding
	case *eventView:
		in = o.Event
	case *dataView:
		in = o.Data
	case *Step:
		in = map[string]any{"status": o.Status, "error": o.Error, "output": orNull(o.Output)}
	case *Run:
		in = map[string]any{"id": string(o.ID), "playbook": o.Playbook, "version": o.Version}
	default:
		in = o
	}
	b, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", v.o.name, err)
	}
	return jsontext.Value(b), nil
}

func orNull(v jsontext.Value) jsontext.Value {
	if len(v) == 0 {
		return jsontext.Value("null")
	}
	return v
}
