package edgetelemetry

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/internal/inbound"
)

// fields are an object's members by name. The document shows alerts, users and
// audit entries, but no incident, summary, node or edge: those are read by the
// names that such things usually have, the likeliest first.
type fields map[string]jsontext.Value

// readFields decodes an object; nil if raw is none.
func readFields(raw jsontext.Value) fields {
	if raw.Kind() != '{' {
		return nil
	}
	f := fields{}
	if json.Unmarshal(raw, &f) != nil {
		return nil
	}
	return f
}

// text gives the first member that is a text or a number.
func (f fields) text(names ...string) string {
	for _, name := range names {
		var t inbound.Text
		if v := f[name]; v != nil && json.Unmarshal(v, &t) == nil && strings.TrimSpace(string(t)) != "" {
			return string(t)
		}
	}
	return ""
}

// number gives the first member that is a number.
func (f fields) number(names ...string) (n inbound.Number) {
	for _, name := range names {
		if v := f[name]; v != nil && json.Unmarshal(v, &n) == nil && n.Given {
			return n
		}
	}
	return n
}

// time gives the first member that is a time.
func (f fields) time(names ...string) time.Time {
	for _, name := range names {
		var t inbound.Time
		if v := f[name]; v != nil && json.Unmarshal(v, &t) == nil && !t.IsZero() {
			return t.Time
		}
	}
	return time.Time{}
}

// flag reports whether one of the members is true.
func (f fields) flag(names ...string) bool {
	for _, name := range names {
		if f[name].Kind() == 't' {
			return true
		}
	}
	return false
}

// list gives the first member that is a list which is not empty.
func (f fields) list(names ...string) (items []jsontext.Value) {
	for _, name := range names {
		if v := f[name]; v.Kind() == '[' && json.Unmarshal(v, &items) == nil && len(items) > 0 {
			return items
		}
	}
	return nil
}

// texts gives a list's texts, and the ids of its objects.
func (f fields) texts(names ...string) []string {
	var out []string
	for _, raw := range f.list(names...) {
		id := readFields(raw).text("id", "node_id", "name")
		if raw.Kind() != '{' {
			id = fields{"": raw}.text("")
		}
		if id != "" {
			out = append(out, id)
		}
	}
	return out
}
