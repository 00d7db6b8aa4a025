// Package carried maps what messages of general transports, such as syslog and
// Splunk's HTTP Event Collector, carry inside: CEF and LEEF, events of Suricata,
// alerts of Wazuh, findings in the hub's own format, and JSON objects with the
// field names that most tools share.
//
// It is no kind of its own: a transport asks it, and adds what it knows itself.
package carried

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors/cef"
	"github.com/tocsin/tocsin/connectors/suricata"
	"github.com/tocsin/tocsin/connectors/wazuh"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A Message is what a transport brought.
type Message struct {
	Text string         // what the message says, or
	JSON jsontext.Value // an object; nil to look for one in Text

	Host string         // who sent it, by the transport
	Time time.Time      // when, by the transport; zero if it does not tell
	Raw  jsontext.Value // the whole message
	Zone *time.Location // of times that tell none
	Now  func() time.Time
}

// Map maps a message in a format that tells itself apart; false if it is in
// none. An error says what is wrong with a message that is. There may be no
// finding in it: an event of Suricata that is no alert.
func Map(m *Message) (findings []hub.Finding, known bool, err error) {
	if raw := m.Object(); raw != nil {
		return mapObject(m, raw)
	}
	at := cef.Find(m.Text)
	if at < 0 {
		return nil, false, nil
	}
	e, err := cef.Parse(m.Text[at:])
	if err != nil {
		return nil, true, err
	}
	f := e.Finding(&cef.Envelope{Host: m.Host, Time: m.Time, Raw: m.Raw, Zone: m.Zone, Now: m.Now})
	return []hub.Finding{f}, true, nil
}

// Object gives the JSON object that the message is, nil if it is none.
func (m *Message) Object() jsontext.Value {
	if m.JSON != nil {
		if m.JSON.Kind() != '{' {
			return nil
		}
		return m.JSON
	}
	text := strings.TrimSpace(m.Text)
	if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return nil
	}
	raw := jsontext.Value(text)
	if !raw.IsValid() {
		return nil
	}
	m.JSON = raw
	return raw
}

func mapObject(m *Message, raw jsontext.Value) (findings []hub.Finding, known bool, err error) {
	switch {
	case suricata.Is(raw):
		findings, err = suricata.Map(raw)
	case wazuh.Is(raw):
		findings, err = wazuh.Map(raw)
	case isOwn(raw):
		findings, err = own(raw)
	default:
		return nil, false, nil
	}
	for i := range findings {
		if f := &findings[i]; f.ObservedAt.IsZero() {
			f.ObservedAt = m.Time
		}
	}
	return findings, true, err
}

// Tidy completes findings from m with what the transport knows.
func (m *Message) Tidy(findings []hub.Finding) {
	for i := range findings {
		f := &findings[i]
		if f.ObservedAt.IsZero() {
			f.ObservedAt = m.Time
		}
		if len(m.Raw) > 0 {
			f.Raw = m.Raw
		}
		inbound.Tidy(f)
	}
}
