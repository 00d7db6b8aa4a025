-- +goose Up
-- order_key is what a delivery keeps its place in, '' for none: it is sent when
-- those before it with the same key at the same endpoint are over. base counts
-- the attempts that the schedule does not count any more.
ALTER TABLE deliveries ADD COLUMN order_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN base BIGINT NOT NULL DEFAULT 0;

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
  endpoint TEXT COLLATE "C" PRIMARY KEY,
  tenant   TEXT COLLATE "C" NOT NULL,
  state    TEXT COLLATE "C" NOT NULL,
  since    BIGINT NOT NULL,
  probe_at BIGINT NOT NULL,
  probes   BIGINT NOT NULL,
  reason   TEXT COLLATE "C" NOT NULL
);

-- Deliveries that are sent again, an endpoint and a range of time at a time.
-- place is the last delivery that was dealt with; doc is a hub.Replay.
CREATE TABLE replays (
  id       TEXT COLLATE "C" PRIMARY KEY,
  tenant   TEXT COLLATE "C" NOT NULL,
  endpoint TEXT COLLATE "C" NOT NULL,
  state    TEXT COLLATE "C" NOT NULL,
  place    TEXT COLLATE "C" NOT NULL,
  doc      BYTEA NOT NULL
);
CREATE INDEX replays_running ON replays (id) WHERE state = 'running';
CREATE INDEX replays_endpoint ON replays (endpoint, id);

ALTER TABLE breakers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON breakers USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE replays ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON replays USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
