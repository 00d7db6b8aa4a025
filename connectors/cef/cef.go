// Package cef takes messages in ArcSight's Common Event Format and in IBM's Log
// Event Extended Format, versions 1 and 2: a message a line, with or without a
// syslog header, pushed over HTTP. The syslog source uses its parser and mapping
// for what comes over syslog itself.
//
// The identity of a finding is vendor, product and class of the event with the
// vendor's own id of what happened; for want of one, with the ends, users and
// file that it is about.
package cef

import (
	_ "embed"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	"github.com/tocsin/tocsin/internal/syslogmsg"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "cef",
		Doc:    "ArcSight CEF and IBM LEEF messages, a line each, with or without a syslog header",
		Sample: sample,
		Open:   open,
		Format: &connectors.Format{
			Doc:        "CEF or LEEF messages, a line each, with or without a syslog header",
			Extensions: []string{".cef", ".leef"},
			Looks:      func(start []byte) bool { return Find(firstLine(start)) >= 0 },
			Read:       func(r io.Reader) connectors.Reading { return read(r, nil, nil) },
		},
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// Timezone is where senders live that tell a time without a zone, such as
	// Europe/Vienna; UTC by default.
	Timezone string `yaml:"timezone,omitempty"`
}

func open(s connectors.Settings) (connectors.Source, error) {
	var cfg config
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(cfg.Timezone)
	if err != nil {
		return nil, errors.New("timezone: want a name such as Europe/Vienna")
	}
	return connectors.NewPush(&cfg.Auth, func(r io.Reader) connectors.Reading { return read(r, zone, nil) })
}

// read reads a message a line.
func read(r io.Reader, zone *time.Location, now func() time.Time) connectors.Reading {
	return &reading{lines: newLines(r), header: syslogmsg.Parser{Zone: zone, Now: now}, zone: zone, now: now}
}

type reading struct {
	lines  *lines
	header syslogmsg.Parser
	zone   *time.Location
	now    func() time.Time
}

func (*reading) Close() {}

// Next gives the next line that is not empty.
func (r *reading) Next() (connectors.Part, error) {
	line, start, err := r.lines.next()
	if err != nil {
		return connectors.Part{}, err
	}
	item := connectors.Part{Start: start, End: r.lines.end, Line: r.lines.line}
	if line == nil {
		item.Reject = "the line is longer than 256 KiB"
		return item, nil
	}
	f, err := r.finding(line)
	if err != nil {
		item.Reject = err.Error()
		return item, nil
	}
	inbound.Tidy(&f)
	item.Findings = []hub.Finding{f}
	return item, nil
}

func (r *reading) finding(line []byte) (hub.Finding, error) {
	m := r.header.Parse(line)
	at := Find(m.Text)
	if at < 0 {
		return hub.Finding{}, errors.New("the line holds neither CEF:0| nor LEEF:1.0|")
	}
	e, err := Parse(m.Text[at:])
	if err != nil {
		return hub.Finding{}, err
	}
	return e.Finding(&Envelope{Host: m.Host, Time: m.Time, Raw: Quote(line), Zone: r.zone, Now: r.now}), nil
}

// Quote gives text as JSON; what is no UTF-8 becomes U+FFFD.
func Quote(text []byte) jsontext.Value {
	b, _ := jsontext.AppendQuote(nil, text) // its error is for what it has replaced
	return b
}
