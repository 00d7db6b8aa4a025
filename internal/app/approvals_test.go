package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	sim "github.com/tocsin/tocsin/test/sim/slack"
)

const contain = `name: contain
on: [alert.created]
steps:
  - id: ask
    uses: approval
    with: {channels: soc, message: "Contain ${{ alert.asset_id }}? <!channel>", WITH}
  - id: mark
    uses: alert.set
    with: {labels: {contained: "${{ steps.ask.output.by[0] }}"}}
  - id: tell
    uses: slack.post
    with: {channel: soc, message: contained}
`

// startAsking is a hub whose playbook asks with more inputs.
func startAsking(t *testing.T, with string) *posted {
	t.Helper()
	file := filepath.Join(t.TempDir(), "contain.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(contain, "WITH", with)), 0o600); err != nil {
		t.Fatal(err)
	}
	return startPostedWith(t, kindSlack(), "events: [], rate_limit: 10", fmt.Sprintf("playbooks: {paths: ['%s']}\n", file))
}

// asked waits for the question at Slack, and that the hub knows of it.
func (p *posted) asked() sim.Message {
	p.t.Helper()
	m := p.until("it is asked", count(1))[0]
	p.until("it is recorded", func([]sim.Message) bool { return p.states(p.rules.byName("soc").ID)[hub.DeliverySucceeded] == 1 })
	return m
}

func (p *posted) approvals(state string) []*hub.Approval {
	p.t.Helper()
	return call[struct {
		Data []*hub.Approval `json:"data"`
	}](p.running, "GET", "/api/v1/approvals?state="+state, "", 200).Data
}

func (p *posted) runs() []*api.PlaybookRun {
	p.t.Helper()
	return call[struct {
		Data []*api.PlaybookRun `json:"data"`
	}](p.running, "GET", "/api/v1/playbook-runs", "", 200).Data
}

// contained counts how often the step after the question was taken.
func contained(all []sim.Message) (n int) {
	for _, m := range all {
		if strings.Contains(m.Text, "contained") {
			n++
		}
	}
	return n
}

// A finding starts a run, the run asks and waits over a restart, and goes on once
// when somebody presses the button.
func TestApprovalFromFindingToButton(t *testing.T) {
	p := startAsking(t, "by: [ada@example.com, 'role:owner'], timeout: 1h")
	a := p.open("web-1")
	m := p.asked()
	if m.Text != "Approval needed · contain" || !strings.Contains(fmt.Sprint(m.Blocks), "Contain web-1?") {
		t.Errorf("asked %+v", m)
	}
	if len(m.Mentions) > 0 {
		t.Errorf("it notified %v", m.Mentions)
	}
	ask := p.approvals("waiting")[0]
	if r := p.runs()[0]; r.State != hub.RunWaiting || r.Approval != ask.ID || r.Alert != a.ID || !r.Due.Equal(ask.ExpiresAt) || len(r.Steps) != 1 || r.Steps[0].Status != "waiting" {
		t.Errorf("the run shows %+v, the approval %+v", r, ask)
	}

	p.stop()
	p.running = start(t, load(t, p.dir, p.cfg), withKey)
	if got := p.approvals("waiting"); len(got) != 1 || contained(p.sim.Messages("")) != 0 {
		t.Fatalf("after a restart there are %+v", got)
	}

	p.press(p.click(m, "approve", "U0G9QF9C6"))
	if w := p.whispered(1); !strings.Contains(w.Text, "only by ada@example.com") {
		t.Errorf("somebody who is not asked is told %+v", w)
	}
	p.press(p.click(m, "approve", "U061F7AUR"))
	all := p.until("it went on and the message shows it", func(all []sim.Message) bool {
		return contained(all) == 1 && all[0].Text == "Approved · contain"
	})
	if ids := all[0].Buttons(); slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "tocsin.") }) {
		t.Errorf("it still has the buttons %q", ids)
	}
	if !strings.Contains(fmt.Sprint(all[0].Blocks), "*Approved* by ada@example.com") {
		t.Errorf("it does not say who: %v", all[0].Blocks)
	}
	for i, button := range []string{"approve", "deny"} { // of the message as it was
		p.pressOld(m, p.click(m, button, "U0G9QF9C6"))
		if w := p.whispered(2 + i); !strings.Contains(w.Text, "only by") {
			t.Errorf("said %+v", w)
		}
	}
	p.pressOld(m, p.click(m, "deny", "U061F7AUR"))
	if w := p.whispered(4); !strings.HasPrefix(w.Text, "This is approved already by ada@example.com at ") {
		t.Errorf("said %+v", w)
	}
	problem := call[map[string]any](p.running, "POST", "/api/v1/approvals/"+string(ask.ID), `{"decision":"deny"}`, 409)
	if !strings.Contains(fmt.Sprint(problem["detail"]), "approved already by ada@example.com") {
		t.Errorf("told %v", problem)
	}
	if r := p.runs()[0]; r.State != hub.RunDone || len(r.Steps) != 3 || r.Approval != "" {
		t.Errorf("the run is %+v", r)
	}
	if a = p.alert(a.ID); a.Labels["contained"] != "ada@example.com" || contained(p.sim.Messages("")) != 1 {
		t.Errorf("the alert has %v, %d messages", a.Labels, contained(p.sim.Messages("")))
	}
	p.audited("approval.approve", "slack:T024BE7LD:U061F7AUR", "ada@example.com")
	p.audited("approval.approve", "slack:T024BE7LD:U0G9QF9C6", "grace@example.com") // refused
	p.clean()
}

