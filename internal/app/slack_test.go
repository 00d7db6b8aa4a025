package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	sim "github.com/tocsin/tocsin/test/sim/slack"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

const slackSecret = "8f742231b10e8888abcd99yyyzzz85a5"

// A posted is a hub with Slack at its side.
type posted struct {
	*running
	sim *sim.Sim
	srv *httptest.Server
	cfg string
	dir string
}

func startPosted(t *testing.T, o sim.Options, more string) *posted {
	t.Helper()
	return startPostedWith(t, o, more, "")
}

// startPostedWith has more sections in the configuration.
func startPostedWith(t *testing.T, o sim.Options, more, sections string) *posted {
	t.Helper()
	p := &posted{sim: sim.New(o), dir: t.TempDir()}
	p.srv = httptest.NewServer(p.sim)
	t.Cleanup(p.srv.Close)
	p.cfg = fmt.Sprintf(`relay: {schedule: [100ms, 200ms, 400ms, 800ms, 1s, 1s, 1s, 1s, 1s], breaker: 0, jitter: 0}
server: {public_url: 'http://hub.test'}
endpoints:
  - {name: soc, kind: slack, bot_token: %s, channel: C0SOC, api_url: '%s/api', signing_secret: %s, MORE}
slack: {client_id: '%s', client_secret: %s, signing_secret: own-app-secret, url: '%s'}
`, sim.DefaultToken, p.srv.URL, slackSecret, p.sim.App().ClientID, p.sim.App().ClientSecret, p.srv.URL)
	p.cfg = strings.ReplaceAll(p.cfg, "MORE", more) + sections
	p.running = start(t, load(t, p.dir, p.cfg), withKey)
	return p
}

func kindSlack() sim.Options {
	return sim.Options{Options: unkind.Options{Kind: true}, Limits: sim.Limits{PerSecond: 20, Burst: 2}}
}

// until waits for something at Slack.
func (p *posted) until(what string, ok func(all []sim.Message) bool) []sim.Message {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if all := p.sim.Messages(""); ok(all) {
			return all
		}
	}
	p.t.Fatalf("it never came to this: %s; there are %+v, violations %v", what, p.sim.Messages(""), p.sim.Violations())
	return nil
}

func count(n int) func([]sim.Message) bool {
	return func(all []sim.Message) bool { return len(all) == n }
}

func (p *posted) open(asset string) *hub.Alert {
	p.t.Helper()
	tr := call[hub.Triage](p.running, "POST", "/api/v1/findings?wait=true", `{"type":"iam","asset_id":"`+asset+`","severity":"high","title":"Root login"}`, 200)
	return p.alert(tr.Alert)
}

func (p *posted) alert(id hub.AlertID) *hub.Alert {
	p.t.Helper()
	return call[api.AlertView](p.running, "GET", "/api/v1/alerts/"+string(id), "", 200).Alert
}

func (p *posted) clean() {
	p.t.Helper()
	if v := p.sim.Violations(); len(v) > 0 {
		p.t.Errorf("violations: %v", v)
	}
}

func (p *posted) click(m sim.Message, action, user string) sim.Click {
	for _, id := range m.Buttons() {
		if strings.HasPrefix(id, "tocsin."+action+":") {
			action = id
		}
	}
	return sim.Click{Channel: m.Channel, TS: m.TS, ActionID: action, URL: "http://" + p.Addr() + api.SlackInteractions, Secret: slackSecret, User: user}
}

// press presses a button and wants it taken.
func (p *posted) press(c sim.Click) {
	p.t.Helper()
	status, answer, err := p.sim.Press(p.t.Context(), http.DefaultClient, c)
	if err != nil || status != 200 || answer != "" {
		p.t.Fatalf("the click is answered %d %q, %v", status, answer, err)
	}
}

// whispered waits for what was said to the person who clicked last.
func (p *posted) whispered(n int) sim.Whisper {
	p.t.Helper()
	p.until(fmt.Sprintf("%d words", n), func([]sim.Message) bool { return len(p.sim.Whispers()) >= n })
	if all := p.sim.Whispers(); len(all) != n {
		p.t.Fatalf("said %v", all)
	}
	return p.sim.Whispers()[n-1]
}

