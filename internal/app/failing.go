package app

import (
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay"
)

// disable switches an endpoint off because its far side said so for good.
func (q *queue) disable(tx *store.Tx, o *relay.Outcome) error {
	e, err := tx.Endpoint(o.Delivery.Tenant, o.Delivery.Endpoint)
	if hub.KindOf(err) == hub.NotFound || err == nil && !e.Enabled {
		return nil
	}
	if err != nil {
		return err
	}
	e.Enabled, e.Disabled, e.UpdatedAt = false, o.Disable, hub.Truncate(tx.Now())
	e.Version++
	tx.Audit(endpointEntry(hub.System(e.Tenant), "endpoint.disable", e))
	q.log.Warn("endpoint switched off; its events are held", "endpoint", e.ID, "reason", o.Disable)
	if err := tx.PutEndpoint(e, store.OriginAPI); err != nil {
		return err
	}
	if err := q.rules.putBreaker(tx, e.Tenant, e.ID, nil); err != nil {
		return err
	}
	return q.tell(tx, hub.EndpointDisabled, e, o.Disable)
}

// tell announces what became of an endpoint.
func (q *queue) tell(tx *store.Tx, typ hub.EventType, e *hub.Endpoint, why string) error {
	brief := &hub.EndpointBrief{ID: e.ID, Name: e.Name, Kind: e.Kind, URL: e.ShownURL(), Reason: why}
	return q.announce(tx, e.Tenant, typ, string(e.ID), hub.EventData{Endpoint: brief, Reason: why, Actor: "system"})
}

// open stores that an endpoint's breaker is open. Only the first time is told:
// later ones are probes that failed.
func (q *queue) open(tx *store.Tx, o *relay.Outcome) error {
	d := &o.Delivery
	old, err := tx.Breaker(d.Endpoint)
	if err != nil {
		return err
	}
	b := &hub.Breaker{State: hub.BreakerOpen, Since: d.UpdatedAt, Reason: o.Open.Reason, Probes: o.Open.Probes, ProbeAt: o.Open.ProbeAt}
	if old != nil {
		b.Since, b.Reason, b.Probes = old.Since, old.Reason, max(old.Probes, b.Probes)
	}
	if err := q.rules.putBreaker(tx, d.Tenant, d.Endpoint, b); err != nil || old != nil {
		return err
	}
	e := q.rules.endpoint(d.Endpoint)
	if e == nil {
		return nil
	}
	tx.Audit(endpointEntry(hub.System(e.Tenant), "endpoint.open", e))
	return q.tell(tx, hub.EndpointDisabled, e, "it fails, so its events are held until it takes them again: "+b.Reason)
}

// close stores that an endpoint takes deliveries again.
func (q *queue) close(tx *store.Tx, o *relay.Outcome) error {
	d := &o.Delivery
	old, err := tx.Breaker(d.Endpoint)
	if err != nil || old == nil {
		return err
	}
	if err := q.rules.putBreaker(tx, d.Tenant, d.Endpoint, nil); err != nil {
		return err
	}
	e := q.rules.endpoint(d.Endpoint)
	if e == nil {
		return nil
	}
	tx.Audit(endpointEntry(hub.System(e.Tenant), "endpoint.recover", e))
	down := d.UpdatedAt.Sub(old.Since).Round(time.Second)
	return q.tell(tx, hub.EndpointRecovered, e, "it takes events again after "+down.String()+"; those that were held follow in order")
}

// deadEvery is how often an endpoint's dead deliveries are told of.
const deadEvery = 10 * time.Minute

// deadLetters tells that deliveries are dead, now and then for each endpoint:
// where one dies, many often do. What tells of deliveries is not told of, or one
// endpoint that takes nothing would be told of for ever.
func (q *queue) deadLetters(tx *store.Tx, outcomes []relay.Outcome, lost map[hub.DeliveryID]bool) error {
	now, first := tx.Now(), map[hub.EndpointID]*relay.Outcome(nil)
	for i := range outcomes {
		d := &outcomes[i].Delivery
		if d.State != hub.DeliveryDead || lost[d.ID] || aboutDelivery(d.EventType) || now.Sub(q.told[d.Endpoint]) < deadEvery || first[d.Endpoint] != nil {
			continue
		}
		if first == nil {
			first = map[hub.EndpointID]*relay.Outcome{}
		}
		first[d.Endpoint] = &outcomes[i]
	}
	for id, o := range first {
		e := q.rules.endpoint(id)
		if e == nil {
			continue
		}
		why := "delivery " + string(o.Delivery.ID) + " is dead, by a fault of the " + o.Delivery.Fault + ": " + o.Delivery.Error
		if err := q.tell(tx, hub.DeliveryDeadEvent, e, why); err != nil {
			return err
		}
		tx.AfterCommit(func() { q.told[id] = now })
	}
	return nil
}

// aboutDelivery reports whether events of the type tell of deliveries, or only
// try one out.
func aboutDelivery(t hub.EventType) bool {
	return t == hub.EndpointDisabled || t == hub.EndpointRecovered || t == hub.DeliveryDeadEvent || t == hub.WebhookTest
}
