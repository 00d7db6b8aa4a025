package email

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the HTML part
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// Lengths beyond which texts are cut.
const (
	maxSubject = 200
	maxTitle   = 300
	maxText    = 20_000
	maxField   = 500
	maxDigests = 200 // entries of a digest; more are counted
)

//go:embed mail.html
var htmlText string

// A letter is what a mail says, in text and HTML alike.
type letter struct {
	Color  string
	Title  string
	Lead   string
	Text   string // of a playbook or a template, in place of the description
	Fields [][2]string
	Link   string
	Rows   []row // of a digest
	Foot   string
}

// A row is one entry of a digest.
type row struct{ Color, Severity, Title, What, When, Link string }

// color is that of the alert's severity.
func color(ev *hub.Event) string {
	switch rank(ev) {
	case 5:
		return "#b3001b"
	case 4:
		return "#d9480f"
	case 3:
		return "#b7791f"
	case 2:
		return "#2b6cb0"
	}
	return "#4a5568"
}

// single makes the mail about one delivery.
func (t *Target) single(e *hub.Endpoint, s *settings, it item) (*mailing, error) {
	ev := it.ev
	own := func(name string) string { return t.o.Template(e, name, it.d, ev) }
	l := letter{Color: color(ev), Title: first(own("title"), heading(ev)), Lead: lead(ev), Link: t.o.Link(ev.Subject), Foot: foot(it)}
	l.Title = line(l.Title, maxTitle)
	subject := first(own("subject"), it.p.Subject, subjectOf(ev))
	switch {
	case strings.TrimSpace(it.p.Message) != "":
		l.Text = it.p.Message
	case own("body") != "":
		l.Text = own("body")
	default:
		l.Fields = fields(ev)
		if a := ev.Data.Alert; a != nil {
			l.Text = a.Description
		}
	}
	l.Text = text(l.Text, maxText)
	return t.mail(s, e, &l, header(subject), string(it.d.ID), Root(ev, e, s.domain()), ev)
}

// mail makes a message of a letter. Its boundary depends on nothing but its id,
// so that the same delivery is the same mail each time.
func (t *Target) mail(s *settings, e *hub.Endpoint, l *letter, subject, id, root string, ev *hub.Event) (*mailing, error) {
	var html bytes.Buffer
	if err := t.page.Execute(&html, l); err != nil {
		return nil, hub.Wrap(hub.Internal, err, "the mail cannot be made")
	}
	out := &mailing{id: atom(id) + "@" + s.domain(), subject: subject}
	sum := sha256.Sum256([]byte(out.id))
	m := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary("tocsin-"+hex.EncodeToString(sum[:])[:48]))
	m.FromMailAddress(s.from)
	m.ToMailAddress(s.to...)
	m.Subject(subject)
	m.SetDateWithValue(t.o.Now().UTC())
	m.SetMessageIDWithValue(out.id)
	if root != "" {
		m.SetGenHeader(mail.HeaderInReplyTo, "<"+root+">")
		m.SetGenHeader(mail.HeaderReferences, "<"+root+">")
	}
	m.SetGenHeader("List-Id", "<"+atom(string(e.ID))+".tocsin."+s.domain()+">")
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody is away for it
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetGenHeader("X-Tocsin-Delivery", atom(id))
	if ev != nil {
		m.SetGenHeader("X-Tocsin-Event", line(string(ev.Type), 60))
		m.SetGenHeader("X-Tocsin-Subject", line(ev.Subject, 100))
	}
	m.SetBodyString(mail.TypeTextPlain, crlf(l.plain()))
	m.AddAlternativeString(mail.TypeTextHTML, crlf(html.String()))
	var raw bytes.Buffer
	if _, err := m.WriteTo(&raw); err != nil {
		return nil, hub.Wrap(hub.Internal, err, "the mail cannot be made")
	}
	out.raw = raw.Bytes()
	return out, nil
}

// crlf ends lines as mail does.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func first(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

// heading is the title of what the event is about.
func heading(ev *hub.Event) string {
	a := ev.Data.Alert
	switch {
	case a == nil && ev.Data.Endpoint != nil:
		e := ev.Data.Endpoint
		return string(ev.Type) + ": " + first(e.Name, string(e.ID))
	case a == nil:
		return strings.TrimSpace(string(ev.Type) + " " + ev.Subject)
	case a.Title != "":
		return a.Title
	}
	return a.Type + " on " + a.AssetID
}

