package store

import (
	"fmt"

	"github.com/tocsin/tocsin/hub"
)

var findingsTable = &table{"findings", []string{
	"tenant", "id", "alert_id", "outcome", "source", "type", "severity", "asset_id", "received_at", "doc",
}}

// A FindingRow is a triaged finding in a list with its place; lists go from the
// highest N down.
type FindingRow struct {
	N      int64
	Triage hub.Triage
	Doc    []byte // a hub.Finding as JSON
}

// AddFinding stores a triaged finding. doc is the finding as it was on the bus.
func (tx *Tx) AddFinding(f *hub.Finding, t hub.Triage, doc []byte) {
	tx.appendRow(findingsTable, string(f.Tenant), string(f.ID), string(t.Alert), string(t.Outcome), f.Source, f.Type,
		string(f.Severity), f.AssetID, hub.Micros(f.ReceivedAt), doc)
}

// Triaged gives the results of those of the findings that were triaged.
func (r *Reader) Triaged(tenant hub.TenantID, ids []hub.FindingID) (map[hub.FindingID]hub.Triage, error) {
	keys := make([]any, len(ids))
	for i := range ids {
		keys[i] = string(ids[i])
	}
	found := map[hub.FindingID]hub.Triage{}
	err := queryIn(r, "SELECT id, alert_id, outcome FROM findings WHERE tenant = $1 AND id IN (?)", []any{string(tenant)}, keys, func(v []any) error {
		t := hub.Triage{Finding: hub.FindingID(v[0].(string)), Alert: hub.AlertID(v[1].(string)), Outcome: hub.Outcome(v[2].(string))}
		found[t.Finding] = t
		return nil
	})
	return found, err
}

// A FindingFilter says which findings a list is of.
type FindingFilter struct {
	Severity, Type, Source, AssetID, Outcome []string
}

func (f *FindingFilter) condition(tenant hub.TenantID) *condition {
	c := new(condition)
	c.add("tenant = ?", string(tenant))
	c.in("severity", f.Severity)
	c.in("type", f.Type)
	c.in("source", f.Source)
	c.in("asset_id", f.AssetID)
	c.in("outcome", f.Outcome)
	return c
}

// ListFindings gives up to limit findings below the place before (0: from the
// newest), newest first, after leaving out skip of them.
func (r *Reader) ListFindings(tenant hub.TenantID, f *FindingFilter, before int64, skip, limit int) ([]FindingRow, error) {
	c := f.condition(tenant)
	if before > 0 {
		c.add("n < ?", before)
	}
	c.args = append(c.args, int64(limit), int64(skip))
	var rows []FindingRow
	err := r.q.Query(fmt.Sprintf("SELECT n, id, alert_id, outcome, doc FROM findings WHERE %s ORDER BY n DESC LIMIT $%d OFFSET $%d", c.text(), len(c.args)-1, len(c.args)), c.args, func(v []any) error {
		rows = append(rows, findingRow(v))
		return nil
	})
	return rows, err
}

// CountFindings counts the findings that f takes.
func (r *Reader) CountFindings(tenant hub.TenantID, f *FindingFilter) (int64, error) {
	c, n := f.condition(tenant), int64(0)
	_, err := r.one("SELECT count(*) FROM findings WHERE "+c.text(), c.args, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

// Finding gives one triaged finding.
func (r *Reader) Finding(tenant hub.TenantID, id hub.FindingID) (FindingRow, error) {
	var row FindingRow
	found, err := r.one("SELECT n, id, alert_id, outcome, doc FROM findings WHERE tenant = $1 AND id = $2", []any{string(tenant), string(id)}, func(v []any) error {
		row = findingRow(v)
		return nil
	})
	if err == nil && !found {
		err = notFound("finding", id)
	}
	return row, err
}

func findingRow(v []any) FindingRow {
	return FindingRow{
		N:      v[0].(int64),
		Triage: hub.Triage{Finding: hub.FindingID(v[1].(string)), Alert: hub.AlertID(v[2].(string)), Outcome: hub.Outcome(v[3].(string))},
		Doc:    bytesOf(v[4]),
	}
}

// FindingsByID gives triaged findings by their ids, in the order of the ids.
func (r *Reader) FindingsByID(tenant hub.TenantID, ids []hub.FindingID) ([]FindingRow, error) {
	keys, found := make([]any, len(ids)), map[hub.FindingID]FindingRow{}
	for i := range ids {
		keys[i] = string(ids[i])
	}
	err := queryIn(r, "SELECT n, id, alert_id, outcome, doc FROM findings WHERE tenant = $1 AND id IN (?)", []any{string(tenant)}, keys, func(v []any) error {
		row := findingRow(v)
		found[row.Triage.Finding] = row
		return nil
	})
	rows := make([]FindingRow, 0, len(ids))
	for _, id := range ids {
		if row, there := found[id]; there {
			rows = append(rows, row)
		}
	}
	return rows, err
}
