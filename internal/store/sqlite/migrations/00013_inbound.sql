-- +goose Up
-- What far sides sent that was carried out, so that one that comes again does
-- nothing twice.
CREATE TABLE inbound (
  endpoint TEXT NOT NULL,
  id       TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (endpoint, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbound_at ON inbound (at);

-- What far sides call their thing (id) that stands for something of ours
-- (subject), such as an incident for a generation of an alert. There may be
-- several subjects to an id.
CREATE TABLE outside_ids (
  endpoint TEXT NOT NULL,
  id       TEXT NOT NULL,
  subject  TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (endpoint, id, subject)
) STRICT, WITHOUT ROWID;

-- How far those have come who read what a tenant has in order, such as its audit
-- log or its findings: everything below next is done.
CREATE TABLE readers (
  tenant TEXT NOT NULL,
  reader TEXT NOT NULL,
  next   INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, reader)
) STRICT, WITHOUT ROWID;
