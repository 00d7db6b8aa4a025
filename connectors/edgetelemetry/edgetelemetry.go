// Package edgetelemetry connects EdgeAI Telemetry, which watches what agents at
// the edge send and rates the risk of identities and devices.
//
// It pulls alerts, incidents, the agents' summaries, the audit log, users and
// the graph, and does for playbooks what the API can do but what belongs to a
// person. The identity of a finding is what it is and EdgeAI's id.
//
// The API's lists know a limit and no offset, and an alert tells no time of its
// last change. So each pull asks for the newest and for everything that is open,
// with a limit that grows until the answer is whole, and compares it with a
// memory that travels in the cursor: see lists.go. The README says what is done
// with each path of the API's document.
package edgetelemetry

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
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
		Name:   "edgetelemetry",
		Doc:    "EdgeAI Telemetry: pulls alerts, incidents, summaries, audit log, users and graph; acknowledges, resolves, asks for the blast radius, manages rules, channels, users and roles",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	BaseURL    string        `yaml:"base_url"` // with the version, such as https://edge.example/api/v1
	Email      string        `yaml:"email"`
	Password   secret.Secret `yaml:"password"`
	TOTPSecret secret.Secret `yaml:"totp_secret,omitempty"` // base32, for users with MFA

	// History is how far back the first pull takes what is over already, 30 days
	// by default. What is open is taken whatever its age.
	History hub.Duration `yaml:"history,omitempty"`

	// MaxResults bounds the limit that lists are asked for, 20,000 by default:
	// they know no pages, so that it is also how many open items can be seen.
	MaxResults int `yaml:"max_results,omitempty"`

	// MinRiskScore is the score from which on a summary becomes a finding, 70 by
	// default; one that counts anomalies does in any case. 0 turns the score off.
	MinRiskScore float64 `yaml:"min_risk_score"`

	// AuditActions are patterns of the actions in the audit log that become
	// findings, whether they were done or refused; an empty list leaves the log
	// alone. What was refused becomes one whatever its action.
	AuditActions []string `yaml:"audit_actions,omitempty"`

	// InventoryInterval is how often users and the graph are read, an hour by
	// default; BlastRadius is whether it is asked for with new critical alerts.
	InventoryInterval hub.Duration `yaml:"inventory_interval,omitempty"`
	BlastRadius       *bool        `yaml:"blast_radius,omitempty"`

	MaxTracked int `yaml:"max_tracked,omitempty"` // items of one list that are remembered
}

// A Source is one installation of EdgeAI Telemetry.
type Source struct {
	cfg   config
	asset string // what findings are about that name nothing else
	log   *slog.Logger

	// Authentication and the other paths have limits of their own, and a gate
	// each. root is where health may be too. All go with one session.
	api, auth, root *connectors.API
	pace            pace
	codes           connectors.Codes
	own             own

	mu     sync.Mutex // guards all below
	said   map[string]jsontext.Value
	missed map[string]string // what cannot be read, and why
	ends   map[string]int    // by list: the largest answer that can be had
	skew   time.Duration     // their clock less ours
	clock  bool              // skew is known
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{
		History: hub.Duration(30 * 24 * time.Hour), MaxResults: 20_000, MinRiskScore: 70, InventoryInterval: hub.Duration(time.Hour), MaxTracked: 100_000,
		AuditActions: []string{"*fail*", "*denied*", "*delete*", "*remove*", "*role*", "*permission*", "*mfa*", "*export*", "*toggle*", "create_user"},
	}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if s.Client == nil {
		panic("edgetelemetry: opened without an HTTP client") // there is no default: only the safe client may be used
	}
	source := &Source{
		cfg: cfg, asset: "edgetelemetry:" + s.Name, log: s.Log, codes: connectors.Codes{Vendor: vendor, Secret: cfg.TOTPSecret},
		said: map[string]jsontext.Value{}, missed: map[string]string{}, ends: map[string]int{},
	}
	session := connectors.NewSession(source.login, source.renew, cfg.Password, cfg.TOTPSecret)
	api := func(base *url.URL) *connectors.API {
		return &connectors.API{Vendor: vendor, Base: base, Client: s.Client, Session: session, Explain: explain}
	}
	source.api, source.auth, source.root = api(base), api(base), api(&url.URL{Scheme: base.Scheme, Host: base.Host})
	return source, nil
}

const vendor = "EdgeAI Telemetry"

func (c *config) check() (*url.URL, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		fault("base_url: want an address with the API's version, such as https://edge.example/api/v1")
	}
	if c.Email == "" || c.Password.IsZero() {
		fault("email, password: are required; make a user of its own for the hub")
	}
	if connectors.CheckCodes(c.TOTPSecret) != nil {
		fault("totp_secret: want the base32 text that POST /auth/mfa/setup gives as secret")
	}
	for _, p := range c.AuditActions {
		if _, err := path.Match(p, ""); err != nil {
			fault("audit_actions: %q is no pattern; * stands for anything", p)
		}
	}
	if c.MinRiskScore < 0 || c.MinRiskScore > 100 {
		fault("min_risk_score: want 0 to 100, got %v", c.MinRiskScore)
	}
	if c.History < 0 || time.Duration(c.InventoryInterval) < time.Minute {
		fault("history, inventory_interval: want at least 0s and 1m")
	}
	if c.MaxResults < firstLimit || c.MaxResults > 100_000 {
		fault("max_results: want %d to 100000, got %d", firstLimit, c.MaxResults)
	}
	if c.MaxTracked < 1 || c.MaxTracked > 1_000_000 {
		fault("max_tracked: want 1 to 1000000, got %d", c.MaxTracked)
	}
	return base, errors.Join(faults...)
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }
