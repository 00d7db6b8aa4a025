package app

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay"
)

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
	return w.try(ctx, p, e, "webhook")
}

// try sends a test to an endpoint, which the audit log calls what.
func (w *webhooks) try(ctx context.Context, p hub.Principal, e *hub.Endpoint, what string) (hub.Attempt, error) {
	d, err := w.testDelivery(ctx, p, e)
	if err != nil {
		return hub.Attempt{}, err
	}
	limited, cancel := context.WithTimeout(ctx, w.limit(e))
	defer cancel()
	began, at := time.Now(), hub.Truncate(w.st.Now())
	a, sendErr := w.send(limited, e, d)
	now := hub.Truncate(w.st.Now())
	a.At, a.Duration = at, hub.Duration(time.Since(began).Round(time.Microsecond))
	d.State, d.Attempts, d.Status, d.UpdatedAt, d.DueAt = hub.DeliverySucceeded, 1, a.Status, now, time.Time{}
	a.Delivery, a.Number, a.Verdict = d.ID, 1, relay.VerdictSucceeded
	if sendErr != nil {
		d.State, d.Error, d.Fault, a.Verdict = hub.DeliveryDead, reason(sendErr), relay.FaultEndpoint, relay.VerdictDead
		a.Error, a.Refused = d.Error, relay.RefusedBy(sendErr)
	}
	return a, w.st.Do(ctx, func(tx *store.Tx) error {
		record := tx.AddAttempt(p.Tenant, &a)
		entry := hub.Audited(p, what+".test", what, string(e.ID))
		entry.Details = new(hub.Details).Str("delivery", string(d.ID)).Str("digest", a.Digest).Str("error", d.Error).Str("record", record).Int("status", int64(a.Status)).Value()
		tx.Audit(entry)
		_, err := tx.ConcludeDelivery(d, "")
		return err
	})
}

// limit is how long the trial may take.
func (w *webhooks) limit(e *hub.Endpoint) time.Duration {
	if e.Timeout > 0 {
		return time.Duration(e.Timeout)
	}
	return w.timeout
}

// trialLease is what the trial is stored under while it is sent, so that the
// worker leaves it alone. If the hub dies meanwhile, the worker sends it, once.
const trialLease = "trial"

// testDelivery records the test before it is sent.
func (w *webhooks) testDelivery(ctx context.Context, p hub.Principal, e *hub.Endpoint) (*hub.Delivery, error) {
	now := hub.Truncate(w.st.Now())
	ev := &hub.Event{
		SpecVersion: "1.0", ID: hub.EventID(ident.New(hub.PrefixEvent)), Source: w.source, Type: hub.WebhookTest, Subject: string(e.ID),
		Time: now, Timestamp: now, Tenant: p.Tenant, Data: hub.EventData{Actor: p.Name(), Endpoint: &hub.EndpointBrief{ID: e.ID, Name: e.Name, Kind: e.Kind, URL: e.ShownURL()}},
	}
	action := hub.ActionSend
	if e.Kind != hub.KindWebhook {
		action = hub.ActionPost
	}
	d := &hub.Delivery{
		ID: hub.DeliveryID(ident.New(hub.PrefixDelivery)), Tenant: p.Tenant, Endpoint: e.ID, Kind: e.Kind, Action: action,
		State: hub.DeliveryDelivering, Lease: trialLease, DueAt: now.Add(w.limit(e) + time.Minute),
		Options: &hub.DeliveryOptions{Retry: &hub.RetryPolicy{Attempts: 1}}, EventID: ev.ID, EventType: ev.Type, Subject: ev.Subject, CreatedAt: now, UpdatedAt: now,
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
