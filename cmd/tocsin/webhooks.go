package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
)

type webhooksCmd struct {
	List         webhooksListCmd   `cmd:"" help:"List webhook endpoints."`
	Show         webhooksShowCmd   `cmd:"" help:"Show a webhook endpoint."`
	Create       webhooksCreateCmd `cmd:"" help:"Make a webhook endpoint; its secret is shown once."`
	Delete       webhooksDeleteCmd `cmd:"" help:"Remove webhook endpoints; their deliveries stay as evidence."`
	Test         webhooksTestCmd   `cmd:"" help:"Send webhook.test now and tell how it went."`
	RotateSecret webhooksRotateCmd `cmd:"" help:"Make a new secret; the old one signs on for a while."`
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
	t := newTable(p.stdout)
	for _, f := range [][2]string{
		{"id", string(e.ID)},
		{"url", e.URL},
		{"name", e.Name},
		{"state", endpointState(&e.Endpoint)},
		{"events", commas(e.Events)},
		{"filter", e.Filter},
		{"ordering", e.Ordering},
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
	Endpoint    string   `arg:"" help:"Where the events go, such as https://siem.example.com/hooks/tocsin."`
	Event       []string `placeholder:"GLOB,…" help:"Events to send, such as alert.*; all if not given."`
	Name        string   `placeholder:"NAME" help:"Name by which playbooks refer to it."`
	Description string   `placeholder:"TEXT" help:"For people."`
	Filter      string   `placeholder:"EXPR" help:"Expression over the event; false keeps it from being sent."`
	Ordering    string   `enum:",none,key" default:"" placeholder:"none|key" help:"key sends the events of one alert in order."`
	Disabled    bool     `help:"Make it disabled; its events are held."`
}

// Help gives an example.
func (webhooksCreateCmd) Help() string {
	return `Example:
  tocsin webhooks create https://siem.example.com/hooks/tocsin --event 'alert.*' --filter 'alert.severity_num >= severity_num("high")'`
}

// Run makes a webhook.
func (c *webhooksCreateCmd) Run(ctx context.Context, p *program) error {
	body := map[string]any{"url": c.Endpoint}
	for name, value := range map[string]string{"name": c.Name, "description": c.Description, "filter": c.Filter, "ordering": c.Ordering} {
		if value != "" {
			body[name] = value
		}
	}
	if len(c.Event) > 0 {
		body["events"] = c.Event
	}
	if c.Disabled {
		body["enabled"] = false
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
}

// Help gives an example.
func (webhooksRotateCmd) Help() string {
	return `Example:
  tocsin webhooks rotate-secret whk_01J0 --grace 1h`
}

// Run makes a new secret.
func (c *webhooksRotateCmd) Run(ctx context.Context, p *program) error {
	body := map[string]string{}
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
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "new secret (shown this once): %s\n", s.Secret)
	return err
}
