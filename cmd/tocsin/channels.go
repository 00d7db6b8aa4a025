package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
)

type channelsCmd struct {
	List   channelsListCmd   `cmd:"" help:"List channels."`
	Show   channelsShowCmd   `cmd:"" help:"Show a channel."`
	Create channelsCreateCmd `cmd:"" help:"Make a channel: slack, pagerduty, email, elasticsearch or webhook."`
	Test   channelsTestCmd   `cmd:"" help:"Send a test message now and tell how it went."`
	Delete channelsDeleteCmd `cmd:"" help:"Remove channels; their deliveries stay as evidence."`
}

// Help gives an example.
func (channelsCmd) Help() string {
	return `Examples:
  tocsin channels create soc-slack slack --channel '#soc' --secret bot_token=SLACK_BOT_TOKEN
  tocsin channels test chn_01J0`
}

// A channelShape is a channel as the API shows it.
type channelShape struct {
	hub.Endpoint
	To       []string          `json:"to"`
	Origin   string            `json:"origin"`
	ReadOnly bool              `json:"read_only"`
	Secrets  map[string]string `json:"secrets"`
	Secret   string            `json:"secret"`
}

// where is what the channel tells.
func (c *channelShape) where() string {
	switch {
	case c.Kind == hub.KindEmail:
		return strings.Join(c.To, " ")
	case c.URL != "":
		return c.URL
	}
	return or(c.Config["channel"], "-")
}

type channelsListCmd struct {
	apiFlags
	pageFlags
}

// Help gives an example.
func (channelsListCmd) Help() string {
	return `Example:
  tocsin channels list`
}

// Run lists channels.
func (c *channelsListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"ID", "NAME", "KIND", "STATE", "EVENTS", "FROM", "TELLS"}
	return list(ctx, p, &c.apiFlags, "/channels", filters(), c.pageFlags, header, func(s *channelShape) []string {
		return []string{string(s.ID), s.Name, s.Kind, endpointState(&s.Endpoint), or(commas(s.Events), "-"), s.Origin, s.where()}
	})
}

type channelsShowCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the channel."`
}

// Help gives an example.
func (channelsShowCmd) Help() string {
	return `Example:
  tocsin channels show chn_01J0`
}

// Run shows a channel.
func (c *channelsShowCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodGet, "/channels/"+url.PathEscape(c.ID), nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	return showChannel(p, answer)
}

func showChannel(p *program, answer jsontext.Value) error {
	var c channelShape
	if err := json.Unmarshal(answer, &c); err != nil {
		return err
	}
	t := newTable(p.stdout)
	secrets := make([]string, 0, len(c.Secrets))
	for name := range c.Secrets {
		secrets = append(secrets, name)
	}
	slices.Sort(secrets)
	for _, f := range [][2]string{
		{"id", string(c.ID)},
		{"name", c.Name},
		{"kind", c.Kind},
		{"state", endpointState(&c.Endpoint)},
		{"made", c.Origin},
		{"tells", c.where()},
		{"events", commas(c.Events)},
		{"filter", c.Filter},
		{"secrets set", strings.Join(secrets, " ")},
		{"description", c.Description},
		{"created", clock(c.CreatedAt)},
		{"updated", clock(c.UpdatedAt)},
	} {
		t.row(f[0], or(f[1], "-"))
	}
	if err := t.flush(); err != nil || c.Secret == "" {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "\nsecret (shown this once): %s\n", c.Secret)
	return err
}

