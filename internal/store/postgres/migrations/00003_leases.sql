-- +goose Up
-- Who does what must be done once among several hubs. See internal/lease.
CREATE TABLE leases (
  name  TEXT COLLATE "C" PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  token BIGINT NOT NULL,
  beat  BIGINT NOT NULL
) WITH (fillfactor = 30);
ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
