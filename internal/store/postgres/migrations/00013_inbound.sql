-- +goose Up
-- What far sides sent that was carried out, so that one that comes again does
-- nothing twice.
CREATE TABLE inbound (
  endpoint TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  tenant   TEXT COLLATE "C" NOT NULL,
  at       BIGINT NOT NULL,
  PRIMARY KEY (endpoint, id)
);
CREATE INDEX inbound_at ON inbound (at);

-- What far sides call their thing (id) that stands for something of ours
-- (subject), such as an incident for a generation of an alert. There may be
-- several subjects to an id.
CREATE TABLE outside_ids (
  endpoint TEXT COLLATE "C" NOT NULL,
  id       TEXT COLLATE "C" NOT NULL,
  subject  TEXT COLLATE "C" NOT NULL,
  tenant   TEXT COLLATE "C" NOT NULL,
  at       BIGINT NOT NULL,
  PRIMARY KEY (endpoint, id, subject)
);

-- How far those have come who read what a tenant has in order, such as its audit
-- log or its findings: everything below next is done.
CREATE TABLE readers (
  tenant TEXT COLLATE "C" NOT NULL,
  reader TEXT COLLATE "C" NOT NULL,
  next   BIGINT NOT NULL,
  at     BIGINT NOT NULL,
  PRIMARY KEY (tenant, reader)
);

ALTER TABLE inbound ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inbound USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE outside_ids ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outside_ids USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
ALTER TABLE readers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON readers USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
