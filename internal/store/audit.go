package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// keepNote is how far apart the checkpoints are that are kept over time.
const keepNote = time.Minute

var auditTable = &table{"audit_entries", []string{"n", "tenant", "seq", "hash", "entry"}}

// logShift is where the number of a log begins in the key of its entries: a log
// holds up to 2^40 of them.
const logShift = 40

// maxEntries is how many entries a log can have.
const maxEntries = 1<<logShift - 1

// place gives the key of an entry.
func place(no, seq int64) int64 { return no<<logShift | seq }

// logNo gives the number of a tenant's log; 0 if there is none.
func (r *Reader) logNo(tenant hub.TenantID) (int64, error) {
	var no int64
	_, err := r.one("SELECT no FROM audit_logs WHERE tenant = $1", []any{string(tenant)}, func(v []any) error {
		no = v[0].(int64)
		return nil
	})
	return no, err
}

// openLog gives the number of a tenant's log, and a new log one.
func (tx *Tx) openLog(tenant hub.TenantID) (int64, error) {
	if no := tx.s.memory.logs[tenant]; no != 0 {
		return no, nil
	}
	no, err := tx.logNo(tenant)
	if err == nil && no == 0 {
		no = tx.counter("audit.logs", 1)
		err = tx.send("INSERT INTO audit_logs (tenant, no) VALUES ($1, $2)", string(tenant), no)
	}
	if err == nil {
		tx.s.memory.logs[tenant] = no
	}
	return no, err
}

// seal makes the transaction's audit entries final and stores them with the new
// end of each log.
func (tx *Tx) seal() error {
	if len(tx.audit) == 0 || tx.s.sealer == nil {
		return nil
	}
	for tenant, entries := range byTenant(tx.audit) {
		head, err := tx.auditHead(tenant)
		if err != nil {
			return err
		}
		sealed, next, err := tx.s.sealer.Seal(head, entries)
		if err != nil {
			return err
		}
		no, err := tx.openLog(tenant)
		if err != nil {
			return err
		}
		for i := range sealed {
			tx.appendRow(auditTable, place(no, sealed[i].Sequence), string(tenant), sealed[i].Sequence, sealed[i].Hash[:], sealed[i].Bytes)
		}
		if err := tx.post(tenant, entries, sealed); err != nil {
			return err
		}
		if err := tx.saveHead(next); err != nil {
			return err
		}
	}
	return nil
}

// auditHead gives the end of a log, and that of a new one.
func (tx *Tx) auditHead(tenant hub.TenantID) (hub.AuditHead, error) {
	if head, known := tx.s.memory.heads[tenant]; known {
		return head, nil
	}
	head, err := tx.AuditHead(tenant)
	if err != nil {
		return head, err
	}
	if head.Size == 0 {
		head.Log = tx.s.sealer.Log(tenant)
	}
	tx.s.memory.heads[tenant] = head
	return head, nil
}

// trySeal tells whether entries can be sealed, and keeps nothing of it.
func (tx *Tx) trySeal(entries []hub.AuditEntry) error {
	if len(entries) == 0 || tx.s.sealer == nil {
		return nil
	}
	for tenant, own := range byTenant(entries) {
		head, err := tx.auditHead(tenant)
		if err != nil {
			return err
		}
		if _, _, err := tx.s.sealer.Seal(head, own); err != nil {
			return fmt.Errorf("seal audit entries: %w", err)
		}
	}
	return nil
}

// byTenant sorts entries to their logs; nearly always there is one.
func byTenant(all []hub.AuditEntry) map[hub.TenantID][]hub.AuditEntry {
	first := all[0].Tenant
	for i := range all {
		if all[i].Tenant != first {
			m := map[hub.TenantID][]hub.AuditEntry{}
			for _, e := range all {
				m[e.Tenant] = append(m[e.Tenant], e)
			}
			return m
		}
	}
	return map[hub.TenantID][]hub.AuditEntry{first: all}
}

type posting struct{ field, value string }

