package store

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
)

var deliveriesTable = &table{"deliveries", []string{
	"id", "tenant", "endpoint", "kind", "action", "state", "due_at", "lease", "attempts", "event_seq", "event_id",
	"event_type", "subject", "run_id", "step", "params", "options", "created_at", "updated_at", "status", "error", "fault",
}}

const deliveryColumns = "id, tenant, endpoint, kind, action, state, due_at, attempts, event_seq, event_id, event_type, " +
	"subject, run_id, step, params, options, created_at, updated_at, status, error, fault, lease"

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
		string(d.Run), d.Step, params, options, hub.Micros(d.CreatedAt), hub.Micros(d.UpdatedAt), int64(d.Status), d.Error, d.Fault)
}

func deliveryRow(v []any) hub.Delivery {
	d := hub.Delivery{
		ID: hub.DeliveryID(v[0].(string)), Tenant: hub.TenantID(v[1].(string)), Endpoint: hub.EndpointID(v[2].(string)),
		Kind: v[3].(string), Action: v[4].(string), State: hub.DeliveryState(v[5].(string)), DueAt: hub.FromMicros(v[6].(int64)),
		Attempts: int(v[7].(int64)), Sequence: v[8].(int64), EventID: hub.EventID(v[9].(string)),
		EventType: hub.EventType(v[10].(string)), Subject: v[11].(string), Run: hub.RunID(v[12].(string)), Step: v[13].(string),
		Params: jsontext.Value(bytesOf(v[14])), CreatedAt: hub.FromMicros(v[16].(int64)), UpdatedAt: hub.FromMicros(v[17].(int64)),
		Status: int(v[18].(int64)), Error: v[19].(string), Fault: v[20].(string),
	}
	d.InOrder = v[21].(string) == leaseReleased
	if b := bytesOf(v[15]); b != nil {
		d.Options = new(hub.DeliveryOptions)
		_ = decode(b, d.Options) // written by us; without them the endpoint's own hold
	}
	return d
}

// DueDeliveries gives up to limit deliveries whose time has come, longest due
// first: new ones, those to be tried again, and those whose lease has ended. It
// leaves out those of the endpoints in skip.
func (r *Reader) DueDeliveries(now time.Time, limit int, skip []hub.EndpointID) ([]hub.Delivery, error) {
	c := new(condition)
	c.add("due_at <= ?", hub.Micros(now))
	for _, id := range skip {
		c.add("endpoint <> ?", string(id))
	}
	c.args = append(c.args, int64(limit))
	var all []hub.Delivery
	err := r.q.Query("SELECT "+deliveryColumns+" FROM deliveries WHERE state IN ('pending', 'delivering', 'retrying') AND "+c.text()+" ORDER BY due_at LIMIT "+lastParam(c.args),
		c.args, func(v []any) error {
			all = append(all, deliveryRow(v))
			return nil
		})
	return all, err
}

// NextDue tells when the next delivery is due; zero if there is none.
func (r *Reader) NextDue() (time.Time, error) {
	var at time.Time
	_, err := r.one("SELECT due_at FROM deliveries WHERE state IN ('pending', 'delivering', 'retrying') ORDER BY due_at LIMIT 1", nil, func(v []any) error {
		at = hub.FromMicros(v[0].(int64))
		return nil
	})
	return at, err
}

// Lease gives deliveries to a worker until a time: they are not due before.
func (tx *Tx) Lease(all []hub.Delivery, owner string, until time.Time) error {
	for i := range all {
		_, err := tx.Exec("UPDATE deliveries SET state = 'delivering', lease = $3, due_at = $4 WHERE id = $2 AND tenant = $1",
			string(all[i].Tenant), string(all[i].ID), owner, hub.Micros(until))
		if err != nil {
			return err
		}
	}
	return nil
}

// EndLeases makes all that other owners hold due at once. An embedded hub calls
// it at its start, when nobody else can be sending.
func (tx *Tx) EndLeases(owner string, now time.Time) error {
	_, err := tx.Exec("UPDATE deliveries SET due_at = $2 WHERE state = 'delivering' AND due_at > $2 AND lease <> $1", owner, hub.Micros(now))
	return err
}

// EndLeasesOf makes all that an owner holds due at once: it has died.
func (tx *Tx) EndLeasesOf(owner string, now time.Time) error {
	_, err := tx.Exec("UPDATE deliveries SET due_at = $2 WHERE state = 'delivering' AND due_at > $2 AND lease = $1", owner, hub.Micros(now))
	return err
}

// UpdateDelivery stores the new state of a delivery.
func (tx *Tx) UpdateDelivery(d *hub.Delivery) error {
	n, err := tx.Exec(`UPDATE deliveries SET state = $2, due_at = $3, lease = '', attempts = $4, updated_at = $5, status = $6, error = $7, fault = $8
		WHERE id = $1 AND tenant = $9`, string(d.ID), string(d.State), hub.Micros(d.DueAt), int64(d.Attempts), hub.Micros(d.UpdatedAt), int64(d.Status), d.Error, d.Fault, string(d.Tenant))
	if err == nil && n != 1 {
		err = notFound("delivery", d.ID)
	}
	return err
}

// SucceedDeliveries stores that deliveries succeeded, all with the same number of
// attempts and status. It is what nearly every delivery comes to, so many are
// changed by one statement.
func (tx *Tx) SucceedDeliveries(tenant hub.TenantID, ids []hub.DeliveryID, attempts, status int, at time.Time) error {
	keys := make([]any, len(ids))
	for i := range ids {
		keys[i] = string(ids[i])
	}
	n, err := execIn(tx, `UPDATE deliveries SET state = 'succeeded', due_at = 0, lease = '', attempts = $2, updated_at = $3, status = $4, error = '', fault = ''
		WHERE tenant = $1 AND id IN (?)`, []any{string(tenant), int64(attempts), hub.Micros(at), int64(status)}, keys)
	if err == nil && n != int64(len(ids)) {
		err = hub.E(hub.NotFound, "a delivery does not exist any more")
	}
	return err
}

// leaseReleased marks a delivery that was held and is to be sent in order.
const leaseReleased = "released"

// ReleaseHeld makes the held deliveries of an endpoint due, in order of their
// making: each a microsecond after the one before.
func (tx *Tx) ReleaseHeld(tenant hub.TenantID, id hub.EndpointID, now time.Time) (int64, error) {
	return tx.Exec(`UPDATE deliveries SET state = 'pending', lease = $4, updated_at = $3, due_at = $3 + held.place
		FROM (SELECT id AS held_id, row_number() OVER (ORDER BY id) AS place FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND state = 'held') AS held
		WHERE id = held.held_id AND tenant = $1`,
		string(tenant), string(id), hub.Micros(now), leaseReleased)
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

// AddAttempt stores an attempt as evidence.
func (tx *Tx) AddAttempt(tenant hub.TenantID, a *hub.Attempt) {
	tx.appendRow(attemptsTable, string(a.Delivery), int64(a.Number), string(tenant), hub.Micros(a.At), encode(a))
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
