package store

import "github.com/tocsin/tocsin/hub"

var eventsTable = &table{"events", []string{"seq", "tenant", "id", "type", "subject", "at", "body"}}

// NextSequence gives the number of the next event of the transaction.
func (tx *Tx) NextSequence() int64 { return tx.counter("events.seq", 1) }

// AddEvent stores an event that was numbered by [Tx.NextSequence].
func (tx *Tx) AddEvent(e hub.EventRecord) {
	tx.appendRow(eventsTable, e.Sequence, string(e.Tenant), string(e.ID), string(e.Type), e.Subject, hub.Micros(e.At), e.Body)
}

// EventBodies gives the encoded bodies of events by their sequence.
func (r *Reader) EventBodies(tenant hub.TenantID, seqs []int64) (map[int64][]byte, error) {
	keys := make([]any, len(seqs))
	for i := range seqs {
		keys[i] = seqs[i]
	}
	found := make(map[int64][]byte, len(seqs))
	err := queryIn(r, "SELECT seq, body FROM events WHERE tenant = $1 AND seq IN (?)", []any{string(tenant)}, keys, func(v []any) error {
		found[v[0].(int64)] = bytesOf(v[1])
		return nil
	})
	return found, err
}

// EventsAfter gives up to limit events behind a sequence, oldest first.
func (r *Reader) EventsAfter(tenant hub.TenantID, after int64, limit int) ([]hub.EventRecord, error) {
	var all []hub.EventRecord
	err := r.q.Query("SELECT seq, id, type, subject, at, body FROM events WHERE seq > $1 AND tenant = $2 ORDER BY seq LIMIT $3",
		[]any{after, string(tenant), int64(limit)}, func(v []any) error {
			all = append(all, hub.EventRecord{
				Sequence: v[0].(int64), ID: hub.EventID(v[1].(string)), Tenant: tenant, Type: hub.EventType(v[2].(string)),
				Subject: v[3].(string), At: hub.FromMicros(v[4].(int64)), Body: bytesOf(v[5]),
			})
			return nil
		})
	return all, err
}
