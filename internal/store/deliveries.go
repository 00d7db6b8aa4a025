package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
)

var deliveriesTable = &table{"deliveries", []string{
	"id", "tenant", "endpoint", "kind", "action", "state", "due_at", "lease", "attempts", "event_seq", "event_id",
	"event_type", "subject", "run_id", "step", "params", "options", "created_at", "updated_at", "status", "error", "fault",
	"order_key", "base",
}}

const deliveryColumns = "id, tenant, endpoint, kind, action, state, due_at, attempts, event_seq, event_id, event_type, " +
	"subject, run_id, step, params, options, created_at, updated_at, status, error, fault, lease, order_key, base"

// AddDelivery stores a new delivery.
func (tx *Tx) AddDelivery(d *hub.Delivery) {
	var params, options any
	if len(d.Params) > 0 {
		params = []byte(d.Params)
	}
	if d.Options != nil {
		options = encode(d.Options)
	}
	tx.appendRow(deliveriesTable, string(d.ID), string(d.Tenant), string(d.Endpoint), d.Kind, d.Action, string(d.State),
		hub.Micros(d.DueAt), d.Lease, int64(d.Attempts), d.Sequence, string(d.EventID), string(d.EventType), d.Subject,
		string(d.Run), d.Step, params, options, hub.Micros(d.CreatedAt), hub.Micros(d.UpdatedAt), int64(d.Status), d.Error, d.Fault,
		d.Key, int64(d.Base))
}

func deliveryRow(v []any) hub.Delivery {
	d := hub.Delivery{
		ID: hub.DeliveryID(v[0].(string)), Tenant: hub.TenantID(v[1].(string)), Endpoint: hub.EndpointID(v[2].(string)),
		Kind: v[3].(string), Action: v[4].(string), State: hub.DeliveryState(v[5].(string)), DueAt: hub.FromMicros(v[6].(int64)),
		Attempts: int(v[7].(int64)), Sequence: v[8].(int64), EventID: hub.EventID(v[9].(string)),
		EventType: hub.EventType(v[10].(string)), Subject: v[11].(string), Run: hub.RunID(v[12].(string)), Step: v[13].(string),
		Params: jsontext.Value(bytesOf(v[14])), CreatedAt: hub.FromMicros(v[16].(int64)), UpdatedAt: hub.FromMicros(v[17].(int64)),
		Status: int(v[18].(int64)), Error: v[19].(string), Fault: v[20].(string), Lease: v[21].(string),
		Key: v[22].(string), Base: int(v[23].(int64)),
	}
	d.InOrder, d.Replayed, d.Probe = d.Lease == markReleased, d.Lease == markReplayed, d.Lease == markProbe
	d.Unsure = d.Lease == markUnsure
	if b := bytesOf(v[15]); b != nil {
		d.Options = new(hub.DeliveryOptions)
		_ = decode(b, d.Options) // written by us; without them the endpoint's own hold
	}
	return d
}

// UpdateDelivery stores the new state of a delivery, whoever has it.
func (tx *Tx) UpdateDelivery(d *hub.Delivery) error {
	return tx.sendOne(func() error { return notFound("delivery", d.ID) },
		`UPDATE deliveries SET state = $2, due_at = $3, lease = $10, attempts = $4, updated_at = $5, status = $6, error = $7, fault = $8, base = $11
		WHERE id = $1 AND tenant = $9`, string(d.ID), string(d.State), hub.Micros(d.DueAt), int64(d.Attempts), hub.Micros(d.UpdatedAt),
		int64(d.Status), d.Error, d.Fault, string(d.Tenant), markOf(d), int64(d.Base))
}

// Delivery gives one delivery.
func (r *Reader) Delivery(tenant hub.TenantID, id hub.DeliveryID) (hub.Delivery, error) {
	var d hub.Delivery
	found, err := r.one("SELECT "+deliveryColumns+" FROM deliveries WHERE id = $2 AND tenant = $1", []any{string(tenant), string(id)}, func(v []any) error {
		d = deliveryRow(v)
		return nil
	})
	if err == nil && !found {
		err = notFound("delivery", id)
	}
	return d, err
}

// A DeliveryFilter says which deliveries a list is of.
type DeliveryFilter struct {
	Endpoint hub.EndpointID
	State    []string
	Kind     []string
	EventID  hub.EventID
	Subject  string
}

// ListDeliveries gives up to limit deliveries made before the one with the id
// before ("": from the newest), newest first, after leaving out skip of them.
func (r *Reader) ListDeliveries(tenant hub.TenantID, f *DeliveryFilter, before hub.DeliveryID, skip, limit int) ([]hub.Delivery, error) {
	c := f.condition(tenant)
	if before != "" {
		c.add("id < ?", string(before))
	}
	c.args = append(c.args, int64(limit), int64(skip))
	var all []hub.Delivery
	err := r.q.Query(fmt.Sprintf("SELECT %s FROM deliveries WHERE %s ORDER BY id DESC LIMIT $%d OFFSET $%d", deliveryColumns, c.text(), len(c.args)-1, len(c.args)), c.args, func(v []any) error {
		all = append(all, deliveryRow(v))
		return nil
	})
	return all, err
}

func (f *DeliveryFilter) condition(tenant hub.TenantID) *condition {
	c := new(condition)
	c.add("tenant = ?", string(tenant))
	c.in("state", f.State)
	c.in("kind", f.Kind)
	if f.Endpoint != "" {
		c.add("endpoint = ?", string(f.Endpoint))
	}
	if f.EventID != "" {
		c.add("event_id = ?", string(f.EventID))
	}
	if f.Subject != "" {
		c.add("subject = ?", f.Subject)
	}
	return c
}

// CountDeliveries counts deliveries by kind and state.
func (r *Reader) CountDeliveries(tenant hub.TenantID, f *DeliveryFilter) (map[string]map[hub.DeliveryState]int64, error) {
	c := f.condition(tenant)
	counts := map[string]map[hub.DeliveryState]int64{}
	err := r.q.Query("SELECT kind, state, count(*) FROM deliveries WHERE "+c.text()+" GROUP BY kind, state", c.args, func(v []any) error {
		kind := v[0].(string)
		if counts[kind] == nil {
			counts[kind] = map[hub.DeliveryState]int64{}
		}
		counts[kind][hub.DeliveryState(v[1].(string))] = v[2].(int64)
		return nil
	})
	return counts, err
}

var attemptsTable = &table{"attempts", []string{"delivery", "number", "tenant", "at", "doc"}}

// AddAttempt stores what was tried, and gives the SHA-256 of what is stored, for
// the audit log: who changes the row afterwards cannot change that.
func (tx *Tx) AddAttempt(tenant hub.TenantID, a *hub.Attempt) (record string) {
	doc := encode(a)
	tx.appendRow(attemptsTable, string(a.Delivery), int64(a.Number), string(tenant), hub.Micros(a.At), doc)
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// Attempts gives the attempts of a delivery in order.
func (r *Reader) Attempts(tenant hub.TenantID, id hub.DeliveryID) ([]hub.Attempt, error) {
	var all []hub.Attempt
	err := r.q.Query("SELECT doc FROM attempts WHERE delivery = $1 AND tenant = $2 ORDER BY number", []any{string(id), string(tenant)}, func(v []any) error {
		all = append(all, hub.Attempt{})
		return decode(bytesOf(v[0]), &all[len(all)-1])
	})
	return all, err
}
