// Package alertmanager takes what Prometheus Alertmanager sends to a webhook
// receiver, and what Grafana Alerting and Prometheus itself send in the same
// shape.
//
// The identity of a finding is the alert's labels without those that say how
// bad it is or which replica saw it, so that a raised severity changes an alert
// instead of making a second one. An alert that Alertmanager calls resolved
// resolves it.
package alertmanager

import (
	"context"
	_ "embed"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "alertmanager",
		Doc:    "Prometheus Alertmanager and Grafana Alerting: receives webhooks, alerts resolve themselves",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// IgnoreLabels are no part of an alert's identity: severity, priority, level
	// and prometheus_replica if not given.
	IgnoreLabels []string `yaml:"ignore_labels,omitempty"`

	// AssetLabels name the thing that an alert is about; the first that it has
	// counts. If not given, the usual ones are tried.
	AssetLabels []string `yaml:"asset_labels,omitempty"`
}

// A Source is one Alertmanager.
type Source struct {
	guard *inbound.Guard
	m     mapper
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{IgnoreLabels: []string{"severity", "priority", "level", "prometheus_replica"}}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	guard, err := cfg.Auth.Open()
	if err != nil {
		return nil, err
	}
	return &Source{guard, mapper{ignore: cfg.IgnoreLabels, asset: cfg.AssetLabels}}, nil
}

// Receive takes a webhook.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if err := s.guard.Check(r.Header, r.Body); err != nil {
		return connectors.Batch{}, err
	}
	return s.m.read(r.Body)
}

// Close does nothing: a source holds nothing.
func (*Source) Close() error { return nil }

// read maps a body: a webhook, or alerts as Prometheus sends them.
func (m mapper) read(body []byte) (connectors.Batch, error) {
	b, err := connectors.ReadBody(body, inbound.Shape{Lists: []string{"alerts"}}, m.finding)
	if err != nil {
		return b, err
	}
	b.Findings = join(b.Findings)
	return b, nil
}

// join makes one finding of those with one identity: alerts that differ only in
// how bad they are. The worst of those that fire says how it is.
func join(all []hub.Finding) []hub.Finding {
	first := map[string]int{}
	kept := all[:0]
	for _, f := range all {
		i, there := first[f.SourceID]
		if !there {
			first[f.SourceID] = len(kept)
			kept = append(kept, f)
			continue
		}
		kept[i] = worse(kept[i], f)
	}
	return kept
}

// worse gives the one of two findings that says how things are, as of the later
// of their times.
func worse(a, b hub.Finding) hub.Finding {
	at := a.ObservedAt
	if b.ObservedAt.After(at) {
		at = b.ObservedAt
	}
	aOpen, bOpen := a.Status == hub.FindingOpen, b.Status == hub.FindingOpen
	if bOpen && !aOpen || aOpen == bOpen && b.Severity.Rank() > a.Severity.Rank() {
		a = b
	}
	a.ObservedAt, a.ObservedGiven = at, !at.IsZero()
	return a
}
