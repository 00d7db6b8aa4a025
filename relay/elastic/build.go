package elastic

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A builder appends JSON members to a buffer. Members without a value are left
// out, and so are objects without a member: an empty string would still be
// indexed.
type builder struct{ b []byte }

// next puts the comma that a further member or element needs.
func (w *builder) next() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

// name begins a member. Names are ours or already cleaned.
func (w *builder) name(name string) {
	w.next()
	w.quote(name)
	w.b = append(w.b, ':')
}

// quote appends text as a JSON string; what is not UTF-8 is replaced.
func (w *builder) quote(text string) {
	w.b, _ = jsontext.AppendQuote(w.b, text)
}

// open begins an object member and gives the mark that [builder.close] needs.
func (w *builder) open(name string) int {
	mark := len(w.b)
	w.name(name)
	w.b = append(w.b, '{')
	return mark
}

// close ends the object begun at mark, or takes it back if it stayed empty.
func (w *builder) close(mark int) {
	if w.b[len(w.b)-1] == '{' {
		w.b = w.b[:mark]
		return
	}
	w.b = append(w.b, '}')
}

func (w *builder) str(name, value string) {
	if value == "" {
		return
	}
	w.name(name)
	w.quote(value)
}

// strs writes an array of the values that are not empty.
func (w *builder) strs(name string, values ...string) {
	mark := len(w.b)
	w.name(name)
	w.b = append(w.b, '[')
	for _, v := range values {
		if v != "" {
			w.next()
			w.quote(v)
		}
	}
	if w.b[len(w.b)-1] == '[' {
		w.b = w.b[:mark]
		return
	}
	w.b = append(w.b, ']')
}

func (w *builder) num(name string, value int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, value, 10)
}

func (w *builder) float(name string, value *float64) {
	if value == nil || math.IsNaN(*value) || math.IsInf(*value, 0) {
		return
	}
	w.name(name)
	w.b = strconv.AppendFloat(w.b, *value, 'f', -1, 64)
}

func (w *builder) time(name string, value time.Time) {
	if value.IsZero() {
		return
	}
	w.name(name)
	w.b = append(w.b, '"')
	w.b = value.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
}
