package audit

import (
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Verdict is what verification comes to.
type Verdict string

// Verdicts, and the exit codes that contract and scripts know them by.
const (
	Intact     Verdict = "intact"     // 0: every entry is as it was sealed, up to the end
	Tampered   Verdict = "tampered"   // 1: something was changed
	Unreadable Verdict = "unreadable" // 2: nothing can be said
	Uncovered  Verdict = "uncovered"  // 3: intact, but no checkpoint covers the end, or a known one is newer
)

// A FaultKind says what was done to a log, as far as that can be known.
type FaultKind string

// Kinds of fault. Those up to BadHead are tampering; FORMAT.md says how they are
// told apart.
const (
	Edited             FaultKind = "edited"              // an entry's bytes are not those that were sealed
	HashMismatch       FaultKind = "hash_mismatch"       // the entry is right, the hash stored beside it is not
	NotCanonical       FaultKind = "not_canonical"       // what stands there is no entry
	Deleted            FaultKind = "deleted"             // entries are missing before the end
	Reordered          FaultKind = "reordered"           // an entry stands in another place
	Inserted           FaultKind = "inserted"            // an entry stands where none was
	Foreign            FaultKind = "foreign"             // an entry belongs to another log
	Truncated          FaultKind = "truncated"           // entries are missing at the end
	CheckpointMismatch FaultKind = "checkpoint_mismatch" // the entries fit together, but not what was signed
	BadSignature       FaultKind = "bad_signature"       // the log's own checkpoint is not signed by the key
	BadHead            FaultKind = "head_mismatch"       // the stored end of the log is not that of its entries

	UncoveredTail FaultKind = "uncovered_tail" // entries after the newest checkpoint
	Older         FaultKind = "older"          // a checkpoint is known of a longer log
)

// A Fault is the first thing found to be wrong.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Sequence is the first entry concerned; -1 if the fault is not in an entry.
	Sequence int64 `json:"sequence"`
	// Count is how many entries are concerned, from Sequence on; 0 if unknown.
	// Where only checkpoints disagree, the change lies somewhere among them.
	Count int64 `json:"count"`
	// Detail is a sentence for people.
	Detail string `json:"detail"`
}

// A Report is the outcome of a verification.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Log     string  `json:"log"`
	Entries int64   `json:"entries"` // found intact, from the start up to the first fault
	// Covered is how many of the entries a checkpoint vouches for.
	Covered int64 `json:"covered"`
	// Checkpoints is how many agreed with the entries.
	Checkpoints int `json:"checkpoints"`
	// KeyTrusted is false where the only key at hand came with the log itself:
	// then the signatures show that the log is whole, not who wrote it.
	KeyTrusted bool       `json:"key_trusted"`
	Root       string     `json:"root"` // of the tree in hexadecimal, if nothing was changed
	Last       *time.Time `json:"last"` // time of the newest entry, if nothing was changed
	Fault      *Fault     `json:"fault"`
	Error      string     `json:"error,omitzero"` // why it is unreadable

	// Head is the end of a log in which nothing was changed. A later verification
	// may go on from it by [Options].From.
	Head hub.AuditHead `json:"-"`
}

// ExitCode gives the exit code of the verdict, as contract §1 has it.
func (r *Report) ExitCode() int {
	switch r.Verdict {
	case Intact:
		return 0
	case Tampered:
		return 1
	case Uncovered:
		return 3
	}
	return 2
}

// String says in one line what was found.
func (r *Report) String() string {
	switch {
	case r.Verdict == Unreadable:
		return "unreadable: " + r.Error
	case r.Fault == nil && !r.KeyTrusted && r.Covered > 0:
		return fmt.Sprintf("intact: %d entries of %s, signed with the key that came along; give the public key to know whose it is", r.Entries, r.Log)
	case r.Fault == nil:
		return fmt.Sprintf("intact: %d entries of %s", r.Entries, r.Log)
	case r.Fault.Sequence < 0:
		return fmt.Sprintf("%s: %s: %s", r.Verdict, r.Fault.Kind, r.Fault.Detail)
	}
	return fmt.Sprintf("%s: %s at sequence %d: %s", r.Verdict, r.Fault.Kind, r.Fault.Sequence, r.Fault.Detail)
}
