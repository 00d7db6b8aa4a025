package slack_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/slack"
	sim "github.com/tocsin/tocsin/test/sim/slack"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A desk is a target that remembers what was posted, as the store does.
type desk struct {
	t      *testing.T
	sim    *sim.Sim
	target *slack.Target
	e      *hub.Endpoint
	serial int

	mu    sync.Mutex
	known []hub.Posting
}

func newDesk(t *testing.T) *desk {
	s := sim.New(sim.Options{Options: unkind.Options{Kind: true}, Limits: sim.Limits{PerSecond: 1000, Burst: 1000, UpdatesPerMinute: 100_000}})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	d := &desk{t: t, sim: s, e: bot(srv.URL)}
	d.target = slack.New(slack.Options{
		Client: client(), Edits: 1_000_000, Postings: d.postings, Buttons: func(*hub.Endpoint) bool { return true },
		Link: func(subject string) string { return "https://tocsin.example.com/alerts/" + subject },
	})
	return d
}

func (d *desk) postings(_ context.Context, e *hub.Endpoint, alerts []hub.AlertID) (out []hub.Posting, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.known {
		if p.Endpoint == e.ID && slices.Contains(alerts, p.Alert) {
			out = append(out, p)
		}
	}
	return out, nil
}

// keep stores what an attempt brought.
func (d *desk) keep(a hub.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range a.Posted {
		d.known = slices.DeleteFunc(d.known, func(q hub.Posting) bool { return q.Alert == p.Alert && q.Generation == p.Generation })
		d.known = append(d.known, p)
	}
}

// happens makes the delivery of an event about an alert.
func (d *desk) happens(typ hub.EventType, change func(*hub.Event)) *hub.Delivery {
	ev := event()
	d.serial++
	ev.Type, ev.Data.Alert.Version, ev.Sequence = typ, int64(d.serial), int64(d.serial)
	if change != nil {
		change(ev)
	}
	x := delivery(ev, "")
	x.ID, x.Sequence, x.Subject, x.CreatedAt = hub.DeliveryID(fmt.Sprintf("dlv_%03d", d.serial)), ev.Sequence, string(ev.Data.Alert.ID), time.Now()
	return x
}

func (d *desk) send(x *hub.Delivery) hub.Attempt {
	d.t.Helper()
	a, err := d.target.Send(d.t.Context(), d.e, x)
	if err != nil {
		d.t.Fatalf("%s: %v", x.ID, err)
	}
	d.keep(a)
	return a
}

func (d *desk) messages(want int) []sim.Message {
	d.t.Helper()
	all := slices.DeleteFunc(d.sim.Messages(""), func(m sim.Message) bool { return m.Foreign })
	if len(all) != want {
		d.t.Fatalf("%d messages, want %d: %+v", len(all), want, all)
	}
	return all
}

func (d *desk) clean() {
	d.t.Helper()
	if v := d.sim.Violations(); len(v) > 0 {
		d.t.Errorf("violations: %v", v)
	}
}

// What one channel gets with one token shares a pace, and nothing else does.
func TestPools(t *testing.T) {
	d := newDesk(t)
	other := func(change func(*hub.Endpoint)) *hub.Endpoint {
		e := bot(d.e.Config["api_url"])
		e.ID, e.Config["api_url"] = "chn_9", d.e.Config["api_url"]
		change(e)
		return e
	}
	own := d.target.Gather(d.e)
	if own.Every != time.Second || !own.InOrder || !own.StepsApart || own.From < 2 || strings.Contains(own.Pool, sim.DefaultToken) {
		t.Errorf("gathers as %+v", own)
	}
	for name, tt := range map[string]struct {
		same   bool
		change func(*hub.Endpoint)
	}{
		"the same place":  {true, func(*hub.Endpoint) {}},
		"another channel": {false, func(e *hub.Endpoint) { e.Config["channel"] = "C9" }},
		"another token":   {false, func(e *hub.Endpoint) { e.Secrets.Tokens["bot_token"] = "xoxb-9" }},
		"a webhook":       {false, func(e *hub.Endpoint) { e.URL, e.Secrets.Tokens = "https://hooks.slack.example/x", nil }},
	} {
		if same := d.target.Gather(other(tt.change)).Pool == own.Pool; same != tt.same {
			t.Errorf("%s: shares a pace %v", name, same)
		}
	}
	if g := d.target.Gather(other(func(e *hub.Endpoint) { e.RateLimit = 4 })); g.Every != 250*time.Millisecond {
		t.Errorf("with a rate limit of 4 every %v", g.Every)
	}
}

