// Package ops is what the program does without being the hub: it checks a
// configuration with all that it refers to, runs the test cases of playbooks,
// verifies and exports an audit log that lies on disk, backs up a hub, restores it
// and moves it to another database, and speaks to a running hub over its API,
// above all to send it findings from files.
//
// Like internal/app it may see every package, so that cmd/tocsin need not. It
// prints nothing: results are values, progress is a function that is called.
// Of what it finds on disk it changes nothing, except for the state file of
// [Send], FILE.tocsin-send, and what [Restore] and [MigrateSchema] are for.
package ops