// subjectOf is the same for all mails of a thread but for Re:, because some
// readers thread by it. What happened stands first in the mail itself.
func subjectOf(ev *hub.Event) string {
	a := ev.Data.Alert
	if a == nil {
		return "[Tocsin] " + heading(ev)
	}
	s := "[" + strings.ToUpper(string(a.Severity)) + "] " + heading(ev)
	if ev.Type != hub.AlertCreated && ev.Type != hub.AlertReopened {
		s = "Re: " + s
	}
	return s
}

// lead says what happened, and to what.
func lead(ev *hub.Event) string {
	parts := []string{string(ev.Type)}
	if what, ok := strings.CutPrefix(string(ev.Type), "alert."); ok {
		parts[0] = "Alert " + what
	}
	if ev.Data.Actor != "" {
		parts[0] += " by " + line(ev.Data.Actor, 100)
	}
	if ev.Data.Reason != "" {
		parts = append(parts, line(ev.Data.Reason, maxField))
	}
	for _, name := range slices.Sorted(maps.Keys(ev.Data.Changes)) {
		v := ev.Data.Changes[name]
		parts = append(parts, line(fmt.Sprintf("%s: %v → %v", name, shown(v[0]), shown(v[1])), maxField))
	}
	return strings.Join(parts, " · ")
}

func shown(v any) any {
	if v == nil || v == "" {
		return "–"
	}
	return v
}

func fields(ev *hub.Event) (out [][2]string) {
	add := func(name, value string) {
		if value = line(value, maxField); value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	if e := ev.Data.Endpoint; e != nil {
		add("Endpoint", e.Name+" "+string(e.ID))
		add("Kind", e.Kind)
	}
	if len(ev.Data.Object) > 0 {
		add("Details", string(ev.Data.Object))
	}
	a := ev.Data.Alert
	if a == nil {
		return out
	}
	add("Severity", string(a.Severity))
	add("Status", string(a.Status))
	add("Type", a.Type)
	add("Asset", a.AssetID)
	add("Account", a.Account())
	add("Sources", strings.Join(a.Sources, ", "))
	add("First seen", date(a.FirstSeen))
	add("Last seen", date(a.LastSeen))
	add("Findings", strconv.FormatInt(a.Count, 10))
	if a.RiskScore != nil {
		add("Risk", strconv.FormatFloat(*a.RiskScore, 'f', -1, 64))
	}
	if v := a.Vulnerability; v != nil {
		add("Vulnerability", v.CVE+" "+v.Package)
	}
	add("Assignee", a.Assignee)
	return out
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// foot is the last line: what it is, and who asked for it.
func foot(it item) string {
	parts := []string{string(it.ev.Type), it.ev.Subject}
	if note := relay.NoteOf(it.d); note != "" {
		parts = append(parts, note)
	}
	if it.d.Run != "" {
		parts = append(parts, "playbook step "+it.d.Step+" of "+string(it.d.Run))
	}
	return line(strings.Join(parts, " · "), 2*maxField)
}

// plain is the letter as text.
func (l *letter) plain() string {
	var b strings.Builder
	para := func(s string) {
		if s != "" {
			b.WriteString(s + "\n\n")
		}
	}
	para(l.Title)
	para(l.Lead)
	para(l.Text)
	for _, r := range l.Rows {
		fmt.Fprintf(&b, "[%s] %s\n  %s · %s\n", strings.ToUpper(r.Severity), r.Title, r.What, r.When)
		if r.Link != "" {
			b.WriteString("  " + r.Link + "\n")
		}
		b.WriteString("\n")
	}
	for _, f := range l.Fields {
		fmt.Fprintf(&b, "%-14s %s\n", f[0]+":", f[1])
	}
	if len(l.Fields) > 0 {
		b.WriteString("\n")
	}
	para(l.Link)
	b.WriteString("-- \n" + l.Foot + "\n")
	return b.String()
}

// line makes text from outside one line without control and direction
// characters, of no more than so many characters.
func line(s string, most int) string {
	return cut(strings.Join(strings.Fields(clean(s, false)), " "), most)
}

// header is line for a header field. What would be read as an encoded word there
// (RFC 2047), and could hold anything, is broken up.
func header(s string) string { return strings.ReplaceAll(line(s, maxSubject), "=?", "=\u2060?") }

// text is line for text that may have line breaks.
func text(s string, most int) string {
	return cut(strings.TrimSpace(clean(strings.ReplaceAll(s, "\r\n", "\n"), true)), most)
}

func clean(s string, breaks bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case breaks && (r == '\n' || r == '\t'):
			return r
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029', r == '\u0085':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	r := []rune(s)
	return string(r[:most-1]) + "…"
}
