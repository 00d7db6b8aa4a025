package splunkhec

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/carried"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A meta is what is said of an event beside what it says itself.
type meta struct {
	Time       inbound.Text `json:"time"`
	Host       inbound.Text `json:"host"`
	Source     inbound.Text `json:"source"`
	Sourcetype inbound.Text `json:"sourcetype"`
	Index      inbound.Text `json:"index"`
}

// An envelope is one event with what is said of it.
type envelope struct {
	meta
	Event  jsontext.Value `json:"event"`
	Fields jsontext.Value `json:"fields"`

	raw        jsontext.Value
	start, end int64 // in the input
	line       int64
}

// A piece is an event, or why it is none in Splunk's words.
type piece struct {
	envelope
	bad *answer
}

// A reading goes through the events of a request or a file.
type reading struct {
	s     *Source
	next  func() (piece, error) // io.EOF at the end; any other error ends the reading too
	count int                   // events so far
}

// readEvents reads JSON events, one behind the other or a line each. Behind one
// that is no JSON nothing can be read, unless they stand a line each.
func (s *Source) readEvents(r io.Reader) *reading {
	items, broken := inbound.NewItems(r, inbound.Shape{}), false
	return &reading{s: s, next: func() (piece, error) {
		if broken {
			return piece{}, io.EOF
		}
		item, err := items.Next()
		if err != nil {
			broken = true
			if fault := (*inbound.Fault)(nil); errors.As(err, &fault) {
				return piece{bad: &invalidFormat, envelope: envelope{start: fault.At, end: fault.At}}, nil
			}
			return piece{}, err
		}
		p := decode(item.Raw)
		if item.Bad != nil {
			p.bad = &invalidFormat
		}
		p.start, p.end, p.line = item.Start, item.End, item.Line
		return p, nil
	}}
}

// decode reads an envelope.
func decode(raw jsontext.Value) piece {
	p := piece{envelope: envelope{raw: raw}}
	switch err := inbound.Decode(raw, &p.envelope, false); {
	case err != nil:
		p.bad = &invalidFormat
	case p.Event == nil || p.Event.Kind() == 'n':
		p.bad = &eventRequired
	case string(p.Event) == `""` || string(p.Event) == `{}`:
		p.bad = &eventBlank
	case !flat(p.Fields):
		p.bad = &fieldsInvalid
	}
	return p
}

// flat reports whether fields is an object of plain values and lists of them.
func flat(fields jsontext.Value) bool {
	if fields == nil {
		return true
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(fields, &members) != nil {
		return false
	}
	for _, v := range members {
		var list []jsontext.Value
		switch v.Kind() {
		case '{':
			return false
		case '[':
			_ = json.Unmarshal(v, &list) // it is one
		}
		if slices.ContainsFunc(list, func(v jsontext.Value) bool { return v.Kind() == '{' || v.Kind() == '[' }) {
			return false
		}
	}
	return true
}

// readLines reads an event a line. Lines that hold nothing but blanks are none.
func (s *Source) readLines(body []byte, m meta) *reading {
	return &reading{s: s, next: func() (piece, error) {
		for len(body) > 0 {
			var line []byte
			line, body, _ = bytes.Cut(body, []byte("\n"))
			if line = bytes.TrimSpace(line); len(line) > 0 {
				quoted, _ := jsontext.AppendQuote(nil, line) // its error is for bytes that it has replaced
				return piece{envelope: envelope{meta: m, Event: quoted, raw: quoted}}, nil
			}
		}
		return piece{}, io.EOF
	}}
}

// Close does nothing: a reading holds nothing.
func (*reading) Close() {}

// Next gives the next event of a file.
func (r *reading) Next() (connectors.Part, error) {
	p, err := r.next()
	if err != nil {
		return connectors.Part{}, err
	}
	r.count++
	findings, bad := r.s.findings(&p)
	part := connectors.Part{Findings: findings, Start: p.start, End: p.end, Line: p.line}
	if bad != nil {
		part.Reject = bad.Text
	}
	return part, nil
}

// A fault is an event of a request that is no use.
type fault struct {
	answer
	index int
}

// maxEvents bounds what one request may bring.
const maxEvents = 20_000

// all reads a whole request.
func (r *reading) all() (b connectors.Batch, faults []fault, err error) {
	for ; ; r.count++ {
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return b, faults, nil
		}
		if err != nil {
			return connectors.Batch{}, nil, err
		}
		if r.count == maxEvents {
			return connectors.Batch{}, nil, hub.E(hub.TooLarge, "a request holds 20000 events at most")
		}
		findings, bad := r.s.findings(&p)
		if bad != nil {
			faults = append(faults, fault{*bad, r.count})
			b.Rejects = append(b.Rejects, connectors.Reject{Index: r.count, Error: bad.Text, Item: p.raw})
			continue
		}
		b.Findings = append(b.Findings, findings...)
	}
}

