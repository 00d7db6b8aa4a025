// Package cloudoptix connects the REST API of Sophos Cloud Optix, which watches
// AWS, Azure, GCP and Kubernetes.
//
// It pulls alerts and the inventory, follows image and template scans until
// their results are findings, and does for playbooks whatever the API can do.
// The identity of an alert is account and id.
//
// Alerts are read by when they were last seen, and counted to be sure: see
// alerts.go. The README says what is done with each path of the document.
package cloudoptix

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
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
		Name:   "cloudoptix",
		Doc:    "Sophos Cloud Optix: pulls alerts and inventory of cloud accounts; scans images and templates, searches, asks for outgoing traffic, sets lists of addresses",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	BaseURL string        `yaml:"base_url,omitempty"` // https://optix.sophos.com
	APIKey  secret.Secret `yaml:"api_key"`

	// The API's own filters. What they leave out does not exist for the hub: an
	// alert that leaves them does not end here.
	AlertType  string   `yaml:"alert_type,omitempty" enum:"Policy,Anomaly,GuardDuty"`
	Providers  []string `yaml:"providers,omitempty"`   // of alerts: AWS, Azure
	PolicyTags []string `yaml:"policy_tags,omitempty"` // such as CIS, PCI, ISO 27001
	AccountIDs []string `yaml:"account_ids,omitempty"` // of the inventory too
	States     []string `yaml:"states,omitempty"`      // OPEN, SUPPRESS
	Severity   string   `yaml:"severity,omitempty" enum:"low,medium,high,critical"`

	// History is how far back alerts are taken and followed, by when they were
	// last seen: 365 days by default, which is the most.
	History hub.Duration `yaml:"history,omitempty"`

	// ReadAll is up to how many alerts every pull reads all of them, 1,000 by
	// default: a state that a person changes moves no time that could be asked
	// for. Of more, it reads up to as many suppressed ones, and what the counts do
	// not tell then is found each Rescan, hourly by default.
	ReadAll int          `yaml:"read_all,omitempty"`
	Rescan  hub.Duration `yaml:"rescan,omitempty"`

	// Inventory says what of it is read, all by default; InventoryInterval how
	// often, every 6 hours by default.
	Inventory         []string     `yaml:"inventory,omitempty"`
	InventoryInterval hub.Duration `yaml:"inventory_interval,omitempty"`

	// MaxTracked bounds how many alerts are remembered, 100,000 by default.
	MaxTracked int `yaml:"max_tracked,omitempty"`
}

const day = 24 * time.Hour

// A Source is one Cloud Optix customer.
type Source struct {
	cfg  config
	log  *slog.Logger
	api  *connectors.API
	wake func()

	accept connectors.Accept // of what actions bring; nil if nobody takes it

	mu     sync.Mutex // guards all below
	report jsontext.Value
	scans  []handed // that actions have begun, for the next pull
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{
		BaseURL: "https://optix.sophos.com", MaxTracked: 100_000, ReadAll: 1_000,
		History: hub.Duration(365 * day), Rescan: hub.Duration(time.Hour), InventoryInterval: hub.Duration(6 * time.Hour),
		Inventory: inventoryWords(),
	}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if s.Client == nil {
		panic("cloudoptix: opened without an HTTP client") // there is no default: only the safe client may be used
	}
	return &Source{
		cfg: cfg, log: s.Log, wake: s.Wake, accept: s.Accept,
		api: &connectors.API{Vendor: "Cloud Optix", Base: base, Client: s.Client, Token: cfg.APIKey, Scheme: "ApiKey", Explain: explain},
	}, nil
}

// The words of the document. They are not functions' own lists so that actions
// can show them.
func alertTypes() []string  { return []string{"Policy", "Anomaly", "GuardDuty"} }
func alertClouds() []string { return []string{"AWS", "Azure"} }
func alertStates() []string { return []string{"OPEN", "SUPPRESS"} }
func severities() []string  { return []string{"low", "medium", "high", "critical"} }

func policyTags() []string {
	return []string{
		"Avid", "CIS", "FFIEC", "HIPAA", "ISO 27001", "PCI", "SOC2", "SOC2-TSP",
		"FEDRAMP-LOW", "FEDRAMP-MODERATE", "FEDRAMP-HIGH", "EBU R143",
	}
}

func inventoryWords() []string {
	return []string{"accounts", "vms", "users", "serverless", "containers"}
}

func (c *config) check() (*url.URL, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		fault("base_url: want an address such as https://optix.sophos.com")
	}
	if c.APIKey.IsZero() {
		fault("api_key: is required; make one in Cloud Optix under Settings, Integrations, Sophos Cloud Optix API")
	}
	for _, w := range []struct {
		name         string
		given, known []string
	}{
		{"alert_type", one(c.AlertType), alertTypes()},
		{"providers", c.Providers, alertClouds()},
		{"policy_tags", c.PolicyTags, policyTags()},
		{"states", c.States, alertStates()},
		{"severity", one(c.Severity), severities()},
		{"inventory", c.Inventory, inventoryWords()},
	} {
		for _, word := range w.given {
			if !slices.Contains(w.known, word) {
				fault("%s: want %s, got %q", w.name, strings.Join(w.known, ", "), word)
			}
		}
	}
	for _, id := range c.AccountIDs {
		if id == "" || strings.ContainsAny(id, ", ") {
			fault("account_ids: want ids of accounts, got %q", id)
		}
	}
	if time.Duration(c.History) < day || time.Duration(c.History) > 365*day {
		fault("history: want 24h to 8760h")
	}
	if time.Duration(c.Rescan) < time.Hour || time.Duration(c.InventoryInterval) < time.Minute {
		fault("rescan, inventory_interval: want at least 1h and 1m")
	}
	if c.ReadAll < 0 || c.ReadAll > 100_000 {
		fault("read_all: want 0 to 100000, got %d", c.ReadAll)
	}
	if c.MaxTracked < 1 || c.MaxTracked > 1_000_000 {
		fault("max_tracked: want 1 to 1000000, got %d", c.MaxTracked)
	}
	return base, errors.Join(faults...)
}

func one(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }
