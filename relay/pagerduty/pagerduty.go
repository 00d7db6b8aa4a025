// Package pagerduty sends to PagerDuty's Events API v2 by way of go-pagerduty,
// and reads what comes back as v3 webhooks. It is the only package that imports
// go-pagerduty.
//
// One incident stands for one generation of an alert: the dedup_key is
// <alert id>:g<generation>, so that a reopened alert pages again. A step says
// what to do (trigger, acknowledge, resolve); for a subscription the event type
// does, and events that PagerDuty has nothing for are taken without a request.
//
// The same event twice does nothing at PagerDuty. go-pagerduty loses what the
// server says about a refused event; the exchange keeps it.
package pagerduty

import (
	"cmp"
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"
	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
)

// DefaultAPI is PagerDuty's address; accounts in the EU have another.
const DefaultAPI = "https://events.pagerduty.com"

// Options of a Target.
type Options struct {
	Client *safehttp.Client
	// Link gives the address where people see an object, "" if there is none.
	// It may be nil.
	Link func(subject string) string
	// KeyAt gives the dedup_key under which an endpoint knows what otherwise has
	// this key: an incident that was reopened at PagerDuty keeps its own. It may be
	// nil.
	KeyAt func(ctx context.Context, e *hub.Endpoint, key string) (string, error)
	// Template gives the text of the endpoint's own template with a name (summary)
	// for an event, "" if there is none. It may be nil.
	Template func(e *hub.Endpoint, name string, d *hub.Delivery, ev *hub.Event) string
}

// A Target sends to PagerDuty.
type Target struct{ o Options }

// New makes the target.
func New(o Options) *Target {
	if o.Link == nil {
		o.Link = func(string) string { return "" }
	}
	if o.KeyAt == nil {
		o.KeyAt = func(_ context.Context, _ *hub.Endpoint, key string) (string, error) { return key, nil }
	}
	return &Target{o}
}

var _ relay.Target = (*Target)(nil)

// params are what a playbook step gives.
type params struct {
	Summary  string         `json:"summary"`
	Message  string         `json:"message"` // notify's word for the summary
	Severity string         `json:"severity"`
	Details  map[string]any `json:"details"`

	Component string  `json:"component"`
	Group     string  `json:"group"`
	Class     string  `json:"class"`
	Links     []link  `json:"links"`
	Images    []image `json:"images"`
}

// throttled is how long an endpoint is left alone when PagerDuty throttles and
// does not say for how long: its window is a minute, and slides.
const throttled = 30 * time.Second

// keyLength is that of every integration key.
const keyLength = 32

// Send sends one event.
func (t *Target) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	if len(e.Secrets.Tokens["routing_key"]) != keyLength {
		return hub.Attempt{}, hub.E(hub.Invalid, "the PagerDuty endpoint's routing key must have 32 characters; copy the integration key of an Events API v2 integration")
	}
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
	t.add(e, d, ev, &p)
	return t.send(ctx, e, ev, &p, actionOf(d.Action, ev))
}

// add puts in what the endpoint's template says, where no step does, and what the
// alert rule says that asked for it.
func (t *Target) add(e *hub.Endpoint, d *hub.Delivery, ev *hub.Event, p *params) {
	if p.Summary == "" && p.Message == "" && t.o.Template != nil {
		p.Summary = strings.Join(strings.Fields(t.o.Template(e, "summary", d, ev)), " ")
	}
	if note := relay.NoteOf(d); note != "" {
		details := map[string]any{"alert_rule": note}
		maps.Copy(details, p.Details)
		p.Details = details
	}
}

func (t *Target) send(ctx context.Context, e *hub.Endpoint, ev *hub.Event, p *params, action string) (hub.Attempt, error) {
	key, err := t.dedupKey(ctx, e, ev)
	if err != nil {
		return hub.Attempt{}, err
	}
	old, err := t.over(ctx, e, ev, key, action)
	if err != nil {
		return hub.Attempt{}, err
	}
	if old != "" { // PagerDuty drops a resolve of what it does not know
		a, err := t.enqueue(ctx, e, &pagerduty.V2Event{Action: resolve, DedupKey: old})
		if err != nil {
			return a, err
		}
		if action == "" && ev.Data.Alert.Status == hub.AlertOpen {
			action = trigger
		}
	}
	if action == "" {
		return hub.Attempt{Body: "not sent: PagerDuty has nothing for this event"}, nil
	}
	msg, err := t.compose(ev, p, action, key)
	if err != nil {
		return hub.Attempt{}, err
	}
	return t.enqueue(ctx, e, msg)
}

func (t *Target) enqueue(ctx context.Context, e *hub.Endpoint, msg *pagerduty.V2Event) (hub.Attempt, error) {
	msg.RoutingKey = e.Secrets.Tokens["routing_key"]
	base := DefaultAPI
	if own := e.Config["api_url"]; own != "" {
		base = strings.TrimSuffix(strings.TrimSuffix(own, "/"), "/v2/enqueue")
	}
	x := relay.NewExchange(t.o.Client, e)
	// The client's own method: the package's function goes to the US address
	// with a client that has no time limit.
	client := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(base))
	client.HTTPClient = x.Client()
	_, err := client.ManageEventWithContext(ctx, msg)
	return x.Attempt, judge(x, err)
}

// judge says what the answer means. The status decides; err is go-pagerduty's
// and only tells of requests that were never made.
func judge(x *relay.Exchange, err error) error {
	status := x.Attempt.Status
	switch {
	case status == 0 && x.Err != nil:
		return x.Failure()
	case status == 0:
		return hub.Wrap(hub.Internal, err, "the event for PagerDuty cannot be built")
	case status == 202:
		return nil
	case status == 429:
		return &hub.Error{Kind: hub.RateLimited, Msg: "PagerDuty asks for fewer events (429)", RetryAfter: cmp.Or(retryAfter(x), throttled)}
	case status >= 500 || status == 408:
		return &hub.Error{Kind: hub.Transient, Msg: "PagerDuty answered " + strconv.Itoa(status), RetryAfter: retryAfter(x)}
	case status == 400:
		return hub.E(hub.Invalid, "PagerDuty refused the event: "+reasons(x.Attempt.Body))
	}
	return hub.E(hub.Invalid, "PagerDuty answered "+strconv.Itoa(status)+", want 202; check the endpoint's api_url")
}

func retryAfter(x *relay.Exchange) time.Duration {
	return relay.RetryAfter(x.Header.Get("Retry-After"), time.Now())
}

// maxReasons bounds what is repeated of the server's words.
const maxReasons = 300

// reasons reads what the server says of an event that it refused.
func reasons(body string) string {
	var answer struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil || answer.Message == "" && len(answer.Errors) == 0 {
		return "it does not say why; see the attempt's response"
	}
	text := answer.Message
	if len(answer.Errors) > 0 {
		text = strings.TrimPrefix(text+": ", ": ") + strings.Join(answer.Errors, ", ")
	}
	return cut(strings.Join(strings.Fields(text), " "), maxReasons)
}