// One message stands for an alert; people act on it with its buttons, under their
// own names, and it shows what came of that.
func TestSlackFromAlertToResolve(t *testing.T) {
	p := startPosted(t, kindSlack(), "events: [alert.*], rate_limit: 10")
	a := p.open("web-1")
	m := p.until("the card is there", count(1))[0]
	if m.Text != "[HIGH] Root login" || m.Channel != "C0SOC" {
		t.Errorf("posted %+v", m)
	}
	p.press(p.click(m, "acknowledge", "U061F7AUR"))
	if a = p.alert(a.ID); a.Status != hub.AlertInvestigating || a.AcknowledgedBy != "ada@example.com" {
		t.Errorf("after the click it is %s by %q", a.Status, a.AcknowledgedBy)
	}
	all := p.until("the card shows it and the thread says it", func(all []sim.Message) bool {
		return len(all) == 2 && all[0].Edits > 0 && strings.HasSuffix(all[0].Text, "acknowledged")
	})
	if all[1].ThreadTS != m.TS || !strings.Contains(fmt.Sprint(all[1].Blocks), "by ada@example.com") {
		t.Errorf("the thread says %+v", all[1])
	}
	again := p.click(m, "acknowledge", "U0G9QF9C6")
	p.pressOld(m, again)
	if w := p.whispered(1); w.User != "U0G9QF9C6" || w.Text != "The alert is acknowledged already by ada@example.com." {
		t.Errorf("said %+v", w)
	}
	p.press(p.click(all[0], "resolve", "U0G9QF9C6"))
	all = p.until("it is resolved", func(all []sim.Message) bool { return len(all) == 3 && strings.HasSuffix(all[0].Text, "resolved") })
	if slices.ContainsFunc(all[0].Buttons(), func(id string) bool { return strings.HasPrefix(id, "tocsin.") }) {
		t.Errorf("it still has the buttons %q", all[0].Buttons())
	}
	old := p.click(m, "resolve", "U0G9QF9C6") // a button of the message as it was
	call[any](p.running, "POST", "/api/v1/alerts/"+string(a.ID)+"/reopen", "", 200)
	all = p.until("the next life has a card", func(all []sim.Message) bool {
		return slices.ContainsFunc(all, func(x sim.Message) bool { return strings.HasSuffix(x.Text, "reopened") && x.ThreadTS == "" })
	})
	p.pressOld(all[0], old)
	if w := p.whispered(2); !strings.Contains(w.Text, "earlier life") {
		t.Errorf("said %+v", w)
	}
	if a = p.alert(a.ID); a.Status != hub.AlertOpen {
		t.Errorf("a click on an earlier life made it %s", a.Status)
	}
	p.audited("alert.acknowledged", "slack:T024BE7LD:U061F7AUR", "ada@example.com")
	p.audited("alert.resolved", "slack:T024BE7LD:U0G9QF9C6", "grace@example.com")
	p.clean()
}

// pressOld presses a button that a message had before.
func (p *posted) pressOld(m sim.Message, c sim.Click) {
	p.t.Helper()
	payload := fmt.Sprintf(`{"type":"block_actions","team":{"id":"T024BE7LD"},"user":{"id":"%s","team_id":"T024BE7LD","name":"x"},"container":{"channel_id":"%s","message_ts":"%s"},
		"actions":[{"type":"button","action_id":"%s"}],"response_url":"%s"}`, c.User, m.Channel, m.TS, c.ActionID, p.sim.ResponseURL(c.User, m.Channel))
	p.send(payload, slackSecret, time.Now(), 200)
}

func (p *posted) send(payload, secret string, at time.Time, want int) {
	p.t.Helper()
	body := []byte(url.Values{"payload": {payload}}.Encode())
	req, err := sim.Signed(p.t.Context(), "http://"+p.Addr()+api.SlackInteractions, secret, body, at)
	if err != nil {
		p.t.Fatal(err)
	}
	if status, answer, err := sim.Deliver(p.t.Context(), http.DefaultClient, req); err != nil || status != want {
		p.t.Errorf("%.60s is answered %d %s, %v; want %d", payload, status, answer, err, want)
	}
}