// One message stands for an alert: later changes change it and are said in its
// thread.
func TestOneMessageAnAlert(t *testing.T) {
	d := newDesk(t)
	first := d.send(d.happens(hub.AlertCreated, func(ev *hub.Event) { ev.Data.Alert.Labels["runbook_url"] = "https://wiki.example.com/root-login" }))
	m := d.messages(1)[0]
	if first.Reference != "C0123/"+m.TS || m.Attachments[0]["color"] != "#a30200" || m.Text != "[CRITICAL] Root account login" {
		t.Errorf("posted %+v under %s", m, first.Reference)
	}
	if got, want := m.Buttons(), []string{"tocsin.acknowledge:alt_01:1", "tocsin.resolve:alt_01:1", "link.open", "link.runbook"}; !slices.Equal(got, want) {
		t.Errorf("buttons %q, want %q", got, want)
	}
	d.send(d.happens(hub.AlertAcknowledgedEvent, func(ev *hub.Event) {
		ev.Data.Alert.Status, ev.Data.Alert.AcknowledgedBy, ev.Data.Actor = hub.AlertInvestigating, "ada@example.com", "ada@example.com"
	}))
	d.send(d.happens(hub.AlertUpdated, func(ev *hub.Event) { ev.Data.Changes = hub.Changes{"severity": {"high", "critical"}} }))
	d.send(d.happens(hub.AlertResolvedEvent, func(ev *hub.Event) { ev.Data.Alert.Status = hub.AlertResolved }))
	all := d.messages(4)
	card := all[0]
	if card.Edits != 3 || card.Text != "[CRITICAL] Root account login · resolved" || card.Attachments[0]["color"] != "#2eb67d" || slices.Contains(card.Buttons(), "tocsin.resolve:alt_01:1") {
		t.Errorf("the card ends as %+v", card)
	}
	for i, want := range []string{"acknowledged", "updated: severity: high → critical", "resolved"} {
		if r := all[i+1]; r.ThreadTS != card.TS || r.Text != want || r.Broadcast != (i == 1) {
			t.Errorf("reply %d is %+v, want %q", i, r, want)
		}
	}
	again := func(ev *hub.Event) { ev.Data.Alert.Generation = 2 }
	d.send(d.happens(hub.AlertReopened, again))
	if next := d.messages(5)[4]; next.ThreadTS != "" || next.Text != "[CRITICAL] Root account login · reopened" {
		t.Errorf("the next life begins with %+v", next)
	}
	d.send(d.happens(hub.AlertResolvedEvent, again))
	if last := d.messages(6)[5]; last.ThreadTS != d.sim.Messages("")[4].TS {
		t.Errorf("the next life ends with %+v", last)
	}
	d.clean()
}

// A card that somebody deleted, or that was posted elsewhere, is posted anew.
func TestALostMessageIsPostedAnew(t *testing.T) {
	d := newDesk(t)
	d.send(d.happens(hub.AlertCreated, nil))
	d.sim.Delete("C0123", d.messages(1)[0].TS)
	d.send(d.happens(hub.AlertUpdated, nil))
	second := d.messages(1)[0]
	if second.ThreadTS != "" {
		t.Errorf("posted anew as %+v", second)
	}
	d.send(d.happens(hub.AlertUpdated, nil))
	if r := d.messages(2)[1]; r.ThreadTS != second.TS {
		t.Errorf("the reply is %+v", r)
	}
	d.e.Config["channel"] = "#other"
	d.send(d.happens(hub.AlertUpdated, nil))
	if m := d.messages(3)[2]; m.Channel != "COTHER" || m.ThreadTS != "" {
		t.Errorf("in another channel it is %+v", m)
	}
	d.send(d.happens(hub.AlertUpdated, nil)) // chat.update takes the id only
	d.messages(4)
	d.clean()
}

