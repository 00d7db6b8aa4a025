package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Marks stand in the column lease of deliveries that nobody sends at the moment:
// how they came to be due.
const (
	markReleased = "released" // was held; sent in order
	markReplayed = "replayed" // asked for again with many others; makes way
	markProbe    = "probe"    // finds out whether a failing endpoint takes anything
	markUnsure   = "unsure"   // its lease ended without a word of what became of it
)

func markOf(d *hub.Delivery) string {
	switch {
	case d.Probe:
		return markProbe
	case d.InOrder:
		return markReleased
	case d.Replayed:
		return markReplayed
	case d.Unsure:
		return markUnsure
	}
	return ""
}

// waiting is what is to be sent and that nobody is sending; the index
// deliveries_due is of these rows.
const waiting = "state IN ('pending', 'retrying')"

// A Due is an endpoint for which deliveries wait to be sent.
type Due struct {
	Endpoint hub.EndpointID
	At       time.Time // when the first falls due
}

// DueEndpoints lists the endpoints for which deliveries wait, in order of their
// ids. It jumps from endpoint to endpoint: how many deliveries wait for each
// does not matter.
func (r *Reader) DueEndpoints() ([]Due, error) {
	var all []Due
	err := r.q.Query(`WITH RECURSIVE due (endpoint) AS (
		SELECT (SELECT endpoint FROM deliveries WHERE `+waiting+` ORDER BY endpoint LIMIT 1)
		UNION ALL
		SELECT (SELECT d.endpoint FROM deliveries AS d WHERE d.`+waiting+` AND d.endpoint > due.endpoint ORDER BY d.endpoint LIMIT 1) FROM due WHERE due.endpoint IS NOT NULL)
		SELECT endpoint, (SELECT d.due_at FROM deliveries AS d WHERE d.`+waiting+` AND d.endpoint = due.endpoint ORDER BY d.due_at LIMIT 1) FROM due WHERE endpoint IS NOT NULL`,
		nil, func(v []any) error {
			all = append(all, Due{hub.EndpointID(v[0].(string)), hub.FromMicros(v[1].(int64))})
			return nil
		})
	return all, err
}

// DueDeliveries gives up to limit deliveries of an endpoint whose time has come,
// longest due first.
func (r *Reader) DueDeliveries(id hub.EndpointID, now time.Time, limit int) ([]hub.Delivery, error) {
	var all []hub.Delivery
	err := r.q.Query("SELECT "+deliveryColumns+" FROM deliveries WHERE "+waiting+" AND endpoint = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3",
		[]any{string(id), hub.Micros(now), int64(limit)}, func(v []any) error {
			all = append(all, deliveryRow(v))
			return nil
		})
	return all, err
}

// ProbeDeliveries gives those of an endpoint that are due as probes.
func (r *Reader) ProbeDeliveries(id hub.EndpointID, now time.Time) ([]hub.Delivery, error) {
	var all []hub.Delivery
	err := r.q.Query("SELECT "+deliveryColumns+" FROM deliveries WHERE "+waiting+" AND endpoint = $1 AND due_at <= $2 AND lease = '"+markProbe+"' ORDER BY due_at, id LIMIT 1",
		[]any{string(id), hub.Micros(now)}, func(v []any) error {
			all = append(all, deliveryRow(v))
			return nil
		})
	return all, err
}

// FirstLease tells when the first lease ends; zero if there is none.
func (r *Reader) FirstLease() (time.Time, error) {
	var at time.Time
	_, err := r.one("SELECT due_at FROM deliveries WHERE state = 'delivering' ORDER BY due_at LIMIT 1", nil, func(v []any) error {
		at = hub.FromMicros(v[0].(int64))
		return nil
	})
	return at, err
}

// Lease gives deliveries to a worker until a time: nobody else gets them before.
func (tx *Tx) Lease(all []hub.Delivery, lease string, until time.Time) error {
	for i := range all {
		err := tx.send("UPDATE deliveries SET state = 'delivering', lease = $3, due_at = $4 WHERE id = $2 AND tenant = $1",
			string(all[i].Tenant), string(all[i].ID), lease, hub.Micros(until))
		if err != nil {
			return err
		}
	}
	return nil
}

