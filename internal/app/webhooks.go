package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines/route"
)

// maxWebhooks bounds the webhook endpoints of a tenant, because each event is
// held against all of them.
const maxWebhooks = 1000

// webhooks are the endpoints that people make over the API.
type webhooks struct {
	st     *store.Store
	rules  *ruler
	source string // the hub's own URI
	wake   func()

	// check gives the same verdict on a URL as a delivery will.
	check func(ctx context.Context, url string) error
	// newSecret makes a signing secret; checkSecret refuses a bad one.
	newSecret   func() string
	checkSecret func(text string) error
	// send makes one attempt.
	send func(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error)
}

var _ api.Webhooks = (*webhooks)(nil)

// List shows the webhook endpoints.
func (w *webhooks) List(ctx context.Context, t hub.TenantID, pg page.Request) (api.List[*hub.Endpoint], error) {
	out := api.List[*hub.Endpoint]{}
	after, err := page.Decode("webhooks", pg.After)
	if err != nil {
		return out, err
	}
	all, err := w.all(ctx, t)
	if err != nil {
		return out, err
	}
	if pg.Page > 0 {
		n := int64(len(all))
		out.Total = &n
	}
	i, found := slices.BinarySearchFunc(all, after, func(e *hub.Endpoint, id string) int { return strings.Compare(string(e.ID), id) })
	if found {
		i++
	}
	all = all[min(i+pg.Skip(), len(all)):]
	if len(all) > pg.Limit {
		all = all[:pg.Limit]
		out.Next = page.Encode("webhooks", string(all[pg.Limit-1].ID))
	}
	out.Data = all
	return out, nil
}

func (w *webhooks) all(ctx context.Context, t hub.TenantID) (all []*hub.Endpoint, err error) {
	err = w.st.View(ctx, func(r *store.Reader) error {
		all, err = r.Endpoints(t)
		return err
	})
	return slices.DeleteFunc(all, func(e *hub.Endpoint) bool { return e.Kind != hub.KindWebhook }), err
}

// Endpoint shows one.
func (w *webhooks) Endpoint(ctx context.Context, t hub.TenantID, id hub.EndpointID) (e *hub.Endpoint, err error) {
	err = w.st.View(ctx, func(r *store.Reader) error {
		e, err = findWebhook(r, t, id)
		return err
	})
	return e, err
}

func findWebhook(r *store.Reader, t hub.TenantID, id hub.EndpointID) (*hub.Endpoint, error) {
	e, err := r.Endpoint(t, id)
	if err == nil && e.Kind != hub.KindWebhook {
		err = hub.E(hub.NotFound, fmt.Sprintf("there is no webhook endpoint %q", id))
	}
	return e, err
}

// validate says everything that is wrong with e.
func (w *webhooks) validate(ctx context.Context, e *hub.Endpoint) error {
	fields := route.Check(e)
	if err := w.check(ctx, e.URL); err != nil {
		fields = append(fields, hub.Field{Pointer: "/url", Detail: reason(err)})
	}
	for _, s := range e.Secrets.Signing {
		if err := w.checkSecret(s.Text); err != nil {
			fields = append(fields, hub.Field{Pointer: "/secret", Detail: reason(err)})
		}
	}
	for i, s := range e.Signing {
		if s.Type != "hex" && s.Type != "timestamped" {
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/signing/%d/type", i), Detail: fmt.Sprintf("%q is not one of hex, timestamped", s.Type)})
		}
		if !validHeader(s.Header) {
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/signing/%d/header", i), Detail: "must be the name of a header, such as X-CV-Signature"})
		}
	}
	for name, v := range e.Headers {
		if !validHeader(name) || reservedHeader(name) || strings.ContainsAny(v, "\r\n\x00") {
			fields = append(fields, hub.Field{Pointer: "/headers/" + name, Detail: "is not a header that can be set"})
		}
	}
	if e.Ordering == "" {
		e.Ordering = "none"
	}
	if len(fields) > 0 {
		return &hub.Error{Kind: hub.Invalid, Msg: strings.TrimPrefix(fields[0].Pointer, "/") + ": " + fields[0].Detail, Fields: fields}
	}
	return nil
}

// reason gives what a caller may be told of err.
func reason(err error) string {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}

func validHeader(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}

// reservedHeader reports whether the hub or the protocol sets the header itself.
func reservedHeader(name string) bool {
	switch name = strings.ToLower(name); name {
	case "host", "content-length", "content-type", "transfer-encoding", "connection", "te", "upgrade", "trailer":
		return true
	}
	return strings.HasPrefix(name, "webhook-")
}

