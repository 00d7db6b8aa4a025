package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Identities gives what is known of the fingerprints of a tenant.
func (r *Reader) Identities(tenant hub.TenantID, prints []hub.Fingerprint) (map[hub.Fingerprint]hub.Identity, error) {
	keys := make([]any, len(prints))
	for i := range prints {
		keys[i] = prints[i][:]
	}
	found := make(map[hub.Fingerprint]hub.Identity, len(prints))
	err := queryIn(r, "SELECT fingerprint, origin, dkey, at, alert_id, state FROM identities WHERE tenant = $1 AND fingerprint IN (?)",
		[]any{string(tenant)}, keys, func(v []any) error {
			id := hub.Identity{Tenant: tenant, Origin: v[1].(string), FirstAt: hub.FromMicros(v[3].(int64)), Alert: hub.AlertID(v[4].(string)), State: bytesOf(v[5])}
			copy(id.Fingerprint[:], bytesOf(v[0]))
			copy(id.First[:], bytesOf(v[2]))
			found[id.Fingerprint] = id
			return nil
		})
	return found, err
}

var identitiesTable = &table{"identities", []string{"tenant", "fingerprint", "origin", "dkey", "at", "alert_id", "due_at", "state"}}

// PutIdentity stores the state of a fingerprint. fresh says that it was not
// known before.
func (tx *Tx) PutIdentity(id hub.Identity, fresh bool) error {
	if fresh {
		tx.appendRow(identitiesTable, string(id.Tenant), id.Fingerprint[:], id.Origin, id.First[:], hub.Micros(id.FirstAt), string(id.Alert), hub.Micros(id.DueAt), id.State)
		return nil
	}
	return tx.send("UPDATE identities SET alert_id = $3, state = $4, due_at = $5 WHERE tenant = $1 AND fingerprint = $2",
		string(id.Tenant), id.Fingerprint[:], string(id.Alert), id.State, hub.Micros(id.DueAt))
}

// DueIdentities gives up to limit identities with changes held back whose time
// has come: tenant and fingerprint only.
func (r *Reader) DueIdentities(now time.Time, limit int) ([]hub.Identity, error) {
	var all []hub.Identity
	err := r.q.Query("SELECT tenant, fingerprint FROM identities WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2",
		[]any{hub.Micros(now), int64(limit)}, func(v []any) error {
			id := hub.Identity{Tenant: hub.TenantID(v[0].(string))}
			copy(id.Fingerprint[:], bytesOf(v[1]))
			all = append(all, id)
			return nil
		})
	return all, err
}

// NextIdentityDue tells when changes held back are to be told next; zero if none
// are.
func (r *Reader) NextIdentityDue() (time.Time, error) {
	var at time.Time
	_, err := r.one("SELECT due_at FROM identities WHERE due_at > 0 ORDER BY due_at LIMIT 1", nil, func(v []any) error {
		at = hub.FromMicros(v[0].(int64))
		return nil
	})
	return at, err
}

// Sighted tells when a delivery key was first seen for an identity, in
// microseconds; 0 if it was not. The identity's first finding is not asked for.
func (r *Reader) Sighted(origin string, key [16]byte) (int64, error) {
	var at int64
	_, err := r.one("SELECT at FROM sightings WHERE origin = $1 AND dkey = $2", []any{origin, key[:]}, func(v []any) error {
		at = v[0].(int64)
		return nil
	})
	return at, err
}

// AddSighting remembers a delivery key of an identity; at is in microseconds.
func (tx *Tx) AddSighting(tenant hub.TenantID, origin string, key [16]byte, at int64) error {
	return tx.send("INSERT INTO sightings (origin, dkey, tenant, at) VALUES ($1, $2, $3, $4) ON CONFLICT (origin, dkey) DO UPDATE SET at = excluded.at",
		origin, key[:], string(tenant), at)
}

