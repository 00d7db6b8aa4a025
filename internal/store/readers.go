package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Progress gives where a reader of what a tenant has goes on; 0 if it has not
// begun.
func (r *Reader) Progress(tenant hub.TenantID, reader string) (int64, error) {
	var next int64
	_, err := r.one("SELECT next FROM readers WHERE tenant = $1 AND reader = $2", []any{string(tenant), keyText(reader)}, func(v []any) error {
		next = v[0].(int64)
		return nil
	})
	return next, err
}

// PutProgress stores where a reader goes on, which never goes back.
func (tx *Tx) PutProgress(tenant hub.TenantID, reader string, next int64, now time.Time) error {
	return tx.send(`INSERT INTO readers (tenant, reader, next, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant, reader) DO UPDATE SET next = excluded.next, at = excluded.at WHERE excluded.next >= readers.next`,
		string(tenant), keyText(reader), next, hub.Micros(now))
}

// FindingsFrom calls yield for up to limit findings of a tenant from a number on,
// in the order in which they were triaged, until it returns false.
func (r *Reader) FindingsFrom(tenant hub.TenantID, n int64, limit int, yield func(FindingRow) bool) error {
	stopped := false
	return r.q.Query("SELECT n, id, alert_id, outcome, doc FROM findings WHERE n >= $1 AND tenant = $2 ORDER BY n LIMIT $3",
		[]any{n, string(tenant), int64(limit)}, func(v []any) error {
			if !stopped {
				stopped = !yield(findingRow(v))
			}
			return nil
		})
}
