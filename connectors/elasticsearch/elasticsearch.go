// Package elasticsearch pulls documents out of Elasticsearch by query: Elastic's
// detection alerts by default, any other documents with a time by mapping.
//
// A pull walks over what is new by each of its time fields, oldest first, within
// a point in time and with search_after. It begins a while before the newest
// document that it has seen, because documents become searchable later than they
// say, and remembers which ones it has told: so one that arrives late is found,
// and none is told twice. The cursor holds both, and moves with each page.
//
// A version of a document is told once. That an alert was closed or opened again
// in Kibana is a new version, found by the time of the change.
//
// go-elasticsearch serves as transport only.
package elasticsearch

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/carried"
	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/secret"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "elasticsearch",
		Doc:    "documents of Elasticsearch by query, Elastic's detection alerts by default; searches for playbooks",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.Common `yaml:",inline"`

	// URLs are the cluster's nodes, tried in turn.
	URLs     []string      `yaml:"urls"`
	APIKey   secret.Secret `yaml:"api_key,omitempty"` // in its encoded form
	Username string        `yaml:"username,omitempty"`
	Password secret.Secret `yaml:"password,omitempty"`

	// Index is what to search: names and patterns with commas between,
	// .alerts-security.alerts-* by default.
	Index string `yaml:"index,omitempty"`

	// Query is a query of Elasticsearch, as JSON, that documents must match.
	Query string `yaml:"query,omitempty"`

	// TimeField is the time by which documents are new, @timestamp by default.
	// Better is one that is stamped when they arrive, such as event.ingested.
	TimeField string `yaml:"time_field,omitempty"`

	// UpdateField is the time by which documents have changed; none if empty. For
	// the default index it is kibana.alert.workflow_status_updated_at.
	UpdateField string `yaml:"update_field,omitempty"`

	// History is how far back the first pull goes, a day by default.
	History hub.Duration `yaml:"history,omitempty"`

	// Overlap is how much later than its time a document may become searchable,
	// five minutes by default.
	Overlap hub.Duration `yaml:"overlap,omitempty"`

	// PageSize is how many documents are asked for at once, 500 by default.
	PageSize int `yaml:"page_size,omitempty"`

	// When is a condition over input, the document, that must be true.
	When string `yaml:"when,omitempty"`

	// Map says what the fields of findings are, over what is known of Elastic's
	// own fields.
	Map carried.Fill `yaml:"map,omitempty"`
}

const defaultIndex = ".alerts-security.alerts-*"

// A Source is one query to one cluster.
type Source struct {
	cfg    config
	log    *slog.Logger
	client *client
	when   *expr.Program // nil for none
	fill   *carried.Filler
	now    func() time.Time

	skipped atomic.Int64 // documents that are no findings
	odd     atomic.Int64 // documents that cannot be read, or whose mapping failed
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	cfg := config{
		Index: defaultIndex, TimeField: "@timestamp", History: hub.Duration(24 * time.Hour), Overlap: hub.Duration(5 * time.Minute), PageSize: 500,
	}
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	if s.Client == nil {
		panic("elasticsearch: opened without an HTTP client")
	}
	if cfg.Index == defaultIndex && cfg.UpdateField == "" {
		cfg.UpdateField = document.StatusUpdated
	}
	source := &Source{cfg: cfg, log: s.Log, now: time.Now}
	if err := source.check(); err != nil {
		return nil, err
	}
	var err error
	if source.client, err = newClient(&cfg, s.Client); err != nil {
		return nil, fmt.Errorf("urls: %w", err)
	}
	return source, nil
}

// check completes the source and tells everything that is wrong with its config.
func (s *Source) check() error {
	c := &s.cfg
	var faults []error
	var err error
	add := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	add(len(c.URLs) == 0, "urls: want at least one, such as https://elasticsearch.example:9200")
	for i, text := range c.URLs {
		u, err := url.Parse(text)
		add(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "",
			fmt.Sprintf("urls[%d]: want an address such as https://elasticsearch.example:9200, without a name or password in it", i))
	}
	add((c.Username == "") != c.Password.IsZero(), "username: username and password belong together")
	add(!plainIndex(c.Index), "index: want names and patterns with commas between")
	add(c.Query != "" && jsontext.Value(c.Query).Kind() != '{' || c.Query != "" && !jsontext.Value(c.Query).IsValid(), `query: want a query as JSON, such as {"term":{"event.kind":"alert"}}`)
	add(c.TimeField == "", "time_field: is required")
	add(c.History < 0, "history: must not be negative")
	add(c.Overlap < 0 || time.Duration(c.Overlap) > 24*time.Hour, "overlap: want 0s to 24h")
	add(c.PageSize < 1 || c.PageSize > 10_000, "page_size: want 1 to 10000")
	if c.When != "" {
		if s.when, err = expr.Compile(expr.InputCondition, c.When); err != nil {
			faults = append(faults, fmt.Errorf("when: %w", err))
		}
	}
	if s.fill, err = c.Map.Compile(); err != nil {
		faults = append(faults, fmt.Errorf("map: %w", err))
	}
	return errors.Join(faults...)
}

// plainIndex reports whether s may stand in a path.
func plainIndex(s string) bool {
	return s != "" && !strings.ContainsAny(s, "/\\?\"<>| #%") && !strings.HasPrefix(s, "_")
}

// fields are the times that a pull goes by.
func (s *Source) fields() []string {
	if s.cfg.UpdateField == "" || s.cfg.UpdateField == s.cfg.TimeField {
		return []string{s.cfg.TimeField}
	}
	return []string{s.cfg.TimeField, s.cfg.UpdateField}
}

// Close does nothing: a source holds nothing but memory.
func (*Source) Close() error { return nil }

// Report tells how many documents became no findings since the start.
func (s *Source) Report() jsontext.Value {
	return jsontext.Value(fmt.Sprintf(`{"skipped":%d,"odd":%d}`, s.skipped.Load(), s.odd.Load()))
}
