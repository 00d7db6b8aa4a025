// Package slack posts to Slack, with a bot token (chat.postMessage) or through
// an incoming webhook, by way of slack-go. It is the only package that imports
// it.
//
// With a bot token one message stands for one life (generation) of an alert: a
// card with the colour of its severity, fields, links and buttons. What happens to
// the alert later changes the card (chat.update) and is said in its thread; a card
// that somebody deleted is posted anew. Which message it is comes back with the
// attempt, to be stored together with it. A webhook's messages cannot be changed:
// it gets the card first and a short message for each change.
//
// Slack takes a message a second for a channel. Endpoints that share token and
// channel take turns, and what comes in a burst is summed up in one message that
// counts it; see [relay.Gatherer]. A playbook's message is never summed up.
//
// Text from outside is escaped and notifies nobody; what exceeds Slack's limits is
// trimmed, never refused.
//
// Slack knows no idempotency key. Each message carries its deliveries in its
// metadata, so that one that may have been sent already is looked for before it is
// sent again; where the token may not read the channel, or through a webhook, it
// shows twice.
//
// What people do with the buttons comes in as an [Interaction].
package slack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ratelimit"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
)

// How messages go together: Slack takes one a second for a channel, and people
// read fewer. What is less than a burst goes one by one.
const (
	every = time.Second
	burst = 6
	most  = 500
	rest  = 10 * time.Second
)

// Messages that one token may change: Slack lets it change 50 a minute.
const (
	editsPerMinute = 45
	editsAtOnce    = 5
)

// Options of a Target. All but Client may be left out.
type Options struct {
	Client *safehttp.Client
	// Link gives the address where people see an object, "" if there is none.
	Link func(subject string) string
	// Postings gives the messages at an endpoint that stand for lives of the alerts.
	Postings func(ctx context.Context, e *hub.Endpoint, alerts []hub.AlertID) ([]hub.Posting, error)
	// Buttons reports whether what people press at an endpoint is heard; without,
	// cards have none.
	Buttons func(e *hub.Endpoint) bool
	// Template gives the text of the endpoint's own template with a name (text) for
	// an event, "" if there is none. It stands in place of the description.
	Template func(e *hub.Endpoint, name string, d *hub.Delivery, ev *hub.Event) string
	// Edits is how many messages a token changes in a minute; 45 if zero.
	Edits int
	Now   func() time.Time
}

// A Target posts to Slack.
type Target struct {
	o     Options
	edits *ratelimit.Limiter // of chat.update, by token

	mu     sync.Mutex           // guards closed
	closed map[string]time.Time // until when a token may change nothing, because Slack said so
}

