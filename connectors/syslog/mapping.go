package syslog

import (
	"net/netip"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors/carried"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	"github.com/tocsin/tocsin/internal/syslogmsg"
)

// A mapper makes findings of messages. It is for one goroutine.
type mapper struct {
	s      *Source
	parser syslogmsg.Parser
}

func (s *Source) mapper() *mapper {
	return &mapper{s: s, parser: syslogmsg.Parser{Zone: s.zone, Now: s.now}}
}

// finding maps one message, without its framing. Most give none. The error is
// for one that carries a known format, broken.
func (p *mapper) findings(raw []byte, sender netip.Addr) ([]hub.Finding, error) {
	m := p.parser.Parse(raw)
	host := m.Host
	if host == "" && sender.IsValid() {
		host = sender.Unmap().String()
	}
	msg := &carried.Message{Text: m.Text, Host: host, Time: m.Time, Raw: quote(raw), Zone: p.s.zone, Now: p.s.now}
	now := p.s.now()
	fit := p.fit(&m, msg, sender, now)
	if fit != nil && fit.Drop {
		return nil, nil
	}
	findings, known, err := carried.Map(msg)
	if err != nil {
		return nil, err
	}
	if !known && fit == nil && p.s.cfg.Unmatched == "skip" {
		return nil, nil
	}
	if !known {
		findings = []hub.Finding{plain(&m, msg)}
	}
	for i := range findings {
		if fit == nil {
			break
		}
		if err := fit.Fill(&findings[i], !known, now); err != nil {
			p.s.log.Debug("a rule could not fill in a field", "rule", fit.Name, "error", err)
		}
	}
	msg.Tidy(findings)
	return findings, nil
}

func quote(raw []byte) jsontext.Value {
	b, _ := jsontext.AppendQuote(nil, strings.TrimRight(string(raw), "\r\n\x00")) // its error is for bytes that it has replaced
	return b
}

func (p *mapper) fit(m *syslogmsg.Message, msg *carried.Message, sender netip.Addr, now time.Time) *carried.Fit {
	if p.s.rules.None() {
		return nil
	}
	fit, err := p.s.rules.Fit(input(m, msg, sender), now)
	if err != nil {
		p.s.log.Debug("a condition failed and counts as false", "error", err)
	}
	return fit
}

// input is the message as rules see it.
func input(m *syslogmsg.Message, msg *carried.Message, sender netip.Addr) *carried.Input {
	fields := map[string]any{
		"facility": m.FacilityName(), "severity": m.SeverityName(), "severity_code": int64(m.Severity), "host": msg.Host, "app": m.App, "proc": m.Proc, "id": m.ID, "data": m.Data,
	}
	if m.Data == nil {
		fields["data"] = map[string]string{}
	}
	if sender.IsValid() {
		fields["sender"] = sender.Unmap().String()
	}
	if !m.Time.IsZero() {
		fields["time"] = m.Time.Format(time.RFC3339Nano)
	}
	if raw := msg.Object(); raw != nil {
		fields["json"] = raw
	}
	return &carried.Input{Text: m.Text, Fields: fields}
}

// plain maps a message in no known format: a JSON object by the names that most
// tools share, any other by what syslog tells.
func plain(m *syslogmsg.Message, msg *carried.Message) hub.Finding {
	app := inbound.First(m.App, "syslog")
	if raw := msg.Object(); raw != nil {
		return carried.ReadFields(raw).Finding(app, "", msg)
	}
	return hub.Finding{
		Type: inbound.First(inbound.TypeOf(m.Text), "custom"), Severity: severity(m.Severity), Status: hub.FindingOpen,
		AssetID: inbound.First(msg.Host, "unknown"), Title: inbound.Said(firstLine(m.Text), "Message of "+app), Description: m.Text,
		SourceID:   inbound.Key(app, m.ID, msg.Host, m.Text),
		ObservedAt: msg.Time, Raw: msg.Raw,
		Labels:  map[string]string{"syslog_app": m.App, "syslog_facility": m.FacilityName(), "syslog_severity": m.SeverityName()},
		Payload: inbound.Object(map[string]any{"app": m.App, "id": m.ID, "facility": m.FacilityName(), "host": msg.Host, "text": m.Text}),
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// severity maps syslog's: 0 emergency, 1 alert, 2 critical, 3 error, 4 warning,
// 5 notice, 6 informational, 7 debug.
func severity(code int) hub.Severity {
	switch code {
	case 0, 1, 2:
		return hub.Critical
	case 3:
		return hub.High
	case 4:
		return hub.Medium
	case 5:
		return hub.Low
	case 6, 7:
		return hub.Info
	}
	return hub.Medium // none is told
}
