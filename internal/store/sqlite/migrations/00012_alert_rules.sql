-- +goose Up
-- Alert rules; doc is a hub.AlertRule.
CREATE TABLE alert_rules (
  id      TEXT PRIMARY KEY,
  tenant  TEXT NOT NULL,
  version INTEGER NOT NULL,
  doc     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_rules_tenant ON alert_rules (tenant, id);

-- What each rule has done and holds back; doc is a hub.RuleState. due_at is when
-- it tells of what it holds back, 0 for not by itself.
CREATE TABLE alert_rule_states (
  rule   TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  doc    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_rule_states_due ON alert_rule_states (due_at) WHERE due_at > 0;

-- Which alerts a rule told of (told) or held back, until they are resolved or
-- dismissed. severity is its rank.
CREATE TABLE alert_rule_firings (
  alert      TEXT NOT NULL,
  rule       TEXT NOT NULL,
  tenant     TEXT NOT NULL,
  generation INTEGER NOT NULL,
  severity   INTEGER NOT NULL,
  told       INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (alert, rule)
) STRICT, WITHOUT ROWID;
