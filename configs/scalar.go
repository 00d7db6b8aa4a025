package configs

import (
	"cmp"
	"encoding"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/secret"
)

// decodeScalar reads the text of n into v and holds it to the bounds of f.
func (l *loader) decodeScalar(n *node, v reflect.Value, path string, f field) {
	if n.kind != scalar {
		l.fault(n.at, path, "must be one value ("+nameOf(v.Type())+"), not a list or keys with values")
		return
	}
	into := reflect.New(v.Type()).Elem()
	if text := setText(n.text, into); text != "" {
		l.fault(n.at, path, shown(n, v.Type())+text)
		return
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, n.text) {
		l.fault(n.at, path, shown(n, v.Type())+" is none of "+strings.Join(f.enum, ", "))
		return
	}
	if f.min != "" && compare(into, f.min) < 0 || f.max != "" && compare(into, f.max) > 0 {
		l.fault(n.at, path, shown(n, v.Type())+" is out of range; write "+f.bounds())
		return
	}
	if f.beside && n.text != "" {
		into.SetString(beside(l.folder, n.text))
	}
	v.Set(into)
}

// shown gives the text of n for a message, if it may be shown.
func shown(n *node, t reflect.Type) string {
	if n.hidden || t == secretType {
		return "the value"
	}
	return quoted(n.text)
}

// setText reads text into v. It gives what is wrong, to be put behind the text.
func setText(text string, v reflect.Value) string {
	switch v.Type() {
	case durationType, hubDurationType:
		d, ok := parseDuration(text)
		v.SetInt(int64(d))
		return unless(ok, " is not a duration; write for example 15s, 5m, 24h or 7d")
	case prefixType:
		p, fault := parseNetwork(text)
		v.Set(reflect.ValueOf(p))
		return fault
	case secretType:
		v.Set(reflect.ValueOf(secret.New(text)))
		return ""
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return " is " + err.Error()
		}
		return ""
	}
	return setBasic(text, v)
}

func setBasic(text string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return ""
	case reflect.Bool:
		v.SetBool(text == "true")
		return unless(text == "true" || text == "false", " is neither true nor false")
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		v.SetFloat(x)
		return unless(err == nil && !math.IsNaN(x) && !math.IsInf(x, 0), " is not a number; write for example 0.1")
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		x, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(x)
		return unless(err == nil, " is not a whole number that fits; write digits only")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(x)
		return unless(err == nil, " is not a whole number that fits; write digits only")
	}
	panic("configs: cannot decode into " + v.Type().String())
}

func unless(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}

// parseNetwork takes a network only as it is usually written, because one with
// bits set behind the mask is most often a slip of the mask.
func parseNetwork(text string) (netip.Prefix, string) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.Prefix{}, " is an address, not a network; write " + netip.PrefixFrom(a, a.BitLen()).String()
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, " is not a network; write for example 10.1.0.0/16 or fd00::/8"
	}
	if p != p.Masked() {
		return p, " has bits set behind the mask; write " + p.Masked().String()
	}
	return p, ""
}

// compare orders a value and a bound, which is read the same way.
func compare(v reflect.Value, bound string) int {
	limit := reflect.New(v.Type()).Elem()
	if fault := setText(bound, limit); fault != "" {
		panic("configs: bound " + bound + fault) // a tag is wrong; a test reads them all
	}
	if v.CanFloat() {
		return cmp.Compare(v.Float(), limit.Float())
	}
	return cmp.Compare(v.Int(), limit.Int())
}

// formatValue writes a value as it would be written in the file.
func formatValue(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case secret.Secret:
		return ""
	case interface{ String() string }:
		return x.String()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, formatValue(v.Index(i)))
		}
		return strings.Join(items, ", ")
	}
	return ""
}

// plain gives n as ordinary values, for a piece that is handed on as it is.
// What looks like a number but would not be written back the same stays text.
func plain(n *node) any {
	switch n.kind {
	case list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = plain(item)
		}
		return out
	case mapping:
		out := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			out[k.name] = plain(n.items[i])
		}
		return out
	case scalar:
		return plainScalar(n)
	}
	return nil
}

func plainScalar(n *node) any {
	switch n.tag {
	case "!!bool":
		return strings.EqualFold(n.text, "true")
	case "!!int":
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil && strconv.FormatInt(i, 10) == n.text {
			return i
		}
	case "!!float":
		if x, err := strconv.ParseFloat(n.text, 64); err == nil && !math.IsInf(x, 0) && !math.IsNaN(x) {
			return x
		}
	}
	return n.text
}
