-- +goose Up
-- Times are microseconds since 1970 (UTC). Documents are JSON. A table that
-- only grows at its end has an integer key; ids sort by time, so their indexes
-- grow at the end too.

CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The bus. pos is topic number << 48 | partition << 40 | offset, with offsets
-- from 1; those of callers that failed are missing. at never decreases within a
-- partition but for steps of the clock. headers is a JSON object, or empty.
CREATE TABLE topics (
  name TEXT PRIMARY KEY,
  no   INTEGER NOT NULL UNIQUE,
  partitions INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  pos     INTEGER PRIMARY KEY,
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  key     TEXT NOT NULL,
  at      INTEGER NOT NULL,
  headers TEXT NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- How far a group has come: everything up to pos is done. at is when the group
-- was last at work; one that is away for long no longer holds messages.
CREATE TABLE consumers (
  topic  INTEGER NOT NULL,
  grp    TEXT NOT NULL,
  part   INTEGER NOT NULL,
  pos    INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (topic, grp, part)
) STRICT, WITHOUT ROWID;

-- Findings as they were triaged, in that order.
CREATE TABLE findings (
  n           INTEGER PRIMARY KEY,
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  alert_id    TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  source      TEXT NOT NULL,
  type        TEXT NOT NULL,
  severity    TEXT NOT NULL,
  asset_id    TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  doc         BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX findings_id ON findings (id);

-- One row a fingerprint: the state of the deduplication and its current alert.
-- origin never changes and is what sightings hang on; dkey is the delivery key
-- of the first finding, so that a problem seen once needs no sighting.
CREATE TABLE identities (
  tenant      TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  origin      TEXT NOT NULL,
  dkey        BLOB NOT NULL,
  at          INTEGER NOT NULL,
  alert_id    TEXT NOT NULL,
  due_at      INTEGER NOT NULL, -- when changes held back are to be told, or 0
  state       BLOB NOT NULL,
  PRIMARY KEY (tenant, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_due ON identities (due_at) WHERE due_at > 0;

-- Delivery keys of all but the first finding of a fingerprint.
CREATE TABLE sightings (
  origin TEXT NOT NULL,
  dkey   BLOB NOT NULL,
  tenant TEXT NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (origin, dkey)
) STRICT, WITHOUT ROWID;

-- changed is a number that grows with every change of any alert: the order of
-- lists, and what makes their cursors stay valid.
CREATE TABLE alerts (
  n          INTEGER PRIMARY KEY,
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  changed    INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  status     TEXT NOT NULL,
  severity   TEXT NOT NULL,
  type       TEXT NOT NULL,
  source     TEXT NOT NULL,
  asset_id   TEXT NOT NULL,
  account    TEXT NOT NULL,
  assignee   TEXT NOT NULL,
  risk       REAL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  doc        BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX alerts_id ON alerts (id);
CREATE INDEX alerts_changed ON alerts (tenant, changed);

-- How many alerts there are by status and severity, kept up with every change.
CREATE TABLE alert_counts (
  tenant   TEXT NOT NULL,
  status   TEXT NOT NULL,
  severity TEXT NOT NULL,
  n        INTEGER NOT NULL,
  PRIMARY KEY (tenant, status, severity)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_changes (
  alert_id TEXT NOT NULL,
  version  INTEGER NOT NULL,
  tenant   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  doc      BLOB NOT NULL,
  PRIMARY KEY (alert_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  seq     INTEGER PRIMARY KEY,
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  type    TEXT NOT NULL,
  subject TEXT NOT NULL,
  at      INTEGER NOT NULL,
  body    BLOB NOT NULL
) STRICT;

CREATE TABLE endpoints (
  id      TEXT PRIMARY KEY,
  tenant  TEXT NOT NULL,
  kind    TEXT NOT NULL,
  name    TEXT NOT NULL,
  origin  TEXT NOT NULL, -- api or config
  version INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  secrets BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX endpoints_name ON endpoints (tenant, name) WHERE name <> '';

-- A delivery is work to do until state is succeeded or dead. due_at is when to
-- try next or, while delivering, when the lease ends.
CREATE TABLE deliveries (
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  endpoint   TEXT NOT NULL,
  kind       TEXT NOT NULL,
  action     TEXT NOT NULL,
  state      TEXT NOT NULL,
  due_at     INTEGER NOT NULL,
  lease      TEXT NOT NULL,
  attempts   INTEGER NOT NULL,
  event_seq  INTEGER NOT NULL,
  event_id   TEXT NOT NULL,
  event_type TEXT NOT NULL,
  subject    TEXT NOT NULL,
  run_id     TEXT NOT NULL,
  step       TEXT NOT NULL,
  params     BLOB,
  options    BLOB,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  error      TEXT NOT NULL,
  fault      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (due_at, endpoint) WHERE state IN ('pending', 'delivering', 'retrying');
CREATE INDEX deliveries_stuck ON deliveries (tenant, state, id) WHERE state IN ('held', 'dead', 'retrying');
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, id);

CREATE TABLE attempts (
  delivery TEXT NOT NULL,
  number   INTEGER NOT NULL,
  tenant   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  doc      BLOB NOT NULL,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  id       TEXT PRIMARY KEY,
  tenant   TEXT NOT NULL,
  playbook TEXT NOT NULL,
  version  TEXT NOT NULL,
  alert_id TEXT NOT NULL,
  state    TEXT NOT NULL,
  due_at   INTEGER NOT NULL,
  event_seq INTEGER NOT NULL,
  doc      BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_due ON runs (due_at) WHERE state = 'waiting';

CREATE TABLE playbook_versions (
  tenant  TEXT NOT NULL,
  name    TEXT NOT NULL,
  version TEXT NOT NULL,
  at      INTEGER NOT NULL,
  text    BLOB NOT NULL,
  PRIMARY KEY (tenant, name, version)
) STRICT, WITHOUT ROWID;

-- When playbooks with limits started, as far back as their limits look.
CREATE TABLE playbook_starts (
  tenant   TEXT NOT NULL,
  playbook TEXT NOT NULL,
  key      TEXT NOT NULL,
  at       INTEGER NOT NULL
) STRICT;
CREATE INDEX playbook_starts_at ON playbook_starts (tenant, playbook, key, at);

CREATE TABLE connector_state (
  tenant TEXT NOT NULL,
  name   TEXT NOT NULL,
  cursor BLOB NOT NULL,
  paused INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  hash       BLOB NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL,
  user_id    TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  email      TEXT NOT NULL,
  password   TEXT NOT NULL,
  role       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  active     INTEGER NOT NULL,
  UNIQUE (tenant, email)
) STRICT, WITHOUT ROWID;

-- First answers to requests that carried an Idempotency-Key.
CREATE TABLE idempotency (
  tenant   TEXT NOT NULL,
  key      TEXT NOT NULL,
  request  BLOB NOT NULL,
  status   INTEGER NOT NULL,
  response BLOB NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- The audit log. entry holds the canonical bytes, which are the truth; hash is
-- SHA-256(0x00 || entry). postings say which entries a value of a field may be
-- in, a range a transaction, so that queries do not cost an index row an entry.
-- n is the log's number << 40 | seq, so that entries need no index.
CREATE TABLE audit_logs (
  tenant TEXT PRIMARY KEY,
  no     INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_entries (
  n      INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  seq    INTEGER NOT NULL,
  hash   BLOB NOT NULL,
  entry  BLOB NOT NULL
) STRICT;

CREATE TABLE audit_postings (
  tenant TEXT NOT NULL,
  field  TEXT NOT NULL,
  value  TEXT NOT NULL,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  PRIMARY KEY (tenant, field, value, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_heads (
  tenant   TEXT PRIMARY KEY,
  log      TEXT NOT NULL,
  size     INTEGER NOT NULL,
  last     BLOB NOT NULL,
  time     INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  note     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Checkpoints kept over time: one a minute at most, and those anchored outside.
CREATE TABLE audit_notes (
  tenant TEXT NOT NULL,
  size   INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  note   BLOB NOT NULL,
  PRIMARY KEY (tenant, size)
) STRICT, WITHOUT ROWID;
