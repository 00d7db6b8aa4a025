// Package syslog listens for syslog messages, RFC 5424 and RFC 3164, over UDP,
// TCP and TLS, with octet counting and with lines.
//
// A message that carries CEF, LEEF, an event of Suricata, an alert of Wazuh or a
// finding in the hub's own format becomes what that says. For all others, rules
// in the config say which become findings, and how; the rest is counted.
//
// What was read from a TCP or TLS connection is durable before more is read from
// it, so a hub that cannot store anything slows its senders down instead of
// losing what they send. UDP has no such way: what there is no room for is
// dropped and counted.
package syslog

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/carried"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ratelimit"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "syslog",
		Doc:    "syslog (RFC 5424 and 3164) over UDP, TCP and TLS; CEF, LEEF and JSON inside, rules for all else",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
		Format: &connectors.Format{
			Doc:  "syslog messages, a line each; CEF, LEEF and JSON inside become findings",
			Read: func(r io.Reader) connectors.Reading { return readFile(r) },
		},
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	// Listen are the sockets, such as udp://0.0.0.0:514, tcp://:601 and
	// tls://:6514.
	Listen []string `yaml:"listen"`

	TLS TLS `yaml:"tls,omitempty"`

	// Allow are the networks of senders that are heard; all if empty.
	Allow []netip.Prefix `yaml:"allow,omitempty"`

	// Timezone is where senders live that tell a time without a zone, such as
	// Europe/Vienna; UTC by default.
	Timezone string `yaml:"timezone,omitempty"`

	// MaxMessage is the longest message in bytes, 64 KiB by default. What is
	// longer is cut.
	MaxMessage int `yaml:"max_message,omitempty"`

	// MaxConnections bounds connections at once, 500 by default. IdleTimeout
	// ends one on which nothing comes, 15 minutes by default.
	MaxConnections int          `yaml:"max_connections,omitempty"`
	IdleTimeout    hub.Duration `yaml:"idle_timeout,omitempty"`

	// MaxRate bounds the messages of one sender, by address, in a second; 0 for
	// no bound. A connection that is faster waits, datagrams above it are dropped.
	MaxRate int `yaml:"max_rate,omitempty"`

	// Rules say which messages become findings, and how. Those that carry a known
	// format and that no rule fits become findings all the same.
	Rules []carried.Rule `yaml:"rules,omitempty"`

	// Unmatched is what becomes of messages that carry no known format and that
	// no rule fits: skip, or finding.
	Unmatched string `yaml:"unmatched,omitempty" enum:"skip,finding"`
}

// TLS are the files of tls:// sockets.
type TLS struct {
	Cert     string `yaml:"cert,omitempty" path:"beside"`      // PEM, the chain
	Key      string `yaml:"key,omitempty" path:"beside"`       // PEM
	ClientCA string `yaml:"client_ca,omitempty" path:"beside"` // PEM; senders must then show a certificate of it
}

// A Source is a set of sockets.
type Source struct {
	cfg    config
	addrs  []address
	zone   *time.Location
	rules  *carried.Rules
	log    *slog.Logger
	rate   *ratelimit.Limiter
	counts counts
	now    func() time.Time
}

// An address is one socket of the config.
type address struct{ network, hostPort string }

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{MaxMessage: 64 << 10, MaxConnections: 500, IdleTimeout: hub.Duration(15 * time.Minute), Unmatched: "skip"}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	source := &Source{cfg: cfg, log: s.Log, rate: ratelimit.New(10_000), now: time.Now}
	return source, source.check()
}

// check completes the source from its config and tells everything that is wrong.
func (s *Source) check() error {
	var faults []error
	var err error
	if len(s.cfg.Listen) == 0 {
		faults = append(faults, errors.New("listen: want at least one of udp://host:port, tcp://host:port and tls://host:port"))
	}
	for i, text := range s.cfg.Listen {
		a, err := parseAddress(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("listen[%d]: %w", i, err))
		}
		if a.network == "tls" && (s.cfg.TLS.Cert == "" || s.cfg.TLS.Key == "") {
			faults = append(faults, fmt.Errorf("listen[%d]: tls:// needs tls.cert and tls.key", i))
		}
		s.addrs = append(s.addrs, a)
	}
	if s.zone, err = time.LoadLocation(s.cfg.Timezone); err != nil {
		faults = append(faults, errors.New("timezone: want a name such as Europe/Vienna"))
	}
	if s.rules, err = carried.CompileRules(s.cfg.Rules); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, within("max_message", s.cfg.MaxMessage, 480, 1<<20), within("max_connections", s.cfg.MaxConnections, 1, 100_000),
		within("max_rate", s.cfg.MaxRate, 0, 10_000_000))
	if time.Duration(s.cfg.IdleTimeout) < time.Second {
		faults = append(faults, errors.New("idle_timeout: want at least 1s"))
	}
	if s.cfg.Unmatched != "skip" && s.cfg.Unmatched != "finding" {
		faults = append(faults, errors.New("unmatched: want skip or finding"))
	}
	return errors.Join(faults...)
}

func within(name string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: want %d to %d, got %d", name, low, high, n)
	}
	return nil
}

func parseAddress(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil ||
		u.Scheme != "udp" && u.Scheme != "tcp" && u.Scheme != "tls" {
		return address{}, fmt.Errorf("%q: want udp://host:port, tcp://host:port or tls://host:port", text)
	}
	return address{u.Scheme, u.Host}, nil
}

// allowed reports whether a sender is heard.
func (s *Source) allowed(sender netip.Addr) bool {
	if len(s.cfg.Allow) == 0 {
		return true
	}
	for _, p := range s.cfg.Allow {
		if p.Contains(sender) {
			return true
		}
	}
	return false
}

// limit is the rate of one sender.
func (s *Source) limit() ratelimit.Limit {
	return ratelimit.Limit{PerMinute: s.cfg.MaxRate * 60, Burst: s.cfg.MaxRate}
}

// Close does nothing: the sockets are closed when serving ends.
func (*Source) Close() error { return nil }

// Places are the sockets that are open.
func (s *Source) Places() []string { return s.counts.places() }

// Report tells what came in since the start.
func (s *Source) Report() jsontext.Value { return s.counts.report() }
