// Package echelongraph connects EchelonGraph, a cloud security platform.
//
// It pulls alerts, alerts of detection rules, incidents, vulnerabilities,
// compliance and risk scores, the audit trail, assets, accounts, users and the
// attack graph; it hears events over a WebSocket and receives signed webhooks;
// it does for playbooks what the API can do. The identity of a finding is what
// it is and EchelonGraph's id.
//
// The API's document names capabilities, not paths or fields. They are chosen
// here in the conventional form, and the paths can be set; the README lists
// them all. Lists tell neither what changed since when nor their order, so each
// pull is a sweep over them, compared with a memory that travels in the cursor:
// see pull.go and lists.go.
package echelongraph

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
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
		Name:   "echelongraph",
		Doc:    "EchelonGraph: pulls alerts, incidents, vulnerabilities, scores, audit trail and attack graph; hears events and signed webhooks; creates incidents, reports and more",
		Sample: sample,
		Open:   Open,
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	BaseURL       string        `yaml:"base_url"` // with the version, such as https://api.example/v1
	Email         string        `yaml:"email"`
	Password      secret.Secret `yaml:"password"`
	TOTPSecret    secret.Secret `yaml:"totp_secret,omitempty"`    // base32, for accounts with MFA
	WebhookSecret secret.Secret `yaml:"webhook_secret,omitempty"` // without it, webhooks are refused

	// SignatureHeader carries the hex HMAC-SHA256 of a webhook's body.
	SignatureHeader string `yaml:"signature_header,omitempty"`

	// Events is whether to hear events over the WebSocket, yes by default.
	Events *bool `yaml:"events,omitempty"`

	// Paths are where the capabilities are, below base_url, where that is not as
	// the README says; "-" leaves one out.
	Paths map[string]string `yaml:"paths,omitempty"`

	PageSize int `yaml:"page_size,omitempty"` // 1 to 100

	// History is how far back the first pull takes what is over already, 30 days
	// by default. What is open is taken whatever its age.
	History hub.Duration `yaml:"history,omitempty"`

	// MinComplianceScore is the score below which a framework becomes a finding,
	// DriftPoints how far it may fall from its best before, MaxRiskScore the score
	// from which on a category of risk does. 0 turns each off.
	MinComplianceScore float64 `yaml:"min_compliance_score"`
	DriftPoints        float64 `yaml:"drift_points"`
	MaxRiskScore       float64 `yaml:"max_risk_score"`

	// AuditActions are patterns of the actions in the audit trail that become
	// findings; an empty list leaves the trail alone.
	AuditActions []string `yaml:"audit_actions,omitempty"`

	// InventoryInterval is how often accounts, users, assets and the graph are
	// read, an hour by default; BlastDepth how many hops around the asset of a
	// new critical alert, 3 by default, 0 for none.
	InventoryInterval hub.Duration `yaml:"inventory_interval,omitempty"`
	BlastDepth        int          `yaml:"blast_depth"`

	MaxTracked int `yaml:"max_tracked,omitempty"` // items of one list that are remembered
}

// defaultPaths are the conventional form of what the document names.
func defaultPaths() map[string]string {
	return map[string]string{
		"login": "/auth/login", "mfa": "/auth/mfa", "refresh": "/auth/refresh", "events": "/events", "webhooks": "/webhooks",
		"alerts": "/alerts", "detections": "/detection/alerts", "detection_rules": "/detection/rules", "incidents": "/incidents",
		"vulnerabilities": "/vulnerabilities", "compliance": "/compliance/scores", "risk": "/risk/scores", "reports": "/reports",
		"audit": "/audit-logs", "accounts": "/accounts", "assets": "/assets", "graph": "/graph", "blast_radius": "/graph/blast-radius",
		"users": "/scim/v2/Users", "groups": "/scim/v2/Groups",
	}
}

// A Source is one EchelonGraph organization.
type Source struct {
	cfg   config
	asset string // what the organization's own findings are about
	log   *slog.Logger
	wake  func()

	// Reads and mutations have limits of their own, and a gate each. Both go
	// with one session.
	reads, writes *connectors.API
	session       *connectors.Session
	client        *http.Client // of the event connection

	codes   connectors.Codes
	own     own
	touched touched

	mu     sync.Mutex // guards all below
	said   map[string]jsontext.Value
	missed map[string]string // capabilities that cannot be read, and why
}

