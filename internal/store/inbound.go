package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

const (
	// keepInbound is how long it is remembered what a far side sent: none is known to
	// send again after more than two days.
	keepInbound = 7 * 24 * time.Hour
	// forgetInbound is how many are forgotten with each that is remembered.
	forgetInbound = 10
)

// Receive remembers that something that a far side sent is carried out in this
// transaction. It reports false if it was carried out before.
func (tx *Tx) Receive(tenant hub.TenantID, endpoint hub.EndpointID, id string, now time.Time) (bool, error) {
	_, err := tx.Exec(`DELETE FROM inbound WHERE (endpoint, id) IN (SELECT endpoint, id FROM inbound WHERE at < $1 ORDER BY at LIMIT $2)`,
		hub.Micros(now.Add(-keepInbound)), int64(forgetInbound))
	if err != nil {
		return false, err
	}
	n, err := tx.Exec("INSERT INTO inbound (endpoint, id, tenant, at) VALUES ($1, $2, $3, $4) ON CONFLICT (endpoint, id) DO NOTHING",
		string(endpoint), keyText(id), string(tenant), hub.Micros(now))
	return n == 1, err
}

// NameOutside remembers that the far side's thing called id stands for the
// subject.
func (tx *Tx) NameOutside(tenant hub.TenantID, endpoint hub.EndpointID, id, subject string, now time.Time) error {
	return tx.send("INSERT INTO outside_ids (endpoint, id, subject, tenant, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (endpoint, id, subject) DO NOTHING",
		string(endpoint), keyText(id), keyText(subject), string(tenant), hub.Micros(now))
}

// OutsideSubjects gives what the far side's thing called id stands for, in
// order.
func (r *Reader) OutsideSubjects(tenant hub.TenantID, endpoint hub.EndpointID, id string) ([]string, error) {
	var all []string
	err := r.q.Query("SELECT subject FROM outside_ids WHERE endpoint = $1 AND id = $2 AND tenant = $3 ORDER BY subject",
		[]any{string(endpoint), keyText(id), string(tenant)}, func(v []any) error {
			all = append(all, v[0].(string))
			return nil
		})
	return all, err
}
