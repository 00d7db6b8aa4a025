package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

var runsTable = &table{"runs", []string{"id", "tenant", "playbook", "version", "alert_id", "state", "due_at", "event_seq", "doc"}}

// AddRun stores a new run.
func (tx *Tx) AddRun(r *hub.RunRecord) {
	tx.appendRow(runsTable, string(r.ID), string(r.Tenant), r.Playbook, r.Version, string(r.Alert), string(r.State), hub.Micros(r.DueAt), r.EventSeq, r.Doc)
}

// UpdateRun stores what a run has come to.
func (tx *Tx) UpdateRun(r *hub.RunRecord) error {
	return tx.sendOne(func() error { return notFound("run", r.ID) },
		"UPDATE runs SET state = $3, due_at = $4, doc = $5 WHERE tenant = $1 AND id = $2",
		string(r.Tenant), string(r.ID), string(r.State), hub.Micros(r.DueAt), r.Doc)
}

const runColumns = "id, tenant, playbook, version, alert_id, state, due_at, event_seq, doc"

func runRow(v []any) hub.RunRecord {
	return hub.RunRecord{
		ID: hub.RunID(v[0].(string)), Tenant: hub.TenantID(v[1].(string)), Playbook: v[2].(string), Version: v[3].(string),
		Alert: hub.AlertID(v[4].(string)), State: hub.RunState(v[5].(string)), DueAt: hub.FromMicros(v[6].(int64)), EventSeq: v[7].(int64), Doc: bytesOf(v[8]),
	}
}

// DueRuns gives up to limit waiting runs whose time has come.
func (r *Reader) DueRuns(now time.Time, limit int) ([]hub.RunRecord, error) {
	return r.runs("SELECT "+runColumns+" FROM runs WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at LIMIT $2", hub.Micros(now), int64(limit))
}

// NextRunDue tells when the next waiting run goes on; zero if none waits.
func (r *Reader) NextRunDue() (time.Time, error) {
	var at time.Time
	_, err := r.one("SELECT due_at FROM runs WHERE state = 'waiting' ORDER BY due_at LIMIT 1", nil, func(v []any) error {
		at = hub.FromMicros(v[0].(int64))
		return nil
	})
	return at, err
}

// Run gives one run.
func (r *Reader) Run(tenant hub.TenantID, id hub.RunID) (hub.RunRecord, error) {
	all, err := r.runs("SELECT "+runColumns+" FROM runs WHERE tenant = $1 AND id = $2", string(tenant), string(id))
	if err == nil && len(all) == 0 {
		return hub.RunRecord{}, notFound("run", id)
	}
	if err != nil {
		return hub.RunRecord{}, err
	}
	return all[0], nil
}

// ListRuns gives up to limit runs started before the one with the id before
// ("": from the newest), newest first.
func (r *Reader) ListRuns(tenant hub.TenantID, before hub.RunID, limit int) ([]hub.RunRecord, error) {
	if before == "" {
		before = "run_~" // behind every id
	}
	return r.runs("SELECT "+runColumns+" FROM runs WHERE id < $2 AND tenant = $1 ORDER BY id DESC LIMIT $3", string(tenant), string(before), int64(limit))
}

func (r *Reader) runs(query string, args ...any) ([]hub.RunRecord, error) {
	var all []hub.RunRecord
	err := r.q.Query(query, args, func(v []any) error {
		all = append(all, runRow(v))
		return nil
	})
	return all, err
}

// PutPlaybookVersion keeps the text of a playbook version, for the runs that
// were started with it.
func (tx *Tx) PutPlaybookVersion(tenant hub.TenantID, name, version string, text []byte, now time.Time) error {
	return tx.send("INSERT INTO playbook_versions (tenant, name, version, at, text) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		string(tenant), name, version, hub.Micros(now), text)
}

// PlaybookVersion gives the text of a playbook version; nil if it is not known.
func (r *Reader) PlaybookVersion(tenant hub.TenantID, name, version string) ([]byte, error) {
	var text []byte
	_, err := r.one("SELECT text FROM playbook_versions WHERE tenant = $1 AND name = $2 AND version = $3",
		[]any{string(tenant), name, version}, func(v []any) error {
			text = bytesOf(v[0])
			return nil
		})
	return text, err
}

// PlaybookStarts tells when a playbook with limits started since a time.
func (r *Reader) PlaybookStarts(tenant hub.TenantID, name, key string, since time.Time) ([]time.Time, error) {
	var all []time.Time
	err := r.q.Query("SELECT at FROM playbook_starts WHERE tenant = $1 AND playbook = $2 AND key = $3 AND at >= $4",
		[]any{string(tenant), name, keyText(key), hub.Micros(since)}, func(v []any) error {
			all = append(all, hub.FromMicros(v[0].(int64)))
			return nil
		})
	return all, err
}

// AddPlaybookStart remembers that a playbook with limits started, and forgets
// starts with the same key that no limit looks back to.
func (tx *Tx) AddPlaybookStart(tenant hub.TenantID, name, key string, at time.Time) error {
	err := tx.send("DELETE FROM playbook_starts WHERE tenant = $1 AND playbook = $2 AND key = $3 AND at < $4",
		string(tenant), name, keyText(key), hub.Micros(at.Add(-startsKept)))
	if err != nil {
		return err
	}
	return tx.send("INSERT INTO playbook_starts (tenant, playbook, key, at) VALUES ($1, $2, $3, $4)", string(tenant), name, keyText(key), hub.Micros(at))
}

// startsKept is longer than any cooldown that a playbook may have.
const startsKept = 31 * 24 * time.Hour
