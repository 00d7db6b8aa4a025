-- +goose Up
-- Questions that runs of playbooks wait on; doc is a hub.Approval.
CREATE TABLE approvals (
  id     TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  run    TEXT NOT NULL,
  state  TEXT NOT NULL,
  doc    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_tenant ON approvals (tenant, id);
CREATE INDEX approvals_waiting ON approvals (run) WHERE state = 'waiting';
