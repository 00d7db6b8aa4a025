// Package deploy checks what the hub is shipped with, without a container
// engine: docker-compose.yml, the Dockerfile, the rules of alerts and the
// dashboard. It reads them, holds them against each other and against the
// program, and starts the same nodes with the same settings as plain processes,
// over a real Kafka, PostgreSQL and Elasticsearch.
//
// promcheck is a program of its own module, which parses expressions as
// Prometheus does.
package deploy
