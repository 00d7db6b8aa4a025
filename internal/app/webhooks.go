package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/relay/sign"
	"github.com/tocsin/tocsin/relay/webhook"
)

// maxWebhooks bounds the webhook endpoints of a tenant, because each event is
// held against all of them.
const maxWebhooks = 1000

// webhooks are the endpoints that people make over the API.
type webhooks struct {
	st     *store.Store
	rules  *ruler
	source string // the hub's own URI
	wake   func() // tells the worker that something is due
	poke   func() // tells the steward that there is something to release or replay

	// check gives the same verdict on a URL as a delivery will.
	check   func(ctx context.Context, url string) error
	timeout time.Duration // of a trial, where the endpoint does not say
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
	for _, e := range all {
		w.shown(e)
	}
	out.Data = all
	return out, nil
}

func (w *webhooks) all(ctx context.Context, t hub.TenantID) (all []*hub.Endpoint, err error) {
	err = w.st.View(ctx, func(r *store.Reader) error {
		all, err = r.Endpoints(t)
		return err
	})
	return slices.DeleteFunc(all, func(e *hub.Endpoint) bool { return e.Kind != hub.KindWebhook || isChannel(e.ID) }), err
}

// Endpoint shows one.
func (w *webhooks) Endpoint(ctx context.Context, t hub.TenantID, id hub.EndpointID) (e *hub.Endpoint, err error) {
	err = w.st.View(ctx, func(r *store.Reader) error {
		e, err = findWebhook(r, t, id)
		return err
	})
	return w.shown(e), err
}

// shown adds to an endpoint whether it fails. It is the caller's own.
func (w *webhooks) shown(e *hub.Endpoint) *hub.Endpoint {
	if e != nil {
		e.Breaker = w.rules.breaker(e.ID)
	}
	return e
}

func findWebhook(r *store.Reader, t hub.TenantID, id hub.EndpointID) (*hub.Endpoint, error) {
	e, err := r.Endpoint(t, id)
	if err == nil && (e.Kind != hub.KindWebhook || isChannel(id)) {
		err = hub.E(hub.NotFound, fmt.Sprintf("there is no webhook endpoint %q", id))
	}
	return e, err
}

// validate says everything that is wrong with e.
func (w *webhooks) validate(ctx context.Context, e *hub.Endpoint) error {
	fields := append(route.Check(e), webhook.Check(e)...)
	if err := w.check(ctx, e.URL); err != nil {
		if hub.KindOf(err) == hub.Transient {
			return err // the resolver does not answer: nobody can say yet
		}
		fields = append(fields, hub.Field{Pointer: "/url", Detail: reason(err)})
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

// Create makes an endpoint; the secret is returned once.
func (w *webhooks) Create(ctx context.Context, p hub.Principal, e *hub.Endpoint, idem api.Idempotency) (string, error) {
	if !p.Can("webhooks:create") {
		return "", hub.E(hub.Forbidden, "this needs the permission webhooks:create")
	}
	if len(e.Secrets.Signing) == 0 {
		e.Secrets.Signing = []hub.SigningSecret{{Text: sign.NewSecret()}}
	}
	settleKeys(e)
	if err := w.validate(ctx, e); err != nil {
		return "", err
	}
	secret := e.Secrets.Signing[0].Text
	e.ID, e.Tenant, e.Kind, e.Version = hub.EndpointID(ident.New(hub.PrefixWebhook)), p.Tenant, hub.KindWebhook, 1
	e.CreatedAt = hub.Truncate(w.st.Now())
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
	entry.Details = new(hub.Details).Str("enabled", fmt.Sprint(e.Enabled)).Strs("events", e.Events).Str("name", e.Name).Str("url", e.ShownURL()).Int("version", e.Version).Value()
	return entry
}

// Update changes an endpoint. One that is enabled again gets what was held, in the
// order in which it came.
func (w *webhooks) Update(ctx context.Context, p hub.Principal, id hub.EndpointID, ifMatch int64, change func(*hub.Endpoint) error) (*hub.Endpoint, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	e, err := w.Endpoint(ctx, p.Tenant, id)
	if err != nil {
		return nil, err
	}
	e.Breaker = nil
	version, was := e.Version, *e
	if ifMatch != 0 && ifMatch != version {
		return nil, hub.E(hub.Precondition, fmt.Sprintf("the endpoint is at version %d, not %d; read it again", version, ifMatch))
	}
	if err := change(e); err != nil {
		return nil, err
	}
	settleKeys(e)
	if err := w.validate(ctx, e); err != nil {
		return nil, err
	}
	e.Version, e.UpdatedAt = version+1, hub.Truncate(w.st.Now())
	err = w.st.Do(ctx, func(tx *store.Tx) error {
		if err := unchanged(tx, p.Tenant, id, version); err != nil {
			return err
		}
		tx.Audit(endpointEntry(p, "webhook.update", e))
		if was.Enabled != e.Enabled || was.URL != e.URL { // it is tried again as if it had never failed
			if err := w.rules.putBreaker(tx, e.Tenant, e.ID, nil); err != nil {
				return err
			}
		}
		return tx.PutEndpoint(e, store.OriginAPI)
	})
	if err == nil {
		err = w.rules.reload(ctx)
	}
	w.poke() // it may have been switched on or off
	return w.shown(e), err
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
		if err := w.rules.putBreaker(tx, p.Tenant, id, nil); err != nil {
			return err
		}
		return tx.DeleteEndpoint(p.Tenant, id)
	})
	if err != nil {
		return err
	}
	defer w.poke() // what is held for it is over
	return w.rules.reload(ctx)
}