// audited wants an entry of what somebody did.
func (p *posted) audited(action, user, email string) {
	p.t.Helper()
	logs := call[struct {
		Data []hub.AuditEntry `json:"data"`
	}](p.running, "GET", "/api/v1/audit/logs?action="+action, "", 200)
	if !slices.ContainsFunc(logs.Data, func(e hub.AuditEntry) bool {
		return e.UserID == user && e.UserEmail == email && e.ActorType == hub.ActorUser && e.RequestPath == api.SlackInteractions
	}) {
		p.t.Errorf("no entry %s of %s %s in %+v", action, user, email, logs.Data)
	}
}

// What is not Slack's, is old, or comes again does nothing.
func TestSlackRequestsThatDoNothing(t *testing.T) {
	p := startPosted(t, kindSlack(), "events: [alert.created], rate_limit: 10")
	a := p.open("web-1")
	m := p.until("the card is there", count(1))[0]
	c := p.click(m, "acknowledge", "U061F7AUR")
	req, err := p.sim.Interaction(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	get := func(r *http.Request) []byte {
		b, _ := r.GetBody()
		out := make([]byte, r.ContentLength)
		b.Read(out)
		return out
	}
	body := get(req)
	try := func(name, secret string, body []byte, at time.Time, want int, edit func(*http.Request)) {
		t.Helper()
		r, err := sim.Signed(t.Context(), c.URL, secret, body, at)
		if err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			edit(r)
		}
		if status, answer, err := sim.Deliver(t.Context(), http.DefaultClient, r); err != nil || status != want {
			t.Errorf("%s: %d %s, %v; want %d", name, status, answer, err, want)
		}
	}
	now := time.Now()
	try("another secret", "another", body, now, 401, nil)
	try("no secret", "", body, now, 401, nil)
	try("the hub's own app, which posted nothing", "own-app-secret", body, now, 401, nil)
	try("old", slackSecret, body, now.Add(-6*time.Minute), 401, nil)
	try("from the future", slackSecret, body, now.Add(6*time.Minute), 401, nil)
	try("another body", slackSecret, body, now, 401, func(r *http.Request) { r.Header.Set("X-Slack-Request-Timestamp", fmt.Sprint(now.Unix()-1)) })
	try("no signature", slackSecret, body, now, 401, func(r *http.Request) { r.Header.Del("X-Slack-Signature") })
	try("no payload", slackSecret, []byte("a=b"), now, 400, nil)
	try("no JSON", slackSecret, []byte("payload=x"), now, 400, nil)
	p.send(`{"type":"view_submission"}`, slackSecret, now, 200)
	p.send(`{"type":"block_actions","actions":[{"action_id":"link.open"}]}`, slackSecret, now, 200)
	p.send(`{"type":"block_actions","actions":[{"action_id":"tocsin.resolve:alt_none:1"}],"response_url":"`+p.sim.ResponseURL("U1", "C1")+`"}`, slackSecret, now, 200)
	if w := p.whispered(1); !strings.Contains(w.Text, "does not know") {
		t.Errorf("said %+v", w)
	}
	c.User = "USTRANGER"
	p.press(c)
	p.whispered(2)
	c.User, c.UserTeam = "U0FOREIGN", "T0ELSEWHERE"
	p.press(c)
	if w := p.whispered(3); !strings.Contains(w.Text, "members of this workspace") {
		t.Errorf("said %+v", w)
	}
	if a = p.alert(a.ID); a.Status != hub.AlertOpen || a.Version != 1 {
		t.Fatalf("one of these changed it: %+v", a)
	}
	try("the real one", slackSecret, body, now, 200, nil)
	call[any](p.running, "POST", "/api/v1/alerts/"+string(a.ID)+"/reopen", "", 200)
	try("the real one again", slackSecret, body, now, 200, nil)
	try("signed anew", slackSecret, body, now.Add(time.Second), 200, nil)
	if a = p.alert(a.ID); a.Status != hub.AlertOpen {
		t.Errorf("a request that came again made it %s", a.Status)
	}
	p.clean()
}