// Alerts gives the alerts of a tenant with the ids; missing ones are left out.
func (r *Reader) Alerts(tenant hub.TenantID, ids []hub.AlertID) (map[hub.AlertID]*hub.Alert, error) {
	keys := make([]any, len(ids))
	for i := range ids {
		keys[i] = string(ids[i])
	}
	found := make(map[hub.AlertID]*hub.Alert, len(ids))
	err := queryIn(r, "SELECT doc FROM alerts WHERE tenant = $1 AND id IN (?)", []any{string(tenant)}, keys, func(v []any) error {
		a := new(hub.Alert)
		if err := decode(bytesOf(v[0]), a); err != nil {
			return err
		}
		found[a.ID] = a
		return nil
	})
	return found, err
}

// Alert gives one alert.
func (r *Reader) Alert(tenant hub.TenantID, id hub.AlertID) (*hub.Alert, error) {
	found, err := r.Alerts(tenant, []hub.AlertID{id})
	if err == nil && found[id] == nil {
		err = notFound("alert", id)
	}
	return found[id], err
}

var alertsTable = &table{"alerts", []string{
	"tenant", "id", "changed", "version", "status", "severity", "type", "source", "asset_id",
	"account", "assignee", "risk", "created_at", "updated_at", "doc",
}}

// PutAlert stores an alert, whose JSON form is doc. old is the one it replaces,
// nil for a new one.
func (tx *Tx) PutAlert(a, old *hub.Alert, doc []byte) error {
	changed := tx.counter("alerts.changed", 1)
	if old == nil {
		tx.appendRow(alertsTable, string(a.Tenant), string(a.ID), changed, a.Version, string(a.Status), string(a.Severity),
			a.Type, a.Source, a.AssetID, a.Account(), a.Assignee, a.RiskScore, hub.Micros(a.CreatedAt), hub.Micros(a.UpdatedAt), doc)
		tx.count(a, 1)
		return nil
	}
	if old.Status != a.Status || old.Severity != a.Severity {
		tx.count(old, -1)
		tx.count(a, 1)
	}
	return tx.sendOne(func() error { return notFound("alert", a.ID) },
		`UPDATE alerts SET changed = $3, version = $4, status = $5, severity = $6, account = $7, assignee = $8,
		risk = $9, updated_at = $10, doc = $11 WHERE tenant = $1 AND id = $2`,
		string(a.Tenant), string(a.ID), changed, a.Version, string(a.Status), string(a.Severity), a.Account(), a.Assignee,
		a.RiskScore, hub.Micros(a.UpdatedAt), doc)
}

type countKey struct {
	tenant   hub.TenantID
	status   hub.AlertStatus
	severity hub.Severity
}

func (tx *Tx) count(a *hub.Alert, n int64) {
	tx.counts = append(tx.counts, countDelta{countKey{a.Tenant, a.Status, a.Severity}, n})
}

type countDelta struct {
	countKey
	n int64
}

// saveCounts adds the transaction's changes to alert_counts.
func (tx *Tx) saveCounts() error {
	sum := map[countKey]int64{}
	for _, d := range tx.counts {
		sum[d.countKey] += d.n
	}
	for k, n := range sum {
		if n == 0 {
			continue
		}
		err := tx.send("INSERT INTO alert_counts (tenant, status, severity, n) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, status, severity) DO UPDATE SET n = alert_counts.n + excluded.n",
			string(k.tenant), string(k.status), string(k.severity), n)
		if err != nil {
			return err
		}
	}
	return nil
}

// An AlertRow is an alert in a list with its place: lists go from the highest
// Changed down, and a cursor is the Changed of the last row shown.
type AlertRow struct {
	*hub.Alert
	Changed int64
}

// ListAlerts gives up to limit alerts that changed before the place before (0:
// from the newest), newest change first, after leaving out skip of them.
func (r *Reader) ListAlerts(tenant hub.TenantID, f *hub.AlertFilter, before int64, skip, limit int) ([]AlertRow, error) {
	var rows []AlertRow
	err := r.scanAlerts(tenant, f, before, func(row AlertRow) bool {
		if skip > 0 {
			skip--
			return true
		}
		rows = append(rows, row)
		return len(rows) < limit
	})
	return rows, err
}

