// Package slack posts to Slack, with a bot token (chat.postMessage) or through
// an incoming webhook, by way of slack-go. It is the only package that imports
// it.
//
// An alert becomes a card: header, what changed, fields, a context line. A
// playbook's message stands in the card's place. Text from outside is escaped
// and notifies nobody; what exceeds Slack's limits is trimmed, never refused.
//
// Slack knows no idempotency key: a delivery that is sent again after a crash
// shows twice. The card's context block carries the delivery's id as block_id.
package slack

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
)

// Options of a Target.
type Options struct {
	Client *safehttp.Client
	// Link gives the address where people see an object, "" if there is none.
	// It may be nil.
	Link func(subject string) string
}

// A Target posts to Slack.
type Target struct{ o Options }

// New makes the target.
func New(o Options) *Target {
	if o.Link == nil {
		o.Link = func(string) string { return "" }
	}
	return &Target{o}
}

var _ relay.Target = (*Target)(nil)

// params are what a playbook step gives.
type params struct {
	Message string `json:"message"`
}

// Send posts one message.
func (t *Target) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	m, err := t.message(d)
	if err != nil {
		return hub.Attempt{}, err
	}
	if token := e.Secrets.Tokens["bot_token"]; token != "" {
		return t.post(ctx, e, token, m)
	}
	if e.URL == "" {
		return hub.Attempt{}, hub.E(hub.Invalid, "the Slack endpoint has neither a bot token nor an incoming webhook's URL; give it one of them")
	}
	return t.webhook(ctx, e, m)
}

func (t *Target) message(d *hub.Delivery) (*message, error) {
	ev, err := relay.EventOf(d)
	if err != nil {
		return nil, err
	}
	var p params
	if len(d.Params) > 0 {
		if err := json.Unmarshal(d.Params, &p); err != nil {
			return nil, hub.Wrap(hub.Internal, err, "the step's values cannot be read")
		}
	}
	return compose(ev, p.Message, string(d.ID), t.o.Link(ev.Subject)), nil
}

// post uses the Web API, which answers 200 with an error code.
func (t *Target) post(ctx context.Context, e *hub.Endpoint, token string, m *message) (hub.Attempt, error) {
	channel := e.Config["channel"]
	if channel == "" {
		return hub.Attempt{}, hub.E(hub.Invalid, "the Slack endpoint has a bot token but no channel; set its channel")
	}
	x := relay.NewExchange(t.o.Client, e)
	options := []api.Option{api.OptionHTTPClient(x.Client())}
	if base := e.Config["api_url"]; base != "" {
		options = append(options, api.OptionAPIURL(strings.TrimSuffix(base, "/")+"/"))
	}
	_, _, err := api.New(token, options...).PostMessageContext(ctx, channel,
		api.MsgOptionText(m.text, false), api.MsgOptionBlocks(m.blocks...),
		api.MsgOptionDisableLinkUnfurl(), api.MsgOptionDisableMediaUnfurl())
	return x.Attempt, judge(x, err)
}

// webhook uses the incoming webhook, whose URL is the credential.
func (t *Target) webhook(ctx context.Context, e *hub.Endpoint, m *message) (hub.Attempt, error) {
	x := relay.NewExchange(t.o.Client, e, secretPart(e.URL)...)
	no := false
	err := api.PostWebhookCustomHTTPContext(ctx, e.URL, x.Client(), &api.WebhookMessage{
		Text: m.text, Blocks: &api.Blocks{BlockSet: m.blocks}, UnfurlLinks: &no, UnfurlMedia: &no,
	})
	return x.Attempt, judge(x, err)
}

// secretPart gives the URL and its path, for masking.
func secretPart(url string) []string {
	_, rest, _ := strings.Cut(url, "://")
	_, path, _ := strings.Cut(rest, "/")
	return []string{url, "/" + path, path}
}
