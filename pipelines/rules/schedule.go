package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the program runs where there is no database of time zones

	"github.com/tocsin/tocsin/hub"
)

// A schedule is when a rule tells, in minutes of days of a time zone.
type schedule struct {
	zone    *time.Location
	windows []window
}

// A window is a span of a day. Its end may lie on the day after.
type window struct {
	days     [7]bool // of its start, Sunday first
	from, to int     // minutes from midnight; to is greater than from
}

const day = 24 * 60

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseSchedule reads a schedule, or says everything that is wrong with it.
func parseSchedule(s *hub.RuleSchedule) (*schedule, []hub.Field) {
	out, fields := &schedule{zone: time.UTC}, []hub.Field(nil)
	wrong := func(pointer, detail string) {
		fields = append(fields, hub.Field{Pointer: "/schedule" + pointer, Detail: detail})
	}
	if s.TimeZone != "" {
		zone, err := time.LoadLocation(s.TimeZone)
		if err != nil || s.TimeZone == "Local" {
			wrong("/timezone", "is no time zone; write such as Europe/Berlin or UTC")
		} else {
			out.zone = zone
		}
	}
	if s.Outside != "" && s.Outside != hub.OutsideHold && s.Outside != hub.OutsideSkip {
		wrong("/outside", "must be hold, which tells of alerts when the next window opens, or skip, which only counts them")
	}
	if len(s.Windows) == 0 || len(s.Windows) > maxWindows {
		wrong("/windows", fmt.Sprintf("must be 1 to %d, such as {\"days\": [\"mon\"], \"from\": \"08:00\", \"to\": \"18:00\"}; leave schedule out for always", maxWindows))
	}
	for i, w := range s.Windows {
		at := fmt.Sprintf("/windows/%d", i)
		parsed := window{from: minutes(w.From), to: minutes(w.To)}
		if parsed.from < 0 || parsed.from >= day {
			wrong(at+"/from", "must be a time such as 08:00")
		}
		if parsed.to < 0 {
			wrong(at+"/to", "must be a time such as 18:00, or 24:00")
		}
		if parsed.from == parsed.to {
			wrong(at+"/to", "is the same as from; write 00:00 to 24:00 for all day")
		}
		if parsed.to < parsed.from {
			parsed.to += day
		}
		for j, d := range w.Days {
			n := slices.Index(dayNames[:], strings.ToLower(d))
			if n < 0 {
				wrong(fmt.Sprintf("%s/days/%d", at, j), "must be one of mon, tue, wed, thu, fri, sat, sun")
				continue
			}
			parsed.days[n] = true
		}
		if len(w.Days) == 0 {
			parsed.days = [7]bool{true, true, true, true, true, true, true}
		}
		out.windows = append(out.windows, parsed)
	}
	return out, fields
}

// minutes reads 08:00; -1 if it is no such time.
func minutes(text string) int {
	var h, m int
	if len(text) != 5 || text[2] != ':' {
		return -1
	}
	if n, err := fmt.Sscanf(text, "%2d:%2d", &h, &m); n != 2 || err != nil || h < 0 || m < 0 || m > 59 || h > 24 || h == 24 && m > 0 {
		return -1
	}
	return h*60 + m
}

// span gives the window as it lies on a day of its zone, by the clocks there: on
// the days when they are changed it is as much longer or shorter.
func (w *window) span(d time.Time) (from, to time.Time) {
	y, m, n := d.Date()
	return time.Date(y, m, n, 0, w.from, 0, 0, d.Location()), time.Date(y, m, n, 0, w.to, 0, 0, d.Location())
}

// open reports whether a window is open.
func (s *schedule) open(at time.Time) bool { return s.opens(at).Equal(at) }

// opens gives when a window is open, at a time or as soon as possible after it.
func (s *schedule) opens(at time.Time) time.Time {
	local := at.In(s.zone)
	var next time.Time
	for back := -1; back <= 8; back++ { // yesterday's may be open yet; each weekday comes within a week
		y, m, n := local.Date()
		d := time.Date(y, m, n+back, 12, 0, 0, 0, s.zone)
		for i := range s.windows {
			w := &s.windows[i]
			if !w.days[d.Weekday()] {
				continue
			}
			from, to := w.span(d)
			switch {
			case !from.After(at) && to.After(at):
				return at
			case from.After(at) && (next.IsZero() || from.Before(next)):
				next = from
			}
		}
	}
	return next
}