// Create makes an endpoint; the secret is returned once.
func (w *webhooks) Create(ctx context.Context, p hub.Principal, e *hub.Endpoint, idem api.Idempotency) (string, error) {
	if !p.Can("webhooks:create") {
		return "", hub.E(hub.Forbidden, "this needs the permission webhooks:create")
	}
	if len(e.Secrets.Signing) == 0 {
		e.Secrets.Signing = []hub.SigningSecret{{Text: w.newSecret()}}
	}
	if err := w.validate(ctx, e); err != nil {
		return "", err
	}
	secret := e.Secrets.Signing[0].Text
	e.ID, e.Tenant, e.Kind, e.Version = hub.EndpointID(ident.New(hub.PrefixWebhook)), p.Tenant, hub.KindWebhook, 1
	e.CreatedAt = hub.Truncate(time.Now())
	e.UpdatedAt = e.CreatedAt
	err := w.st.Do(ctx, func(tx *store.Tx) error {
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		all, err := tx.Endpoints(p.Tenant)
		if err != nil {
			return err
		}
		if len(all) >= maxWebhooks {
			return hub.E(hub.Conflict, fmt.Sprintf("there are %d endpoints already, which is as many as there can be", len(all)))
		}
		tx.Audit(endpointEntry(p, "webhook.create", e))
		if err := tx.PutEndpoint(e, store.OriginAPI); err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, secret)
	})
	if err != nil {
		return "", err
	}
	return secret, w.rules.reload(ctx)
}

func endpointEntry(p hub.Principal, action string, e *hub.Endpoint) hub.AuditEntry {
	entry := hub.Audited(p, action, "webhook", string(e.ID))
	entry.Details = new(hub.Details).Str("enabled", fmt.Sprint(e.Enabled)).Strs("events", e.Events).Str("name", e.Name).Str("url", e.URL).Int("version", e.Version).Value()
	return entry
}

// Update changes an endpoint. One that is enabled again gets what was held.
func (w *webhooks) Update(ctx context.Context, p hub.Principal, id hub.EndpointID, ifMatch int64, change func(*hub.Endpoint) error) (*hub.Endpoint, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	e, err := w.Endpoint(ctx, p.Tenant, id)
	if err != nil {
		return nil, err
	}
	version, held := e.Version, !e.Enabled
	if ifMatch != 0 && ifMatch != version {
		return nil, hub.E(hub.Precondition, fmt.Sprintf("the endpoint is at version %d, not %d; read it again", version, ifMatch))
	}
	if err := change(e); err != nil {
		return nil, err
	}
	if err := w.validate(ctx, e); err != nil {
		return nil, err
	}
	e.Version, e.UpdatedAt = version+1, hub.Truncate(time.Now())
	err = w.st.Do(ctx, func(tx *store.Tx) error {
		if err := unchanged(tx, p.Tenant, id, version); err != nil {
			return err
		}
		tx.Audit(endpointEntry(p, "webhook.update", e))
		return tx.PutEndpoint(e, store.OriginAPI)
	})
	if err == nil {
		err = w.rules.reload(ctx)
	}
	if err == nil && held && e.Enabled {
		err = w.release(ctx, e)
	}
	return e, err
}

// release sends what was held for an endpoint, in the order in which it came. It
// comes after the relay has seen the endpoint enabled, which would hold it again
// otherwise; if the hub dies in between, the next start does it.
func (w *webhooks) release(ctx context.Context, e *hub.Endpoint) error {
	return w.st.Do(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(w.wake)
		_, err := tx.ReleaseHeld(e.Tenant, e.ID, e.UpdatedAt)
		return err
	})
}

// unchanged refuses a change that was made from an older version.
func unchanged(tx *store.Tx, t hub.TenantID, id hub.EndpointID, version int64) error {
	now, err := findWebhook(&tx.Reader, t, id)
	if err == nil && now.Version != version {
		err = hub.E(hub.Conflict, "the endpoint was changed by someone else meanwhile; read it again")
	}
	return err
}

// Delete removes an endpoint. What was not delivered to it is over.
func (w *webhooks) Delete(ctx context.Context, p hub.Principal, id hub.EndpointID) error {
	if !p.Can("webhooks:delete") {
		return hub.E(hub.Forbidden, "this needs the permission webhooks:delete")
	}
	err := w.st.Do(ctx, func(tx *store.Tx) error {
		e, err := findWebhook(&tx.Reader, p.Tenant, id)
		if err != nil {
			return err
		}
		tx.Audit(endpointEntry(p, "webhook.delete", e))
		return tx.DeleteEndpoint(p.Tenant, id)
	})
	if err != nil {
		return err
	}
	return w.rules.reload(ctx)
}

