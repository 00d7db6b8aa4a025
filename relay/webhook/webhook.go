// Package webhook sends events to webhooks: signed POST requests.
//
// The body is the event exactly as it was stored, a CloudEvents 1.0 JSON event
// that is a Standard Webhooks payload too. It goes out as application/json and
// not as application/cloudevents+json, because that is what webhook receivers
// parse; the attributes of the event are in the body either way. A playbook's
// webhook.send may give a body of its own, and its notify adds the attribute
// message to the event.
//
// Headers: webhook-id, webhook-timestamp and webhook-signature with an entry
// for each live key, v1 of the shared secrets and then v1a of the key pairs;
// those of the endpoint's signing schemes, of which hex has room for the newest
// secret only; those that the endpoint's owner set.
//
// webhook-id is the event's id for a subscription. For a playbook step it is
// made of the delivery's id: a receiver that throws away ids it has seen would
// otherwise lose the step's message where it subscribes to the event as well.
// It is the same in every attempt.
//
// Success is 2xx. 410 switches the endpoint off; every other answer is tried
// again, because receivers answer 4xx for what they will take tomorrow. A
// receiver may say more in the header webhook-delivery: disable switches the
// endpoint off, abort-message ends this delivery.
package webhook

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/sign"
)

// Options of a Target.
type Options struct {
	Client *safehttp.Client // sends the hub's User-Agent
	// Transform gives the body for an endpoint that has an expression for it.
	// If it is nil, deliveries to such endpoints fail: sending something else
	// than was asked for would be worse.
	Transform func(expression string, event []byte) ([]byte, error)
	// Now gives the time that is signed; nil: the machine's. Receivers refuse what is
	// some minutes off.
	Now func() time.Time
}

// A Target sends to webhooks.
type Target struct{ o Options }

// New makes the target.
func New(o Options) *Target {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Target{o}
}

var _ relay.Target = (*Target)(nil)

// Send makes one request.
func (t *Target) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	body, err := t.body(e, d)
	if err != nil {
		return hub.Attempt{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return hub.Attempt{}, hub.E(hub.Invalid, "the endpoint's URL cannot be read; write one such as https://example.com/hooks/tocsin")
	}
	if req.Header, err = header(e, messageID(d), body, t.o.Now()); err != nil {
		return hub.Attempt{}, err
	}
	x := relay.NewExchange(t.o.Client, e)
	if _, err := x.RoundTrip(req); err != nil {
		return x.Attempt, x.Failure()
	}
	x.Attempt.Control = control(x.Header.Values(headerDelivery))
	// The head alone decides: a body that breaks off takes nothing back.
	return x.Attempt, judge(x.Attempt.Status, x.Header.Get("Retry-After"), t.o.Now())
}

// headerDelivery is where a receiver says what it wants beside its status.
const headerDelivery = "Webhook-Delivery"

// control reads the header; of several wishes the farthest reaching.
func control(values []string) (wish string) {
	for _, value := range values {
		for word := range strings.SplitSeq(value, ",") {
			switch word = strings.ToLower(strings.TrimSpace(word)); word {
			case hub.ControlDisable:
				return word
			case hub.ControlAbort:
				wish = word
			}
		}
	}
	return wish
}

// keys are what signs a request.
type keys struct {
	all    []sign.Key // shared secrets first
	shared []string   // their texts, newest first
}

// keysOf gives the keys of e that are live.
func keysOf(e *hub.Endpoint, now time.Time) (k keys, err error) {
	var pairs []sign.Key
	for _, s := range e.Secrets.Signing {
		if !s.Expires.IsZero() && !s.Expires.After(now) {
			continue
		}
		key, err := sign.ParseSecret(s.Text)
		switch {
		case err != nil:
			return k, hub.E(hub.Invalid, "a signing secret of the endpoint cannot be used: "+err.Error()+"; rotate it")
		case key.Public() != "":
			pairs = append(pairs, key)
		default:
			k.all, k.shared = append(k.all, key), append(k.shared, s.Text)
		}
	}
	if len(k.shared) == 0 {
		return k, hub.E(hub.Invalid, "the endpoint has no signing secret, and nothing is sent unsigned; rotate its secret")
	}
	k.all = append(k.all, pairs...)
	return k, nil
}

// header gives the request's headers. The hub's own win over the endpoint's.
func header(e *hub.Endpoint, id string, body []byte, now time.Time) (http.Header, error) {
	k, err := keysOf(e, now)
	if err != nil {
		return nil, err
	}
	unix := now.Unix()
	h := make(http.Header, 5+len(e.Headers)+len(e.Signing))
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	for _, s := range e.Signing {
		// As it is spelt: some receivers look for exactly that.
		h[s.Header] = []string{s.Prefix + legacy(s.Type, unix, body, k.shared)}
	}
	h["Content-Type"] = []string{"application/json"}
	h[sign.HeaderID] = []string{id}
	h[sign.HeaderTimestamp] = []string{strconv.FormatInt(unix, 10)}
	h[sign.HeaderSignature] = []string{sign.Sign(id, unix, body, k.all...)}
	return h, nil
}

func legacy(kind string, unix int64, body []byte, texts []string) string {
	if kind == "timestamped" {
		return sign.Timestamped(unix, body, texts...)
	}
	return sign.Hex(texts[0], body)
}

// judge says what an answer means.
func judge(status int, retryAfter string, now time.Time) error {
	if status >= 200 && status < 300 {
		return nil
	}
	answered := "the endpoint answered " + strconv.Itoa(status)
	if text := http.StatusText(status); text != "" {
		answered += " " + text
	}
	e := &hub.Error{Kind: hub.Transient, Msg: answered, RetryAfter: relay.RetryAfter(retryAfter, now)}
	switch {
	case status == http.StatusGone:
		e.Kind, e.RetryAfter = hub.Gone, 0
	case status == http.StatusTooManyRequests:
		e.Kind = hub.RateLimited
	case status >= 300 && status < 400:
		e.Msg += "; redirects are not followed, so set the URL to where it leads"
	}
	return e
}