// Two must approve; one person is one, by whatever way.
func TestApprovalQuorum(t *testing.T) {
	p := startAsking(t, "quorum: 2")
	p.open("web-1")
	m := p.asked()
	p.press(p.click(m, "approve", "U061F7AUR"))
	all := p.until("the message counts", func(all []sim.Message) bool { return strings.Contains(fmt.Sprint(all[0].Blocks), "1 of 2") })
	p.press(p.click(all[0], "approve", "U061F7AUR"))
	if w := p.whispered(1); !strings.Contains(w.Text, "answered already by ada@example.com") {
		t.Errorf("said %+v", w)
	}
	ask := p.approvals("waiting")[0]
	if got := call[hub.Approval](p.running, "POST", "/api/v1/approvals/"+string(ask.ID), `{"decision":"approve","note":"fine"}`, 200); got.State != hub.ApprovalApproved || len(got.Answers) != 2 {
		t.Errorf("after two it is %+v", got)
	}
	p.until("it went on", func(all []sim.Message) bool { return contained(all) == 1 && strings.HasPrefix(all[0].Text, "Approved") })
	p.clean()
}

// Who denies ends the run, and who does not decide in time as well.
func TestApprovalDeniedAndTimedOut(t *testing.T) {
	for _, c := range []struct {
		name, with, head, state string
		deny                    bool
		want                    hub.RunState
	}{
		{"denied", "timeout: 1h", "Denied · contain", "denied", true, hub.RunFailed},
		{"timed out", "timeout: 300ms", "Not decided in time · contain", "timed_out", false, hub.RunFailed},
		{"timed out and continued", "timeout: 300ms, on_timeout: continue", "Not decided in time · contain", "timed_out", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startAsking(t, c.with)
			p.open("web-1")
			m := p.until("it is asked", func(all []sim.Message) bool { return len(all) > 0 })[0]
			if c.deny {
				p.asked()
				p.press(p.click(m, "deny", "U061F7AUR"))
			}
			p.until("the message shows how it ended", func(all []sim.Message) bool { return all[0].Text == c.head })
			if got := p.approvals(c.state); len(got) != 1 {
				t.Errorf("there are %+v", got)
			}
			// With no output by anybody, the step after it fails; it was taken all the same.
			if r := p.runs()[0]; c.want == hub.RunFailed && (r.State != c.want || len(r.Steps) != 1) || c.want == "" && len(r.Steps) < 2 {
				t.Errorf("the run is %+v", r)
			}
			id := p.approvals("")[0].ID
			call[any](p.running, "POST", "/api/v1/approvals/"+string(id), `{"decision":"approve"}`, 409)
			p.clean()
		})
	}
}