// scanAlerts calls yield for the alerts that f takes until it returns false.
func (r *Reader) scanAlerts(tenant hub.TenantID, f *hub.AlertFilter, before int64, yield func(AlertRow) bool) error {
	const chunk = 500 // rows asked for at once; most lists need one
	for {
		c := alertCondition(tenant, f)
		if before > 0 {
			c.add("changed < ?", before)
		}
		n, stopped := 0, false
		c.args = append(c.args, int64(chunk))
		err := r.q.Query("SELECT changed, doc FROM alerts WHERE "+c.text()+" ORDER BY tenant DESC, changed DESC LIMIT "+lastParam(c.args), c.args, func(v []any) error {
			n++
			before = v[0].(int64)
			if stopped {
				return nil
			}
			a := new(hub.Alert)
			if err := decode(bytesOf(v[1]), a); err != nil {
				return err
			}
			if f.Match(a) {
				stopped = !yield(AlertRow{a, before})
			}
			return nil
		})
		if err != nil || stopped || n < chunk {
			return err
		}
	}
}

// alertCondition gives the part of f that columns can answer.
func alertCondition(tenant hub.TenantID, f *hub.AlertFilter) *condition {
	c := new(condition)
	c.add("tenant = ?", string(tenant))
	c.in("status", f.Status)
	c.in("severity", f.Severity)
	c.in("type", f.Type)
	c.in("asset_id", f.AssetID)
	c.in("account", f.Account)
	c.in("assignee", f.Assignee)
	if !f.Since.IsZero() {
		c.add("updated_at >= ?", hub.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		c.add("updated_at < ?", hub.Micros(f.Until))
	}
	if f.MinRisk != nil {
		c.add("risk >= ?", *f.MinRisk)
	}
	return c
}

// CountAlerts counts the alerts that f takes by severity.
func (r *Reader) CountAlerts(tenant hub.TenantID, f *hub.AlertFilter) (map[hub.Severity]int64, error) {
	counts := map[hub.Severity]int64{}
	if onlyCounted(f) {
		err := r.q.Query("SELECT status, severity, n FROM alert_counts WHERE tenant = $1", []any{string(tenant)}, func(v []any) error {
			a := hub.Alert{Status: hub.AlertStatus(v[0].(string)), Severity: hub.Severity(v[1].(string))}
			if f.Match(&a) {
				counts[a.Severity] += v[2].(int64)
			}
			return nil
		})
		return counts, err
	}
	err := r.scanAlerts(tenant, f, 0, func(row AlertRow) bool {
		counts[row.Severity]++
		return true
	})
	return counts, err
}

// onlyCounted reports whether f asks for nothing but what alert_counts holds.
func onlyCounted(f *hub.AlertFilter) bool {
	return len(f.Type)+len(f.Source)+len(f.AssetID)+len(f.Account)+len(f.Assignee)+len(f.Labels) == 0 &&
		f.Query == "" && f.Since.IsZero() && f.Until.IsZero() && f.MinRisk == nil
}

var changesTable = &table{"alert_changes", []string{"alert_id", "version", "tenant", "at", "doc"}}

// AddChange adds a row to an alert's timeline.
func (tx *Tx) AddChange(tenant hub.TenantID, c *hub.Change) {
	tx.appendRow(changesTable, string(c.Alert), c.Version, string(tenant), hub.Micros(c.At), encode(c))
}

// Timeline gives the changes of an alert, oldest first.
func (r *Reader) Timeline(tenant hub.TenantID, id hub.AlertID) ([]hub.Change, error) {
	var all []hub.Change
	err := r.q.Query("SELECT doc FROM alert_changes WHERE alert_id = $1 AND tenant = $2 ORDER BY version", []any{string(id), string(tenant)}, func(v []any) error {
		all = append(all, hub.Change{})
		return decode(bytesOf(v[0]), &all[len(all)-1])
	})
	return all, err
}
