package syslogmsg

import (
	"slices"
	"strings"
	"time"
)

// legacy reads what follows the priority as RFC 3164 describes it and as it is
// really sent: counters of Cisco devices, years, zones and RFC 3339 times, no
// host, no tag, no header at all.
func (p *Parser) legacy(m *Message, s string) {
	s = strings.TrimLeft(s, " ")
	rest := cutCounters(s)
	if t, after, ok := p.cutTime(rest); ok {
		m.Time = t
		m.Host, s = cutHost(after)
	}
	m.App, m.Proc, m.Text = cutTag(s)
}

// cutCounters passes over up to two counters and the mark of an unset clock, as
// in "237: 000485: *Jan  8 …".
func cutCounters(s string) string {
	for range 2 {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		if digits > 10 || !strings.HasPrefix(s[digits:], ": ") {
			break
		}
		s = s[digits+2:]
	}
	return strings.TrimLeft(s, "*.")
}

// A form is a way to write a time.
type form struct {
	layout string
	words  int
	year   bool
}

// Forms that start with a month and with a digit. The longer comes first where
// one is the start of another.
var (
	monthForms = [...]form{{"Jan 2 2006 15:04:05", 4, true}, {"Jan 2 15:04:05 2006", 4, true}, {"Jan 2 15:04:05", 3, false}}
	digitForms = [...]form{
		{time.RFC3339, 1, true}, {"2006-01-02T15:04:05", 1, true}, {"2006-01-02 15:04:05", 2, true}, {"2006 Jan 2 15:04:05", 4, true},
	}
)

// cutTime takes a time off the start of s, and the colon that some put behind.
func (p *Parser) cutTime(s string) (t time.Time, rest string, ok bool) {
	switch {
	case s == "":
	case s[0] >= '0' && s[0] <= '9':
		return p.cutForm(s, digitForms[:])
	case strings.IndexByte("JFMASOND", s[0]) >= 0:
		return p.cutForm(s, monthForms[:])
	}
	return time.Time{}, s, false
}

func (p *Parser) cutForm(s string, forms []form) (t time.Time, rest string, ok bool) {
	for _, f := range forms {
		word, rest := cutWords(s, f.words)
		word = strings.TrimSuffix(word, ":")
		if strings.Count(f.layout, ":") > strings.Count(word, ":") || f.words == 4 && word[len(word)-1] > '9' {
			continue // cheaper than time.Parse and its error
		}
		t, err := time.ParseInLocation(f.layout, word, p.zone())
		if err != nil {
			continue
		}
		if !f.year {
			t = p.withYear(t)
		}
		t, rest = cutZone(t, rest)
		return t.UTC(), rest, true
	}
	return time.Time{}, s, false
}

// cutWords gives the first n words, with one space between, and what follows
// them.
func cutWords(s string, n int) (words, rest string) {
	var buf [48]byte
	b, end := buf[:0], 0
	for i := range n {
		start := end
		for start < len(s) && s[start] == ' ' {
			start++
		}
		if i > 0 {
			b = append(b, ' ')
		}
		end = start
		for end < len(s) && s[end] != ' ' {
			end++
		}
		b = append(b, s[start:end]...)
	}
	return string(b), strings.TrimLeft(s[end:], " ")
}

func (p *Parser) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// withYear gives t the year that puts it closest to now: a message of 31
// December that arrives in January is of last year.
func (p *Parser) withYear(t time.Time) time.Time {
	now := time.Now()
	if p.Now != nil {
		now = p.Now()
	}
	best := time.Time{}
	for _, year := range [...]int{now.Year(), now.Year() - 1, now.Year() + 1} {
		c := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
		if best.IsZero() || c.Sub(now).Abs() < best.Sub(now).Abs() {
			best = c
		}
	}
	return best
}

// zones are abbreviations that stand behind a time. They mean different zones to
// different people (IST, CST), so only UTC and GMT are believed; for the others
// the parser's own zone counts.
var zones = strings.Fields("UTC GMT Z CET CEST EET EEST WET WEST BST IST MSK EST EDT CST CDT MST MDT PST PDT JST AEST AEDT ACST AWST NZST NZDT")

// cutZone takes a zone off, with or without the colon that Cisco puts behind.
func cutZone(t time.Time, s string) (time.Time, string) {
	word, rest := cutWords(s, 1)
	name := strings.TrimSuffix(word, ":")
	if !slices.Contains(zones, name) {
		return t, s
	}
	if name == "UTC" || name == "GMT" || name == "Z" {
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	return t, rest
}

// cutHost takes the host off: a word that is neither a tag nor the start of
// what the message says.
func cutHost(s string) (host, rest string) {
	word, rest := cutWords(s, 1)
	if word == "" || strings.ContainsAny(word, "[]{}=|\"'%,;") || len(word) > 255 || strings.HasSuffix(word, ":") || !graphic(word) {
		return "", s
	}
	if after, ok := strings.CutPrefix(rest, ": "); ok { // Cisco ASA: "fw01 : %ASA-…"
		rest = after
	}
	return word, rest
}

// graphic reports whether s is of ASCII characters that one can see.
func graphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cutTag takes "app: ", "app[pid]: " or "app[pid] " off.
func cutTag(s string) (app, proc, rest string) {
	end := strings.IndexAny(s, ":[ ")
	if end <= 0 || end > 48 || s[end] == ' ' || strings.ContainsAny(s[:end], "{}=|\"',;") || !graphic(s[:end]) {
		return "", "", s
	}
	app, rest = s[:end], s[end:]
	if rest[0] == '[' {
		closing := strings.IndexByte(rest[:min(len(rest), 130)], ']')
		if closing < 0 {
			return "", "", s
		}
		proc, rest = rest[1:closing], rest[closing+1:]
		rest = strings.TrimPrefix(rest, ":")
	} else {
		rest = rest[1:]
		if rest != "" && rest[0] != ' ' { // CEF:0|…, http://…, 10:22
			return "", "", s
		}
	}
	return app, proc, strings.TrimPrefix(rest, " ")
}
