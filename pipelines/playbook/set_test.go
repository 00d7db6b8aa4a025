package playbook

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

const noop = "\nsteps: [{id: a, uses: alert.comment, with: {text: x}}]"

func testSet(t testing.TB, fault Fault, texts ...string) *Set {
	t.Helper()
	var all []*Playbook
	for _, text := range texts {
		all = append(all, mustParse(t, text))
	}
	s, err := NewSet(all, testActions(t), fault)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(list []*Playbook) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, p.Name)
	}
	return out
}

func TestMatch(t *testing.T) {
	var faults []string
	s := testSet(t, func(p *Playbook, ev *hub.Event, err error) {
		faults = append(faults, p.Name+" "+string(ev.ID)+": "+err.Error())
	},
		"name: every\non: '*'"+noop,
		"name: created\non: [alert.created, alert.*]\nwhen: alert.severity == 'high'"+noop,
		"name: off\non: '*'\nenabled: false"+noop,
		"name: faulty\non: alert.created\nwhen: alert.payload.none == 1 || alert.severity == 'low'"+noop,
	)
	for _, c := range []struct {
		name   string
		change func(*hub.Event)
		want   []string
		faults int
	}{
		{"as it is", func(*hub.Event) {}, []string{"every", "created"}, 1},
		{"by a source", func(ev *hub.Event) { ev.Data.Actor = "source:every" }, []string{"every", "created"}, 1},
		{"by itself", func(ev *hub.Event) { ev.Data.Actor = "playbook:every" }, []string{"created"}, 1},
		{"by another", func(ev *hub.Event) { ev.Data.Actor, ev.Data.Depth = "playbook:created", MaxDepth-1 }, []string{"every"}, 1},
		{"too deep", func(ev *hub.Event) { ev.Data.Actor, ev.Data.Depth = "playbook:x", MaxDepth }, []string{}, 0},
		{"low", func(ev *hub.Event) { ev.Data.Alert.Severity = hub.Low }, []string{"every", "faulty"}, 0},
		{"another type", func(ev *hub.Event) { ev.Type = hub.WebhookTest }, []string{"every"}, 0},
		{"an unknown type", func(ev *hub.Event) { ev.Type = "x.y" }, []string{}, 0},
		{"no alert", func(ev *hub.Event) { ev.Data.Alert = nil }, []string{"every"}, 2},
	} {
		faults = nil
		ev := testEvent()
		c.change(ev)
		if d := cmp.Diff(c.want, names(s.Match(ev))); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
		if len(faults) != c.faults {
			t.Errorf("%s: faults %q, want %d", c.name, faults, c.faults)
		}
	}
}

// Two playbooks that answer each other come to an end, and one does not answer itself.
func TestLoopsEnd(t *testing.T) {
	s := testSet(t, nil,
		"name: ping\non: alert.updated\nsteps: [{id: a, uses: alert.set, with: {note: ping}}]",
		"name: pong\non: alert.updated\nsteps: [{id: a, uses: alert.set, with: {note: pong}}]",
	)
	first := testEvent()
	first.Type = hub.AlertUpdated
	queue, runs := []*hub.Event{first}, 0
	for len(queue) > 0 && runs < 1000 {
		ev := queue[0]
		queue = queue[1:]
		for _, p := range s.Match(ev) {
			run := Start(p, ev, testTime, "run_1")
			effects, err := Advance(p, run, Env{Event: ev}, testTime)
			if err != nil {
				t.Fatal(err)
			}
			runs++
			for range effects {
				next := *ev
				next.Data.Actor, next.Data.Depth = run.Actor(), run.Depth+1
				queue = append(queue, &next)
			}
		}
	}
	if want := 2 * MaxDepth; runs != want {
		t.Errorf("%d runs, want %d: both start once and answer each other %d times", runs, want, MaxDepth-1)
	}
}

