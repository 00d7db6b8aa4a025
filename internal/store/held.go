package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// HoldDeliveries holds up to limit of the deliveries that wait for an endpoint,
// but for a probe unless probes is set. It tells how many there were.
func (tx *Tx) HoldDeliveries(id hub.EndpointID, now time.Time, limit int, probes bool) (int64, error) {
	but := " AND lease <> '" + markProbe + "'"
	if probes {
		but = ""
	}
	return tx.Exec(`UPDATE deliveries SET state = 'held', due_at = 0, lease = '', updated_at = $2
		WHERE id IN (SELECT id FROM deliveries WHERE `+waiting+` AND endpoint = $1`+but+` ORDER BY due_at, id LIMIT $3)`,
		string(id), hub.Micros(now), int64(limit))
}

// HoldLeased holds deliveries that are leased under a name and were not begun.
func (tx *Tx) HoldLeased(lease string, ids []hub.DeliveryID, now time.Time) (int64, error) {
	keys := make([]any, len(ids))
	for i := range ids {
		keys[i] = string(ids[i])
	}
	return execIn(tx, `UPDATE deliveries SET state = 'held', due_at = 0, lease = '', updated_at = $2
		WHERE state = 'delivering' AND lease = $1 AND id IN (?)`, []any{lease, hub.Micros(now)}, keys)
}

// ReleaseHeld makes up to limit held deliveries of an endpoint due, in order of
// their making: each a microsecond after the one before. It tells how many.
func (tx *Tx) ReleaseHeld(id hub.EndpointID, now time.Time, limit int) (int64, error) {
	return tx.Exec(`UPDATE deliveries SET state = 'pending', lease = '`+markReleased+`', updated_at = $2, due_at = $2 + held.place
		FROM (SELECT id AS held_id, row_number() OVER (ORDER BY id) AS place FROM
			(SELECT id FROM deliveries WHERE endpoint = $1 AND state = 'held' ORDER BY id LIMIT $3) AS first) AS held
		WHERE id = held.held_id`,
		string(id), hub.Micros(now), int64(limit))
}

// Released tells how many deliveries that were released wait for an endpoint yet,
// counting up to limit.
func (r *Reader) Released(id hub.EndpointID, limit int) (int64, error) {
	return r.marked(id, markReleased, limit)
}

// Replayed tells how many replayed deliveries wait for an endpoint yet, counting
// up to limit.
func (r *Reader) Replayed(id hub.EndpointID, limit int) (int64, error) {
	return r.marked(id, markReplayed, limit)
}

func (r *Reader) marked(id hub.EndpointID, mark string, limit int) (n int64, err error) {
	_, err = r.one("SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE "+waiting+" AND endpoint = $1 AND due_at < $4 AND lease = $2 LIMIT $3) AS part",
		[]any{string(id), mark, int64(limit), hub.Micros(hub.Never())}, func(v []any) error {
			n = v[0].(int64)
			return nil
		})
	return n, err
}

// HeldEndpoints lists the endpoints for which deliveries are held.
func (r *Reader) HeldEndpoints() ([]hub.EndpointID, error) {
	var all []hub.EndpointID
	err := r.q.Query(`WITH RECURSIVE held (endpoint) AS (
		SELECT (SELECT endpoint FROM deliveries WHERE state = 'held' ORDER BY endpoint LIMIT 1)
		UNION ALL
		SELECT (SELECT d.endpoint FROM deliveries AS d WHERE d.state = 'held' AND d.endpoint > held.endpoint ORDER BY d.endpoint LIMIT 1) FROM held WHERE held.endpoint IS NOT NULL)
		SELECT endpoint FROM held WHERE endpoint IS NOT NULL`, nil, func(v []any) error {
		all = append(all, hub.EndpointID(v[0].(string)))
		return nil
	})
	return all, err
}