// giveBack makes leased deliveries wait again, due now.
const giveBack = "UPDATE deliveries SET state = CASE WHEN attempts > 0 THEN 'retrying' ELSE 'pending' END, lease = '" + markUnsure + "', due_at = $1 WHERE state = 'delivering'"

// EndLeases gives back what any other owner holds. An embedded hub calls it at
// its start, when nobody else can be sending.
func (tx *Tx) EndLeases(owner string, now time.Time) error {
	first, last := leasesOf(owner)
	return tx.send(giveBack+" AND lease <> $2 AND (lease < $3 OR lease >= $4)", hub.Micros(now), owner, first, last)
}

// EndLeasesOf gives back what an owner holds: it has died.
func (tx *Tx) EndLeasesOf(owner string, now time.Time) error {
	first, last := leasesOf(owner)
	return tx.send(giveBack+" AND (lease = $2 OR lease >= $3 AND lease < $4)", hub.Micros(now), owner, first, last)
}

// EndLease gives back what is held under one name: those of ids, or all if there
// are none.
func (tx *Tx) EndLease(lease string, ids []hub.DeliveryID, now time.Time) error {
	if len(ids) == 0 {
		return tx.send(giveBack+" AND lease = $2", hub.Micros(now), lease)
	}
	keys := make([]any, len(ids))
	for i, id := range ids {
		keys[i] = string(id)
	}
	_, err := execIn(tx, giveBack+" AND lease = $2 AND id IN (?)", []any{hub.Micros(now), lease}, keys)
	return err
}

// LeaseName gives the name of a lease of owner. Each claim has its own, so that
// who has lost a delivery cannot be taken for who has it.
func LeaseName(owner, claim string) string { return owner + "#" + claim }

// leasesOf bounds the names of an owner's leases: # and the character after it.
func leasesOf(owner string) (first, last string) { return owner + "#", owner + "$" }

// ExpireLeases gives back what nobody has concluded in time.
func (tx *Tx) ExpireLeases(now time.Time) (int64, error) {
	return tx.Exec(giveBack+" AND due_at <= $1", hub.Micros(now))
}

// ConcludeDelivery stores what became of a delivery that was leased under d.Lease.
// It reports whether it still was; if not, somebody else has it and nothing is
// changed.
func (tx *Tx) ConcludeDelivery(d *hub.Delivery, mark string) (bool, error) {
	n, err := tx.Exec(`UPDATE deliveries SET state = $2, due_at = $3, lease = $11, attempts = $4, updated_at = $5, status = $6, error = $7, fault = $8, base = $12
		WHERE id = $1 AND tenant = $9 AND lease = $10 AND state = 'delivering'`, string(d.ID), string(d.State), hub.Micros(d.DueAt), int64(d.Attempts),
		hub.Micros(d.UpdatedAt), int64(d.Status), d.Error, d.Fault, string(d.Tenant), d.Lease, mark, int64(d.Base))
	return n == 1, err
}

// Mark says in the store how a delivery came to be due, for one that is given
// back.
func Mark(d *hub.Delivery) string { return markOf(d) }

// SucceedDeliveries stores that deliveries succeeded which were leased under the
// same name, all with the same number of attempts and status. It tells how many
// still were. It is what nearly every delivery comes to, so many are changed by
// one statement.
func (tx *Tx) SucceedDeliveries(tenant hub.TenantID, lease string, ids []hub.DeliveryID, attempts, status int, at time.Time) (int64, error) {
	keys := make([]any, len(ids))
	for i := range ids {
		keys[i] = string(ids[i])
	}
	return execIn(tx, `UPDATE deliveries SET state = 'succeeded', due_at = 0, lease = '', attempts = $2, updated_at = $3, status = $4, error = '', fault = ''
		WHERE tenant = $1 AND lease = $5 AND state = 'delivering' AND id IN (?)`, []any{string(tenant), int64(attempts), hub.Micros(at), int64(status), lease}, keys)
}
