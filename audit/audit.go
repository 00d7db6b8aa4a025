// Package audit makes audit entries final and checks that a stored log is what
// was once written.
//
// A [Sealer] numbers, times and chains the entries of one transaction, extends
// the Merkle tree over them and signs its root. [Verify] and [VerifyFile] read a
// log from any [Source] or from an export, and name the first entry that is not
// as it was, with the kind of change. The form of the entries, of the hashes and
// of the checkpoints is described in FORMAT.md, from which anybody can write a
// verifier of their own; one stands in test/conformance/audit.
//
// What it promises: a change of, before or between sealed entries is found by
// whoever holds the public key; a log that was cut short, rolled back or signed
// anew with a stolen key is found by whoever holds a later checkpoint. What was
// never given to the sealer leaves no trace here: that no change of state goes
// without its entry is the store's promise.
//
// The package does no I/O except for the key file. Everything else is bytes in
// and bytes out; storing entries, heads and notes is left to the caller.
package audit

const (
	// Version is the format of the entries written, their member "v".
	Version = 1
	// MaxEntry is how many bytes an entry has at most: what the length field of
	// other transparency logs can hold, so that ours can be published as one.
	MaxEntry = 65535
	// maxInt is the greatest integer that every JSON reader takes exactly.
	maxInt = 1<<53 - 1
	// maxDepth is how many objects and lists may stand in one another in details.
	maxDepth = 32
	// maxName is how long the name of a log and of a tenant may be.
	maxName = 255
)