// OldestHeld gives up to limit held deliveries of an endpoint, oldest first.
func (r *Reader) OldestHeld(id hub.EndpointID, limit int) ([]hub.Delivery, error) {
	var all []hub.Delivery
	err := r.q.Query("SELECT "+deliveryColumns+" FROM deliveries WHERE endpoint = $1 AND state = 'held' ORDER BY id LIMIT $2",
		[]any{string(id), int64(limit)}, func(v []any) error {
			all = append(all, deliveryRow(v))
			return nil
		})
	return all, err
}

// under tells which rows of an endpoint and key are not over.
const under = "endpoint = $1 AND order_key = $2 AND order_key <> '' AND state IN ('pending', 'delivering', 'retrying', 'held')"

// FirstOfKey gives the first delivery of an endpoint with a key that is not over;
// nil if there is none.
func (r *Reader) FirstOfKey(id hub.EndpointID, key string) (*hub.Delivery, error) {
	var first *hub.Delivery
	_, err := r.one("SELECT "+deliveryColumns+" FROM deliveries WHERE "+under+" ORDER BY id LIMIT 1", []any{string(id), key}, func(v []any) error {
		d := deliveryRow(v)
		first = &d
		return nil
	})
	return first, err
}

// PutBehind makes deliveries wait for those before them with the same key.
func (tx *Tx) PutBehind(ids []hub.DeliveryID) error {
	for _, id := range ids {
		if err := tx.send("UPDATE deliveries SET due_at = $2 WHERE id = $1 AND "+waiting, string(id), hub.Micros(hub.Never())); err != nil {
			return err
		}
	}
	return nil
}

// Advance makes the first delivery of a key due, if it waits for one before it,
// which is over now. It reports whether it did.
func (tx *Tx) Advance(id hub.EndpointID, key string, now time.Time) (bool, error) {
	n, err := tx.Exec("UPDATE deliveries SET due_at = $3 WHERE "+waiting+" AND due_at = $4 AND id = (SELECT id FROM deliveries WHERE "+under+" ORDER BY id LIMIT 1)",
		string(id), key, hub.Micros(now), hub.Micros(hub.Never()))
	return n > 0, err
}

// PutBreaker stores that an endpoint fails, or with nil that it does not any more.
func (tx *Tx) PutBreaker(tenant hub.TenantID, id hub.EndpointID, b *hub.Breaker) error {
	tx.NoteChange()
	if b == nil {
		return tx.send("DELETE FROM breakers WHERE endpoint = $1 AND tenant = $2", string(id), string(tenant))
	}
	return tx.send(`INSERT INTO breakers (endpoint, tenant, state, since, probe_at, probes, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (endpoint) DO UPDATE SET state = excluded.state, since = excluded.since, probe_at = excluded.probe_at, probes = excluded.probes, reason = excluded.reason`,
		string(id), string(tenant), b.State, hub.Micros(b.Since), hub.Micros(b.ProbeAt), int64(b.Probes), b.Reason)
}

const breakerColumns = "endpoint, state, since, probe_at, probes, reason"

func breakerRow(v []any) (hub.EndpointID, *hub.Breaker) {
	return hub.EndpointID(v[0].(string)), &hub.Breaker{
		State: v[1].(string), Since: hub.FromMicros(v[2].(int64)), ProbeAt: hub.FromMicros(v[3].(int64)), Probes: int(v[4].(int64)), Reason: v[5].(string),
	}
}

// Breakers gives the breakers of all endpoints that fail.
func (r *Reader) Breakers() (map[hub.EndpointID]*hub.Breaker, error) {
	all := map[hub.EndpointID]*hub.Breaker{}
	err := r.q.Query("SELECT "+breakerColumns+" FROM breakers", nil, func(v []any) error {
		id, b := breakerRow(v)
		all[id] = b
		return nil
	})
	return all, err
}

// Breaker gives the breaker of an endpoint; nil if it does not fail.
func (r *Reader) Breaker(id hub.EndpointID) (b *hub.Breaker, err error) {
	_, err = r.one("SELECT "+breakerColumns+" FROM breakers WHERE endpoint = $1", []any{string(id)}, func(v []any) error {
		_, b = breakerRow(v)
		return nil
	})
	return b, err
}
