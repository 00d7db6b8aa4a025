package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
)

// webhookBody is a webhook endpoint as it is made or changed. Pointers tell what
// was given.
type webhookBody struct {
	URL         *string              `json:"url,omitempty" maxLength:"2048"`
	Name        *string              `json:"name,omitempty" maxLength:"200" doc:"By which playbooks refer to it"`
	Description *string              `json:"description,omitempty" maxLength:"2000"`
	Enabled     *bool                `json:"enabled,omitempty" doc:"Events for a disabled endpoint are held"`
	Events      *[]string            `json:"events,omitempty" maxItems:"100" doc:"Globs such as alert.*; all events if not given"`
	Filter      *string              `json:"filter,omitempty" maxLength:"4096" doc:"Expression over the event"`
	Headers     *map[string]string   `json:"headers,omitempty" doc:"Sent along with every request"`
	Signing     *[]hub.SigningScheme `json:"signing,omitempty" maxItems:"10" doc:"Signatures beside the standard one: type hex or timestamped"`
	RateLimit   *int                 `json:"rate_limit,omitempty" minimum:"0" maximum:"100000" doc:"Requests a second, 0 for no limit"`
	Timeout     *string              `json:"timeout,omitempty" doc:"Of one attempt, such as 15s"`
	Retry       *retryBody           `json:"retry,omitempty"`
	Ordering    *string              `json:"ordering,omitempty" enum:"none,key"`
	Transform   *string              `json:"transform,omitempty" maxLength:"4096"`
	Secret      *string              `json:"secret,omitempty" maxLength:"200" doc:"whsec_ and base64 of 24–64 bytes; made if not given. A change holds at once; rotate-secret lets the old one sign on"`
	KeyPair     *bool                `json:"key_pair,omitempty" doc:"true adds v1a signatures (ed25519), verified with the public key of the answer; false ends them"`
}

type retryBody struct {
	Schedule []string `json:"schedule,omitempty" maxItems:"50" doc:"Waits before each further try, such as 5s, 5m"`
	Jitter   *float64 `json:"jitter,omitempty" minimum:"0" maximum:"1"`
	Initial  string   `json:"initial,omitempty"`
	Factor   float64  `json:"factor,omitempty" minimum:"1" maximum:"100"`
	Max      string   `json:"max,omitempty"`
	Attempts int      `json:"attempts,omitempty" minimum:"1" maximum:"100"`
}

