package vigilare

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/test/sim/unkind"
	sim "github.com/tocsin/tocsin/test/sim/vigilare"
)

// A bench is a source before a kind simulator, pulled by hand.
type bench struct {
	sim    *sim.Sim
	source *Source
	cursor []byte
	got    connectors.Page
	asked  []string // paths with their queries
	edit   func(w http.ResponseWriter, r *http.Request) bool
}

func opened(t *testing.T, text string, client *http.Client) *Source {
	t.Helper()
	s := connectortest.Settings(text)
	s.Client = client
	source, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{sim: sim.New(sim.Options{Options: unkind.Options{Kind: true}})}
	wire := connectortest.Connect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.Method+" "+r.URL.RequestURI())
		if b.edit == nil || !b.edit(w, r) {
			b.sim.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(wire.Close)
	b.source = opened(t, text, wire.Client())
	return b
}

func (b *bench) try(ctx context.Context) error {
	b.asked = nil
	return b.source.Pull(ctx, b.cursor, func(page connectors.Page, next []byte) error {
		b.got.Findings = append(b.got.Findings, page.Findings...)
		b.got.Nodes, b.got.Edges = append(b.got.Nodes, page.Nodes...), append(b.got.Edges, page.Edges...)
		b.cursor = next
		return nil
	})
}

// pull pulls once, a minute after what came before.
func (b *bench) pull(t *testing.T) {
	t.Helper()
	time.Sleep(time.Minute)
	if err := b.try(t.Context()); err != nil {
		t.Fatalf("pull: %v", err)
	}
	for _, v := range b.sim.Violations() {
		t.Errorf("violation: %s", v)
	}
}

// said gives the findings since the last call in short, without alerts unless
// they are asked for.
func (b *bench) said(of string) string {
	var out []string
	for _, f := range b.got.Findings {
		kind, _, _ := strings.Cut(f.SourceID, "|")
		switch {
		case kind == of && of == "score":
			out = append(out, fmt.Sprintf("%s %s at %s", f.Status, f.Labels["vigilare_srs"], f.ObservedAt.Format("01-02 15:04:05")))
		case kind == of:
			out = append(out, fmt.Sprintf("%s acknowledged=%v", f.Status, !f.AcknowledgedAt.IsZero()))
		case of == "signal" && kind != "alert" && kind != "score":
			out = append(out, fmt.Sprintf("%s %s", f.Status, f.Severity))
		}
	}
	b.got.Findings = nil
	return strings.Join(out, ", ")
}

func TestLifeOfASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		id := b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "network", Severity: "HIGH"}).ID
		for i, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, "open high"},
			{func() {}, ""},
			{func() { b.sim.SetSeverity(id, "CRITICAL") }, "open critical"},
			{func() { b.sim.SetSeverity(id, "LOW") }, "open low"},
			{func() { time.Sleep(40 * day) }, ""}, // older than the history, and still followed
			{func() {}, ""},
			{func() { b.sim.Resolve(id, true); time.Sleep(25 * time.Hour) }, "resolved low"}, // by the daily look back
			{func() {}, ""},
			{func() { b.sim.Resolve(id, false); time.Sleep(25 * time.Hour) }, ""}, // too old to be met again
		} {
			step.do()
			b.pull(t)
			if got := b.said("signal"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
	})
}

// TestOrderIsTheirs: a signal's findings have the times that Vigilare tells.
func TestOrderIsTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		detected := time.Now().Add(-3 * time.Hour)
		id := b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "network", Severity: "HIGH", DetectedAt: detected}).ID
		b.pull(t)
		resolved := time.Now()
		b.sim.Resolve(id, true)
		time.Sleep(7 * time.Minute)
		b.pull(t)
		var times []string
		for _, f := range b.got.Findings {
			times = append(times, f.ObservedAt.Format(time.TimeOnly))
		}
		if want := []string{detected.UTC().Format(time.TimeOnly), resolved.UTC().Format(time.TimeOnly)}; !slices.Equal(times, want) {
			t.Errorf("observed at %v, want %v", times, want)
		}
	})
}

// TestQuietPullIsCheap counts the calls when nothing has changed.
func TestQuietPullIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Add(30)
		b.pull(t)
		b.got = connectors.Page{}
		b.pull(t)
		want := "GET /accounts, GET /accounts/" + sim.DefaultAccount + "/signals, GET /alerts, GET /alert-rules, GET /users"
		var got []string
		for _, a := range b.asked {
			path, _, _ := strings.Cut(a, "?")
			got = append(got, path)
		}
		if strings.Join(got, ", ") != want || len(b.got.Nodes)+len(b.got.Edges)+len(b.got.Findings) > 0 {
			t.Errorf("asked %v\nwant %s\ngot %+v", got, want, b.got)
		}
	})
}

func TestScoreBelowTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		score := func(srs int) func() { return func() { b.sim.SetScore(sim.DefaultAccount, srs) } }
		at := func(days int) string { return time.Now().AddDate(0, 0, days).Format("01-02") }
		for i, step := range []struct {
			do   func()
			want string
		}{
			{score(82), ""},
			{score(40), ""}, // not below
			{score(39), "open 39 at 01-01 00:02:00"},
			{func() {}, ""},
			{score(39), ""},
			{score(12), "open 12 at 01-01 00:05:00"},
			{score(40), "resolved 40 at 01-01 00:06:00"},
			{score(82), ""},
			{func() { // nobody looked for five days; the third of them was bad
				for d, srs := range []int{70, 70, 31, 33, 70} {
					b.sim.SetDay(sim.DefaultAccount, time.Now().AddDate(0, 0, d+1).Format(time.DateOnly), srs)
				}
				time.Sleep(6 * day)
				b.sim.SetScore(sim.DefaultAccount, 75)
			}, "open 31 at " + at(3) + " 23:59:59, open 33 at " + at(4) + " 23:59:59, resolved 70 at " + at(5) + " 23:59:59"},
		} {
			step.do()
			b.pull(t)
			if got := b.said("score"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
	})
}

// TestLowScoreSaysWhy: since when, what to do, and by how much.
func TestLowScoreSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strings.Replace(config1, "}", ", min_srs: 60}", 1))
		b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "iam", Severity: "HIGH"})
		for d, srs := range []int{80, 55, 52} {
			b.sim.SetDay(sim.DefaultAccount, time.Now().AddDate(0, 0, d-3).Format(time.DateOnly), srs)
		}
		b.sim.SetScore(sim.DefaultAccount, 51)
		b.pull(t)
		i := slices.IndexFunc(b.got.Findings, func(f hub.Finding) bool { return strings.HasPrefix(f.SourceID, "score|") })
		if i < 0 {
			t.Fatal("no finding of the score")
		}
		f := b.got.Findings[i]
		since := time.Now().AddDate(0, 0, -2).Format(time.DateOnly)
		if f.Labels["vigilare_low_since"] != since || !strings.Contains(f.Description, "Remove offending IAM policies") ||
			f.Labels["vigilare_checklist"] == "" || *f.RiskScore != 49 || f.Severity != hub.High || !strings.Contains(string(f.Raw), `"srs":80`) {
			t.Errorf("got %+v\nraw %s", f, f.Raw)
		}
	})
}

func TestAlertsAndTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		signal := ""
		for i, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, ""},
			{func() { signal = b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "iam", Severity: "HIGH"}).ID }, "open acknowledged=false"},
			{func() {}, ""},
			{func() { b.sim.Ack(b.sim.Alerts()[0].ID) }, "open acknowledged=true"},
			{func() {}, ""},
			{func() { b.sim.Resolve(signal, true) }, "resolved acknowledged=true"},
			{func() {}, ""},
			{func() { b.sim.SetScore(sim.DefaultAccount, 45) }, "open acknowledged=false"}, // the rule's limit is 50
			{func() { b.sim.SetScore(sim.DefaultAccount, 49) }, ""},
			{func() { b.sim.SetScore(sim.DefaultAccount, 50) }, "resolved acknowledged=false"},
			{func() { time.Sleep(time.Hour) }, ""},
		} {
			step.do()
			b.pull(t)
			if got := b.said("alert"); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
	})
}

// TestAcknowledgedHere: what we acknowledge does not come back as news; what is
// acknowledged there afterwards does.
func TestAcknowledgedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "iam", Severity: "HIGH"})
		b.pull(t)
		f := b.got.Findings[slices.IndexFunc(b.got.Findings, func(f hub.Finding) bool { return strings.HasPrefix(f.SourceID, "alert|") })]
		b.said("")
		action, params := b.source.Mirror(hub.AlertAcknowledgedEvent, f.SourceID)
		for range 2 { // a repeat is harmless
			if _, err := b.source.Do(t.Context(), action, "k", params); err != nil {
				t.Fatal(err)
			}
		}
		if b.sim.Alerts()[0].AcknowledgedAt == nil {
			t.Fatal("not acknowledged there")
		}
		b.pull(t)
		if got := b.said("alert"); got != "" {
			t.Errorf("our own word came back: %s", got)
		}
		for _, change := range []hub.EventType{hub.AlertReopened, hub.AlertCreated} {
			if action, _ := b.source.Mirror(change, f.SourceID); action != "" {
				t.Errorf("%s is mirrored by %s", change, action)
			}
		}
		if action, _ := b.source.Mirror(hub.AlertAcknowledgedEvent, "123456789012|iam|x"); action != "" {
			t.Errorf("a signal is mirrored by %s", action)
		}
	})
}

func TestInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.PutAccount(sim.Account{ID: "222222222222", DisplayName: "Next", Status: "PENDING"})
		b.pull(t)
		brief := func() string {
			var out []string
			for _, n := range b.got.Nodes {
				risk := "-"
				if n.RiskScore != nil {
					risk = fmt.Sprint(*n.RiskScore)
				}
				out = append(out, fmt.Sprintf("%s %s %s gone=%v", n.Kind, n.Keys[0], risk, n.Gone))
			}
			for _, e := range b.got.Edges {
				out = append(out, fmt.Sprintf("%s %s %s gone=%v", e.From, e.Kind, e.To, e.Gone))
			}
			b.got = connectors.Page{}
			for i := range out {
				out[i] = strings.ReplaceAll(out[i], "vigilare:01JABCDE000000000000000001", "TENANT")
			}
			return strings.Join(out, "\n")
		}
		const first = `account TENANT - gone=false
account 123456789012 18 gone=false
account 222222222222 - gone=false
user alice@example.com - gone=false
user bob@example.com - gone=false
user carol@example.com - gone=false
TENANT monitors 123456789012 gone=false
TENANT monitors 222222222222 gone=false
alice@example.com can_access TENANT gone=false
bob@example.com can_access TENANT gone=false
carol@example.com can_access TENANT gone=false`
		if got := brief(); got != first {
			t.Errorf("first:\n%s\nwant:\n%s", got, first)
		}
		b.sim.SetScore(sim.DefaultAccount, 70)
		carol := b.sim.Users()[2].ID
		for _, do := range []struct{ action, params string }{
			{"vigilare.remove_user", `{"user_id":"` + carol + `"}`},
			{"vigilare.disconnect_account", `{"account_id":"222222222222"}`},
		} {
			if _, err := b.source.Do(t.Context(), do.action, "k", []byte(do.params)); err != nil {
				t.Fatal(err)
			}
		}
		b.pull(t)
		const second = `account 123456789012 30 gone=false
account 222222222222 - gone=true
user carol@example.com - gone=true
TENANT monitors 123456789012 gone=false
TENANT monitors 222222222222 gone=true`
		if got := brief(); got != second {
			t.Errorf("after changes:\n%s\nwant:\n%s", got, second)
		}
		b.pull(t)
		if got := brief(); got != "" {
			t.Errorf("nothing has changed, and it told\n%s", got)
		}
		time.Sleep(time.Hour)
		b.pull(t)
		if got := brief(); strings.Count(got, "\n") != 8 {
			t.Errorf("an hour later:\n%s\nwant tenant, two accounts, two users and four edges", got)
		}
	})
}

// TestTokenEndsWithinAPage: tokens end all the time, between pages too.
func TestTokenEndsWithinAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Add(500)
		n := 0
		b.edit = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/auth/login" {
				if n++; n%3 == 0 {
					b.sim.Expire()
				}
			}
			return false
		}
		b.pull(t)
		if got := strings.Count(b.said("signal"), "open"); got != 500 {
			t.Errorf("%d signals, want 500", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Refuse(true)
		err := b.try(t.Context())
		if hub.KindOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "email and password") {
			t.Errorf("login refused: %v", err)
		}
		if n := len(b.asked); n != 1 {
			t.Errorf("a refused login was tried %d times in one pull", n)
		}
		b.sim.Refuse(false)
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/users" || r.URL.Path == "/alert-rules" { // a role that may not
				unkind.Answer(w, 403, map[string]string{"error": "Forbidden"})
				return true
			}
			return false
		}
		b.sim.AddSignal(sim.DefaultAccount, sim.Signal{Scenario: "iam", Severity: "HIGH"})
		b.pull(t)
		if got := b.said("alert"); got != "open acknowledged=false" {
			t.Errorf("without rules: %q", got)
		}
	})
}

// TestOddAnswers: what is not as documented stops nothing it need not.
func TestOddAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		answers := map[string]string{
			"/accounts":                      `{"accounts":[{"aws_account_id":"../users"},7,{"aws_account_id":"123456789012","status":"ACTIVE","current_srs":null}],"total":3}`,
			"/accounts/123456789012/signals": `{"signals":[{"title":"no id"},5,{"signal_id":"s1","severity":null,"detected_at":null}],"next_token":null}`,
			"/alerts":                        `{"alerts":[{},{"alert_id":"a1","fired_at":"never"}],"next_token":""}`,
		}
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			body, ok := answers[r.URL.Path]
			if ok {
				fmt.Fprint(w, body)
			}
			return ok
		}
		b.pull(t)
		if got := b.said("signal"); got != "open high" {
			t.Errorf("signals: %q", got)
		}
		b.pull(t)
		if got := len(b.got.Findings); got != 0 {
			t.Errorf("told again: %d findings", got)
		}
		answers["/accounts/123456789012/signals"] = `{"signals":[],"next_token":"again"}`
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Transient {
			t.Errorf("a list without end: %v", err)
		}
		answers["/accounts"] = `[]`
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Transient {
			t.Errorf("no object: %v", err)
		}
	})
}

func TestCursorOfAnotherVersionIsRefused(t *testing.T) {
	b := &bench{source: opened(t, config1, &http.Client{})}
	for _, cursor := range []string{`{"v":2}`, `{"v":1,"accounts":{"1":{"signals":"AAAA"}}}`, `{`} {
		b.cursor = []byte(cursor)
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Internal || b.source.Describe(b.cursor) != "unreadable" {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
