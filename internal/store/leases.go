package store

import (
	"fmt"

	"github.com/tocsin/tocsin/hub"
)

// A LeaseRow says which hub does something that is done by one at a time.
type LeaseRow struct {
	Name, Owner string
	Token, Beat int64
}

// BeatLeases counts up the leases of an owner.
func (tx *Tx) BeatLeases(owner string) error {
	return tx.send("UPDATE leases SET beat = beat + 1 WHERE owner = $1", owner)
}

// Leases gives all leases.
func (r *Reader) Leases() ([]LeaseRow, error) {
	var all []LeaseRow
	err := r.q.Query("SELECT name, owner, token, beat FROM leases ORDER BY name", nil, func(v []any) error {
		all = append(all, leaseRow(v))
		return nil
	})
	return all, err
}

func leaseRow(v []any) LeaseRow {
	return LeaseRow{Name: v[0].(string), Owner: v[1].(string), Token: v[2].(int64), Beat: v[3].(int64)}
}

func (r *Reader) lease(name string) (row LeaseRow, err error) {
	_, err = r.one("SELECT name, owner, token, beat FROM leases WHERE name = $1", []any{name}, func(v []any) error {
		row = leaseRow(v)
		return nil
	})
	return row, err
}

// TakeLease gives a lease to owner if it is still as it was seen, the zero row
// being one that there is not yet. Every take-over has a token of its own.
func (tx *Tx) TakeLease(name, owner string, seen LeaseRow) (LeaseRow, bool, error) {
	now, err := tx.lease(name)
	if err != nil || now != seen {
		return LeaseRow{}, false, err
	}
	row := LeaseRow{Name: name, Owner: owner, Token: tx.counter("leases", 1)}
	err = tx.send(`INSERT INTO leases (name, owner, token, beat) VALUES ($1, $2, $3, 0)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, token = excluded.token, beat = 0`, name, owner, row.Token)
	return row, err == nil, err
}

// ReleaseLease removes a lease, if it is still held under the token.
func (tx *Tx) ReleaseLease(name string, token int64) (bool, error) {
	n, err := tx.Exec("DELETE FROM leases WHERE name = $1 AND token = $2", name, token)
	return n == 1, err
}

// ReleaseLeases removes all leases of an owner.
func (tx *Tx) ReleaseLeases(owner string) error {
	return tx.send("DELETE FROM leases WHERE owner = $1", owner)
}

// Fence refuses to go on if a lease is no longer held under the token: somebody
// else has taken it over meanwhile. Token 0 stands for a hub that is alone.
func (tx *Tx) Fence(name string, token int64) error {
	if token == 0 {
		return nil
	}
	row, err := tx.lease(name)
	if err == nil && row.Token != token {
		err = hub.E(hub.Transient, fmt.Sprintf("another node has taken over %s", name))
	}
	return err
}

// changesCounter counts changes of what every hub keeps in memory.
const changesCounter = "changes"

// NoteChange tells all hubs over this database to read endpoints, API keys and
// the states of connectors anew. Changes of endpoints and keys do it themselves.
func (tx *Tx) NoteChange() { tx.counter(changesCounter, 1) }

// Changes counts the changes of endpoints, API keys and connectors' states. A
// hub that sees it move reads them anew.
func (r *Reader) Changes() (int64, error) { return r.CounterValue(changesCounter) }
