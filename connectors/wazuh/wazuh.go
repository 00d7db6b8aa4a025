// Package wazuh takes Wazuh's alerts: as the integrator daemon sends them to a
// custom integration or to Shuffle, as Filebeat ships alerts.json, and as that
// file holds them.
//
// The identity of a finding is the rule, the agent and what the rule is about:
// addresses, user, file. Vulnerabilities and checks of the configuration have
// identities of their own, so that their end closes them.
package wazuh

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/go-json-experiment/json"
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
		Name:   "wazuh",
		Doc:    "Wazuh alerts, pushed by its integrator or Filebeat: events, vulnerabilities, configuration checks",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
		Format: &connectors.Format{
			Doc:   "Wazuh alerts, an alert a line as in alerts.json",
			Looks: looks,
			Read:  func(r io.Reader) connectors.Reading { return read(r, 0, nil) },
		},
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// MinLevel is the lowest rule level that becomes a finding, 0 to 16.
	MinLevel int `yaml:"min_level,omitempty"`
}

// A Source takes the alerts of one Wazuh installation.
type Source struct {
	*connectors.Push
	below atomic.Int64 // alerts below MinLevel
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	var cfg config
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	if cfg.MinLevel < 0 || cfg.MinLevel > maxLevel {
		return nil, fmt.Errorf("min_level: want 0 to %d, got %d", maxLevel, cfg.MinLevel)
	}
	source := &Source{}
	push, err := connectors.NewPush(&cfg.Auth, func(r io.Reader) connectors.Reading { return read(r, cfg.MinLevel, &source.below) })
	source.Push = push
	return source, err
}

// Report tells how many alerts were skipped since the start because their level
// is below min_level.
func (s *Source) Report() jsontext.Value {
	return jsontext.Value(fmt.Sprintf(`{"below_min_level":%d}`, s.below.Load()))
}

// looks knows alerts.json, and what Filebeat makes of it.
func looks(start []byte) bool {
	return inbound.HasNames(start, "rule", "agent", "manager") || inbound.HasNames(start, "message", "agent") && bytes.Contains(start, []byte("wazuh-alerts"))
}

// Map maps one alert, for sources that carry alerts inside of something else.
func Map(raw jsontext.Value) ([]hub.Finding, error) {
	a, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return a.findings(), nil
}

// Is reports whether raw looks like a Wazuh alert.
func Is(raw jsontext.Value) bool {
	var a struct {
		Rule struct {
			ID    inbound.Text   `json:"id"`
			Level inbound.Number `json:"level"`
		} `json:"rule"`
		Agent   jsontext.Value `json:"agent"`
		Manager jsontext.Value `json:"manager"`
	}
	return json.Unmarshal(raw, &a) == nil && a.Rule.ID != "" && a.Rule.Level.Given && (a.Agent != nil || a.Manager != nil)
}

func read(r io.Reader, minLevel int, below *atomic.Int64) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{}, func(p inbound.Piece) ([]hub.Finding, error) {
		a, err := decode(p.Raw)
		if err != nil {
			return nil, err
		}
		if a.Rule.Level.Int() < minLevel {
			below.Add(1)
			return nil, nil
		}
		return a.findings(), nil
	})
}
