-- +goose Up
-- order_key is what a delivery keeps its place in, '' for none: it is sent when
-- those before it with the same key at the same endpoint are over. base counts
-- the attempts that the schedule does not count any more.
ALTER TABLE deliveries ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN base INTEGER NOT NULL DEFAULT 0;

-- What is due is looked for endpoint by endpoint, so that those with no room are
-- not looked at however much is due for them. New deliveries are leased from the
-- start and are not in this index, only in that of leases.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at, id) WHERE state IN ('pending', 'retrying');
CREATE INDEX deliveries_leased ON deliveries (due_at) WHERE state = 'delivering';
CREATE INDEX deliveries_held ON deliveries (endpoint, id) WHERE state = 'held';
CREATE INDEX deliveries_order ON deliveries (endpoint, order_key, id)
  WHERE order_key <> '' AND state IN ('pending', 'delivering', 'retrying', 'held');

-- Endpoints that fail. state is open or half_open; probe_at is when the next
-- probe is sent or, while half open, when the one on its way is given up.
CREATE TABLE breakers (
  endpoint TEXT PRIMARY KEY,
  tenant   TEXT NOT NULL,
  state    TEXT NOT NULL,
  since    INTEGER NOT NULL,
  probe_at INTEGER NOT NULL,
  probes   INTEGER NOT NULL,
  reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Deliveries that are sent again, an endpoint and a range of time at a time.
-- place is the last delivery that was dealt with; doc is a hub.Replay.
CREATE TABLE replays (
  id       TEXT PRIMARY KEY,
  tenant   TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  state    TEXT NOT NULL,
  place    TEXT NOT NULL,
  doc      BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_running ON replays (id) WHERE state = 'running';
CREATE INDEX replays_endpoint ON replays (endpoint, id);
