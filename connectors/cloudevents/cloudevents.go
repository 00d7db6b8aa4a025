// Package cloudevents takes CloudEvents 1.0 over HTTP: structured, in batches,
// and binary. Their data is a finding in the hub's own form, or an alert as
// another hub's webhooks have it.
//
// An event's source is part of a finding's identity, because ids mean something
// only to who gives them. What came from another hub is marked with the label
// tocsin_via, and is not taken from a hub that has it from a third: two hubs
// that tell each other of their alerts would never end.
package cloudevents

import (
	"bytes"
	"context"
	_ "embed"
	"io"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "cloudevents",
		Doc:    "CloudEvents 1.0 (binary, structured, batch) with findings in the hub's own form, or another hub's alerts",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
		Format: &connectors.Format{Doc: "CloudEvents in JSON, in an array or one a line", Read: read, Looks: looks},
	}
}

func looks(start []byte) bool { return inbound.HasNames(start, "specversion", "data") }

// A Source is one sender of events.
type Source struct{ guard *inbound.Guard }

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	var cfg connectors.PushConfig
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	guard, err := cfg.Auth.Open()
	if err != nil {
		return nil, err
	}
	return &Source{guard}, nil
}

// Close does nothing: a source holds nothing.
func (*Source) Close() error { return nil }

// Receive takes a request in any of the three modes, which the content type
// tells apart.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if err := s.guard.Check(r.Header, r.Body); err != nil {
		return connectors.Batch{}, err
	}
	kind, _, _ := strings.Cut(strings.ToLower(r.Header.Get("Content-Type")), ";")
	kind = strings.TrimSpace(kind)
	switch {
	case strings.HasPrefix(kind, "application/cloudevents"):
		if kind != "application/cloudevents+json" && kind != "application/cloudevents-batch+json" {
			return connectors.Batch{}, hub.E(hub.Unsupported, "only the JSON format of CloudEvents is read, not "+kind)
		}
	case r.Header.Get("ce-specversion") != "":
		return binary(r, kind)
	}
	return connectors.Collect(read(bytes.NewReader(r.Body)))
}

// read takes events in JSON: one, an array, or one a line.
func read(r io.Reader) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{}, finding)
}

// binary takes an event whose attributes are headers and whose data is the body.
func binary(r connectors.Request, kind string) (connectors.Batch, error) {
	if kind != "" && kind != "application/json" && kind != "text/json" && !strings.HasSuffix(kind, "+json") {
		return connectors.Batch{}, hub.E(hub.Unsupported, "the event's data must be JSON, not "+kind)
	}
	data := jsontext.Value(bytes.TrimSpace(r.Body))
	if !data.IsValid() {
		return connectors.Batch{}, hub.E(hub.Malformed, "the event's data is no valid JSON")
	}
	e := event{
		SpecVersion: attribute(r.Header, "specversion"), ID: attribute(r.Header, "id"), Source: attribute(r.Header, "source"),
		Type: attribute(r.Header, "type"), Subject: attribute(r.Header, "subject"), Data: data, raw: data,
	}
	e.Time.Time = inbound.ParseTime(string(attribute(r.Header, "time")))
	p := connectors.MapPiece(inbound.Piece{Raw: data, End: int64(len(r.Body))}, func(inbound.Piece) ([]hub.Finding, error) { return e.findings() })
	if p.Reject != "" {
		return connectors.Batch{Rejects: []connectors.Reject{{Error: p.Reject, Item: r.Body}}}, nil
	}
	return connectors.Batch{Findings: p.Findings}, nil
}

// attribute reads one from a header, where what is not ASCII is
// percent-encoded.
func attribute(h connectors.Header, name string) inbound.Text {
	v := strings.TrimSpace(h.Get("ce-" + name))
	if plain, err := url.PathUnescape(v); err == nil {
		v = plain
	}
	return inbound.Text(strings.ToValidUTF8(v, "\uFFFD"))
}
