-- +goose Up
-- Alert rules; doc is a hub.AlertRule.
CREATE TABLE alert_rules (
  id      TEXT COLLATE "C" PRIMARY KEY,
  tenant  TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     BYTEA NOT NULL
);
CREATE INDEX alert_rules_tenant ON alert_rules (tenant, id);

-- What each rule has done and holds back; doc is a hub.RuleState. due_at is when
-- it tells of what it holds back, 0 for not by itself.
CREATE TABLE alert_rule_states (
  rule   TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  due_at BIGINT NOT NULL,
  doc    BYTEA NOT NULL
);
CREATE INDEX alert_rule_states_due ON alert_rule_states (due_at) WHERE due_at > 0;

-- Which alerts a rule told of (told) or held back, until they are resolved or
-- dismissed. severity is its rank.
CREATE TABLE alert_rule_firings (
  alert      TEXT COLLATE "C" NOT NULL,
  rule       TEXT COLLATE "C" NOT NULL,
  tenant     TEXT COLLATE "C" NOT NULL,
  generation BIGINT NOT NULL,
  severity   BIGINT NOT NULL,
  told       BIGINT NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (alert, rule)
);

ALTER TABLE alert_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_rules USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE alert_rule_states ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_rule_states USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE alert_rule_firings ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_rule_firings USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
