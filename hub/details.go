package hub

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Details builds the details of an audit entry: a flat JSON object in canonical
// form. Keys must be given in ascending order, each once; empty strings and
// lists are left out. The zero value is ready.
type Details struct{ b []byte }

func (d *Details) key(name string) {
	if d.b == nil {
		d.b = append(make([]byte, 0, 160), '{')
	} else {
		d.b = append(d.b, ',')
	}
	d.quote(name)
	d.b = append(d.b, ':')
}

func (d *Details) quote(s string) {
	// An error means that s held invalid UTF-8, which was replaced.
	d.b, _ = jsontext.AppendQuote(d.b, s)
}

// Str adds a string.
func (d *Details) Str(name, value string) *Details {
	if value != "" {
		d.key(name)
		d.quote(value)
	}
	return d
}

// Int adds an integer, which must be within ±(2^53−1).
func (d *Details) Int(name string, value int64) *Details {
	d.key(name)
	d.b = strconv.AppendInt(d.b, value, 10)
	return d
}

// Strs adds a list of strings.
func (d *Details) Strs(name string, values []string) *Details {
	if len(values) == 0 {
		return d
	}
	d.key(name)
	for i, v := range values {
		d.b = append(d.b, "[,"[min(i, 1)])
		d.quote(v)
	}
	d.b = append(d.b, ']')
	return d
}

// Value gives the object; nil if nothing was added.
func (d *Details) Value() jsontext.Value {
	if d.b == nil {
		return nil
	}
	return append(d.b, '}')
}
