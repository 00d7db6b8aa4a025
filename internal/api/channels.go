package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// Channels are the endpoints that people are told by: Slack, PagerDuty, email,
// Elasticsearch and webhooks under a name.
type Channels interface {
	List(ctx context.Context, t hub.TenantID, pg page.Request) (List[Channel], error)
	Channel(ctx context.Context, t hub.TenantID, id hub.EndpointID) (Channel, error)
	// Create fills in the id; secret is that of a webhook, returned once.
	Create(ctx context.Context, p hub.Principal, e *hub.Endpoint, idem Idempotency) (c Channel, secret string, err error)
	// Update runs change on the endpoint and stores it if its checks hold.
	Update(ctx context.Context, p hub.Principal, id hub.EndpointID, ifMatch int64, change func(*hub.Endpoint) error) (Channel, error)
	Delete(ctx context.Context, p hub.Principal, id hub.EndpointID) error
	// Test sends webhook.test now, as the only attempt, and tells how it went.
	Test(ctx context.Context, p hub.Principal, id hub.EndpointID) (hub.Attempt, error)
}

// A Channel is an endpoint with where it was made: over the API or in the config
// file, which alone changes it then.
type Channel struct {
	*hub.Endpoint
	Origin string // api or config
}

// channelBody is a channel as it is made or changed. Pointers tell what was given.
type channelBody struct {
	Name          *string              `json:"name,omitempty" maxLength:"200" doc:"Unique; playbooks refer to it"`
	Kind          *string              `json:"kind,omitempty" enum:"slack,pagerduty,email,elasticsearch,webhook" doc:"What stands at the far side; it does not change"`
	Description   *string              `json:"description,omitempty" maxLength:"2000"`
	Enabled       *bool                `json:"enabled,omitempty" doc:"What is for a disabled channel is held"`
	Events        *[]string            `json:"events,omitempty" maxItems:"100" doc:"Globs such as alert.* or endpoint.*; none: only what alert rules and playbooks send"`
	Filter        *string              `json:"filter,omitempty" maxLength:"4096" doc:"Expression over the event"`
	URL           *string              `json:"url,omitempty" maxLength:"2048" doc:"A webhook's receiver, Slack's incoming webhook (shown masked), or the Elasticsearch"`
	APIURL        *string              `json:"api_url,omitempty" maxLength:"2048" doc:"In place of the address of Slack or PagerDuty"`
	Channel       *string              `json:"channel,omitempty" maxLength:"200" doc:"Slack channel, with bot_token"`
	Host          *string              `json:"host,omitempty" maxLength:"253" doc:"Mail server"`
	Port          *int                 `json:"port,omitempty" minimum:"1" maximum:"65535" doc:"Of the mail server; 587, or 465 with tls: tls"`
	TLS           *string              `json:"tls,omitempty" enum:"starttls,tls,none"`
	From          *string              `json:"from,omitempty" maxLength:"500" doc:"Who mails come from"`
	To            *[]string            `json:"to,omitempty" maxItems:"50" doc:"Who gets them"`
	Digest        *string              `json:"digest,omitempty" doc:"One mail for all that comes within this time, such as 1h"`
	Namespace     *string              `json:"namespace,omitempty" pattern:"^[a-z0-9][a-z0-9_.]{0,99}$" doc:"Last part of the names of data streams in Elasticsearch"`
	Username      *string              `json:"username,omitempty" maxLength:"500" doc:"Of a mail server or Elasticsearch"`
	Password      *string              `json:"password,omitempty" maxLength:"1000" doc:"Never shown"`
	Hooks         *[]string            `json:"webhook_secrets,omitempty" maxItems:"5" doc:"Of PagerDuty's webhook subscriptions, by which what is done there is seen here; never shown"`
	Setup         *bool                `json:"setup,omitempty" doc:"Install templates in Elasticsearch at first use; true if not given"`
	Streams       *[]string            `json:"streams,omitempty" enum:"alerts,findings,audit" doc:"What is written to Elasticsearch; all if not given"`
	BotToken      *string              `json:"bot_token,omitempty" maxLength:"1000" doc:"Slack's, never shown"`
	SigningSecret *string              `json:"signing_secret,omitempty" maxLength:"500" doc:"Of the Slack app, by which buttons are heard; never shown"`
	RoutingKey    *string              `json:"routing_key,omitempty" maxLength:"100" doc:"PagerDuty's integration key, never shown"`
	APIKey        *string              `json:"api_key,omitempty" maxLength:"1000" doc:"Elasticsearch's, never shown"`
	Secret        *string              `json:"secret,omitempty" maxLength:"200" doc:"Of a webhook: whsec_ and base64; made if not given, and shown once"`
	Headers       *map[string]string   `json:"headers,omitempty" doc:"Of a webhook; shown masked"`
	Signing       *[]hub.SigningScheme `json:"signing,omitempty" maxItems:"10" doc:"Of a webhook: signatures beside the standard one"`
	Transform     *string              `json:"transform,omitempty" maxLength:"4096" doc:"Of a webhook: expression that gives the body"`
	Templates     *map[string]string   `json:"templates,omitempty" doc:"Go templates in place of the built-in texts: subject, title and body of an email, text of a Slack message, summary at PagerDuty"`
	RateLimit     *int                 `json:"rate_limit,omitempty" minimum:"0" maximum:"100000" doc:"Requests a second, 0 for no limit"`
	Timeout       *string              `json:"timeout,omitempty" doc:"Of one attempt, such as 15s"`
	Retry         *retryBody           `json:"retry,omitempty"`
	Ordering      *string              `json:"ordering,omitempty" enum:"none,key"`
}

