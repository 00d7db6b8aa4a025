// Package services starts the real programs that Tocsin works with: Apache
// Kafka, Elasticsearch and PostgreSQL, as plain processes on this machine, for
// tests and for development.
//
// Each call of [Kafka] or [Elasticsearch] gives a server of its own, on ports
// and with a data folder of its own. It ends with the test, and also when the
// test process is killed, and its folder goes away. [SharedKafka],
// [SharedElasticsearch] and [Postgres] give a server that all tests of a process
// share. Servers can be stopped and started again on the same ports and data,
// killed, and paused. [Run] starts them for development.
//
// What they run is fetched once, by Maven, into a folder that all test
// processes share, and compared with the sums in SHA256SUMS. Where a tool for
// this is missing the test is skipped loudly; in CI it fails.
//
// The package imports nothing of ours, so that everything may be tested with it.
package services