// apply puts what was given into e.
func (b *webhookBody) apply(e *hub.Endpoint) error {
	set(&e.URL, b.URL)
	set(&e.Name, b.Name)
	set(&e.Description, b.Description)
	set(&e.Events, b.Events)
	set(&e.Filter, b.Filter)
	set(&e.Headers, b.Headers)
	set(&e.Signing, b.Signing)
	set(&e.RateLimit, b.RateLimit)
	set(&e.Ordering, b.Ordering)
	set(&e.Transform, b.Transform)
	if b.Enabled != nil {
		e.Enabled, e.Disabled = *b.Enabled, ""
	}
	if b.Secret != nil && *b.Secret != "" {
		e.Secrets.Signing = append([]hub.SigningSecret{{Text: *b.Secret}}, slices.DeleteFunc(e.Secrets.Signing, func(s hub.SigningSecret) bool {
			return strings.HasPrefix(s.Text, "whsec_")
		})...)
	}
	switch {
	case b.KeyPair == nil:
	case !*b.KeyPair:
		e.PublicKeys = nil
	case len(e.PublicKeys) == 0:
		e.PublicKeys = []hub.PublicKey{{}} // one is made
	}
	var f []hub.Field
	if b.Timeout != nil {
		e.Timeout = duration(&f, "/timeout", *b.Timeout)
	}
	if b.Retry != nil {
		e.Retry = b.Retry.policy(&f)
	}
	if len(f) > 0 {
		return &hub.Error{Kind: hub.Invalid, Msg: f[0].Pointer[1:] + " " + f[0].Detail, Fields: f}
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func duration(f *[]hub.Field, pointer, s string) hub.Duration {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		*f = append(*f, hub.Field{Pointer: pointer, Detail: "must be a duration such as 15s or 5m"})
	}
	return hub.Duration(d)
}

func (b *retryBody) policy(f *[]hub.Field) *hub.RetryPolicy {
	p := &hub.RetryPolicy{Jitter: b.Jitter, Factor: b.Factor, Attempts: b.Attempts}
	for i, s := range b.Schedule {
		p.Schedule = append(p.Schedule, duration(f, "/retry/schedule/"+itoa(i), s))
	}
	if b.Initial != "" {
		p.Initial = duration(f, "/retry/initial", b.Initial)
	}
	if b.Max != "" {
		p.Max = duration(f, "/retry/max", b.Max)
	}
	return p
}

// webhookView is an endpoint as it is shown, with its secret only right after
// that was made.
type webhookView struct {
	*hub.Endpoint
	Secret string `json:"secret,omitempty"`
}

// masked hides the values of headers, which may hold credentials.
func masked(e *hub.Endpoint) *hub.Endpoint {
	if e == nil || len(e.Headers) == 0 {
		return e
	}
	c := *e
	c.Headers = make(map[string]string, len(e.Headers))
	for name := range e.Headers {
		c.Headers[name] = "***"
	}
	return &c
}

type webhookOutput struct {
	ETag string `header:"ETag"`
	Body webhookView
}

func webhookAnswer(e *hub.Endpoint, secret string, err error) (*webhookOutput, error) {
	if err != nil {
		return nil, err
	}
	return &webhookOutput{etag(e.Version), webhookView{masked(e), secret}}, nil
}

// WebhookID is the path parameter of a webhook endpoint.
type WebhookID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) webhookRoutes() {
	const tag = "webhooks"
	register(s, operation{method: "GET", path: "/webhooks", permission: "webhooks:read", summary: "List webhook endpoints", tag: tag},
		func(ctx context.Context, p hub.Principal, in *PageParams) (*listOutput[*hub.Endpoint], error) {
			pg, err := in.parse()
			if err != nil {
				return nil, err
			}
			l, err := s.deps.Webhooks.List(ctx, p.Tenant, pg)
			for i, e := range l.Data {
				l.Data[i] = masked(e)
			}
			return listOf(l, err)
		})
	register(s, operation{method: "POST", path: "/webhooks", permission: "webhooks:create", summary: "Make a webhook endpoint; the secret is shown once", status: 201, tag: tag}, s.createWebhook)
	register(s, operation{method: "GET", path: "/webhooks/{id}", permission: "webhooks:read", summary: "Show a webhook endpoint", tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*webhookOutput, error) {
			e, err := s.deps.Webhooks.Endpoint(ctx, p.Tenant, hub.EndpointID(in.ID))
			return webhookAnswer(e, "", err)
		})
	register(s, operation{method: "PATCH", path: "/webhooks/{id}", permission: "webhooks:update", summary: "Change a webhook endpoint", tag: tag}, s.patchWebhook)
	register(s, operation{method: "DELETE", path: "/webhooks/{id}", permission: "webhooks:delete", summary: "Remove a webhook endpoint; its deliveries stay as evidence", status: 204, tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*struct{}, error) {
			return &struct{}{}, s.deps.Webhooks.Delete(ctx, p, hub.EndpointID(in.ID))
		})
	register(s, operation{method: "POST", path: "/webhooks/{id}/rotate-secret", permission: "webhooks:update", summary: "Make a new secret; the old one signs on until the grace is over", tag: tag}, s.rotateSecret)
	register(s, operation{method: "POST", path: "/webhooks/{id}/test", permission: "webhooks:update", summary: "Send webhook.test and tell how it went", tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*struct{ Body hub.Attempt }, error) {
			a, err := s.deps.Webhooks.Test(ctx, p, hub.EndpointID(in.ID))
			return &struct{ Body hub.Attempt }{a}, err
		})
	register(s, operation{method: "POST", path: "/webhooks/{id}/replay", permission: "webhooks:update", summary: "Send deliveries of a range of time again, in the background; dry_run only counts them", status: 202, tag: tag}, s.replay)
	register(s, operation{method: "GET", path: "/webhooks/{id}/replays", permission: "webhooks:read", summary: "List the newest replays of an endpoint", tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*listOutput[*hub.Replay], error) {
			all, err := s.deps.Webhooks.Replays(ctx, p.Tenant, hub.EndpointID(in.ID))
			return listOf(List[*hub.Replay]{Data: all}, err)
		})
	register(s, operation{method: "GET", path: "/replays/{id}", permission: "webhooks:read", summary: "Show how far a replay has come", tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*replayOutput, error) {
			return replayAnswer(s.deps.Webhooks.ReplayState(ctx, p.Tenant, hub.ReplayID(in.ID)))
		})
	register(s, operation{method: "POST", path: "/replays/{id}/cancel", permission: "webhooks:update", summary: "Stop a replay; the few that are due already are still sent", tag: tag},
		func(ctx context.Context, p hub.Principal, in *WebhookID) (*replayOutput, error) {
			return replayAnswer(s.deps.Webhooks.CancelReplay(ctx, p, hub.ReplayID(in.ID)))
		})
	register(s, operation{method: "GET", path: "/webhooks/{id}/deliveries", permission: "webhooks:read", summary: "List the deliveries of an endpoint", tag: tag}, s.endpointDeliveries)
}

func (s *Server) createWebhook(ctx context.Context, p hub.Principal, in *struct {
	IdemHeader
	Body webhookBody
},
) (*webhookOutput, error) {
	if in.Body.URL == nil || *in.Body.URL == "" {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: "url is required", Fields: []hub.Field{{Pointer: "/url", Detail: "is required: where the events go"}}}
	}
	e := &hub.Endpoint{Tenant: p.Tenant, Kind: hub.KindWebhook, Enabled: true, Events: []string{"*"}}
	if err := in.Body.apply(e); err != nil {
		return nil, err
	}
	shape := func(r any) any { return webhookView{masked(e), r.(string)} }
	secret, err := s.deps.Webhooks.Create(ctx, p, e, in.key(p, 201, in.Body, shape))
	var again *Remembered
	if errors.As(err, &again) {
		var v webhookView
		if err := json.Unmarshal(again.Body, &v); err != nil {
			return nil, err
		}
		return &webhookOutput{etag(v.Version), v}, nil
	}
	return webhookAnswer(e, secret, err)
}