// apply puts what was given into e.
func (b *channelBody) apply(e *hub.Endpoint) error {
	var f []hub.Field
	if b.Kind != nil && *b.Kind != e.Kind {
		f = append(f, hub.Field{Pointer: "/kind", Detail: "does not change; make another channel"})
	}
	was := *e
	set(&e.Name, b.Name)
	set(&e.Description, b.Description)
	set(&e.Events, b.Events)
	set(&e.Filter, b.Filter)
	set(&e.URL, b.URL)
	set(&e.Headers, b.Headers)
	set(&e.Signing, b.Signing)
	set(&e.Transform, b.Transform)
	set(&e.Templates, b.Templates)
	set(&e.RateLimit, b.RateLimit)
	set(&e.Ordering, b.Ordering)
	if b.Enabled != nil {
		e.Enabled, e.Disabled = *b.Enabled, ""
	}
	if b.Timeout != nil {
		e.Timeout = duration(&f, "/timeout", *b.Timeout)
	}
	if b.Retry != nil {
		e.Retry = b.Retry.policy(&f)
	}
	b.settings(e)
	b.secrets(e)
	f = append(f, b.moved(&was, e)...)
	if len(f) > 0 {
		return &hub.Error{Kind: hub.Invalid, Msg: f[0].Pointer[1:] + " " + f[0].Detail, Fields: f}
	}
	return nil
}

// A part is a setting that was given; "" takes it away.
type part struct {
	name  string
	value *string
}

// put gives a copy of old with the parts that were given.
func put(old map[string]string, parts []part) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for _, p := range parts {
		switch {
		case p.value == nil:
		case *p.value == "":
			delete(out, p.name)
		default:
			out[p.name] = *p.value
		}
	}
	return out
}

func (b *channelBody) settings(e *hub.Endpoint) {
	var port, to *string
	if b.Port != nil {
		text := strconv.Itoa(*b.Port)
		port = &text
	}
	if b.To != nil {
		text := strings.Join(*b.To, ", ")
		to = &text
	}
	var setup, streams *string
	if b.Setup != nil {
		text := ""
		if !*b.Setup {
			text = "false"
		}
		setup = &text
	}
	if b.Streams != nil {
		text := strings.Join(*b.Streams, " ")
		streams = &text
	}
	e.Config = put(e.Config, []part{
		{"setup", setup},
		{"streams", streams},
		{"api_url", b.APIURL},
		{"channel", b.Channel},
		{"host", b.Host},
		{"port", port},
		{"tls", b.TLS},
		{"from", b.From},
		{"to", to},
		{"digest", b.Digest},
		{"namespace", b.Namespace},
		{"username", b.Username},
	})
}

