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
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  kind     TEXT NOT NULL,
  type     TEXT NOT NULL,
  provider TEXT NOT NULL,
  account  TEXT NOT NULL,
  region   TEXT NOT NULL,
  name     TEXT NOT NULL,
  risk     REAL,
  gone     INTEGER NOT NULL,
  jewel    INTEGER NOT NULL,
  search   TEXT NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_nodes_list ON inv_nodes (tenant, id);

CREATE TABLE inv_keys (
  tenant TEXT NOT NULL,
  key    TEXT NOT NULL,
  node   TEXT NOT NULL,
  PRIMARY KEY (key, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_keys_node ON inv_keys (node);

-- A row is a hub.NodeWord.
CREATE TABLE inv_words (
  tenant     TEXT NOT NULL,
  source     TEXT NOT NULL,
  key        TEXT NOT NULL,
  node       TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  live_at    INTEGER NOT NULL,
  gone       INTEGER NOT NULL,
  doc        BLOB NOT NULL,
  PRIMARY KEY (key, source, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_words_node ON inv_words (node);

-- Ids of nodes that turned out to be another.
CREATE TABLE inv_moved (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  node   TEXT NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_moved_node ON inv_moved (node);

-- What a source says of how two keys hang together; id is a sum over
-- tenant, source, keys and kind, so that each tenant's are spread evenly, and a
-- list may leave out those of others. The keys may be of things that nobody has reported yet.
CREATE TABLE inv_edges (
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  source   TEXT NOT NULL,
  kind     TEXT NOT NULL,
  from_key TEXT NOT NULL,
  to_key   TEXT NOT NULL,
  seen_at  INTEGER NOT NULL,
  gone     INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_edges_from ON inv_edges (from_key, tenant);
CREATE INDEX inv_edges_to ON inv_edges (to_key, tenant);

-- Alerts of a thing. An asset_id may be of any length, and a key may not.
CREATE INDEX alerts_asset ON alerts (substr(asset_id, 1, 256), tenant);