// Where messages may not be edited any more, the thread goes on.
func TestAnOldCard(t *testing.T) {
	d := newDesk(t)
	d.send(d.happens(hub.AlertCreated, nil))
	d.sim.CloseEdits(true)
	d.send(d.happens(hub.AlertResolvedEvent, nil))
	if all := d.messages(2); all[0].Edits != 0 || all[1].ThreadTS != all[0].TS {
		t.Errorf("got %+v", all)
	}
	d.clean()
}

// What comes late does not put a card back.
func TestACardDoesNotGoBack(t *testing.T) {
	d := newDesk(t)
	d.send(d.happens(hub.AlertCreated, nil))
	late := d.happens(hub.AlertUpdated, nil)
	d.send(d.happens(hub.AlertResolvedEvent, func(ev *hub.Event) { ev.Data.Alert.Status = hub.AlertResolved }))
	d.send(late)
	if all := d.messages(3); !strings.HasSuffix(all[0].Text, "resolved") || all[2].ThreadTS != all[0].TS {
		t.Errorf("got %+v", all)
	}
}

// Crashes: the answer is lost, or the record of it. Nothing shows twice where the
// token may read the channel.
func TestSentBefore(t *testing.T) {
	for name, mark := range map[string]func(*hub.Delivery){
		"its lease ended":     func(x *hub.Delivery) { x.Unsure = true },
		"its answer was lost": func(x *hub.Delivery) { x.Attempts = 1 },
		"Slack said 503":      func(x *hub.Delivery) { x.Attempts, x.Status = 1, 503 },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			first := d.happens(hub.AlertCreated, nil)
			if _, err := d.target.Send(t.Context(), d.e, first); err != nil { // and not kept
				t.Fatal(err)
			}
			for range 300 { // others talk too
				d.sim.Say("C0123", strings.Repeat("words ", 200))
			}
			again := *first
			mark(&again)
			a := d.send(&again)
			card := d.messages(1)[0]
			if a.Reference != "C0123/"+card.TS || len(a.Posted) != 1 || a.Posted[0].Message != card.TS {
				t.Errorf("found %+v, want %s", a, card.TS)
			}
			change := d.happens(hub.AlertUpdated, nil)
			if _, err := d.target.Send(t.Context(), d.e, change); err != nil {
				t.Fatal(err)
			}
			mark(change)
			d.send(change)
			d.messages(2)
			fresh := d.happens(hub.AlertUpdated, nil) // one that was not sent
			mark(fresh)
			d.send(fresh)
			d.messages(3)
			d.clean()
		})
	}
}

// Where it may not read, it sends twice rather than not at all.
func TestSentBeforeWithoutScope(t *testing.T) {
	d := newDesk(t)
	d.sim.SetScopes("chat:write")
	first := d.happens(hub.AlertCreated, nil)
	d.send(first)
	first.Unsure, d.known = true, nil
	d.send(first)
	d.messages(2)
}

// A playbook's words are said by themselves, or in the thread for all to see.
func TestAPlaybooksWords(t *testing.T) {
	d := newDesk(t)
	say := func() {
		x := d.happens(hub.AlertUpdated, nil)
		x.Run, x.Params = "run_1", []byte(`{"message":"look at *this*"}`)
		d.send(x)
	}
	say()
	if m := d.messages(1)[0]; m.Text != "look at *this*" || m.ThreadTS != "" {
		t.Errorf("said %+v", m)
	}
	d.send(d.happens(hub.AlertCreated, nil))
	say()
	all := d.messages(3)
	if all[1].Text != "[CRITICAL] Root account login" || all[2].ThreadTS != all[1].TS || !all[2].Broadcast {
		t.Errorf("said %+v", all)
	}
	d.sim.Delete("C0123", all[1].TS)
	say()
	if m := d.messages(3)[2]; m.ThreadTS != "" {
		t.Errorf("without the card it is said %+v", m)
	}
	d.clean()
}

