package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An ApprovalState is where an approval is in its life.
type ApprovalState string

// States of an approval. All but the first are for good.
const (
	ApprovalWaiting  ApprovalState = "waiting"
	ApprovalApproved ApprovalState = "approved"
	ApprovalDenied   ApprovalState = "denied"
	ApprovalTimedOut ApprovalState = "timed_out"
)

// ApprovalStates lists the states.
var ApprovalStates = [...]ApprovalState{ApprovalWaiting, ApprovalApproved, ApprovalDenied, ApprovalTimedOut}

// A Decision is one person's answer.
type Decision string

// What may be answered.
const (
	Approve Decision = "approve"
	Deny    Decision = "deny"
)

// An Approval is a question that a step of a playbook asks, and that its run
// waits on. Its JSON form is the API's answer and the stored document.
type Approval struct {
	ID       ApprovalID `json:"id"`
	Tenant   TenantID   `json:"tenant"`
	Run      RunID      `json:"run_id"`
	Playbook string     `json:"playbook"`
	Step     string     `json:"step"`
	Subject  string     `json:"subject"` // what the run is about, such as an alert's id
	Message  string     `json:"message"`

	// By names who may answer: role:<name>, a person's e-mail address, or the id
	// of a principal. Empty: whoever may change alerts.
	By []string `json:"by"`
	// Quorum is how many must approve. One who denies is enough.
	Quorum int `json:"quorum"`
	// OnTimeout is stop or continue: what the run does if nobody decides.
	OnTimeout string `json:"on_timeout"`
	// Channels are where it is asked.
	Channels []EndpointID `json:"channels"`

	State     ApprovalState `json:"state"`
	Answers   []Answer      `json:"answers"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	// Version counts its changes, from 1.
	Version int64 `json:"version"`
}

// An Answer is what one person answered.
type Answer struct {
	Who      string    `json:"who"` // the principal's id
	Email    string    `json:"email,omitempty"`
	Name     string    `json:"name"` // as timelines show them
	Decision Decision  `json:"decision"`
	Note     string    `json:"note,omitempty"`
	At       time.Time `json:"at"`
}

// is reports whether p gave the answer. People come by several ways, of which
// not each tells their address every time; so either name is enough.
func (n *Answer) is(p Principal) bool {
	return n.Who == p.ID || n.Email != "" && strings.EqualFold(n.Email, p.Email)
}

// approvalPermission is what answering needs, beside being one of those who are asked.
const approvalPermission = "alerts:update"

// May says why p may not answer; nil if they may.
func (a *Approval) May(p Principal) error {
	if !p.Can(approvalPermission) {
		return E(Forbidden, "this needs the permission "+approvalPermission)
	}
	if len(a.By) == 0 {
		return nil
	}
	for _, by := range a.By {
		role, isRole := strings.CutPrefix(by, "role:")
		switch {
		case isRole && role == p.Role && role != "":
			return nil
		case !isRole && (by == p.ID || p.Email != "" && strings.EqualFold(by, p.Email)):
			return nil
		}
	}
	return E(Forbidden, "this may be answered only by "+strings.Join(a.By, ", "))
}

// Answer takes the answer of p, who may give it ([Approval.May]). It counts each
// person once, and nothing after the decision or after the time is up.
func (a *Approval) Answer(p Principal, d Decision, note string, now time.Time) error {
	if a.State != ApprovalWaiting {
		return E(Conflict, "this is "+a.Outcome())
	}
	if !now.Before(a.ExpiresAt) {
		return E(Conflict, "the time to answer ended at "+a.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if i := slices.IndexFunc(a.Answers, func(n Answer) bool { return n.is(p) }); i >= 0 {
		return E(Conflict, fmt.Sprintf("this was answered already by %s: %s; it waits for others", a.Answers[i].Name, a.Answers[i].Decision))
	}
	a.Answers = append(slices.Clip(a.Answers), Answer{Who: p.ID, Email: p.Email, Name: p.Name(), Decision: d, Note: note, At: now})
	a.Version++
	switch {
	case d == Deny:
		a.State, a.DecidedAt = ApprovalDenied, now
	case len(a.Answers) >= a.Quorum: // all of them approve: one who denies decides
		a.State, a.DecidedAt = ApprovalApproved, now
	}
	return nil
}

// TimeOut ends an approval that nobody decided.
func (a *Approval) TimeOut(now time.Time) {
	if a.State == ApprovalWaiting {
		a.State, a.DecidedAt, a.Version = ApprovalTimedOut, now, a.Version+1
	}
}

// Deciders are the names of those whose answers made the decision; nil before it
// and if the time was up.
func (a *Approval) Deciders() []string {
	var names []string
	for i := range a.Answers {
		n := &a.Answers[i]
		if a.State == ApprovalApproved && n.Decision == Approve || a.State == ApprovalDenied && n.Decision == Deny {
			names = append(names, n.Name)
		}
	}
	return names
}

// Note is what was written with the decision.
func (a *Approval) Note() string {
	if a.State == ApprovalWaiting || a.State == ApprovalTimedOut || len(a.Answers) == 0 {
		return ""
	}
	return a.Answers[len(a.Answers)-1].Note
}

// Outcome says where it stands, such as "approved already by ada at …".
func (a *Approval) Outcome() string {
	switch at := a.DecidedAt.UTC().Format(time.RFC3339); a.State {
	case ApprovalWaiting:
		return fmt.Sprintf("waiting: %d of %d approved", len(a.Answers), a.Quorum)
	case ApprovalTimedOut:
		return "over: nobody decided until " + at
	default:
		return string(a.State) + " already by " + strings.Join(a.Deciders(), ", ") + " at " + at
	}
}
