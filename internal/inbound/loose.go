package inbound

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// The types below read what a specification calls a text, a number or a time
// from whatever a sender makes of it: an id that is a number here and a text
// there must not cost a finding. What cannot be read is empty.

// A Text reads texts, and numbers and truth values as they are written.
type Text string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (t *Text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"', '0', 't', 'f':
		tok, err := d.ReadToken()
		*t = Text(tok.String())
		return err
	}
	*t = ""
	return d.SkipValue()
}

// A Number reads numbers, and texts that are one.
type Number struct {
	Value float64
	Given bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (n *Number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var t Text
	if err := t.UnmarshalJSONFrom(d); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	n.Value, n.Given = v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
	return nil
}

// Int gives the number if it is a whole one, otherwise -1.
func (n Number) Int() int {
	if !n.Given || n.Value != math.Trunc(n.Value) || math.Abs(n.Value) > 1<<52 {
		return -1
	}
	return int(n.Value)
}

// Bounded gives the number if it is within low and high, nil if not.
func (n Number) Bounded(low, high float64) *float64 {
	if !n.Given || n.Value < low || n.Value > high {
		return nil
	}
	v := n.Value
	return &v
}

// A Time reads RFC 3339 and its relatives, and Unix times in seconds,
// milliseconds, microseconds or nanoseconds.
type Time struct{ time.Time }

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (t *Time) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var text Text
	if err := text.UnmarshalJSONFrom(d); err != nil {
		return err
	}
	t.Time = ParseTime(string(text))
	return nil
}

var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02"}

// ParseTime reads a time as [Time] does; zero if it is none, or outside of the
// years that the hub takes. One without a zone is UTC.
func ParseTime(text string) time.Time {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return bounded(unix(n))
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1e10 {
		whole, part := math.Modf(n)
		return bounded(time.Unix(int64(whole), int64(math.Round(part*1e6))*1000))
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil {
			return bounded(t)
		}
	}
	return time.Time{}
}

// unix tells the unit by the size: a second of the year 2200 is less than a
// millisecond of 1971.
func unix(n int64) time.Time {
	switch {
	case n <= 0:
		return time.Time{}
	case n < 1e10:
		return time.Unix(n, 0)
	case n < 1e13:
		return time.UnixMilli(n)
	case n < 1e16:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

func bounded(t time.Time) time.Time {
	if y := t.Year(); t.IsZero() || y < 1970 || y > 2200 {
		return time.Time{}
	}
	return hub.Truncate(t)
}

// First gives the first text that is not empty.
func First[T ~string](texts ...T) T {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Latest gives the latest of some times, zero if there is none.
func Latest(times ...Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t.Time
		}
	}
	return last
}
