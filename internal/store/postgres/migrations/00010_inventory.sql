-- +goose Up
-- The inventory: things (nodes) with the keys that they are known by, what each
-- source says of them (words), and how they hang together (edges). Things that
-- share a key are one node.
--
-- No index that keys or ids are looked up by begins with the tenant: before a
-- database has statistics PostgreSQL takes a tenant's rows for few, and would
-- rather read all of them than look up many keys.

-- What lists of nodes are filtered by, as put together from the words. search is
-- what a query looks in, in small letters.
CREATE TABLE inv_nodes (
  tenant   TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  kind     TEXT COLLATE "C" NOT NULL,
  type     TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  account  TEXT COLLATE "C" NOT NULL,
  region   TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  risk     DOUBLE PRECISION,
  gone     BIGINT NOT NULL,
  jewel    BIGINT NOT NULL,
  search   TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX inv_nodes_list ON inv_nodes (tenant, id);

CREATE TABLE inv_keys (
  tenant TEXT COLLATE "C" NOT NULL,
  key    TEXT COLLATE "C" NOT NULL,
  node   TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (key, tenant)
);
CREATE INDEX inv_keys_node ON inv_keys (node);

-- A row is a hub.NodeWord.
CREATE TABLE inv_words (
  tenant     TEXT COLLATE "C" NOT NULL,
  source     TEXT COLLATE "C" NOT NULL,
  key        TEXT COLLATE "C" NOT NULL,
  node       TEXT COLLATE "C" NOT NULL,
  first_seen BIGINT NOT NULL,
  seen_at    BIGINT NOT NULL,
  live_at    BIGINT NOT NULL,
  gone       BIGINT NOT NULL,
  doc        BYTEA NOT NULL,
  PRIMARY KEY (key, source, tenant)
) WITH (fillfactor = 85);
CREATE INDEX inv_words_node ON inv_words (node);

-- Ids of nodes that turned out to be another.
CREATE TABLE inv_moved (
  tenant TEXT COLLATE "C" NOT NULL,
  id     TEXT COLLATE "C" NOT NULL,
  node   TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX inv_moved_node ON inv_moved (node);

-- What a source says of how two keys hang together; id is a sum over
-- tenant, source, keys and kind, so that each tenant's are spread evenly, and a
-- list may leave out those of others. The keys may be of things that nobody has reported yet.
CREATE TABLE inv_edges (
  tenant   TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  source   TEXT COLLATE "C" NOT NULL,
  kind     TEXT COLLATE "C" NOT NULL,
  from_key TEXT COLLATE "C" NOT NULL,
  to_key   TEXT COLLATE "C" NOT NULL,
  seen_at  BIGINT NOT NULL,
  gone     BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX inv_edges_from ON inv_edges (from_key, tenant);
CREATE INDEX inv_edges_to ON inv_edges (to_key, tenant);

-- Alerts of a thing. An asset_id may be of any length, and a key may not.
CREATE INDEX alerts_asset ON alerts (substr(asset_id, 1, 256), tenant);

ALTER TABLE inv_nodes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inv_nodes USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE inv_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inv_keys USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE inv_words ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inv_words USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE inv_moved ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inv_moved USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE inv_edges ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inv_edges USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