// findings maps an event.
func (s *Source) findings(p *piece) ([]hub.Finding, *answer) {
	if p.bad != nil {
		return nil, p.bad
	}
	m := p.message()
	if m.JSON == nil && strings.TrimSpace(m.Text) == "" {
		return nil, &eventBlank
	}
	var fit *carried.Fit
	var err error
	if !s.rules.None() {
		fit, err = s.rules.Fit(p.input(m), s.now())
	}
	if err != nil {
		s.log.Debug("a condition failed and counts as false", "error", err)
	}
	if fit == nil && s.cfg.OnlyRules || fit != nil && fit.Drop {
		s.skipped.Add(1)
		return nil, nil
	}
	findings, known, err := carried.Map(m)
	if err != nil {
		return nil, &invalidFormat
	}
	if !known {
		findings = []hub.Finding{p.fields(m).Finding(p.kind(), m.Text, m)}
	}
	if len(findings) == 0 {
		s.skipped.Add(1)
	}
	for i := range findings {
		if fit == nil {
			break
		}
		if err := fit.Fill(&findings[i], !known, s.now()); err != nil {
			s.log.Debug("a rule could not fill in a field", "rule", fit.Name, "error", err)
		}
	}
	m.Tidy(findings)
	return findings, nil
}

// kind is what sort of event it is, for the identity.
func (p *piece) kind() string {
	return string(inbound.First(p.Sourcetype, p.Source, "hec"))
}

// message is the event as something that may carry another format.
func (p *piece) message() *carried.Message {
	m := &carried.Message{Host: string(p.Host), Time: inbound.ParseTime(string(p.Time)), Raw: p.raw}
	switch p.Event.Kind() {
	case '"':
		var text string
		_ = json.Unmarshal(p.Event, &text, jsontext.AllowInvalidUTF8(true)) // it is one
		m.Text = text
	case '{':
		m.JSON = p.Event
	default:
		m.Text = string(p.Event)
	}
	return m
}

// fields are those of the event, and the indexed ones beside it.
func (p *piece) fields(m *carried.Message) carried.Fields {
	fields := carried.ReadFields(m.Object())
	for name, value := range carried.ReadFields(p.Fields) {
		if _, there := fields[name]; !there {
			fields[name] = value
		}
	}
	return fields
}

// input is the event as rules see it.
func (p *piece) input(m *carried.Message) *carried.Input {
	text := m.Text
	if text == "" {
		text = string(p.Event)
	}
	fields := map[string]any{
		"host": p.Host, "source": p.Source, "sourcetype": p.Sourcetype, "index": p.Index, "time": p.Time, "event": p.Event,
	}
	if raw := m.Object(); raw != nil {
		fields["event"] = raw
	}
	if p.Fields != nil {
		fields["fields"] = p.Fields
	}
	return &carried.Input{Text: text, Fields: fields}
}
