package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
)

type webhooksCmd struct {
	List         webhooksListCmd    `cmd:"" help:"List webhook endpoints."`
	Show         webhooksShowCmd    `cmd:"" help:"Show a webhook endpoint."`
	Create       webhooksCreateCmd  `cmd:"" help:"Make a webhook endpoint; its secret is shown once."`
	Enable       webhooksEnableCmd  `cmd:"" help:"Switch webhook endpoints on; what was held for them is sent in order."`
	Disable      webhooksDisableCmd `cmd:"" help:"Switch webhook endpoints off; what comes for them is held."`
	Delete       webhooksDeleteCmd  `cmd:"" help:"Remove webhook endpoints; their deliveries stay as evidence."`
	Test         webhooksTestCmd    `cmd:"" help:"Send webhook.test now and tell how it went."`
	RotateSecret webhooksRotateCmd  `cmd:"" help:"Make a new secret; the old one signs on for a while."`
}

// Help gives an example.
func (webhooksCmd) Help() string {
	return `Examples:
  tocsin webhooks create https://siem.example.com/hooks/tocsin --event 'alert.*'
  tocsin webhooks test whk_01J0`
}

type webhooksListCmd struct {
	apiFlags
	pageFlags
}

// Help gives an example.
func (webhooksListCmd) Help() string {
	return `Example:
  tocsin webhooks list`
}

// Run lists webhooks.
func (c *webhooksListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"ID", "NAME", "STATE", "EVENTS", "URL"}
	return list(ctx, p, &c.apiFlags, "/webhooks", filters(), c.pageFlags, header, func(e *hub.Endpoint) []string {
		return []string{string(e.ID), or(e.Name, "-"), endpointState(e), commas(e.Events), e.URL}
	})
}

func endpointState(e *hub.Endpoint) string {
	switch {
	case e.Enabled && e.Breaker != nil:
		return "failing, its deliveries are held: " + e.Breaker.Reason
	case e.Enabled:
		return "enabled"
	case e.Disabled != "":
		return "disabled: " + e.Disabled
	}
	return "disabled"
}

type webhooksShowCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the endpoint."`
}

// Help gives an example.
func (webhooksShowCmd) Help() string {
	return `Example:
  tocsin webhooks show whk_01J0`
}

// Run shows a webhook.
func (c *webhooksShowCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodGet, "/webhooks/"+url.PathEscape(c.ID), nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	return showEndpoint(p, answer)
}

func showEndpoint(p *program, answer jsontext.Value) error {
	var e struct {
		hub.Endpoint
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(answer, &e); err != nil {
		return err
	}
	var keys []string
	for _, k := range e.PublicKeys {
		keys = append(keys, k.Key)
	}
	t := newTable(p.stdout)
	for _, f := range [][2]string{
		{"id", string(e.ID)},
		{"url", e.URL},
		{"name", e.Name},
		{"state", endpointState(&e.Endpoint)},
		{"events", commas(e.Events)},
		{"filter", e.Filter},
		{"ordering", e.Ordering},
		{"public keys", strings.Join(keys, " ")},
		{"description", e.Description},
		{"created", clock(e.CreatedAt)},
		{"updated", clock(e.UpdatedAt)},
	} {
		t.row(f[0], or(f[1], "-"))
	}
	if err := t.flush(); err != nil || e.Secret == "" {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "\nsecret (shown this once): %s\n", e.Secret)
	return err
}

type webhooksCreateCmd struct {
	apiFlags
	Endpoint    string            `arg:"" help:"Where the events go, such as https://siem.example.com/hooks/tocsin."`
	Event       []string          `placeholder:"GLOB,…" help:"Events to send, such as alert.*; all if not given."`
	Name        string            `placeholder:"NAME" help:"Name by which playbooks refer to it."`
	Description string            `placeholder:"TEXT" help:"For people."`
	Filter      string            `placeholder:"EXPR" help:"Expression over the event; false keeps it from being sent."`
	Ordering    string            `enum:",none,key" default:"" placeholder:"none|key" help:"key sends the events of one alert in order."`
	Disabled    bool              `help:"Make it disabled; its events are held."`
	Transform   string            `placeholder:"EXPR" help:"Expression that gives the body in place of the event."`
	KeyPair     bool              `help:"Sign with an ed25519 key pair as well (v1a); receivers verify with its public key."`
	RateLimit   int               `placeholder:"N" help:"Requests a second; 0 for no limit."`
	Timeout     string            `placeholder:"DURATION" help:"Of one attempt, such as 15s."`
	Schedule    []string          `placeholder:"D,…" help:"Waits before each further attempt, such as 5s,5m,30m."`
	Header      map[string]string `placeholder:"NAME=VALUE" help:"Header to send along; may be given several times."`
	Sign        []string          `placeholder:"TYPE:HEADER" help:"Signature beside the standard one, such as hex:X-CV-Signature or timestamped:X-Signature."`
}

// Help gives an example.
func (webhooksCreateCmd) Help() string {
	return `Example:
  tocsin webhooks create https://siem.example.com/hooks/tocsin --event 'alert.*' --filter 'alert.severity_num >= severity_num("high")'`
}

// Run makes a webhook.
func (c *webhooksCreateCmd) Run(ctx context.Context, p *program) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, p, http.MethodPost, "/webhooks", body)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	return showEndpoint(p, answer)
}

