-- +goose Up
-- Who does what must be done once among several hubs. See internal/lease.
CREATE TABLE leases (
  name  TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  token INTEGER NOT NULL,
  beat  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
