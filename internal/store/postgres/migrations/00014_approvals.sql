-- +goose Up
-- Questions that runs of playbooks wait on; doc is a hub.Approval.
CREATE TABLE approvals (
  id     TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  run    TEXT COLLATE "C" NOT NULL,
  state  TEXT COLLATE "C" NOT NULL,
  doc    BYTEA NOT NULL
);
CREATE INDEX approvals_tenant ON approvals (tenant, id);
CREATE INDEX approvals_waiting ON approvals (run) WHERE state = 'waiting';

ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON approvals USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