// post writes, for each value of a searchable field, the range of the entries
// of this transaction that it occurs in. A row an entry and field would cost
// three times as much as the entry itself.
func (tx *Tx) post(tenant hub.TenantID, entries []hub.AuditEntry, sealed []hub.SealedEntry) error {
	ranges := map[posting][2]int64{}
	put := func(p posting, seq int64) {
		r, there := ranges[p]
		if !there {
			r[0] = seq
		}
		r[1] = seq
		ranges[p] = r
	}
	for i := range entries {
		seq := sealed[i].Sequence
		put(posting{"user_id", entries[i].UserID}, seq)
		put(posting{"action", entries[i].Action}, seq)
		put(posting{"resource_type", entries[i].ResourceType}, seq)
	}
	for p, r := range ranges {
		err := tx.send("INSERT INTO audit_postings (tenant, field, value, first, last) VALUES ($1, $2, $3, $4, $5)",
			string(tenant), p.field, keyText(p.value), r[0], r[1])
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) saveHead(h hub.AuditHead) error {
	tx.s.memory.heads[h.Tenant] = h
	var frontier []byte
	for i := range h.Frontier {
		frontier = append(frontier, h.Frontier[i][:]...)
	}
	if frontier == nil {
		frontier = []byte{}
	}
	err := tx.send(`INSERT INTO audit_heads (tenant, log, size, last, time, frontier, note) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (tenant) DO UPDATE SET size = excluded.size, last = excluded.last, time = excluded.time, frontier = excluded.frontier, note = excluded.note`,
		string(h.Tenant), h.Log, h.Size, h.Last[:], h.Time, frontier, h.Note)
	if err != nil || h.Time-tx.s.memory.notes[h.Tenant] < keepNote.Microseconds() {
		return err
	}
	tx.s.memory.notes[h.Tenant] = h.Time
	return tx.send("INSERT INTO audit_notes (tenant, size, at, note) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", string(h.Tenant), h.Size, h.Time, h.Note)
}

const headQuery = "SELECT tenant, log, size, last, time, frontier, note FROM audit_heads"

func (r *Reader) heads(query string, args []any, yield func(hub.AuditHead)) error {
	return r.q.Query(query, args, func(v []any) error {
		h, err := headRow(v)
		if err == nil {
			yield(h)
		}
		return err
	})
}

func headRow(v []any) (hub.AuditHead, error) {
	h := hub.AuditHead{Tenant: hub.TenantID(v[0].(string)), Log: v[1].(string), Size: v[2].(int64), Time: v[4].(int64), Note: bytesOf(v[6])}
	if copy(h.Last[:], bytesOf(v[3])) != len(h.Last) {
		return h, errors.New("the head of the audit log is damaged")
	}
	frontier := bytesOf(v[5])
	if len(frontier)%32 != 0 {
		return h, fmt.Errorf("the frontier of the audit log has %d bytes", len(frontier))
	}
	for ; len(frontier) > 0; frontier = frontier[32:] {
		h.Frontier = append(h.Frontier, [32]byte(frontier))
	}
	return h, nil
}

// AuditHead gives the end of a tenant's audit log; its Size is 0 if there is
// none.
func (r *Reader) AuditHead(tenant hub.TenantID) (hub.AuditHead, error) {
	head := hub.AuditHead{Tenant: tenant}
	err := r.heads(headQuery+" WHERE tenant = $1", []any{string(tenant)}, func(h hub.AuditHead) { head = h })
	return head, err
}

// AuditEntries calls yield for the entries of a log with sequence numbers from
// on up to below the end, in stored order, until it returns false.
func (r *Reader) AuditEntries(tenant hub.TenantID, from, end int64, yield func(hub.SealedEntry) bool) error {
	const chunk = 1000
	no, err := r.logNo(tenant)
	if err != nil {
		return err
	}
	for stopped := false; from < end && !stopped; {
		n := 0
		err := r.q.Query("SELECT seq, hash, entry FROM audit_entries WHERE tenant = $1 AND n >= $2 AND n < $3 ORDER BY n LIMIT $4",
			[]any{string(tenant), place(no, from), place(no, min(end, maxEntries)), int64(chunk)}, func(v []any) error {
				n++
				from = v[0].(int64) + 1
				if stopped {
					return nil
				}
				e := hub.SealedEntry{Sequence: v[0].(int64), Bytes: bytesOf(v[2])}
				copy(e.Hash[:], bytesOf(v[1]))
				stopped = !yield(e)
				return nil
			})
		if err != nil || n < chunk {
			return err
		}
	}
	return nil
}

// AuditEntriesBefore is AuditEntries from below end downwards.
func (r *Reader) AuditEntriesBefore(tenant hub.TenantID, end int64, yield func(hub.SealedEntry) bool) error {
	const chunk = 200
	no, err := r.logNo(tenant)
	if err != nil {
		return err
	}
	for stopped := false; !stopped; {
		n := 0
		err := r.q.Query("SELECT seq, hash, entry FROM audit_entries WHERE tenant = $1 AND n >= $2 AND n < $3 ORDER BY n DESC LIMIT $4",
			[]any{string(tenant), place(no, 0), place(no, min(end, maxEntries)), int64(chunk)}, func(v []any) error {
				n++
				end = v[0].(int64)
				if stopped {
					return nil
				}
				e := hub.SealedEntry{Sequence: end, Bytes: bytesOf(v[2])}
				copy(e.Hash[:], bytesOf(v[1]))
				stopped = !yield(e)
				return nil
			})
		if err != nil || n < chunk {
			return err
		}
	}
	return nil
}

// AuditRanges gives the ranges [first, last] of sequence numbers below end that
// may hold entries whose field has the value, newest first, up to limit.
func (r *Reader) AuditRanges(tenant hub.TenantID, field, value string, end int64, limit int) ([][2]int64, error) {
	var all [][2]int64
	err := r.q.Query("SELECT first, last FROM audit_postings WHERE tenant = $1 AND field = $2 AND value = $3 AND first < $4 ORDER BY first DESC LIMIT $5",
		[]any{string(tenant), field, keyText(value), end, int64(limit)}, func(v []any) error {
			all = append(all, [2]int64{v[0].(int64), v[1].(int64)})
			return nil
		})
	return all, err
}

// AuditNotes gives the checkpoints kept over time, oldest first.
func (r *Reader) AuditNotes(tenant hub.TenantID) ([][]byte, error) {
	var all [][]byte
	err := r.q.Query("SELECT note FROM audit_notes WHERE tenant = $1 ORDER BY size", []any{string(tenant)}, func(v []any) error {
		all = append(all, bytesOf(v[0]))
		return nil
	})
	return all, err
}

// AuditEntriesStored gives the entries in the order in which they were stored,
// which is not taken from their sequence numbers, so that a verifier sees what
// was moved.
func (r *Reader) AuditEntriesStored(tenant hub.TenantID, from int64, yield func(hub.SealedEntry) bool) error {
	const chunk = 1000
	n := int64(math.MinInt64)
	if from > 0 {
		no, err := r.logNo(tenant)
		if err != nil {
			return err
		}
		n = place(no, from-1)
	}
	for stopped := false; !stopped; {
		rows := 0
		err := r.q.Query("SELECT n, seq, hash, entry FROM audit_entries WHERE n > $2 AND tenant = $1 ORDER BY n LIMIT $3",
			[]any{string(tenant), n, int64(chunk)}, func(v []any) error {
				rows++
				n = v[0].(int64)
				if stopped {
					return nil
				}
				e := hub.SealedEntry{Sequence: v[1].(int64), Bytes: bytesOf(v[3])}
				copy(e.Hash[:], bytesOf(v[2]))
				stopped = !yield(e)
				return nil
			})
		if err != nil || rows < chunk {
			return err
		}
	}
	return nil
}

// AuditHashes gives the integrity hashes of entries from up to below end.
func (r *Reader) AuditHashes(tenant hub.TenantID, from, end int64) ([][32]byte, error) {
	all := make([][32]byte, 0, max(0, end-from))
	no, err := r.logNo(tenant)
	if err != nil {
		return nil, err
	}
	err = r.q.Query("SELECT hash FROM audit_entries WHERE tenant = $1 AND n >= $2 AND n < $3 ORDER BY n",
		[]any{string(tenant), place(no, from), place(no, end)}, func(v []any) error {
			var h [32]byte
			copy(h[:], bytesOf(v[0]))
			all = append(all, h)
			return nil
		})
	return all, err
}

// AuditHeads gives the end of every tenant's audit log.
func (r *Reader) AuditHeads() ([]hub.AuditHead, error) {
	var all []hub.AuditHead
	err := r.heads(headQuery+" ORDER BY tenant", nil, func(h hub.AuditHead) { all = append(all, h) })
	return all, err
}

// AuditHeadByLog gives the end of the log with the name; its Size is 0 if there
// is none.
func (r *Reader) AuditHeadByLog(log string) (hub.AuditHead, error) {
	var head hub.AuditHead
	err := r.heads(headQuery+" WHERE log = $1", []any{log}, func(h hub.AuditHead) { head = h })
	return head, err
}
