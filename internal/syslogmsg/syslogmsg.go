// Package syslogmsg reads one syslog message: RFC 5424, RFC 3164 and what is
// sent in place of them.
//
// Nothing is lost: RFC 3164 has a receiver take whatever arrives as a message,
// so Parse has no error, and what it cannot read stays in the text. Framing is
// not its business.
package syslogmsg

import (
	"bytes"
	"strings"
	"time"

	syslog "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// A Message is a syslog message taken apart.
type Message struct {
	Facility int // 0 to 23, -1 if the message tells none
	Severity int // 0 (emergency) to 7 (debug), -1 if the message tells none

	Time   time.Time // zero if the message tells none
	Host   string
	App    string // RFC 5424's APP-NAME, RFC 3164's tag
	Proc   string // process id
	ID     string // RFC 5424's MSGID
	Data   map[string]map[string]string
	Text   string
	Modern bool // RFC 5424
}

var (
	facilities = [...]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
		"alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// FacilityName is the facility as syslog's tools call it, "" if there is none.
func (m *Message) FacilityName() string { return named(facilities[:], m.Facility) }

// SeverityName is the severity as syslog's tools call it, "" if there is none.
func (m *Message) SeverityName() string { return named(severities[:], m.Severity) }

func named(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return ""
	}
	return names[i]
}

// A Parser reads messages. Its methods are for one goroutine at a time.
type Parser struct {
	// Zone is where senders live that tell a time without a zone; UTC if nil.
	Zone *time.Location
	// Now is our clock, for times without a year; time.Now if nil.
	Now func() time.Time

	modern syslog.Machine
}

// Parse reads one message, without its framing. Line ends and NULs at its end do
// not count; bytes that are no UTF-8 become U+FFFD.
func (p *Parser) Parse(raw []byte) Message {
	raw = bytes.TrimRight(raw, "\r\n\x00")
	m := Message{Facility: -1, Severity: -1}
	priority, rest, ok := cutPriority(raw)
	if !ok {
		p.legacy(&m, text(raw))
		return m
	}
	if isModern(rest) && p.readModern(&m, raw) {
		return m
	}
	m.Facility, m.Severity = priority>>3, priority&7
	p.legacy(&m, text(rest))
	return m
}

// cutPriority takes <PRI> off.
func cutPriority(raw []byte) (priority int, rest []byte, ok bool) {
	if len(raw) < 3 || raw[0] != '<' {
		return 0, nil, false
	}
	end := bytes.IndexByte(raw[:min(len(raw), 5)], '>')
	if end < 2 {
		return 0, nil, false
	}
	for _, c := range raw[1:end] {
		if c < '0' || c > '9' {
			return 0, nil, false
		}
		priority = priority*10 + int(c-'0')
	}
	return priority, raw[end+1:], priority <= 191
}

// isModern reports whether VERSION and a space follow, as RFC 5424 has it.
func isModern(rest []byte) bool {
	digits := 0
	for digits < len(rest) && digits < 3 && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	return digits > 0 && rest[0] != '0' && digits < len(rest) && rest[digits] == ' '
}

// readModern reads RFC 5424; false if the message does not keep to it.
func (p *Parser) readModern(m *Message, raw []byte) bool {
	if p.modern == nil {
		p.modern = rfc5424.NewParser()
	}
	parsed, err := p.modern.Parse(raw)
	if err != nil {
		return false
	}
	s, ok := parsed.(*rfc5424.SyslogMessage)
	if !ok || s.Facility == nil || s.Severity == nil {
		return false
	}
	m.Modern, m.Facility, m.Severity = true, int(*s.Facility), int(*s.Severity)
	m.Host, m.App, m.Proc, m.ID = value(s.Hostname), value(s.Appname), value(s.ProcID), value(s.MsgID)
	if s.Timestamp != nil {
		m.Time = s.Timestamp.UTC()
	}
	if s.StructuredData != nil {
		m.Data = valid(*s.StructuredData)
	}
	m.Text = strings.TrimPrefix(text([]byte(value(s.Message))), "\ufeff")
	return true
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// valid makes the values of structured data UTF-8; names are ASCII already.
func valid(data map[string]map[string]string) map[string]map[string]string {
	for _, params := range data {
		for name, v := range params {
			params[name] = strings.ToValidUTF8(v, "\ufffd")
		}
	}
	return data
}

func text(raw []byte) string { return strings.ToValidUTF8(string(raw), "\ufffd") }
