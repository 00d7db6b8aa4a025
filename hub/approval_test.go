package hub

import (
	"strings"
	"testing"
	"time"
)

// Who answers what when, and what comes of it.
func TestApprovalAnswers(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ada := Principal{Type: ActorUser, ID: "slack:T1:U1", Email: "ada@example.com", Label: "ada@example.com"}
	unknown := Principal{Type: ActorUser, ID: "slack:T1:U1", Label: "Ada (Slack)"} // Slack did not say her address this time
	elsewhere := Principal{Type: ActorUser, ID: "usr_1", Email: "Ada@Example.com"}
	grace := Principal{Type: ActorUser, ID: "slack:T1:U2", Email: "grace@example.com", Label: "grace@example.com"}
	type answer struct {
		by    Principal
		d     Decision
		after time.Duration
		err   string // "" for none
	}
	for _, c := range []struct {
		name    string
		quorum  int
		answers []answer
		state   ApprovalState
		by      string
		version int64
	}{
		{"one approves", 1, []answer{{ada, Approve, 0, ""}}, ApprovalApproved, "ada@example.com", 2},
		{"one denies", 3, []answer{{ada, Deny, 0, ""}}, ApprovalDenied, "ada@example.com", 2},
		{"one of two", 2, []answer{{ada, Approve, 0, ""}}, ApprovalWaiting, "", 2},
		{"two of two", 2, []answer{{ada, Approve, 0, ""}, {grace, Approve, 1, ""}}, ApprovalApproved, "ada@example.com, grace@example.com", 3},
		{"the second denies", 2, []answer{{ada, Approve, 0, ""}, {grace, Deny, 1, ""}}, ApprovalDenied, "grace@example.com", 3},
		{"one person twice", 2, []answer{{ada, Approve, 0, ""}, {ada, Approve, 1, "answered already by ada@example.com: approve"}}, ApprovalWaiting, "", 2},
		{"one person changes her mind", 2, []answer{{ada, Approve, 0, ""}, {ada, Deny, 1, "answered already"}}, ApprovalWaiting, "", 2},
		{"one person without her address", 2, []answer{{unknown, Approve, 0, ""}, {ada, Approve, 1, "answered already by Ada (Slack)"}}, ApprovalWaiting, "", 2},
		{"one person from elsewhere", 2, []answer{{ada, Approve, 0, ""}, {elsewhere, Approve, 1, "answered already"}}, ApprovalWaiting, "", 2},
		{"after the decision", 1, []answer{{ada, Approve, 0, ""}, {grace, Deny, 1, "approved already by ada@example.com at 2026-03-01T12:00:00Z"}}, ApprovalApproved, "ada@example.com", 2},
		{"just in time", 1, []answer{{ada, Approve, time.Hour - 1, ""}}, ApprovalApproved, "ada@example.com", 2},
		{"too late", 1, []answer{{ada, Approve, time.Hour, "ended at 2026-03-01T13:00:00Z"}}, ApprovalWaiting, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Approval{Quorum: c.quorum, State: ApprovalWaiting, CreatedAt: at, ExpiresAt: at.Add(time.Hour), Version: 1}
			for i, n := range c.answers {
				err := a.Answer(n.by, n.d, "", at.Add(n.after))
				if (err == nil) != (n.err == "") || err != nil && (KindOf(err) != Conflict || !strings.Contains(err.Error(), n.err)) {
					t.Errorf("answer %d gives %v, want %q", i, err, n.err)
				}
			}
			if got := strings.Join(a.Deciders(), ", "); a.State != c.state || got != c.by || a.Version != c.version || (a.State == ApprovalWaiting) != a.DecidedAt.IsZero() {
				t.Errorf("it is %s by %q, version %d, at %v; want %s by %q, version %d", a.State, got, a.Version, a.DecidedAt, c.state, c.by, c.version)
			}
			before := a
			if a.TimeOut(at.Add(2 * time.Hour)); (before.State == ApprovalWaiting) != (a.State == ApprovalTimedOut) || before.State != ApprovalWaiting && a.Version != before.Version {
				t.Errorf("when the time was up it went from %s to %s", before.State, a.State)
			}
		})
	}
}

func TestApprovalMay(t *testing.T) {
	update := []string{"alerts:update"}
	for _, c := range []struct {
		name string
		by   []string
		p    Principal
		may  bool
	}{
		{"anybody who may change alerts", nil, Principal{ID: "key_1", Permissions: update}, true},
		{"who may only read", nil, Principal{ID: "key_1", Permissions: []string{"alerts:read"}}, false},
		{"named, but may only read", []string{"key_1"}, Principal{ID: "key_1"}, false},
		{"by id", []string{"key_1"}, Principal{ID: "key_1", Permissions: update}, true},
		{"by address", []string{"Ada@example.com"}, Principal{ID: "slack:T:U", Email: "ada@example.com", Permissions: update}, true},
		{"by role", []string{"x@example.com", "role:admin"}, Principal{ID: "key_1", Role: "admin", Permissions: update}, true},
		{"another role", []string{"role:admin"}, Principal{ID: "key_1", Role: "member", Permissions: update}, false},
		{"no role", []string{"role:"}, Principal{ID: "key_1", Permissions: update}, false},
		{"whose id is a role", []string{"role:admin"}, Principal{ID: "role:admin", Permissions: update}, false},
		{"no address", []string{""}, Principal{ID: "slack:T:U", Permissions: update}, false},
	} {
		err := (&Approval{By: c.by}).May(c.p)
		if (err == nil) != c.may || err != nil && KindOf(err) != Forbidden {
			t.Errorf("%s: %v, want %v", c.name, err, c.may)
		}
	}
}