// 500 alerts are one message that counts them, and stands for them.
func TestASummary(t *testing.T) {
	d := newDesk(t)
	own := d.happens(hub.AlertCreated, func(ev *hub.Event) { ev.Data.Alert.ID, ev.Subject = "alt_own", "alt_own" })
	d.send(own)
	var all []*hub.Delivery
	for i := range 500 {
		all = append(all, d.happens(hub.AlertCreated, func(ev *hub.Event) {
			ev.Data.Alert.ID = hub.AlertID(fmt.Sprintf("alt_%03d", i))
			ev.Data.Alert.Severity = hub.Severities[i%3]
			ev.Subject = string(ev.Data.Alert.ID)
		}))
	}
	all = append(all, d.happens(hub.AlertResolvedEvent, func(ev *hub.Event) { ev.Data.Alert.ID, ev.Data.Alert.Status = "alt_own", hub.AlertResolved }))
	a, err := d.target.SendAll(t.Context(), d.e, all)
	if err != nil {
		t.Fatal(err)
	}
	d.keep(a)
	m := d.messages(2)[1]
	if m.Text != "501 alerts: 168 critical, 167 high, 166 medium" || a.Reference != "C0123/"+m.TS || len(a.Posted) != 501 {
		t.Errorf("%q, reference %s, %d postings", m.Text, a.Reference, len(a.Posted))
	}
	text := fmt.Sprint(m.All())
	for _, want := range []string{"500 created · 1 resolved", "and 486 more", "<https://tocsin.example.com/alerts/alt_000|Root account login>"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	for _, p := range a.Posted {
		if p.Alert == "alt_own" && (p.Summary || p.Wanted != 502 || p.Version != 1) || p.Alert != "alt_own" && (!p.Summary || p.Message != m.TS) {
			t.Fatalf("posting %+v", p)
		}
	}
	// The card that lags is brought up to date without a word.
	lagging := d.known[slices.IndexFunc(d.known, func(p hub.Posting) bool { return p.Alert == "alt_own" })]
	ev := event()
	ev.Data.Alert.ID, ev.Data.Alert.Status, ev.Data.Alert.Version = "alt_own", hub.AlertResolved, 502
	p, err := d.target.Refresh(t.Context(), d.e, lagging, ev.Data.Alert)
	if err != nil || p.Version != 502 || p.Wanted != 502 || !strings.HasSuffix(d.messages(2)[0].Text, "resolved") {
		t.Errorf("refreshed to %+v, %v", p, err)
	}
	// What happens to one of many is said in the summary's thread; if it gets worse it
	// gets a card.
	d.send(d.happens(hub.AlertAcknowledgedEvent, func(ev *hub.Event) { ev.Data.Alert.ID = "alt_007" }))
	if r := d.messages(3)[2]; r.ThreadTS != m.TS || !strings.Contains(fmt.Sprint(r.Blocks), "Root account login") {
		t.Errorf("said %+v", r)
	}
	d.send(d.happens(hub.AlertUpdated, func(ev *hub.Event) {
		ev.Data.Alert.ID, ev.Data.Changes = "alt_007", hub.Changes{"severity": {"high", "critical"}}
	}))
	if c := d.messages(4)[3]; c.ThreadTS != "" || len(c.Buttons()) == 0 {
		t.Errorf("worse, it is %+v", c)
	}
	d.clean()
}

// After a crash only those are summed up again that were not.
func TestASummaryAfterACrash(t *testing.T) {
	d := newDesk(t)
	var all []*hub.Delivery
	for i := range 40 {
		all = append(all, d.happens(hub.AlertCreated, func(ev *hub.Event) { ev.Data.Alert.ID = hub.AlertID(fmt.Sprintf("alt_%03d", i)) }))
	}
	if _, err := d.target.SendAll(t.Context(), d.e, all[:30:30]); err != nil { // and not kept
		t.Fatal(err)
	}
	one := *all[3]
	one.Unsure = true
	if a := d.send(&one); len(d.messages(1)) != 1 || a.Posted[0].Message != d.sim.Messages("")[0].TS {
		t.Errorf("one of it alone gives %+v", a)
	}
	for _, x := range all {
		x.Unsure = true
	}
	a, err := d.target.SendAll(t.Context(), d.e, all[10:])
	if err != nil {
		t.Fatal(err)
	}
	m := d.messages(2)
	if m[1].Text != "10 alerts: 10 critical" || len(a.Posted) != 30 {
		t.Errorf("%q, %d postings", m[1].Text, len(a.Posted))
	}
	for _, p := range a.Posted {
		if want := m[0].TS; p.For < "dlv_031" && p.Message != want {
			t.Errorf("%s stands in %s, want %s", p.For, p.Message, want)
		}
	}
	if _, err = d.target.SendAll(t.Context(), d.e, all[:20]); err != nil {
		t.Fatal(err)
	}
	d.messages(2)
	d.clean()
}

// Through a webhook: cards for what is new, short messages for changes, summaries.
func TestThroughAWebhook(t *testing.T) {
	d := newDesk(t)
	d.e = hook(strings.TrimSuffix(d.e.Config["api_url"], "/api"))
	d.send(d.happens(hub.AlertCreated, nil))
	d.send(d.happens(hub.AlertResolvedEvent, func(ev *hub.Event) { ev.Data.Alert.Status = hub.AlertResolved }))
	all := d.messages(2)
	if len(all[0].All()) < 4 || len(all[1].All()) != 1 || all[1].Text != "[CRITICAL] Root account login · resolved" {
		t.Errorf("got %+v", all)
	}
	if slices.ContainsFunc(all[0].Buttons(), func(id string) bool { return strings.HasPrefix(id, "tocsin.") }) {
		t.Errorf("it has buttons %q, though nothing leads from a webhook's message to its endpoint", all[0].Buttons())
	}
	if a, err := d.target.SendAll(t.Context(), d.e, []*hub.Delivery{d.happens(hub.AlertCreated, nil), d.happens(hub.AlertCreated, nil)}); err != nil || a.Posted != nil {
		t.Errorf("a summary gives %+v, %v", a, err)
	}
	d.clean()
}

// Slack that is asked for too many changes is left alone for as long as it says, by
// every channel of the token.
func TestTooManyEdits(t *testing.T) {
	d := newDesk(t)
	d.sim.SetLimits(sim.Limits{PerSecond: 1000, Burst: 1000, UpdatesPerMinute: 1})
	d.send(d.happens(hub.AlertCreated, nil))
	d.send(d.happens(hub.AlertUpdated, nil))
	for range 3 {
		_, err := d.target.Send(t.Context(), d.e, d.happens(hub.AlertUpdated, nil))
		if e, ok := err.(*hub.Error); !ok || e.Kind != hub.RateLimited || e.RetryAfter < 10*time.Second {
			t.Fatalf("got %#v, want to wait", err)
		}
	}
	d.clean()
}

// An unkind Slack: whatever it does, in the end each alert has one card and every
// change is said once.
func TestAnUnkindSlack(t *testing.T) {
	d := newDesk(t)
	d.sim.Set(unkind.Knobs{Fail: 0.2, Cut: 0.2})
	insist := func(x *hub.Delivery) {
		for range 100 {
			a, err := d.target.Send(t.Context(), d.e, x)
			if err == nil {
				d.keep(a)
				return
			}
			if k := hub.KindOf(err); k != hub.Transient && k != hub.RateLimited {
				t.Fatalf("%s: %v", x.ID, err)
			}
			x.Attempts, x.Status = x.Attempts+1, a.Status
		}
		t.Fatal("it never took it")
	}
	d.sim.SetLimits(sim.Limits{PerSecond: 1e6, Burst: 1e6, UpdatesPerMinute: 1e6})
	cards, replies := 0, 0
	for n := range 4 {
		for i, typ := range []hub.EventType{hub.AlertCreated, hub.AlertUpdated, hub.AlertResolvedEvent} {
			insist(d.happens(typ, func(ev *hub.Event) { ev.Data.Alert.ID = hub.AlertID(fmt.Sprintf("alt_%d", n)) }))
			if i == 0 {
				cards++
			} else {
				replies++
			}
		}
	}
	all := d.sim.Messages("")
	got := map[bool]int{}
	for _, m := range all {
		got[m.ThreadTS == ""]++
	}
	if got[true] != cards || got[false] != replies {
		t.Errorf("%d cards and %d replies, want %d and %d", got[true], got[false], cards, replies)
	}
	d.clean()
}
