// Package webhook takes any JSON and makes findings of it as the config says:
// a pointer to the items in a body, and for each field of a finding a text with
// expressions (internal/expr) over the item, the body and chosen headers.
//
// What is needed to tell findings apart and to rank them must come out, or the
// item is rejected; any other field whose expression fails is left out, and the
// label webhook_unmapped says so. Cases beside the config, a body with the
// findings that are wanted of it, are run by `tocsin check`.
package webhook

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "webhook",
		Doc:    "Any JSON, mapped by expressions: receives webhooks with HMAC, Standard Webhooks, GitHub, Stripe-like, basic or token checks",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return Open(s) },
	}
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// Headers may be read by expressions; others are not shown to them, because
	// one of them holds the credential.
	Headers []string `yaml:"headers,omitempty"`

	// Ignore is a condition over body and headers: what it is true for is
	// answered and dropped, such as a sender's pings.
	Ignore string `yaml:"ignore,omitempty"`

	// Items is a JSON pointer to the items in a body, with * for every element:
	// /alerts, /hosts/*/findings. If empty, a body is an item, or a list of them.
	Items string `yaml:"items,omitempty"`

	// When is a condition over an item: what it is false for is passed over.
	When string `yaml:"when,omitempty"`

	Map   Map   `yaml:"map"`
	Words Words `yaml:"words,omitempty"`

	// Cases is a file of cases, or a folder of such files.
	Cases string `yaml:"cases,omitempty" path:"beside"`
}

// A Source is one sender of webhooks.
type Source struct {
	guard   *inbound.Guard
	headers []string // in small letters
	ignore  *condition
	when    *condition
	items   []string
	mapping *mapping
	cases   string
}

// Open makes a source from its settings.
func Open(s connectors.Settings) (*Source, error) {
	var cfg config
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	guard, err := cfg.Auth.Open()
	src := &Source{guard: guard, cases: cfg.Cases}
	var f faults
	for _, name := range cfg.Headers {
		src.headers = append(src.headers, strings.ToLower(name))
	}
	src.ignore = f.condition("/ignore", cfg.Ignore)
	src.when = f.condition("/when", cfg.When)
	src.items = f.pointer("/items", cfg.Items)
	src.mapping = f.mapping(&cfg.Map, &cfg.Words)
	if err := errors.Join(err, f.err()); err != nil {
		return nil, err
	}
	return src, nil
}

// Close does nothing: a source holds nothing.
func (*Source) Close() error { return nil }

// Receive takes a webhook.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if err := s.guard.Check(r.Header, r.Body); err != nil {
		return connectors.Batch{}, err
	}
	headers := map[string]string{}
	for _, name := range s.headers {
		if v := r.Header.Get(name); v != "" {
			headers[name] = v
		}
	}
	return s.read(r.Body, headers)
}

// Check runs the cases.
func (s *Source) Check(context.Context) error {
	if s.cases == "" {
		return nil
	}
	return runCases(s.cases, func(body []byte, headers map[string]string) (connectors.Batch, error) {
		h := http.Header{}
		for name, value := range headers {
			h.Set(name, value)
		}
		seen := map[string]string{}
		for _, name := range s.headers {
			if v := h.Get(name); v != "" {
				seen[name] = v
			}
		}
		return s.read(body, seen)
	})
}

var _ connectors.Checker = (*Source)(nil)

// faults gathers what is wrong with the settings, each with its place.
type faults []hub.Field

func (f *faults) add(pointer, detail string) {
	*f = append(*f, hub.Field{Pointer: pointer, Detail: detail})
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	var all []string
	for _, x := range *f {
		all = append(all, strings.ReplaceAll(x.Pointer[1:], "/", ".")+": "+x.Detail)
	}
	return &hub.Error{Kind: hub.Invalid, Msg: strings.Join(all, "; "), Fields: *f}
}