type channelsCreateCmd struct {
	apiFlags
	Name        string            `arg:"" help:"Name by which playbooks refer to it."`
	Kind        string            `arg:"" enum:"slack,pagerduty,email,elasticsearch,webhook" help:"slack, pagerduty, email, elasticsearch or webhook."`
	Event       []string          `placeholder:"GLOB,…" help:"Events to tell of, such as alert.*; none: only what alert rules and playbooks send."`
	Filter      string            `placeholder:"EXPR" help:"Expression over the event; false keeps it from being sent."`
	Description string            `placeholder:"TEXT" help:"For people."`
	Endpoint    string            `placeholder:"URL" help:"Of a webhook's receiver, Slack's incoming webhook or Elasticsearch."`
	APIURL      string            `name:"api-url" placeholder:"URL" help:"In place of the address of Slack or PagerDuty."`
	Channel     string            `placeholder:"NAME" help:"Slack channel, with the secret bot_token."`
	Host        string            `placeholder:"NAME" help:"Mail server."`
	Port        int               `placeholder:"N" help:"Its port; 587, or 465 with --tls tls."`
	TLS         string            `name:"tls" enum:",starttls,tls,none" default:"" placeholder:"starttls|tls|none" help:"How mail is encrypted on its way; starttls if not given."`
	From        string            `placeholder:"ADDRESS" help:"Who mails come from."`
	To          []string          `placeholder:"ADDRESS,…" help:"Who gets them."`
	Digest      string            `placeholder:"DURATION" help:"One mail for all that comes within this time, such as 1h."`
	Username    string            `placeholder:"NAME" help:"Of the mail server or Elasticsearch."`
	Template    map[string]string `placeholder:"TEXT=TEMPLATE" help:"Text of one's own, such as subject='{{.alert.title}}'; may be given several times."`
	Secret      map[string]string `placeholder:"NAME=VARIABLE" help:"A secret and the environment variable that holds it: password, bot_token, signing_secret, routing_key, api_key, secret."`
	Disabled    bool              `help:"Make it disabled; what is for it is held."`
}

// Help gives an example.
func (channelsCreateCmd) Help() string {
	return `Secrets are read from environment variables, so that they stand in no list of processes.

Examples:
  tocsin channels create soc-mail email --host smtp.example.com --from tocsin@example.com --to soc@example.com --username tocsin --secret password=SMTP_PASSWORD --event 'alert.*'
  tocsin channels create duty pagerduty --secret routing_key=PAGERDUTY_ROUTING_KEY`
}

// Run makes a channel.
func (c *channelsCreateCmd) Run(ctx context.Context, p *program) error {
	body, err := c.body(p.environ)
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, p, http.MethodPost, "/channels", body)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	return showChannel(p, answer)
}

// body is what the flags ask for.
func (c *channelsCreateCmd) body(environ []string) (map[string]any, error) {
	body := map[string]any{"name": c.Name, "kind": c.Kind}
	for name, value := range map[string]string{
		"filter": c.Filter, "description": c.Description, "url": c.Endpoint, "api_url": c.APIURL, "channel": c.Channel, "host": c.Host,
		"tls": c.TLS, "from": c.From, "digest": c.Digest, "username": c.Username,
	} {
		if value != "" {
			body[name] = value
		}
	}
	for name, variable := range c.Secret {
		if !slices.Contains([]string{"password", "bot_token", "signing_secret", "routing_key", "api_key", "secret"}, name) {
			return nil, &ops.UsageError{Msg: "--secret must name password, bot_token, signing_secret, routing_key, api_key or secret, and a variable, such as password=SMTP_PASSWORD"}
		}
		i := slices.IndexFunc(environ, func(v string) bool { return strings.HasPrefix(v, variable+"=") && len(v) > len(variable)+1 })
		if i < 0 {
			return nil, &ops.UsageError{Msg: "the environment variable " + variable + " is not set; it should hold the " + name}
		}
		_, body[name], _ = strings.Cut(environ[i], "=")
	}
	give := func(name string, value any, given bool) {
		if given {
			body[name] = value
		}
	}
	give("events", c.Event, len(c.Event) > 0)
	give("port", c.Port, c.Port != 0)
	give("to", c.To, len(c.To) > 0)
	give("templates", c.Template, len(c.Template) > 0)
	give("enabled", false, c.Disabled)
	return body, nil
}

type channelsTestCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the channel."`
}

// Help gives an example.
func (channelsTestCmd) Help() string {
	return `Exits with 1 if the far side did not take it.

Example:
  tocsin channels test chn_01J0`
}

// Run sends a test message.
func (c *channelsTestCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodPost, "/channels/"+url.PathEscape(c.ID)+"/test", nil)
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
	if err == nil && a.Verdict != "succeeded" {
		fmt.Fprintln(p.stderr, "tocsin: the far side did not take the test message; look at the error, mend it there or change the channel, and test again")
		return exit(exitFailure)
	}
	return err
}

type channelsDeleteCmd struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"Ids of channels."`
}

// Help gives an example.
func (channelsDeleteCmd) Help() string {
	return `Example:
  tocsin channels delete chn_01J0`
}

// Run removes channels.
func (c *channelsDeleteCmd) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, c.IDs, http.MethodDelete, "/channels/%s", nil, nil)
}
