package pipelines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
)

const lockDown = `
name: lock-down
on: [alert.created]
steps:
  - id: ask
    uses: approval
    with: {message: "Lock ${{ alert.asset_id }}?", quorum: 2, timeout: 30m, channels: [soc-slack, soc-mail, soar-webhook, soc-pagerduty, none]}
  - id: mark
    uses: alert.set
    with: {labels: {locked: "yes"}}
  - id: again
    uses: approval
    with: {message: "Unlock?", timeout: 1h, on_timeout: continue}
  - id: unmark
    uses: alert.set
    with: {labels: {locked: "${{ steps.again.output.decision }}"}}
`

func person(name string) hub.Principal {
	return hub.Principal{Tenant: "default", Type: hub.ActorUser, ID: "usr_" + name, Email: name + "@example.com", Label: name + "@example.com", Permissions: []string{"alerts:update"}}
}

func (h *harness) approvals(state hub.ApprovalState) []*hub.Approval {
	h.Helper()
	all, err := view(h, func(r *store.Reader) ([]*hub.Approval, error) { return r.ListApprovals("default", state, "", 0, 10) })
	if err != nil {
		h.Fatal(err)
	}
	return all
}

// answer gives the kind of the error that somebody's answer comes to; what is
// refused is kept.
func (h *harness) answer(by hub.Principal, id hub.ApprovalID, d hub.Decision) hub.Kind {
	h.Helper()
	var refused error
	err := h.p.Change(h.Context(), func(c *pipelines.Change) error {
		_, err := c.Answer(by, id, d, "")
		if refused = err; pipelines.Refused(err) {
			return nil
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return hub.KindOf(refused)
}

// later lets the clock go on and what is due go on, twice: the second must do
// nothing.
func (h *harness) later(after time.Duration) {
	h.Helper()
	h.now = h.now.Add(after)
	for range 2 {
		if _, err := h.p.Resume(h.Context()); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *harness) run() (state hub.RunState, locked string) {
	h.Helper()
	rows, err := view(h, func(r *store.Reader) ([]hub.RunRecord, error) { return r.ListRuns("default", "", 10) })
	if err != nil || len(rows) != 1 {
		h.Fatalf("runs %+v, %v", rows, err)
	}
	return rows[0].State, h.alerts()[0].Labels["locked"]
}

func (h *harness) reopen(books ...string) {
	h.Helper()
	if err := h.st.Close(); err != nil {
		h.Fatal(err)
	}
	h.open(books...)
}

// audited gives "action actor outcome" of the entries about approvals.
func (h *harness) audited() string {
	var lines []string
	for _, e := range h.log {
		if e.ResourceType == "approval" {
			lines = append(lines, fmt.Sprint(e.Action, " ", e.UserID, " ", e.Outcome))
		}
	}
	return strings.Join(lines, ", ")
}

// A run asks where it should, waits over restarts and changes of its playbook,
// counts people once, goes on once, and asks again.
func TestARunAsksAndGoesOnOnce(t *testing.T) {
	h := newHarness(t, lockDown)
	h.triage(finding("web-1", "high", h.now))
	ask := h.approvals("")[0]
	if fmt.Sprint(ask.Channels) != "[chn_1 chn_2 whk_1]" || ask.Quorum != 2 || !ask.ExpiresAt.Equal(h.now.Add(30*time.Minute)) {
		t.Errorf("asked %+v", ask)
	}
	all, err := view(h, func(r *store.Reader) ([]hub.Delivery, error) {
		return r.ListDeliveries("default", &store.DeliveryFilter{}, "", 0, 100)
	})
	if err != nil {
		t.Fatal(err)
	}
	how := "tocsin approvals approve " + string(ask.ID)
	got := map[string]string{}
	for _, d := range all {
		if d.Run != "" {
			got[d.Step+" "+d.Action] = string(d.Params)
		}
	}
	if p := got["ask/soc-slack post"]; len(got) != 3 || !strings.Contains(p, `"approval":{"id":"`+string(ask.ID)) || !strings.Contains(p, how) {
		t.Errorf("Slack is sent %s", p)
	}
	if p := got["ask/soc-mail post"]; !strings.Contains(p, "Lock web-1?") || !strings.Contains(p, how) || !strings.Contains(p, "https://hub.example/api/v1/approvals/"+string(ask.ID)) {
		t.Errorf("the mail is %s", p)
	}
	if p := got["ask/soar-webhook send"]; !strings.Contains(p, `{"body":{"approval":{"id":"`+string(ask.ID)) || !strings.Contains(p, how) {
		t.Errorf("the webhook is sent %s", p)
	}

	h.later(10 * time.Minute)
	h.reopen(strings.ReplaceAll(lockDown, "quorum: 2", "quorum: 1"))
	if k := h.answer(person("ada"), ask.ID, hub.Approve); k != "" {
		t.Errorf("the first answer: %s", k)
	}
	h.reopen()
	if k := h.answer(person("ada"), ask.ID, hub.Approve); k != hub.Conflict {
		t.Errorf("the same person again: %s", k)
	}
	nobody := person("eve")
	nobody.Permissions = []string{"alerts:read"}
	if k := h.answer(nobody, ask.ID, hub.Approve); k != hub.Forbidden {
		t.Errorf("who may only read: %s", k)
	}
	stranger := person("mallory")
	stranger.Tenant = "other"
	if k := h.answer(stranger, ask.ID, hub.Approve); k != hub.NotFound {
		t.Errorf("another tenant's: %s", k)
	}
	if state, locked := h.run(); state != hub.RunWaiting || locked != "" {
		t.Fatalf("before the quorum it is %s, %q", state, locked)
	}
	if k := h.answer(person("grace"), ask.ID, hub.Approve); k != "" {
		t.Errorf("the second answer: %s", k)
	}
	if k := h.answer(person("joan"), ask.ID, hub.Deny); k != hub.Conflict {
		t.Errorf("after the decision: %s", k)
	}
	if state, locked := h.run(); state != hub.RunWaiting || locked != "yes" {
		t.Fatalf("after the quorum it is %s, %q", state, locked)
	}
	h.later(59 * time.Minute) // the first would be over long ago
	if w := h.approvals(hub.ApprovalWaiting); len(w) != 1 || w[0].Message != "Unlock?" {
		t.Fatalf("it waits for %+v", w)
	}
	h.later(time.Minute)
	if state, locked := h.run(); state != hub.RunDone || locked != "timed_out" {
		t.Errorf("at the end it is %s, %q", state, locked)
	}
	last := h.approvals(hub.ApprovalTimedOut)
	if len(last) != 1 || !last[0].DecidedAt.Equal(h.now) || len(h.approvals(hub.ApprovalWaiting)) != 0 {
		t.Errorf("timed out: %+v", last)
	}
	if k := h.answer(person("ada"), last[0].ID, hub.Approve); k != hub.Conflict {
		t.Errorf("after the time: %s", k)
	}
	h.want("audit", h.audited(), "approval.ask lock-down success, approval.approve usr_ada success, approval.approve usr_ada failure, approval.approve usr_eve denied, "+
		"approval.approve usr_grace success, approval.ask lock-down success, approval.deny usr_joan failure, approval.time_out system success, approval.approve usr_ada failure")
}

// The last moment counts; the one after it does not, though nothing has looked yet.
func TestAnswersAtTheEndOfTheTime(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  hub.Kind
		state hub.RunState
	}{{time.Hour - time.Microsecond, "", hub.RunDone}, {time.Hour, hub.Conflict, hub.RunFailed}} {
		h := newHarness(t, "name: p\non: [alert.created]\nsteps: [{id: a, uses: approval, with: {message: m, timeout: 1h}}]\n")
		h.triage(finding("web-1", "high", h.now))
		h.now = h.now.Add(c.after)
		if k := h.answer(person("ada"), h.approvals("")[0].ID, hub.Approve); k != c.want {
			t.Errorf("after %v: %q, want %q", c.after, k, c.want)
		}
		h.later(0)
		if state, _ := h.run(); state != c.state {
			t.Errorf("after %v the run is %s, want %s", c.after, state, c.state)
		}
	}
}

// A run that can never go on leaves nothing that waits.
func TestARunThatCannotGoOnAsksNoMore(t *testing.T) {
	h := newHarness(t, lockDown)
	h.triage(finding("web-1", "high", h.now))
	err := h.st.Do(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE playbook_versions SET text = $1", []byte("gone"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.reopen()
	h.later(time.Hour)
	if state, _ := h.run(); state != hub.RunFailed || len(h.approvals(hub.ApprovalWaiting)) != 0 {
		t.Errorf("the run is %s, and there waits %+v", state, h.approvals(hub.ApprovalWaiting))
	}
}

// Many press at once: one decides, and the run goes on once.
func TestManyAnswerAtOnce(t *testing.T) {
	h := newHarness(t, "name: p\non: [alert.created]\nsteps: [{id: a, uses: approval, with: {message: m}}, {id: b, uses: alert.comment, with: {text: c}}]\n")
	h.triage(finding("web-1", "high", h.now))
	id := h.approvals("")[0].ID
	kinds := make(chan hub.Kind, 30)
	for i := range cap(kinds) {
		d := hub.Approve
		if i%3 == 0 {
			d = hub.Deny
		}
		go func() { kinds <- h.answer(person(fmt.Sprint("p", i)), id, d) }()
	}
	got := map[hub.Kind]int{}
	for range cap(kinds) {
		got[<-kinds]++
	}
	if got[""] != 1 || got[hub.Conflict] != cap(kinds)-1 {
		t.Errorf("answers come to %v", got)
	}
	timeline, err := view(h, func(r *store.Reader) ([]hub.Change, error) { return r.Timeline("default", h.alerts()[0].ID) })
	comments := 0
	for _, c := range timeline {
		if c.Note == "c" {
			comments++
		}
	}
	state, _ := h.run()
	approved := len(h.approvals(hub.ApprovalApproved)) == 1
	if err != nil || approved && (comments != 1 || state != hub.RunDone) || !approved && (comments != 0 || state != hub.RunFailed) {
		t.Errorf("approved %v, %d comments, the run is %s, %v", approved, comments, state, err)
	}
}
