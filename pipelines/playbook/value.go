package playbook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/internal/expr"
)

// A value is a piece of a step's "with": a template, a plain scalar, a list or a map.
type value struct {
	template *expr.Template
	scalar   any // nil, bool, int64, float64
	list     []value
	keys     []string // of a map; vals stand in list
	kind     valueKind
}

type valueKind int

const (
	scalarValue valueKind = iota
	templateValue
	listValue
	mapValue
)

// eval gives the value as plain Go values.
func (v *value) eval(vars *expr.Vars) (any, error) {
	switch v.kind {
	case templateValue:
		return v.template.Eval(vars)
	case listValue:
		out := make([]any, len(v.list))
		for i := range v.list {
			var err error
			if out[i], err = v.list[i].eval(vars); err != nil {
				return nil, err
			}
		}
		return out, nil
	case mapValue:
		out := make(map[string]any, len(v.keys))
		for i, k := range v.keys {
			var err error
			if out[k], err = v.list[i].eval(vars); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return out, nil
	}
	return v.scalar, nil
}

// constant gives the value if it needs no evaluation.
func (v *value) constant() (any, bool) {
	switch v.kind {
	case templateValue:
		return v.template.Constant()
	case listValue, mapValue:
		for i := range v.list {
			if _, ok := v.list[i].constant(); !ok {
				return nil, false
			}
		}
		out, err := v.eval(nil)
		return out, err == nil
	}
	return v.scalar, true
}

// constants lists the constant texts in the value itself or in its list.
func (v *value) constants() []string {
	if v.kind == listValue {
		var all []string
		for i := range v.list {
			all = append(all, v.list[i].constants()...)
		}
		return all
	}
	c, _ := v.constant()
	if s, ok := c.(string); ok && s != "" {
		return []string{s}
	}
	return nil
}

// convert brings a plain value to the type of a parameter.
func (p *Param) convert(v any) (any, error) {
	out, ok := v, false
	switch p.Type {
	case Text:
		out, ok = asText(v)
	case Texts:
		out, ok = asTexts(v)
	case Number:
		switch v.(type) {
		case int64, float64:
			ok = true
		}
	case Bool:
		_, ok = v.(bool)
	case Span:
		out, ok = asSpan(v)
	case Instant:
		out, ok = asInstant(v)
	case TextMap:
		out, ok = asTextMap(v)
	case Object:
		switch o := v.(type) {
		case map[string]any:
			ok = true
		case jsontext.Value:
			ok = o.Kind() == '{'
		}
	case List:
		_, ok = v.([]any)
	default:
		ok = true
	}
	if !ok {
		return nil, fmt.Errorf("is %s, want %s", describe(v), p.Type)
	}
	if s, text := out.(string); text && len(p.OneOf) > 0 && !slices.Contains(p.OneOf, s) {
		return nil, fmt.Errorf("is %q, want one of %s", s, strings.Join(p.OneOf, ", "))
	}
	if p.Valid != nil {
		return out, p.Valid(out)
	}
	return out, nil
}

func asText(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64, bool:
		return fmt.Sprint(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case time.Duration:
		return v.String(), true
	}
	return nil, false
}

func asTexts(v any) (any, bool) {
	if s, ok := v.(string); ok {
		return []string{s}, true
	}
	list, ok := v.([]any)
	texts := make([]string, len(list))
	for i, e := range list {
		s, text := e.(string)
		texts[i], ok = s, ok && text
	}
	return texts, ok
}

func asTextMap(v any) (any, bool) {
	m, ok := v.(map[string]any)
	texts := make(map[string]string, len(m))
	for k, e := range m {
		s, text := asText(e)
		if e == nil { // a YAML key without a value
			s, text = "", true
		}
		if text {
			texts[k] = s.(string)
		}
		ok = ok && text
	}
	return texts, ok
}

func asSpan(v any) (any, bool) {
	switch v := v.(type) {
	case time.Duration:
		return v, v >= 0
	case string:
		d, err := time.ParseDuration(v)
		return d, err == nil && d >= 0
	}
	return nil, false
}

func asInstant(v any) (any, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		return t, err == nil
	}
	return nil, false
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if len(v) > 40 {
			v = v[:40] + "…"
		}
		return fmt.Sprintf("the text %q", v)
	case bool, int64, float64:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	case jsontext.Value:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}