// New makes the target.
func New(o Options) *Target {
	if o.Link == nil {
		o.Link = func(string) string { return "" }
	}
	if o.Postings == nil {
		o.Postings = func(context.Context, *hub.Endpoint, []hub.AlertID) ([]hub.Posting, error) { return nil, nil }
	}
	if o.Buttons == nil {
		o.Buttons = func(*hub.Endpoint) bool { return false }
	}
	if o.Template == nil {
		o.Template = func(*hub.Endpoint, string, *hub.Delivery, *hub.Event) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Edits = cmp.Or(o.Edits, editsPerMinute)
	return &Target{o: o, edits: ratelimit.New(10_000), closed: map[string]time.Time{}}
}

var _ relay.Gatherer = (*Target)(nil)

// Token is the name of the bot token among the secrets of an endpoint,
// SigningSecret that of the secret by which Slack's requests are known.
const (
	Token         = "bot_token"
	SigningSecret = "signing_secret"
)

// pace is the time between two messages: a second, unless the endpoint's rate
// limit says another, such as for a server of one's own that speaks as Slack does.
func pace(e *hub.Endpoint) time.Duration {
	if e.RateLimit > 0 {
		return time.Second / time.Duration(e.RateLimit)
	}
	return every
}

// Gather says that all that goes to one channel shares a pace.
func (t *Target) Gather(e *hub.Endpoint) relay.Gathering {
	pool := e.URL
	if token := e.Secrets.Tokens[Token]; token != "" {
		pool = e.Config["api_url"] + " " + token + " " + e.Config["channel"]
	}
	return relay.Gathering{Pool: "slack " + digest(pool), Every: pace(e), From: burst, Most: most, Rest: rest / every * pace(e), InOrder: true, StepsApart: true}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// params are what a playbook step gives.
type params struct {
	Message  string        `json:"message"`
	Approval *hub.Approval `json:"approval"` // that is asked for
	How      string        `json:"how"`      // to answer without buttons
}

// Send posts one message, or changes the one that there is and adds to its thread.
func (t *Target) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	ev, err := relay.EventOf(d)
	if err != nil {
		return hub.Attempt{}, err
	}
	var p params
	if len(d.Params) > 0 {
		if err := json.Unmarshal(d.Params, &p); err != nil {
			return hub.Attempt{}, hub.Wrap(hub.Internal, err, "the step's values cannot be read")
		}
	}
	c := content{
		ev: ev, given: p.Message, text: t.o.Template(e, "text", d, ev), note: relay.NoteOf(d), delivery: string(d.ID),
		link: t.o.Link(ev.Subject), buttons: t.o.Buttons(e),
	}
	if p.Approval != nil {
		c.question = &question{a: p.Approval, how: p.How, link: c.link, buttons: c.buttons && e.Secrets.Tokens[Token] != ""}
	}
	if e.Secrets.Tokens[Token] == "" {
		return t.webhook(ctx, e, c.forWebhook())
	}
	k, err := t.talk(e)
	if err != nil {
		return hub.Attempt{}, err
	}
	err = k.send(ctx, d, &c)
	return k.attempt(), err
}

// longestAnswer is of a page of messages; that to a post holds the message.
const longestAnswer = 4 << 20

// A talk is what one attempt has to say to Slack with a bot token.
type talk struct {
	*Target
	e       *hub.Endpoint
	x       *relay.Exchange
	api     *api.Client
	channel string

	code   string // why Slack refused the last request; "" if it did not
	place  string // where the message is: the channel's id
	ts     string // the message
	posted []hub.Posting
}

func (t *Target) talk(e *hub.Endpoint) (*talk, error) {
	k := &talk{Target: t, e: e, x: relay.NewExchange(t.o.Client, e), channel: e.Config["channel"]}
	k.x.Limit = longestAnswer
	if k.channel == "" {
		return nil, hub.E(hub.Invalid, "the Slack endpoint has a bot token but no channel; set its channel")
	}
	options := []api.Option{api.OptionHTTPClient(k.x.Client())}
	if base := e.Config["api_url"]; base != "" {
		options = append(options, api.OptionAPIURL(strings.TrimSuffix(base, "/")+"/"))
	}
	k.api = api.New(e.Secrets.Tokens[Token], options...)
	return k, nil
}

// attempt is the record of what was said: of the last request, with the message
// that it came to.
func (k *talk) attempt() hub.Attempt {
	a := k.x.Attempt
	a.Posted = k.posted
	if k.ts != "" {
		a.Reference = k.place + "/" + k.ts
	}
	return a
}

// judged keeps Slack's code beside what it means.
func (k *talk) judged(err error) error {
	k.code = codeOf(err)
	return judge(k.x, err)
}

// lost reports whether the message that the last request was about is not there.
func (k *talk) lost() bool { return k.code == "message_not_found" || k.code == "thread_not_found" }

// post posts a message, in a thread if there is one.
func (k *talk) post(ctx context.Context, m *message, more ...api.MsgOption) error {
	place, ts, err := k.api.PostMessageContext(ctx, k.channel, append(m.options(), more...)...)
	if err := k.judged(err); err != nil {
		return err
	}
	k.place, k.ts = short(place), short(ts)
	return nil
}

// short bounds what Slack calls things.
func short(id string) string { return id[:min(len(id), maxID)] }

// webhook uses the incoming webhook, whose URL is the credential.
func (t *Target) webhook(ctx context.Context, e *hub.Endpoint, m *message) (hub.Attempt, error) {
	if e.URL == "" {
		return hub.Attempt{}, hub.E(hub.Invalid, "the Slack endpoint has neither a bot token nor an incoming webhook's URL; give it one of them")
	}
	x := relay.NewExchange(t.o.Client, e, secretPart(e.URL)...)
	no := false
	err := api.PostWebhookCustomHTTPContext(ctx, e.URL, x.Client(), &api.WebhookMessage{
		Text: m.text, Blocks: &api.Blocks{BlockSet: m.blocks}, Attachments: m.attachments(), UnfurlLinks: &no, UnfurlMedia: &no,
	})
	return x.Attempt, judge(x, err)
}

// secretPart gives the URL and its path, for masking.
func secretPart(url string) []string {
	_, rest, _ := strings.Cut(url, "://")
	_, path, _ := strings.Cut(rest, "/")
	return []string{url, "/" + path, path}
}
