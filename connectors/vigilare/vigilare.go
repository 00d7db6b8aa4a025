// Package vigilare connects the Vigilare REST API, which watches AWS accounts.
//
// It pulls accounts, signals, scores with their history, fired alerts, rules
// and the team, and does for playbooks whatever the API can do but what costs
// money or belongs to a person. The identity of a signal is account, scenario
// and signal id.
//
// The API tells new signals from a time on, but not what became of older ones.
// So each pull reads every account's signals since the oldest one that is open,
// and compares them with a memory that travels in the cursor: see pull.go. The
// README says what is done with each path of the API's document.
package vigilare

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "vigilare",
		Doc:    "Vigilare: pulls accounts, signals, scores and alerts of AWS accounts; acknowledges, scans, exports, manages accounts, rules and users",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	BaseURL  string        `yaml:"base_url,omitempty"` // https://api.vigilare.cloud
	Email    string        `yaml:"email"`
	Password secret.Secret `yaml:"password"`

	// MinSRS is the score below which an account becomes a finding, 0 to 100;
	// 40 as in Vigilare's own rules.
	MinSRS int `yaml:"min_srs,omitempty"`

	// Identity says by what a signal is known again: its id, or its title for
	// tenants whose scans give a new id to what they find again.
	Identity string `yaml:"identity,omitempty" enum:"id,title"`

	// History is how far back the first pull takes what is over already, 30 days
	// by default; Rescan is how often that much is read again, for what came
	// late, daily by default.
	History hub.Duration `yaml:"history,omitempty"`
	Rescan  hub.Duration `yaml:"rescan,omitempty"`

	// InventoryInterval is how often accounts and users that have not changed are
	// reported again, an hour by default.
	InventoryInterval hub.Duration `yaml:"inventory_interval,omitempty"`

	// MaxTracked bounds how many signals of one account are remembered, 50,000
	// by default.
	MaxTracked int `yaml:"max_tracked,omitempty"`
}

const day = 24 * time.Hour

// A Source is one Vigilare tenant.
type Source struct {
	cfg   config
	log   *slog.Logger
	api   *connectors.API
	acked acks

	mu     sync.Mutex // guards report
	report jsontext.Value
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{
		BaseURL: "https://api.vigilare.cloud", MinSRS: 40, Identity: "id", MaxTracked: 50_000,
		History: hub.Duration(30 * day), Rescan: hub.Duration(day), InventoryInterval: hub.Duration(time.Hour),
	}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if s.Client == nil {
		panic("vigilare: opened without an HTTP client") // there is no default: only the safe client may be used
	}
	source := &Source{cfg: cfg, log: s.Log, api: &connectors.API{Vendor: "Vigilare", Base: base, Client: s.Client, Explain: explain}}
	source.api.Session = connectors.NewSession(source.login, nil, cfg.Password)
	return source, nil
}

func (c *config) check() (*url.URL, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		fault("base_url: want an address such as https://api.vigilare.cloud")
	}
	if c.Email == "" {
		fault("email: is required; make a user of its own for the hub")
	}
	if c.Password.IsZero() {
		fault("password: is required")
	}
	if c.MinSRS < 0 || c.MinSRS > 100 {
		fault("min_srs: want 0 to 100, got %d", c.MinSRS)
	}
	if c.Identity != "id" && c.Identity != "title" {
		fault("identity: want id or title, got %q", c.Identity)
	}
	if c.History < 0 || time.Duration(c.Rescan) < time.Hour || time.Duration(c.InventoryInterval) < time.Minute {
		fault("history, rescan, inventory_interval: want at least 0s, 1h and 1m")
	}
	if c.MaxTracked < 1 || c.MaxTracked > 1_000_000 {
		fault("max_tracked: want 1 to 1000000, got %d", c.MaxTracked)
	}
	return base, errors.Join(faults...)
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }
