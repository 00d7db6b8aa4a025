// Package dedup decides which findings are one problem and what each of them
// does to the alert that stands for it. It is pure: it reads no clock, stores
// nothing and changes none of its arguments.
//
// [Fingerprint] is the identity of a problem and [DeliveryKey] that of a
// delivery. [Decide] takes what is known of an identity (its [State] and
// current alert) and one finding, and returns what both become; [Act] does the
// same for what people and playbooks do. The caller stores State, alert and
// timeline together, and processes one fingerprint at a time.
//
// # Order
//
// Observations are ordered by the source's event time, then its sequence, then
// their content; arrival decides nothing. State keeps the newest observations
// and every decision is made by going through them in that order, so status,
// severity, count, first_seen, last_seen, generation and sources come out equal
// whatever the order of arrival. This is exact
//
//   - for the newest 32 observations of an identity. Beyond them repeats that
//     change nothing are thinned out first, so that up to 64 changes are
//     remembered; what is older yet is kept as a sum. An observation older than
//     all that is remembered is counted, and matters only if its source has
//     reported nothing newer.
//   - within one alert. Alerts that exist are never split or joined afterwards,
//     so a late observation that falls across the reopen window does not change
//     which alert the others went to.
//   - for up to 64 sources of one identity; further ones count as one.
//   - for event times that are not clamped. One that lies more than 5 minutes in
//     our future is taken as now, and the decision's note says so.
//
// Type, asset and first source of an alert, its number of changes and what
// people were told depend on arrival.
//
// # What an observation does
//
// Each source supports the alert while its newest observation is open. The
// alert is resolved when no source supports it, and its severity is the highest
// among those that do; a resolved alert keeps its last severity. A finding
// whose source has reported something newer is late: it is counted, may show
// that there was a generation in between, and changes no status. Every open
// after a time without support is a new generation.
//
// So a source that never resolved keeps an alert open or opens it again even
// when its observation is older than another source's resolve: that resolve
// would not have closed the alert had it been known.
//
// A resolve before its open leaves a tombstone: state, but no alert. The older
// open then makes an alert that is resolved from the start, and nobody is told.
//
// # Acknowledgements
//
// An acknowledgement, and likewise a dismissal, ends by a severity above the
// one acknowledged, by an asset or by evidence that is new, or by a reopening.
// Evidence is the payload without its volatile parts, the vulnerability without
// its score and the compliance result. A title or another text does not end it,
// nor does a further source that reports the same at no higher severity. What
// the alert had shown before the acknowledgement is not new when it comes back;
// the newest 16 pieces of evidence and 8 assets are remembered.
//
// While it lasts, repeats, lower severities and new texts update the alert and
// its timeline without an event. Its end is alert.updated with a reason; that
// of a dismissal is alert.reopened in a new generation, because a dismissal
// closes the problem outside.
//
// # Flapping and suppression
//
// At least 4 changes between open and resolved in the last 20 observations are
// flapping. From the fourth on single events are held back, one summary is due
// at once and another every 30 minutes as long as there is something to tell. A
// severity above the one people know of is told all the same. A suppression
// until a time holds everything that sources cause; one without a time works
// like an acknowledgement.
//
// A finding that its source says was acknowledged there acknowledges the alert,
// in the source's name, flapping or suppressed or not. Each acknowledgement
// counts once: not again after it has ended here or was taken back, nor if it is
// older than the last resolve, nor beside something that ends one. Where it is
// the newest thing that the source tells, it is no new sighting: it opens nothing
// that people closed.
//
// What was held is told with the next event, or by [Summarize] when
// [State.SummaryDue] says so; the event is the one that takes the outside from
// what it was told last to what is. An alert whose resolve was held is not over:
// it is reopened, however late.
//
// # What people do
//
// A resolve by hand closes what every source has reported so far; newer open
// observations reopen, older ones are late. Reopening by hand gives back the
// support of the sources that never resolved; if there is none, the alert stays
// open until a source resolves it. A severity set by hand holds until the
// sources report one above both it and theirs at that time, or until the
// problem is reopened. Labels set or removed by hand are not touched by
// findings.
//
// # Versions
//
// Every decision with an Action raises the alert's Version by one and belongs
// into the timeline. A duplicate has none: it only raises Duplicates. The count
// is of all findings that are no duplicates, tombstones and late ones included.
//
// Late findings have no event. If one shows a generation that nobody was told
// of, the next event has it among its changes, so that whoever keeps something
// outside under alert id and generation can close what is under the old one.
package dedup

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// RepeatWindow is how long a delivery without an event time counts as a repeat
// of an equal one: longer than any published retry schedule of a sender.
const RepeatWindow = 7 * 24 * time.Hour

// maxSkew is how far in our future an event time may lie before it is clamped.
const maxSkew = 5 * time.Minute

// A Decision is what a finding or an action does.
type Decision struct {
	Outcome hub.Outcome // of a finding; empty for an action

	// State is the identity's state from now on.
	State State
	// Alert is the alert from now on; nil if nothing of it changes. Its id is
	// another than before when the problem came back after the reopen window.
	Alert *hub.Alert

	// Action is the timeline's word for the change, or "" if it is none. Reason
	// and Note say why; Changes maps the changed fields to before and after.
	Action  string
	Reason  string
	Note    string
	Changes hub.Changes

	// Event is due to the outside, or "".
	Event hub.EventType
	// Notify tells whether people should be told anew. Without it the event only
	// brings up to date what was shown before.
	Notify bool

	mergeable bool // one of many repeats; see [Merge]
}

// Words for the timeline's Action.
const (
	ActionCreated        = "created"
	ActionMerged         = "merged"
	ActionReopened       = "reopened"
	ActionResolved       = "resolved"
	ActionLate           = "late"
	ActionSuppressed     = "suppressed"
	ActionAcknowledged   = "acknowledged"
	ActionUnacknowledged = "unacknowledged"
	ActionDismissed      = "dismissed"
	ActionUpdated        = "updated"
	ActionNoted          = "noted"
	ActionSummarized     = "summarized"
)
