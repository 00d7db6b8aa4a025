// Package tocsin is the tour of the code; it holds nothing else.
//
// Tocsin is the hub between every tool that raises a security finding and every
// person or system that must act on it. A finding comes in, is never lost,
// becomes one alert, runs a playbook, goes out signed, and stands in an audit
// log that an outsider can verify. From the bottom up:
//
// # Words
//
//   - hub: Finding, Alert, Event, Endpoint, Delivery, Principal, AuditEntry,
//     Error. No I/O; everything may import it.
//
// # Small tools (internal/…)
//
//   - ident makes ids; page speaks of lists and cursors; glob and expr match
//     events; intake reads findings and says what is wrong with them; ratelimit
//     counts requests; secret keeps credentials out of logs; durable writes files
//     that survive power loss; safehttp is the one client for outbound calls.
//
// # What is kept
//
//   - internal/store is everything the hub knows: SQL over a small driver, one
//     writer that commits many callers at once. internal/store/sqlite is the
//     embedded engine.
//   - internal/bus names the topics; internal/bus/embedded is the durable log in
//     the store's own file, as Watermill publisher and subscriber.
//   - audit numbers, chains, signs, verifies and exports; audit/FORMAT.md is the
//     specification that outsiders implement.
//
// # The flow
//
//   - connectors bring findings in, by pull or push; each source is a folder.
//   - pipelines takes a window of findings to alerts (dedup), starts playbooks
//     (playbook) and chooses endpoints (route), in one transaction.
//   - relay works off the deliveries: sign, webhook, slack, pagerduty; elastic
//     reads topic events in bulk.
//
// # Its face
//
//   - internal/api serves HTTP; internal/access knows roles, keys and passwords.
//   - configs reads tocsin.yaml.
//   - internal/app puts all of it together; cmd/tocsin is the program,
//     cmd/hubsim the simulators of the far sides, internal/demo both at once.
//
// # How it is tested
//
//   - layers_test.go holds the arrows between packages, docs_test.go what every
//     package must say of itself.
//   - Plug points have kits: connectors/connectortest, relay/relaytest,
//     internal/store/drivertest. test/sim are the far sides, written from their
//     documents; test/conformance are other people's tools; test/e2e runs the
//     real program and kills it; test/bench measures it.
package tocsin