// maxSecrets is how many secrets sign at once.
const maxSecrets = 5

// Rotate makes a new secret; the old ones sign on until grace is over.
func (w *webhooks) Rotate(ctx context.Context, p hub.Principal, id hub.EndpointID, grace time.Duration) (string, error) {
	if grace < 0 || grace > 7*24*time.Hour {
		return "", &hub.Error{Kind: hub.Invalid, Msg: "grace must be from 0s to 168h", Fields: []hub.Field{{Pointer: "/grace", Detail: "must be from 0s to 168h"}}}
	}
	secret := w.newSecret()
	_, err := w.Update(ctx, p, id, 0, func(e *hub.Endpoint) error {
		now := time.Now()
		next := []hub.SigningSecret{{Text: secret}}
		for _, s := range e.Secrets.Signing {
			if s.Expires.IsZero() || s.Expires.After(now.Add(grace)) {
				s.Expires = hub.Truncate(now.Add(grace))
			}
			if s.Expires.After(now) && len(next) < maxSecrets {
				next = append(next, s)
			}
		}
		e.Secrets.Signing = next
		return nil
	})
	return secret, err
}

// Test sends webhook.test now and tells how it went. The event is kept and the
// delivery is listed, but it is not tried again.
func (w *webhooks) Test(ctx context.Context, p hub.Principal, id hub.EndpointID) (hub.Attempt, error) {
	if !p.Can("webhooks:update") {
		return hub.Attempt{}, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	e, err := w.Endpoint(ctx, p.Tenant, id)
	if err != nil {
		return hub.Attempt{}, err
	}
	if err := w.check(ctx, e.URL); err != nil {
		return hub.Attempt{}, &hub.Error{Kind: hub.Invalid, Msg: "url: " + reason(err), Fields: []hub.Field{{Pointer: "/url", Detail: reason(err)}}}
	}
	d, err := w.testDelivery(ctx, p, e)
	if err != nil {
		return hub.Attempt{}, err
	}
	a, sendErr := w.send(ctx, e, d)
	now := hub.Truncate(time.Now())
	d.State, d.Attempts, d.Status, d.UpdatedAt, d.DueAt = hub.DeliverySucceeded, 1, a.Status, now, time.Time{}
	a.Delivery, a.Number, a.Verdict = d.ID, 1, "succeeded"
	if sendErr != nil {
		d.State, d.Error, d.Fault, a.Verdict = hub.DeliveryDead, reason(sendErr), "endpoint", "dead"
		a.Error = d.Error
	}
	return a, w.st.Do(ctx, func(tx *store.Tx) error {
		tx.AddAttempt(p.Tenant, &a)
		entry := hub.Audited(p, "webhook.test", "webhook", string(e.ID))
		entry.Details = new(hub.Details).Str("delivery", string(d.ID)).Str("error", d.Error).Int("status", int64(a.Status)).Value()
		tx.Audit(entry)
		return tx.UpdateDelivery(d)
	})
}

// testDelivery records the test before it is sent, leased so that the worker
// leaves it alone.
func (w *webhooks) testDelivery(ctx context.Context, p hub.Principal, e *hub.Endpoint) (*hub.Delivery, error) {
	now := hub.Truncate(time.Now())
	ev := &hub.Event{
		SpecVersion: "1.0", ID: hub.EventID(ident.New(hub.PrefixEvent)), Source: w.source, Type: hub.WebhookTest, Subject: string(e.ID),
		Time: now, Timestamp: now, Tenant: p.Tenant, Data: hub.EventData{Actor: p.Name(), Endpoint: &hub.EndpointBrief{ID: e.ID, Name: e.Name, Kind: e.Kind, URL: e.URL}},
	}
	d := &hub.Delivery{
		ID: hub.DeliveryID(ident.New(hub.PrefixDelivery)), Tenant: p.Tenant, Endpoint: e.ID, Kind: e.Kind, Action: hub.ActionSend,
		State: hub.DeliveryHeld, EventID: ev.ID, EventType: ev.Type, Subject: ev.Subject, CreatedAt: now, UpdatedAt: now,
	}
	err := w.st.Do(ctx, func(tx *store.Tx) error {
		ev.Sequence = tx.NextSequence()
		body, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		d.Sequence, d.Body = ev.Sequence, body
		tx.AddEvent(hub.EventRecord{Sequence: ev.Sequence, ID: ev.ID, Tenant: p.Tenant, Type: ev.Type, Subject: ev.Subject, At: now, Body: body})
		tx.AddDelivery(d)
		return nil
	})
	return d, err
}
