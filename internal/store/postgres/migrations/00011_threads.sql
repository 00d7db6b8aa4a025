-- +goose Up
-- Which message at an endpoint stands for one life of an alert. asked is where
-- the endpoint was told to post, place and message the far side's names; wanted is
-- more than version while the message lags behind the alert.
CREATE TABLE threads (
  endpoint   TEXT COLLATE "C" NOT NULL,
  alert      TEXT COLLATE "C" NOT NULL,
  generation BIGINT NOT NULL,
  tenant     TEXT COLLATE "C" NOT NULL,
  asked      TEXT COLLATE "C" NOT NULL,
  place      TEXT COLLATE "C" NOT NULL,
  message    TEXT COLLATE "C" NOT NULL,
  summary    BIGINT NOT NULL,
  version    BIGINT NOT NULL,
  wanted     BIGINT NOT NULL,
  delivery   TEXT COLLATE "C" NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (endpoint, alert, generation)
);
CREATE INDEX threads_message ON threads (endpoint, message);
CREATE INDEX threads_behind ON threads (endpoint, at) WHERE wanted > version;

ALTER TABLE threads ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON threads USING (tenant = (SELECT nullif(current_setting('tocsin.tenant', true), '')));
