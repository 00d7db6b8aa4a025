// Package splunkhec takes events as Splunk's HTTP Event Collector does, at
// Splunk's own paths and with its answers and codes: a sender that knows Splunk
// needs nothing but another address.
//
// /services/collector/event takes JSON events one behind the other,
// /services/collector/raw a line each, /services/collector/ack and /health
// answer as Splunk's do. A request is answered when what it brought is durable,
// so an acknowledgement is true as soon as it can be asked for.
//
// An event becomes a finding by the format that it carries (CEF, LEEF, Suricata,
// Wazuh, the hub's own), else by the names of Splunk's Common Information Model;
// rules of the config come first.
package splunkhec

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/carried"
	"github.com/tocsin/tocsin/internal/secret"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "splunk_hec",
		Doc:    "Splunk HTTP Event Collector: JSON and raw events at /services/collector, with acknowledgement",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
		Format: &connectors.Format{
			Doc:  "events as they are sent to Splunk's HTTP Event Collector",
			Read: func(r io.Reader) connectors.Reading { return plain().readEvents(r) },
		},
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	// Token stands in Authorization, behind the word Splunk. OldToken is taken
	// as well, so that a token can be changed without a gap.
	Token    secret.Secret `yaml:"token"`
	OldToken secret.Secret `yaml:"old_token,omitempty"`

	// QueryToken takes the token from ?token= too, where it may end up in logs.
	QueryToken bool `yaml:"query_token,omitempty"`

	// Ack is indexer acknowledgement: each request names a channel, and its
	// answer has an ackId.
	Ack bool `yaml:"ack,omitempty"`

	// Rules say which events become findings, and how. Those that no rule fits
	// become findings unless OnlyRules is set.
	Rules     []carried.Rule `yaml:"rules,omitempty"`
	OnlyRules bool           `yaml:"only_rules,omitempty"`
}

// A Source is one token.
type Source struct {
	cfg   config
	rules *carried.Rules
	log   *slog.Logger
	acks  *acks
	now   func() time.Time

	skipped atomic.Int64 // events that a rule dropped, or that none fits
	busy    atomic.Int64 // Unix milliseconds of the last time that the store had no room; 0: it has
}

// plain is a source without settings, to read files.
func plain() *Source {
	rules, _ := carried.CompileRules(nil)
	return &Source{rules: rules, log: slog.New(slog.DiscardHandler), now: time.Now}
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	var cfg config
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	rules, err := carried.CompileRules(cfg.Rules)
	if cfg.Token.IsZero() {
		err = errors.Join(errors.New("token: is required; any text that is hard to guess, such as a new GUID"), err)
	}
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, rules: rules, log: s.Log, acks: newAcks(cfg.Token), now: time.Now}, nil
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }

// Report tells how many events were skipped since the start.
func (s *Source) Report() jsontext.Value {
	return jsontext.Value(fmt.Sprintf(`{"skipped":%d}`, s.skipped.Load()))
}