func (b *channelBody) tokens() []part {
	return []part{{"password", b.Password}, {"bot_token", b.BotToken}, {"routing_key", b.RoutingKey}, {"api_key", b.APIKey}}
}

func (b *channelBody) secrets(e *hub.Endpoint) {
	var hooks *string
	if b.Hooks != nil {
		text := strings.Join(*b.Hooks, " ")
		hooks = &text
	}
	heard := []part{{"signing_secret", b.SigningSecret}, {"webhook_secrets", hooks}} // which go nowhere
	e.Secrets.Tokens = put(put(e.Secrets.Tokens, b.tokens()), heard)
	if b.Secret != nil && *b.Secret != "" {
		e.Secrets.Signing = []hub.SigningSecret{{Text: *b.Secret}}
	}
}

// moved wants secrets to be given again where they would go to another place from
// now on: otherwise who may change a channel, and may not see its secrets, could
// have them sent to himself.
func (b *channelBody) moved(was, e *hub.Endpoint) (f []hub.Field) {
	place := func(e *hub.Endpoint) string {
		return strings.Join([]string{e.URL, e.Config["api_url"], e.Config["host"], e.Config["port"], e.Config["tls"]}, "\n")
	}
	if was.ID == "" || place(was) == place(e) {
		return nil
	}
	for _, p := range b.tokens() {
		if was.Secrets.Tokens[p.name] != "" && p.value == nil {
			f = append(f, hub.Field{Pointer: "/" + p.name, Detail: "must be given again, because it would be sent to another place now"})
		}
	}
	if len(was.Headers) > 0 && b.Headers == nil {
		f = append(f, hub.Field{Pointer: "/headers", Detail: "must be given again, because they would be sent to another place now"})
	}
	return f
}

// channelView is a channel as it is shown. Its credentials are only said to be set.
type channelView struct {
	*hub.Endpoint
	To       []string          `json:"to,omitempty"`
	Origin   string            `json:"origin" doc:"api or config: what the config file holds is changed there"`
	ReadOnly bool              `json:"read_only"`
	Secrets  map[string]string `json:"secrets" doc:"Which are set"`
	Secret   string            `json:"secret,omitempty" doc:"Of a webhook, right after it was made"`
}

func channelShown(c Channel, secret string) channelView {
	e := *masked(c.Endpoint)
	v := channelView{Endpoint: &e, Origin: c.Origin, ReadOnly: c.Origin != "api", Secrets: map[string]string{}, Secret: secret}
	e.URL = e.ShownURL()
	for name := range e.Secrets.Tokens {
		v.Secrets[name] = "set"
	}
	if len(e.Secrets.Signing) > 0 {
		v.Secrets["secret"] = "set"
	}
	for to := range strings.SplitSeq(e.Config["to"], ",") {
		if to = strings.TrimSpace(to); to != "" {
			v.To = append(v.To, to)
		}
	}
	if e.Events == nil {
		e.Events = []string{}
	}
	return v
}

type channelOutput struct {
	ETag string `header:"ETag"`
	Body channelView
}

func channelAnswer(c Channel, secret string, err error) (*channelOutput, error) {
	if err != nil {
		return nil, err
	}
	return &channelOutput{etag(c.Version), channelShown(c, secret)}, nil
}

