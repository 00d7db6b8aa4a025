package cef

import (
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// forms of times in both formats, beside Unix times and RFC 3339.
var forms = []string{
	"Jan 2 2006 15:04:05 MST", "Jan 2 2006 15:04:05 -0700", "Jan 2 2006 15:04:05", "Jan 2 15:04:05 MST", "Jan 2 15:04:05",
	"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05", "2006/01/02 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05",
}

// java are the letters of SimpleDateFormat in Go's words, the longer first.
var java = strings.NewReplacer(
	"yyyy", "2006", "yy", "06", "MMMM", "January", "MMM", "Jan", "MM", "01", "dd", "02", "d", "2", "HH", "15", "H", "15", "hh", "03",
	"mm", "04", "ss", "05", "SSSSSS", "000000", "SSS", "000", "a", "PM", "EEEE", "Monday", "EEE", "Mon", "zzz", "MST", "z", "MST",
	"XXX", "Z07:00", "X", "Z07", "Z", "-0700", "'T'", "T", "'", "",
)

// clock reads times. Those without a zone are of zone, those without a year of
// the year that puts them closest to now.
type clock struct {
	zone *time.Location
	now  func() time.Time
}

// observed is when e happened: when the device received it, else when it ended
// or began.
func (c clock) observed(e *Event) time.Time {
	if e.Format == "LEEF" {
		return c.read(e.Fields["devTime"], e.Fields["devTimeFormat"])
	}
	for _, key := range [...]string{"rt", "end", "start", "deviceReceiptTime", "endTime", "startTime"} {
		if t := c.read(e.Fields[key], ""); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// read reads a time, zero if it is none.
func (c clock) read(text, format string) time.Time {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return time.Time{}
	}
	if strings.Trim(text, "0123456789") == "" {
		return inbound.ParseTime(text)
	}
	layouts := forms
	if format != "" {
		layouts = append([]string{java.Replace(format)}, forms...)
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, c.location()); err == nil {
			return c.sane(c.placed(t))
		}
	}
	return inbound.ParseTime(text)
}

// placed puts a time whose zone is an abbreviation that Go does not know, and
// takes for UTC, into our own zone.
func (c clock) placed(t time.Time) time.Time {
	name, offset := t.Zone()
	if offset != 0 || name == "" || name == "UTC" || name == "GMT" || name == "Z" {
		return t
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), c.location())
}

func (c clock) location() *time.Location {
	if c.zone == nil {
		return time.UTC
	}
	return c.zone
}

// sane gives a year to a time that has none.
func (c clock) sane(t time.Time) time.Time {
	if t.Year() > 0 {
		return hub.Truncate(t)
	}
	now := time.Now()
	if c.now != nil {
		now = c.now()
	}
	for _, year := range [...]int{now.Year(), now.Year() - 1, now.Year() + 1} {
		if got := t.AddDate(year, 0, 0); got.Sub(now).Abs() < 183*24*time.Hour {
			return hub.Truncate(got)
		}
	}
	return hub.Truncate(t.AddDate(now.Year(), 0, 0))
}