// What is no answer is refused, and nothing but a POST is one.
func TestApprovalRequests(t *testing.T) {
	p := startAsking(t, "by: 'role:admin'")
	p.open("web-1")
	p.asked()
	path := "/api/v1/approvals/" + string(p.approvals("")[0].ID)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", path, `{"decision":"maybe"}`, 422},
		{"POST", path, `{}`, 422},
		{"POST", path, `{"decision":"approve"}`, 403}, // the key is an owner's
		{"POST", "/api/v1/approvals/apr_none", `{"decision":"approve"}`, 404},
		{"GET", "/api/v1/approvals/apr_none", "", 404},
		{"GET", path + "/approve", "", 404},
		{"GET", path + "?decision=approve", "", 200},
		{"GET", "/api/v1/approvals?state=open", "", 400},
		{"GET", "/api/v1/playbook-runs/run_none", "", 404},
	} {
		if status, body := p.do(c.method, c.path, testKey, c.body); status != c.want {
			t.Errorf("%s %s %s is answered %d %s, want %d", c.method, c.path, c.body, status, body, c.want)
		}
	}
	key := call[struct {
		Key string `json:"key"`
	}](p.running, "POST", "/api/v1/api-keys", `{"name":"boss","role":"admin"}`, 201)
	answer := func() (int, string) {
		return p.do("POST", path, key.Key, `{"decision":"approve"}`, "Idempotency-Key", "k1")
	}
	status, first := answer()
	if again, body := answer(); status != 200 || again != 200 || body != first {
		t.Errorf("answered %d %s, then %d %s", status, first, again, body)
	}
	if status, body := p.do("POST", path, testKey, `{"decision":"approve"}`, "Idempotency-Key", "k1"); status != 409 {
		t.Errorf("another with the same key is answered %d %s", status, body)
	}
	p.until("it went on", func(all []sim.Message) bool { return contained(all) == 1 })
	denied := call[struct {
		Data []hub.AuditEntry `json:"data"`
	}](p.running, "GET", "/api/v1/audit/logs?action=approval.approve", "", 200)
	if !slices.ContainsFunc(denied.Data, func(e hub.AuditEntry) bool { return e.Outcome == hub.AuditDenied }) {
		t.Error("the refusal is not in the audit log")
	}
}

// What was decided while the question was on its way is shown in it.
func TestApprovalDecidedBeforeItIsAsked(t *testing.T) {
	p := startAsking(t, "timeout: 1h")
	p.sim.Break("C0SOC", "internal_error")
	p.open("web-1")
	id := p.approvals("")[0].ID
	call[any](p.running, "POST", "/api/v1/approvals/"+string(id), `{"decision":"deny","note":"a drill"}`, 200)
	p.sim.Break("C0SOC", "")
	all := p.until("the message shows it", func(all []sim.Message) bool { return len(all) == 1 && all[0].Text == "Denied · contain" })
	if !strings.Contains(fmt.Sprint(all[0].Blocks), "a drill") {
		t.Errorf("it says %v", all[0].Blocks)
	}
	p.clean()
}

// Where Slack does not say who somebody is, and where it was not asked.
func TestApprovalByOthers(t *testing.T) {
	o := kindSlack()
	o.Scopes = []string{"chat:write", "users:read"}
	file := filepath.Join(t.TempDir(), "contain.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(contain, "WITH", "by: ada@example.com")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPostedWith(t, o, "events: [], rate_limit: 10", fmt.Sprintf("playbooks: {paths: ['%s']}\n", file))
	call[any](p.running, "POST", "/api/v1/channels", fmt.Sprintf(`{"kind":"slack","name":"other","bot_token":%q,"channel":"C0OTHER","api_url":"%s/api","signing_secret":"another-secret","events":[]}`, sim.DefaultToken, p.srv.URL), 201)
	p.open("web-1")
	m := p.asked()
	p.press(p.click(m, "approve", "U061F7AUR"))
	if w := p.whispered(1); !strings.Contains(w.Text, "Slack did not tell your address") {
		t.Errorf("said %+v", w)
	}
	p.send(fmt.Sprintf(`{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U061F7AUR","team_id":"T1"},"container":{"channel_id":"C0OTHER","message_ts":"1.1"},"actions":[{"action_id":"tocsin.approve:%s:1"}],"response_url":"%s"}`,
		p.approvals("")[0].ID, p.sim.ResponseURL("U061F7AUR", "C0OTHER")), "another-secret", time.Now(), 200)
	if w := p.whispered(2); !strings.Contains(w.Text, "does not know what this message is about") {
		t.Errorf("said %+v", w)
	}
	if got := p.approvals("waiting"); len(got) != 1 || len(got[0].Answers) != 0 {
		t.Errorf("one of these counted: %+v", got)
	}
}
