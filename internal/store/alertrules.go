package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// AlertRules gives the alert rules of a tenant in the order of their ids; of every
// tenant if tenant is empty.
func (r *Reader) AlertRules(tenant hub.TenantID) ([]*hub.AlertRule, error) {
	text, args := "SELECT doc FROM alert_rules ORDER BY id", []any(nil)
	if tenant != "" {
		text, args = "SELECT doc FROM alert_rules WHERE tenant = $1 ORDER BY id", []any{string(tenant)}
	}
	var all []*hub.AlertRule
	err := r.q.Query(text, args, func(v []any) error {
		rule := new(hub.AlertRule)
		all = append(all, rule)
		return decode(bytesOf(v[0]), rule)
	})
	return all, err
}

// AlertRule gives one alert rule.
func (r *Reader) AlertRule(tenant hub.TenantID, id hub.RuleID) (*hub.AlertRule, error) {
	rule := new(hub.AlertRule)
	found, err := r.one("SELECT doc FROM alert_rules WHERE tenant = $1 AND id = $2", []any{string(tenant), string(id)}, func(v []any) error {
		return decode(bytesOf(v[0]), rule)
	})
	if err == nil && !found {
		return nil, notFound("alert rule", id)
	}
	return rule, err
}

// PutAlertRule stores an alert rule, new or changed, without its state.
func (tx *Tx) PutAlertRule(r *hub.AlertRule) error {
	tx.NoteChange()
	bare := *r
	bare.State = nil
	return tx.send("INSERT INTO alert_rules (id, tenant, version, doc) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET version = excluded.version, doc = excluded.doc",
		string(r.ID), string(r.Tenant), r.Version, encode(&bare))
}

// DeleteAlertRule removes an alert rule and its state.
func (tx *Tx) DeleteAlertRule(tenant hub.TenantID, id hub.RuleID) error {
	tx.NoteChange()
	n, err := tx.Exec("DELETE FROM alert_rules WHERE tenant = $1 AND id = $2", string(tenant), string(id))
	if err == nil && n == 0 {
		return notFound("alert rule", id)
	}
	if err != nil {
		return err
	}
	return tx.send("DELETE FROM alert_rule_states WHERE tenant = $1 AND rule = $2", string(tenant), string(id))
}

// RuleState gives what an alert rule has done; the zero value if nothing.
func (r *Reader) RuleState(tenant hub.TenantID, id hub.RuleID) (s hub.RuleState, err error) {
	_, err = r.one("SELECT doc FROM alert_rule_states WHERE tenant = $1 AND rule = $2", []any{string(tenant), string(id)}, func(v []any) error {
		return decode(bytesOf(v[0]), &s)
	})
	return s, err
}

// PutRuleState stores what an alert rule has done and holds back.
func (tx *Tx) PutRuleState(tenant hub.TenantID, id hub.RuleID, s *hub.RuleState) error {
	var due time.Time
	if s.Pending != nil {
		due = s.Pending.Due
	}
	return tx.send("INSERT INTO alert_rule_states (rule, tenant, due_at, doc) VALUES ($1, $2, $3, $4) ON CONFLICT (rule) DO UPDATE SET due_at = excluded.due_at, doc = excluded.doc",
		string(id), string(tenant), hub.Micros(due), encode(s))
}

// DueRules gives up to limit alert rules, by tenant and id, that are to tell of
// what they held back.
func (r *Reader) DueRules(now time.Time, limit int) (all []hub.AlertRule, err error) {
	err = r.q.Query("SELECT tenant, rule FROM alert_rule_states WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2", []any{hub.Micros(now), int64(limit)}, func(v []any) error {
		all = append(all, hub.AlertRule{Tenant: hub.TenantID(v[0].(string)), ID: hub.RuleID(v[1].(string))})
		return nil
	})
	return all, err
}

// NextRuleDue tells when the next is due; zero if none is.
func (r *Reader) NextRuleDue() (at time.Time, err error) {
	_, err = r.one("SELECT due_at FROM alert_rule_states WHERE due_at > 0 ORDER BY due_at LIMIT 1", nil, func(v []any) error {
		at = hub.FromMicros(v[0].(int64))
		return nil
	})
	return at, err
}

var firingsTable = &table{"alert_rule_firings", []string{"alert", "rule", "tenant", "generation", "severity", "told", "at"}}

func firingValues(f *hub.RuleFiring) []any {
	told := int64(0)
	if f.Told {
		told = 1
	}
	return []any{string(f.Alert), string(f.Rule), string(f.Tenant), f.Generation, int64(f.Severity), told, hub.Micros(f.At)}
}

// AddRuleFiring stores that a rule told of a new alert, or held it back.
func (tx *Tx) AddRuleFiring(f *hub.RuleFiring) { tx.appendRow(firingsTable, firingValues(f)...) }

// PutRuleFiring is AddRuleFiring for an alert that the rule may have met before.
func (tx *Tx) PutRuleFiring(f *hub.RuleFiring) error {
	return tx.send(`INSERT INTO alert_rule_firings (alert, rule, tenant, generation, severity, told, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (alert, rule) DO UPDATE SET generation = excluded.generation, severity = excluded.severity, told = excluded.told, at = excluded.at`, firingValues(f)...)
}

// RuleFirings gives which rules told of an alert or held it back.
func (r *Reader) RuleFirings(tenant hub.TenantID, alert hub.AlertID) (all []hub.RuleFiring, err error) {
	err = r.q.Query("SELECT rule, generation, severity, told, at FROM alert_rule_firings WHERE alert = $1 AND tenant = $2 ORDER BY rule", []any{string(alert), string(tenant)}, func(v []any) error {
		all = append(all, hub.RuleFiring{
			Rule: hub.RuleID(v[0].(string)), Tenant: tenant, Alert: alert, Generation: v[1].(int64), Severity: int(v[2].(int64)), Told: v[3].(int64) != 0, At: hub.FromMicros(v[4].(int64)),
		})
		return nil
	})
	return all, err
}

// DeleteRuleFirings forgets them.
func (tx *Tx) DeleteRuleFirings(tenant hub.TenantID, alert hub.AlertID) error {
	return tx.send("DELETE FROM alert_rule_firings WHERE alert = $1 AND tenant = $2", string(alert), string(tenant))
}
