// Package suricata takes Suricata's EVE JSON: what eve.json holds a line each,
// sent by Filebeat, Fluent Bit, Vector or any HTTP client, alone, as NDJSON or
// as arrays.
//
// Events of type alert become findings; of the others only those that the
// config names do, and the rest is counted and skipped. The identity of a
// finding is the signature, the two addresses and the port that was spoken to,
// so that the same alert again is one alert with a count.
package suricata

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"sync"

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
		Name:   "suricata",
		Doc:    "Suricata EVE JSON: alerts, and anomalies if wanted, pushed as eve.json holds them",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
		Format: &connectors.Format{
			Doc:   "Suricata EVE JSON, an event a line; alerts become findings",
			Looks: func(start []byte) bool { return inbound.HasNames(start, "event_type", "timestamp") },
			Read:  func(r io.Reader) connectors.Reading { return read(r, &counter{}, []string{"alert"}) },
		},
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// Events are the event types that become findings: alert and anomaly.
	Events []string `yaml:"events,omitempty"`
}

// A Source takes the events of some sensors.
type Source struct {
	*connectors.Push
	seen *counter
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{Events: []string{"alert"}}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	for i, name := range cfg.Events {
		if name != "alert" && name != "anomaly" {
			return nil, fmt.Errorf("events[%d]: %q cannot become a finding; there are alert and anomaly", i, name)
		}
	}
	seen := &counter{}
	push, err := connectors.NewPush(&cfg.Auth, func(r io.Reader) connectors.Reading { return read(r, seen, cfg.Events) })
	if err != nil {
		return nil, err
	}
	return &Source{push, seen}, nil
}

// Report tells how many events of each type came since the start.
func (s *Source) Report() jsontext.Value { return s.seen.report() }

// Map maps one event as it stands in eve.json, for sources that carry such
// events inside of something else. Events that are no alerts give nothing.
func Map(raw jsontext.Value) ([]hub.Finding, error) {
	e, err := decode(raw)
	if err != nil || e.Type != "alert" {
		return nil, err
	}
	return e.findings(raw), nil
}

// Is reports whether raw looks like an event of eve.json.
func Is(raw jsontext.Value) bool {
	var e struct {
		Type  string         `json:"event_type"`
		Alert jsontext.Value `json:"alert"`
		Flow  jsontext.Value `json:"flow_id"`
	}
	return json.Unmarshal(raw, &e) == nil && e.Type != "" && (e.Alert != nil || e.Flow != nil)
}

func read(r io.Reader, seen *counter, wanted []string) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{}, func(p inbound.Piece) ([]hub.Finding, error) {
		e, err := decode(p.Raw)
		if err != nil {
			return nil, err
		}
		taken := slices.Contains(wanted, e.Type)
		seen.count(e.Type, taken)
		if !taken {
			return nil, nil
		}
		return e.findings(p.Raw), nil
	})
}

// A counter counts events by type. There is no end of types in what strangers
// send, so it stops learning new ones at maxTypes.
type counter struct {
	mu      sync.Mutex // guards all below
	taken   int64
	skipped map[string]int64
}

const maxTypes = 100

func (c *counter) count(eventType string, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if taken {
		c.taken++
		return
	}
	if c.skipped == nil {
		c.skipped = map[string]int64{}
	}
	if _, known := c.skipped[eventType]; !known && len(c.skipped) >= maxTypes {
		eventType = "others"
	}
	c.skipped[eventType]++
}

func (c *counter) report() jsontext.Value {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := json.Marshal(struct {
		Taken   int64            `json:"taken"`
		Skipped map[string]int64 `json:"skipped"`
	}{c.taken, c.skipped}, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil
	}
	return b
}
