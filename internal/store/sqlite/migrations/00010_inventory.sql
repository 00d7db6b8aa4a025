-- +goose Up
-- The inventory: things (nodes) with the keys that they are known by, what each
-- source says of them (words), and how they hang together (edges). Things that
-- share a key are one node.

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
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_nodes_kind ON inv_nodes (tenant, gone, kind, id);

CREATE TABLE inv_keys (
  tenant TEXT NOT NULL,
  key    TEXT NOT NULL,
  node   TEXT NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_keys_node ON inv_keys (tenant, node);

-- A row is a hub.NodeWord.
CREATE TABLE inv_words (
  n          INTEGER PRIMARY KEY,
  tenant     TEXT NOT NULL,
  source     TEXT NOT NULL,
  key        TEXT NOT NULL,
  node       TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  live_at    INTEGER NOT NULL,
  gone       INTEGER NOT NULL,
  doc        BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX inv_words_key ON inv_words (tenant, source, key);
CREATE INDEX inv_words_node ON inv_words (tenant, node);

-- Ids of nodes that turned out to be another.
CREATE TABLE inv_moved (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  node   TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_moved_node ON inv_moved (tenant, node);

-- What a source says of how two keys hang together; id is a sum over source,
-- keys and kind. The keys may be of things that nobody has reported yet.
CREATE TABLE inv_edges (
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  source   TEXT NOT NULL,
  kind     TEXT NOT NULL,
  from_key TEXT NOT NULL,
  to_key   TEXT NOT NULL,
  seen_at  INTEGER NOT NULL,
  gone     INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inv_edges_from ON inv_edges (tenant, from_key);
CREATE INDEX inv_edges_to ON inv_edges (tenant, to_key);

-- Alerts of a thing. An asset_id may be of any length, and a key may not.
CREATE INDEX alerts_asset ON alerts (tenant, substr(asset_id, 1, 256));
