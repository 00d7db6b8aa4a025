package app

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
)

// deliveries shows what was sent and is to be sent.
type deliveries struct {
	st    *store.Store
	rules *ruler
	wake  func()
}

var _ api.Deliveries = (*deliveries)(nil)

// List shows deliveries, newest first.
func (d *deliveries) List(ctx context.Context, t hub.TenantID, q api.DeliveryQuery, pg page.Request) (api.List[hub.Delivery], error) {
	filter := store.DeliveryFilter{Endpoint: q.Endpoint, State: q.State, Kind: q.Kind, EventID: q.EventID, Subject: q.Subject}
	out := api.List[hub.Delivery]{}
	before, err := page.Decode("deliveries", pg.After)
	if err != nil {
		return out, err
	}
	err = d.st.View(ctx, func(r *store.Reader) (err error) {
		out.Data, err = r.ListDeliveries(t, &filter, hub.DeliveryID(before), pg.Skip(), pg.Limit+1)
		if err == nil && pg.Page > 0 {
			out.Total, err = totalDeliveries(r, t, &filter)
		}
		return err
	})
	for i := range out.Data {
		out.Data[i] = presentable(out.Data[i])
	}
	if len(out.Data) > pg.Limit {
		out.Data = out.Data[:pg.Limit]
		out.Next = page.Encode("deliveries", string(out.Data[pg.Limit-1].ID))
	}
	return out, err
}

func totalDeliveries(r *store.Reader, t hub.TenantID, f *store.DeliveryFilter) (*int64, error) {
	counts, err := r.CountDeliveries(t, f)
	var n int64
	for _, states := range counts {
		for _, c := range states {
			n += c
		}
	}
	return &n, err
}

// Delivery shows one delivery with its attempts.
func (d *deliveries) Delivery(ctx context.Context, t hub.TenantID, id hub.DeliveryID) (*api.DeliveryView, error) {
	v := new(api.DeliveryView)
	err := d.st.View(ctx, func(r *store.Reader) (err error) {
		if v.Delivery, err = r.Delivery(t, id); err != nil {
			return err
		}
		v.AttemptLog, err = r.Attempts(t, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.Delivery = presentable(v.Delivery)
	return v, nil
}

// presentable leaves out a time that stands for none: the delivery waits for the
// one before it.
func presentable(d hub.Delivery) hub.Delivery {
	if !d.DueAt.Before(hub.Never()) {
		d.DueAt = time.Time{}
	}
	return d
}

// Retry makes a delivery due now, in place of its next try. One that is being sent
// is left alone. One that is over starts its schedule anew; its attempts go on
// counting. At an endpoint that fails it is sent as a probe.
func (d *deliveries) Retry(ctx context.Context, p hub.Principal, id hub.DeliveryID) (*hub.Delivery, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	var x hub.Delivery
	err := d.st.Do(ctx, func(tx *store.Tx) (err error) {
		if x, err = tx.Delivery(p.Tenant, id); err != nil {
			return err
		}
		if err := d.rearm(&x, hub.Truncate(tx.Now())); err != nil {
			return err
		}
		if err := tx.UpdateDelivery(&x); err != nil {
			return err
		}
		e := hub.Audited(p, "delivery.retry", "delivery", string(id))
		e.Details = new(hub.Details).Int("attempts", int64(x.Attempts)).Str("endpoint", string(x.Endpoint)).Value()
		tx.Audit(e)
		tx.AfterCommit(d.wake)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &x, nil
}

// rearm makes x due now.
func (d *deliveries) rearm(x *hub.Delivery, now time.Time) error {
	e := d.rules.endpoint(x.Endpoint)
	switch {
	case x.State == hub.DeliveryDelivering:
		return hub.E(hub.Conflict, "the delivery is being sent right now; look at it again in a moment")
	case e == nil || e.Tenant != x.Tenant:
		return hub.E(hub.Conflict, "the endpoint of the delivery does not exist any more")
	case !e.Enabled:
		return hub.E(hub.Conflict, "the endpoint of the delivery is disabled; enable it, and what is held for it is sent")
	}
	if x.State.Final() {
		x.Base = x.Attempts
	}
	x.State, x.DueAt, x.UpdatedAt, x.Fault = hub.DeliveryPending, now, now, ""
	x.Probe = d.rules.breaker(e.ID) != nil
	return nil
}
