// Package cybervault connects the CyberVault Monitoring API (version 2).
//
// It pulls alerts and the system's status, receives webhooks that are signed
// in X-CV-Signature, and submits findings and alerts for playbooks. The
// identity of a finding is CyberVault's alert id.
//
// The API lists alerts by status with an opaque cursor and tells neither an
// order nor what changed since when. So each pull is a sweep over the lists,
// compared with a compact memory of the alerts that are open there, which
// travels inside the cursor: see sweep.go. The README lists what the API's
// document leaves open and how it is decided here.
package cybervault

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "cybervault",
		Doc:    "CyberVault Monitoring API: pulls alerts and status, receives signed webhooks, submits findings and alerts",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	BaseURL       string        `yaml:"base_url"`                 // such as https://api.cybervault.io/v2
	Token         secret.Secret `yaml:"token"`                    // API key, cv_live_…
	WebhookSecret secret.Secret `yaml:"webhook_secret,omitempty"` // without it, webhooks are refused

	// RegionalHosts may be redirected to, beside the base URL's host and those
	// below it: host names, with a port if it is not the usual one.
	RegionalHosts []string `yaml:"regional_hosts,omitempty"`

	// History is how far back the first pull takes alerts that are closed
	// already, 30 days by default. Open ones are taken whatever their age.
	History hub.Duration `yaml:"history,omitempty"`

	// MaxTracked bounds how many alerts are remembered, 100,000 by default.
	MaxTracked int `yaml:"max_tracked,omitempty"`
}

const (
	defaultHistory = 30 * 24 * time.Hour
	defaultTracked = 100_000
)

// A Source is one CyberVault organization.
type Source struct {
	cfg    config
	log    *slog.Logger
	api    *connectors.API
	touch  touched
	status lastStatus
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{History: hub.Duration(defaultHistory), MaxTracked: defaultTracked}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, log: s.Log, api: &connectors.API{
		Vendor: "CyberVault", Base: base, Hosts: cfg.RegionalHosts, Token: cfg.Token, Client: client(s.Client),
	}}, nil
}

// client is the one handed in. There is no default: without the safe client a
// connector could reach private addresses.
func client(c *http.Client) *http.Client {
	if c == nil {
		panic("cybervault: opened without an HTTP client")
	}
	return c
}

func (c *config) check() (*url.URL, error) {
	var faults []error
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		faults = append(faults, errors.New("base_url: want an address such as https://api.cybervault.io/v2"))
	}
	if c.Token.IsZero() {
		faults = append(faults, errors.New("token: is required; make one in the Developer Console under Settings > API Keys"))
	}
	if c.History < 0 {
		faults = append(faults, errors.New("history: must not be negative"))
	}
	if c.MaxTracked < 1 || c.MaxTracked > 1_000_000 {
		faults = append(faults, fmt.Errorf("max_tracked: want 1 to 1000000, got %d", c.MaxTracked))
	}
	return base, errors.Join(faults...)
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }
