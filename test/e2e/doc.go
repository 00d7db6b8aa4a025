// Package e2e holds the tests against the real program: it is built once, runs
// as a process of its own, is spoken to over HTTP only, and is killed, starved
// of disk and fed nonsense. What drives it is [package rig].
//
// Settings by environment:
//
//	TOCSIN_E2E_SEED    decides everything that is random; a failing test prints it
//	TOCSIN_E2E_KILLS   how often the program is killed: 20, or 5 if distributed, or 3 with -short
//	TOCSIN_E2E_FAULTS  at how many system calls a fault is tried: 40, or 6 with -short; "all" for each
//	TOCSIN_E2E_MODE    distributed: over Kafka and PostgreSQL, and with the tests of several nodes
//	TOCSIN_E2E_FULL    1: the tests of several nodes under full load and with longer faults
//	TOCSIN_E2E_MISHAPS an expression: only what goes wrong under a name that it matches
//	TOCSIN_E2E_RATE    findings a second in the tests of several nodes: 150, or 100 with -short
//	TOCSIN_E2E_BINARY  a program to test in place of the one that is built
//	CI=true            a missing tool or right fails the test instead of skipping it
//
// [package rig]: github.com/tocsin/tocsin/test/bench/rig
package e2e