func (s *Server) patchWebhook(ctx context.Context, p hub.Principal, in *struct {
	WebhookID
	IfMatch string `header:"If-Match"`
	Body    webhookBody
},
) (*webhookOutput, error) {
	version, err := parseVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	e, err := s.deps.Webhooks.Update(ctx, p, hub.EndpointID(in.ID), version, in.Body.apply)
	return webhookAnswer(e, "", err)
}

// defaultGrace is how long an old secret signs on (contract §4).
const defaultGrace = 24 * time.Hour

type rotateBody struct {
	Grace   string `json:"grace,omitempty" doc:"How long the old one signs on; 24h if not given"`
	KeyPair bool   `json:"key_pair,omitempty" doc:"Make a new key pair for v1a in place of a new secret"`
}

func (s *Server) rotateSecret(ctx context.Context, p hub.Principal, in *struct {
	WebhookID
	Body *rotateBody
},
) (*struct{ Body Rotated }, error) {
	r := Rotation{Grace: defaultGrace}
	if in.Body != nil {
		r.KeyPair = in.Body.KeyPair
	}
	if in.Body != nil && in.Body.Grace != "" {
		var f []hub.Field
		r.Grace = time.Duration(duration(&f, "/grace", in.Body.Grace))
		if len(f) > 0 {
			return nil, &hub.Error{Kind: hub.Invalid, Msg: "grace " + f[0].Detail, Fields: f}
		}
	}
	out, err := s.deps.Webhooks.Rotate(ctx, p, hub.EndpointID(in.ID), r)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Rotated }{out}, nil
}

// replayBody says what to send again.
type replayBody struct {
	Since  string   `json:"since" format:"date-time" doc:"Deliveries made at or after"`
	Until  string   `json:"until,omitempty" format:"date-time" doc:"and before; now if not given"`
	Events []string `json:"events,omitempty" maxItems:"100" doc:"Globs such as alert.*; all events if not given"`
	State  []string `json:"state,omitempty" maxItems:"6" enum:"pending,delivering,succeeded,retrying,held,dead" doc:"Of the deliveries, such as dead; whatever became of them if not given"`
	DryRun bool     `json:"dry_run,omitempty" doc:"Only count them"`
}

func (b *replayBody) spec() (out ReplaySpec, err error) {
	out = ReplaySpec{Events: b.Events, States: b.State, DryRun: b.DryRun}
	var f []hub.Field
	for _, v := range []struct {
		pointer, text string
		to            *time.Time
	}{{"/since", b.Since, &out.Since}, {"/until", b.Until, &out.Until}} {
		if v.text == "" {
			continue
		}
		if *v.to, err = time.Parse(time.RFC3339, v.text); err != nil {
			f = append(f, hub.Field{Pointer: v.pointer, Detail: "must be a time such as 2026-03-01T12:00:00Z"})
		}
	}
	if len(f) > 0 {
		return out, &hub.Error{Kind: hub.Invalid, Msg: f[0].Pointer[1:] + " " + f[0].Detail, Fields: f}
	}
	return out, nil
}

// replayView is a replay as it is shown. Count is Total by the name that fits a
// dry run.
type replayView struct {
	*hub.Replay
	DryRun bool  `json:"dry_run,omitempty"`
	Count  int64 `json:"count"`
}

type replayOutput struct {
	Status int
	Body   replayView
}

func replayAnswer(r *hub.Replay, err error) (*replayOutput, error) {
	if err != nil {
		return nil, err
	}
	return &replayOutput{200, replayView{Replay: r, Count: r.Total}}, nil
}

func (s *Server) replay(ctx context.Context, p hub.Principal, in *struct {
	WebhookID
	IdemHeader
	Body replayBody
},
) (*replayOutput, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return nil, err
	}
	shape := func(r any) any { return replayView{Replay: r.(*hub.Replay), Count: r.(*hub.Replay).Total} }
	r, err := s.deps.Webhooks.Replay(ctx, p, hub.EndpointID(in.ID), spec, in.key(p, 202, in.Body, shape))
	var again *Remembered
	if errors.As(err, &again) {
		out := &replayOutput{Status: again.Status}
		return out, json.Unmarshal(again.Body, &out.Body)
	}
	out, err := replayAnswer(r, err)
	if err != nil {
		return nil, err
	}
	if out.Status = 202; spec.DryRun { // nothing was recorded
		out.Status, out.Body.DryRun, out.Body.ID, out.Body.State = 200, true, "", "dry_run"
	}
	return out, nil
}