// ChannelID is the path parameter of a channel.
type ChannelID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) channelRoutes() {
	const tag = "channels"
	register(s, operation{method: "GET", path: "/channels", permission: "alert_channels:read", summary: "List channels", tag: tag},
		func(ctx context.Context, p hub.Principal, in *PageParams) (*listOutput[channelView], error) {
			pg, err := in.parse()
			if err != nil {
				return nil, err
			}
			l, err := s.deps.Channels.List(ctx, p.Tenant, pg)
			out := List[channelView]{Next: l.Next, Total: l.Total}
			for _, c := range l.Data {
				out.Data = append(out.Data, channelShown(c, ""))
			}
			return listOf(out, err)
		})
	register(s, operation{method: "POST", path: "/channels", permission: "alert_channels:create", summary: "Make a channel; a webhook's secret is shown once", status: 201, tag: tag}, s.createChannel)
	register(s, operation{method: "GET", path: "/channels/{id}", permission: "alert_channels:read", summary: "Show a channel", tag: tag},
		func(ctx context.Context, p hub.Principal, in *ChannelID) (*channelOutput, error) {
			c, err := s.deps.Channels.Channel(ctx, p.Tenant, hub.EndpointID(in.ID))
			return channelAnswer(c, "", err)
		})
	register(s, operation{method: "PATCH", path: "/channels/{id}", permission: "alert_channels:update", summary: "Change a channel", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			ChannelID
			IfMatch string `header:"If-Match"`
			Body    channelBody
		},
		) (*channelOutput, error) {
			version, err := parseVersion(in.IfMatch)
			if err != nil {
				return nil, err
			}
			c, err := s.deps.Channels.Update(ctx, p, hub.EndpointID(in.ID), version, in.Body.apply)
			return channelAnswer(c, "", err)
		})
	register(s, operation{method: "DELETE", path: "/channels/{id}", permission: "alert_channels:delete", summary: "Remove a channel; its deliveries stay as evidence", status: 204, tag: tag},
		func(ctx context.Context, p hub.Principal, in *ChannelID) (*struct{}, error) {
			return &struct{}{}, s.deps.Channels.Delete(ctx, p, hub.EndpointID(in.ID))
		})
	register(s, operation{method: "POST", path: "/channels/{id}/test", permission: "alert_channels:update", summary: "Send a test message and tell how it went", tag: tag},
		func(ctx context.Context, p hub.Principal, in *ChannelID) (*struct{ Body hub.Attempt }, error) {
			a, err := s.deps.Channels.Test(ctx, p, hub.EndpointID(in.ID))
			return &struct{ Body hub.Attempt }{a}, err
		})
	register(s, operation{method: "GET", path: "/channels/{id}/deliveries", permission: "alert_channels:read", summary: "List the deliveries of a channel", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			ChannelID
			PageParams
			DeliveryFilter
		},
		) (*listOutput[hub.Delivery], error) {
			if _, err := s.deps.Channels.Channel(ctx, p.Tenant, hub.EndpointID(in.ID)); err != nil {
				return nil, err
			}
			return s.listDeliveries(ctx, p, &in.PageParams, in.query(in.ID))
		})
}

func (s *Server) createChannel(ctx context.Context, p hub.Principal, in *struct {
	IdemHeader
	Body channelBody
},
) (*channelOutput, error) {
	if in.Body.Kind == nil || *in.Body.Kind == "" {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: "kind is required", Fields: []hub.Field{{Pointer: "/kind", Detail: "is required: slack, pagerduty, email, elasticsearch or webhook"}}}
	}
	e := &hub.Endpoint{Tenant: p.Tenant, Kind: *in.Body.Kind, Enabled: true, Events: []string{}}
	if err := in.Body.apply(e); err != nil {
		return nil, err
	}
	shape := func(r any) any {
		return channelShown(Channel{Endpoint: e, Origin: "api"}, r.(string))
	}
	c, secret, err := s.deps.Channels.Create(ctx, p, e, in.key(p, 201, in.Body, shape))
	var again *Remembered
	if errors.As(err, &again) {
		var v channelView
		v.Endpoint = new(hub.Endpoint)
		if err := json.Unmarshal(again.Body, &v); err != nil {
			return nil, err
		}
		v.Events = slices.Clip(v.Events)
		return &channelOutput{etag(v.Version), v}, nil
	}
	return channelAnswer(c, secret, err)
}