// Live is a [Source] that hears events too.
type Live struct{ *Source }

// Open makes a source from its settings.
func Open(s connectors.Settings) (connectors.Source, error) {
	source, err := open(s)
	if err != nil {
		return nil, err
	}
	if source.cfg.Events == nil || *source.cfg.Events {
		return Live{source}, nil
	}
	return source, nil
}

func open(s connectors.Settings) (*Source, error) {
	cfg := config{
		SignatureHeader: "X-EchelonGraph-Signature", PageSize: 100, MaxTracked: 100_000, BlastDepth: 3,
		History: hub.Duration(30 * 24 * time.Hour), InventoryInterval: hub.Duration(time.Hour),
		MinComplianceScore: 70, DriftPoints: 1, MaxRiskScore: 80,
		AuditActions: []string{"*fail*", "*denied*", "permission*", "role*", "*export*", "config*"},
	}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if s.Client == nil {
		panic("echelongraph: opened without an HTTP client") // there is no default: only the safe client may be used
	}
	source := &Source{
		cfg: cfg, asset: "echelongraph:" + s.Name, log: s.Log, wake: s.Wake, client: s.Client,
		said: map[string]jsontext.Value{}, missed: map[string]string{},
		codes: connectors.Codes{Vendor: "EchelonGraph", Secret: cfg.TOTPSecret},
	}
	if source.wake == nil {
		source.wake = func() {}
	}
	source.session = connectors.NewSession(source.login, source.renew, cfg.Password, cfg.TOTPSecret)
	api := func() *connectors.API {
		return &connectors.API{Vendor: "EchelonGraph", Base: base, Client: s.Client, Session: source.session, Explain: source.explain}
	}
	source.reads, source.writes = api(), api()
	return source, nil
}

func (c *config) check() (*url.URL, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" {
		fault("base_url: want an address with the API's version, such as https://api.example/v1")
	}
	if c.Email == "" || c.Password.IsZero() {
		fault("email, password: are required; make a user of its own for the hub")
	}
	if connectors.CheckCodes(c.TOTPSecret) != nil {
		fault("totp_secret: want the base32 text that is shown when MFA is set up")
	}
	c.checkPaths(fault)
	if c.PageSize < 1 || c.PageSize > 100 {
		fault("page_size: want 1 to 100, got %d", c.PageSize)
	}
	for _, p := range c.AuditActions {
		if _, err := path.Match(p, ""); err != nil {
			fault("audit_actions: %q is no pattern; * stands for anything", p)
		}
	}
	for name, v := range map[string]float64{"min_compliance_score": c.MinComplianceScore, "drift_points": c.DriftPoints, "max_risk_score": c.MaxRiskScore} {
		if v < 0 || v > 100 {
			fault("%s: want 0 to 100, got %v", name, v)
		}
	}
	if c.History < 0 || time.Duration(c.InventoryInterval) < time.Minute || c.BlastDepth < 0 || c.BlastDepth > 20 {
		fault("history, inventory_interval, blast_depth: want at least 0s, 1m, and 0 to 20")
	}
	if c.MaxTracked < 1 || c.MaxTracked > 1_000_000 {
		fault("max_tracked: want 1 to 1000000, got %d", c.MaxTracked)
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return base, errors.Join(faults...)
}

// checkPaths completes the paths with the conventional ones.
func (c *config) checkPaths(fault func(string, ...any)) {
	all := defaultPaths()
	for name, p := range c.Paths {
		_, known := all[name]
		switch {
		case !known:
			fault("paths: %q is no capability; see the README", name)
		case p != "-" && !strings.HasPrefix(p, "/"):
			fault("paths.%s: want a path that starts with /, or - to leave it out", name)
		case p == "-" && slices.Contains([]string{"login", "mfa", "refresh", "alerts"}, name):
			fault("paths.%s: cannot be left out", name)
		}
		all[name] = p
	}
	c.Paths = all
}

// path gives where a capability is, "" if it is left out.
func (s *Source) path(name string) string {
	if p := s.cfg.Paths[name]; p != "-" {
		return p
	}
	return ""
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }
