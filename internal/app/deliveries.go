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
	st   *store.Store
	wake func()
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
	return v, nil
}

// Retry makes a delivery due now. One that is being sent is left alone.
func (d *deliveries) Retry(ctx context.Context, p hub.Principal, id hub.DeliveryID) (*hub.Delivery, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	var x hub.Delivery
	err := d.st.Do(ctx, func(tx *store.Tx) (err error) {
		if x, err = tx.Delivery(p.Tenant, id); err != nil {
			return err
		}
		if x.State == hub.DeliveryDelivering {
			return hub.E(hub.Conflict, "the delivery is being sent right now; look at it again in a moment")
		}
		now := hub.Truncate(time.Now())
		x.State, x.DueAt, x.UpdatedAt, x.Fault = hub.DeliveryPending, now, now, ""
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
