-- +goose Up
-- Which message at an endpoint stands for one life of an alert. asked is where
-- the endpoint was told to post, place and message the far side's names; wanted is
-- more than version while the message lags behind the alert.
CREATE TABLE threads (
  endpoint   TEXT NOT NULL,
  alert      TEXT NOT NULL,
  generation INTEGER NOT NULL,
  tenant     TEXT NOT NULL,
  asked      TEXT NOT NULL,
  place      TEXT NOT NULL,
  message    TEXT NOT NULL,
  summary    INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  wanted     INTEGER NOT NULL,
  delivery   TEXT NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (endpoint, alert, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_message ON threads (endpoint, message);
CREATE INDEX threads_behind ON threads (endpoint, at) WHERE wanted > version;