// Where the endpoint is not told of the change, its card shows it all the same; where
// the token may not know people, they go by their ids.
func TestSlackCardsFollow(t *testing.T) {
	o := kindSlack()
	o.Scopes = []string{"chat:write"}
	p := startPosted(t, o, "events: [alert.created], rate_limit: 10")
	a := p.open("web-1")
	m := p.until("the card is there", count(1))[0]
	p.until("it is recorded", func([]sim.Message) bool { return p.states(p.rules.byName("soc").ID)[hub.DeliverySucceeded] == 1 })
	p.press(p.click(m, "acknowledge", "U061F7AUR"))
	if a = p.alert(a.ID); a.AcknowledgedBy != "Ada (Slack)" {
		t.Errorf("acknowledged by %q", a.AcknowledgedBy)
	}
	p.until("the card follows", func(all []sim.Message) bool { return len(all) == 1 && strings.HasSuffix(all[0].Text, "acknowledged") })
	p.audited("alert.acknowledged", "slack:T024BE7LD:U061F7AUR", "")
	p.clean()
}

// 500 alerts at once, from a Slack that makes trouble: each is in a card or counted
// in a summary, once, and none is lost.
func TestSlackBurst(t *testing.T) {
	o := sim.Options{Limits: sim.Limits{PerSecond: 5, Burst: 1}}
	p := startPosted(t, o, "events: [alert.*], rate_limit: 4")
	p.sim.Set(unkind.Knobs{Fail: 0.1, Cut: 0.1, Throttle: 0.05, Slow: 0.05, SlowMS: 100})
	const n = 500
	p.findings("burst", n)
	id := p.rules.byName("soc").ID
	p.until("all is delivered", func([]sim.Message) bool { return p.states(id)[hub.DeliverySucceeded] == n })
	total, posts := 0, map[string]bool{}
	for _, m := range p.sim.Messages("") {
		posts[m.TS] = true
		var alerts, high int
		if k, _ := fmt.Sscanf(m.Text, "%d alerts: %d high", &alerts, &high); k == 2 && alerts == high {
			total += alerts
		} else if m.Text == "[HIGH] xss on "+asset(m) {
			total++
		} else {
			t.Errorf("a message says %q", m.Text)
		}
	}
	if total != n || len(posts) > 40 {
		t.Errorf("%d alerts in %d messages, want %d in few", total, len(posts), n)
	}
	gathered := 0
	for after := ""; ; {
		page := call[struct {
			Data []hub.Delivery `json:"data"`
			Next *string        `json:"next_cursor"`
		}](p.running, "GET", "/api/v1/deliveries?limit=200&after="+after, "", 200)
		for _, d := range page.Data {
			v := call[struct {
				Log []hub.Attempt `json:"attempt_log"`
			}](p.running, "GET", "/api/v1/deliveries/"+string(d.ID), "", 200)
			last := v.Log[len(v.Log)-1]
			if _, ts, _ := strings.Cut(last.Reference, "/"); !posts[ts] || last.Number != d.Attempts {
				t.Fatalf("delivery %s refers to %q, which is no message", d.ID, last.Reference)
			}
			if last.Gathered > 0 {
				gathered++
			}
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if gathered < n-100 {
		t.Errorf("%d went together, want nearly all", gathered)
	}
	for _, v := range p.sim.Violations() {
		t.Errorf("violation: %v", v)
	}
}

// asset gives what a card says after "xss on ".
func asset(m sim.Message) string {
	_, name, _ := strings.Cut(m.Text, "xss on ")
	return name
}

func (r *ruler) byName(name string) *hub.Endpoint {
	for _, e := range r.all() {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// A crash before anything was recorded: what was posted is found again.
func TestSlackAfterACrash(t *testing.T) {
	p := startPosted(t, kindSlack(), "events: [alert.created], rate_limit: 10")
	a := p.open("web-1")
	m := p.until("the card is there", count(1))[0]
	id := p.rules.byName("soc").ID
	p.until("it is recorded", func([]sim.Message) bool { return p.states(id)[hub.DeliverySucceeded] == 1 })
	err := p.st.Do(t.Context(), func(tx *store.Tx) error { // as if it had not been
		for _, q := range []string{
			"UPDATE deliveries SET state = 'delivering', lease = 'dead#1', due_at = 9000000000000000, attempts = 0", "DELETE FROM attempts", "DELETE FROM threads",
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	p.running = start(t, load(t, p.dir, p.cfg), nil)
	p.until("it is recorded again", func([]sim.Message) bool { return p.states(id)[hub.DeliverySucceeded] == 1 })
	err = p.st.View(t.Context(), func(r *store.Reader) error {
		all, err := r.Postings(hub.DefaultTenant, id, []hub.AlertID{a.ID})
		if err == nil && (len(all) != 1 || all[0].Message != m.TS) {
			t.Errorf("it stands in %+v, want %s", all, m.TS)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	p.until("it is there once", count(1))
	p.clean()
}

// A browser that reaches the hub under its public name.
func (p *posted) browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "hub.test:") {
			addr = p.Addr()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &http.Client{Jar: jar, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get follows no redirect, and gives where one leads.
func (p *posted) get(b *http.Client, address string, want int, header ...string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "GET", address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		p.t.Fatalf("%s is answered %d, want %d", address, res.StatusCode, want)
	}
	return res.Header.Get("Location")
}

// An install from the first click to the first message, and all that must not work.
func TestSlackInstall(t *testing.T) {
	p := startPosted(t, kindSlack(), "events: []")
	key := []string{"Authorization", "Bearer " + testKey}
	b := p.browser()
	const begin = "http://hub.test" + api.SlackStart
	p.get(b, begin, 401)
	at := p.get(b, begin, 302, key...)
	back := p.get(b, at, 302)
	if !strings.HasPrefix(back, "http://hub.test"+api.SlackCallback+"?code=") {
		t.Fatalf("Slack sends the browser to %s", back)
	}
	u, _ := url.Parse(back)
	changed := u.Query()
	changed.Set("state", changed.Get("state")[1:])
	p.get(b, "http://hub.test"+api.SlackCallback+"?"+changed.Encode(), 400)
	p.get(p.browser(), back, 403) // another browser
	p.get(b, back, 200)
	p.get(b, back, 403) // again
	e := p.rules.byName("slack-simulated")
	if e == nil || e.Config["channel"] != "CSOC" || e.Config["team_id"] != "T024BE7LD" || !strings.HasPrefix(e.Secrets.Tokens["bot_token"], "xoxb-installed-") {
		t.Fatalf("made the channel %+v", e)
	}
	if _, answer := p.do("GET", "/api/v1/channels/"+string(e.ID), testKey, ""); strings.Contains(answer, "xoxb") || !strings.Contains(answer, `"bot_token":"set"`) {
		t.Errorf("shown as %s", answer)
	}
	a := p.open("web-1")
	m := p.until("the card is there", count(1))[0]
	c := p.click(m, "acknowledge", "U061F7AUR")
	c.Secret = "own-app-secret"
	c.Team = "T0ELSEWHERE"
	if status, _, err := p.sim.Press(t.Context(), http.DefaultClient, c); err != nil || status != 200 {
		t.Errorf("a click in another workspace is answered %d, %v", status, err)
	}
	if p.alert(a.ID).Status != hub.AlertOpen {
		t.Error("a click in another workspace did something")
	}
	c.Team = ""
	p.press(c)
	if p.alert(a.ID).Status != hub.AlertInvestigating {
		t.Error("a click with the hub's own app did nothing")
	}
	// Again, for the same place: the channel stays, with a new token.
	token := e.Secrets.Tokens["bot_token"]
	p.get(b, p.get(b, p.get(b, begin, 302, key...), 302), 200)
	again := p.rules.byName("slack-simulated")
	if again == nil || again.ID != e.ID || again.Secrets.Tokens["bot_token"] == token {
		t.Errorf("installed again, it is %+v", again)
	}
	// Into a channel that is named, by a page that asks.
	req, _ := http.NewRequestWithContext(t.Context(), "GET", begin+"?channel=%23ops&name=ops", nil)
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Accept", "application/json")
	res, err := b.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("asked for the address: %v, %v", res, err)
	}
	res.Body.Close()
	p.get(b, "http://hub.test"+api.SlackCallback+"?state=x&error=access_denied", 400)
	p.clean()
}