func TestNewSetRefusesTwoOfOneName(t *testing.T) {
	p := mustParse(t, head+noop)
	if _, err := NewSet([]*Playbook{p, p}, Builtin(), nil); hub.KindOf(err) != hub.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestResolve(t *testing.T) {
	now := head + "steps: [{id: a, uses: delay, with: {for: 1s}}]"
	old := head + "steps: [{id: a, uses: delay, with: {for: 2s}}]"
	s := testSet(t, nil, now)
	loads := 0
	load := func(text string) func() ([]byte, error) {
		return func() ([]byte, error) { loads++; return []byte(text), nil }
	}
	if p, err := s.Resolve("p", VersionOf([]byte(now)), load("")); err != nil || p != s.Find("p") || loads != 0 {
		t.Errorf("the one in force: %v, %v, %d loads", p, err, loads)
	}
	for range 2 {
		p, err := s.Resolve("p", VersionOf([]byte(old)), load(old))
		if err != nil || string(p.Text) != old || loads != 1 {
			t.Errorf("the old one: %v, %v, %d loads", p, err, loads)
		}
	}
	if _, err := s.Resolve("p", "123456789abc", load("")); hub.KindOf(err) != hub.NotFound {
		t.Errorf("one that is not kept: %v", err)
	}
	gone := head + "steps: [{id: a, uses: gone.action}]"
	if _, err := s.Resolve("p", VersionOf([]byte(gone)), load(gone)); hub.KindOf(err) != hub.Invalid {
		t.Errorf("one whose action is gone: %v", err)
	}
	boom := errors.New("boom")
	if _, err := s.Resolve("q", "v", func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestLimits(t *testing.T) {
	ago := func(minutes ...int) (list []time.Time) {
		for _, m := range minutes {
			list = append(list, testTime.Add(-time.Duration(m)*time.Minute))
		}
		return list
	}
	for _, c := range []struct {
		limits  Limits
		started []time.Time
		want    string
	}{
		{Limits{}, ago(0, 0, 0), ""},
		{Limits{Cooldown: 10 * time.Minute}, nil, ""},
		{Limits{Cooldown: 10 * time.Minute}, ago(30, 9), "cooldown"},
		{Limits{Cooldown: 10 * time.Minute}, ago(10), ""},
		{Limits{MaxPerHour: 2}, ago(1, 59), "max_per_hour"},
		{Limits{MaxPerHour: 2}, ago(1, 60), ""},
		{Limits{Cooldown: 2 * time.Hour, MaxPerHour: 2}, ago(90), "cooldown"},
	} {
		ok, why := c.limits.Allow(c.started, testTime)
		if ok != (c.want == "") || why != c.want {
			t.Errorf("%+v after %v: got %v, %q, want %q", c.limits, c.started, ok, why, c.want)
		}
	}
	p := mustParse(t, head+"limits: {cooldown: 2h, per: '[alert.type, alert.severity]'}"+noop)
	if key, err := p.Limits.Key(testEvent(), testTime); key != `["","high"]` || err != nil || p.Limits.Window() != 2*time.Hour {
		t.Errorf("got %q, %v, %v", key, err, p.Limits.Window())
	}
}

func TestDryRunAndExplain(t *testing.T) {
	p := mustParse(t, head+`steps:
  - {id: ask, uses: slack.post, with: {channel: soc-slack, message: hi}}
  - {id: wait, uses: delay, with: {for: 15m}}
  - {id: each, for_each: alert.sources, uses: alert.comment, with: {text: "${{ item }}"}}
  - {id: page, uses: pagerduty.trigger, with: {channel: "${{ alert.assignee }}"}}
  - {id: never, uses: pagerduty.resolve, with: {channel: p}}
`)
	run, effects, err := DryRun(p, Env{Event: testEvent()}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	want := `playbook p, version ` + p.Version + `, on alert.created alt_test: failed
  ask              slack.post             done
    → slack.post {"target":"soc-slack","kind":"slack","action":"post","params":{"message":"hi"}}
  wait             delay                  done
  each             alert.comment          done, 2 items
    → alert.comment {"text":"cybervault"}
    → alert.comment {"text":"vigilare"}
  page             pagerduty.trigger      failed: with.channel is empty
  never            pagerduty.resolve      not reached
`
	if d := cmp.Diff(want, Explain(p, run, effects)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if !run.EndedAt.Equal(testTime.Add(15 * time.Minute)) {
		t.Errorf("ended at %v", run.EndedAt)
	}
	run = Start(p, testEvent(), testTime, "run_1")
	effects, _ = Advance(p, run, Env{Event: testEvent()}, testTime)
	if got := Explain(p, run, effects); !strings.Contains(got, "waiting until 2026-01-02T15:19:05Z") {
		t.Errorf("got %s", got)
	}
}

func BenchmarkThreeSteps(b *testing.B) {
	s := testSet(b, nil, `name: p
on: [alert.created, alert.reopened]
when: alert.severity_num >= severity_num("high") && alert.status == "open"
steps:
  - {id: post, uses: slack.post, with: {channel: soc-slack, message: "[${{ alert.severity }}] ${{ alert.title }}"}}
  - {id: page, if: 'steps.post.status == "done"', uses: pagerduty.trigger, with: {channel: soc-pagerduty}}
  - {id: close, if: 'event.type == "alert.resolved"', uses: pagerduty.resolve, with: {channel: soc-pagerduty}}
`, "name: q\non: alert.created\nwhen: alert.type == 'iam'"+noop)
	ev := testEvent()
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range s.Match(ev) {
			run := Start(p, ev, testTime, "run_1")
			effects, err := Advance(p, run, Env{Event: ev}, testTime)
			if err != nil || len(effects) != 2 {
				b.Fatal(effects, err)
			}
		}
	}
}

func BenchmarkEncodeRun(b *testing.B) {
	p := mustParse(b, head+noop)
	run := Start(p, testEvent(), testTime, "run_1")
	if _, err := Advance(p, run, Env{Event: testEvent()}, testTime); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := run.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