// body is what the flags ask for.
func (c *webhooksCreateCmd) body() (map[string]any, error) {
	body := map[string]any{"url": c.Endpoint}
	for name, value := range map[string]string{
		"name": c.Name, "description": c.Description, "filter": c.Filter, "ordering": c.Ordering, "transform": c.Transform, "timeout": c.Timeout,
	} {
		if value != "" {
			body[name] = value
		}
	}
	var signing []hub.SigningScheme
	for _, s := range c.Sign {
		kind, header, ok := strings.Cut(s, ":")
		if !ok {
			return nil, &ops.UsageError{Msg: "--sign must be a type and a header, such as hex:X-CV-Signature"}
		}
		signing = append(signing, hub.SigningScheme{Type: kind, Header: header})
	}
	give := func(name string, value any, given bool) {
		if given {
			body[name] = value
		}
	}
	give("events", c.Event, len(c.Event) > 0)
	give("enabled", false, c.Disabled)
	give("key_pair", true, c.KeyPair)
	give("rate_limit", c.RateLimit, c.RateLimit != 0)
	give("retry", map[string]any{"schedule": c.Schedule}, len(c.Schedule) > 0)
	give("headers", c.Header, len(c.Header) > 0)
	give("signing", signing, len(signing) > 0)
	return body, nil
}

type webhooksEnableCmd struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"Ids of endpoints."`
}

// Help gives an example.
func (webhooksEnableCmd) Help() string {
	return `Example:
  tocsin webhooks enable whk_01J0`
}

// Run switches webhooks on.
func (c *webhooksEnableCmd) Run(ctx context.Context, p *program) error {
	return c.change(ctx, p, c.IDs, map[string]any{"enabled": true})
}

type webhooksDisableCmd struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"Ids of endpoints."`
}

// Help gives an example.
func (webhooksDisableCmd) Help() string {
	return `Example:
  tocsin webhooks disable whk_01J0`
}

// Run switches webhooks off.
func (c *webhooksDisableCmd) Run(ctx context.Context, p *program) error {
	return c.change(ctx, p, c.IDs, map[string]any{"enabled": false})
}

// change changes endpoints alike.
func (a *apiFlags) change(ctx context.Context, p *program, ids []string, body map[string]any) error {
	return a.each(ctx, p, ids, http.MethodPatch, "/webhooks/%s", body, func(answer jsontext.Value) error {
		var e hub.Endpoint
		if err := json.Unmarshal(answer, &e); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s is %s\n", e.ID, endpointState(&e))
		return err
	})
}

type webhooksDeleteCmd struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"Ids of endpoints."`
}

// Help gives an example.
func (webhooksDeleteCmd) Help() string {
	return `Example:
  tocsin webhooks delete whk_01J0`
}

// Run removes webhooks.
func (c *webhooksDeleteCmd) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, c.IDs, http.MethodDelete, "/webhooks/%s", nil, nil)
}

type webhooksTestCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the endpoint."`
}

// Help gives an example.
func (webhooksTestCmd) Help() string {
	return `Exits with 1 if the receiver did not take it.

Example:
  tocsin webhooks test whk_01J0`
}

// Run sends a test event.
func (c *webhooksTestCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodPost, "/webhooks/"+url.PathEscape(c.ID)+"/test", nil)
	if err != nil {
		return err
	}
	var a hub.Attempt
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	if c.JSON {
		err = p.raw(answer)
	} else {
		err = attempts(p, []hub.Attempt{a})
	}
	if err == nil && a.Status/100 != 2 {
		fmt.Fprintln(p.stderr, "tocsin: the receiver did not take the test event; look at the error, mend it there and test again")
		return exit(exitFailure)
	}
	return err
}

type webhooksRotateCmd struct {
	apiFlags
	ID    string `arg:"" help:"Id of the endpoint."`
	Grace string `placeholder:"DURATION" help:"How long the old secret signs on; 24h if not given."`

	KeyPair bool `help:"Make a new key pair for v1a in place of a new secret."`
}

// Help gives an example.
func (webhooksRotateCmd) Help() string {
	return `Example:
  tocsin webhooks rotate-secret whk_01J0 --grace 1h`
}

// Run makes a new secret.
func (c *webhooksRotateCmd) Run(ctx context.Context, p *program) error {
	body := map[string]any{}
	if c.KeyPair {
		body["key_pair"] = true
	}
	if c.Grace != "" {
		if _, err := time.ParseDuration(c.Grace); err != nil {
			return &ops.UsageError{Msg: "--grace must be a duration such as 1h"}
		}
		body["grace"] = c.Grace
	}
	answer, err := c.ask(ctx, p, http.MethodPost, "/webhooks/"+url.PathEscape(c.ID)+"/rotate-secret", body)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	var s struct {
		Secret    string `json:"secret"`
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return err
	}
	if s.PublicKey != "" {
		_, err = fmt.Fprintf(p.stdout, "new public key: %s\n", s.PublicKey)
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "new secret (shown this once): %s\n", s.Secret)
	return err
}
