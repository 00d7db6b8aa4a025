package playbook

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

func mustParse(t testing.TB, text string) *Playbook {
	t.Helper()
	p, problems := Parse("", []byte(text), testActions(t))
	if p == nil {
		t.Fatalf("%s\n%v", text, problems)
	}
	return p
}

func testEvent() *hub.Event {
	a := newAlert()
	a.Title, a.Severity, a.Sources = "Root login", hub.High, []string{"cybervault", "vigilare"}
	a.Labels = map[string]string{"team": "soc"}
	a.Payload = []byte(`{"hosts":[{"name":"h1","n":1},{"name":"h2","n":2}],"wait":"90s","big":9007199254740993}`)
	return &hub.Event{ID: "msg_1", Type: hub.AlertCreated, Subject: "alt_test", Time: testTime, Data: hub.EventData{Alert: a}}
}

// shown gives effects as short lines.
func shown(effects []Effect) []string {
	var lines []string
	for _, e := range effects {
		lines = append(lines, e.Step+" "+e.String())
	}
	return lines
}

func results(r *Run) string {
	var parts []string
	for _, s := range r.Steps {
		parts = append(parts, s.ID+":"+string(s.Status))
	}
	return strings.Join(parts, " ") + " " + string(r.State)
}

func TestAdvance(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		effects     []string
		results     string
		err         string // part of the error of some step
	}{
		{
			"every action", `
  - {id: a, uses: alert.set, with: {status: investigating, assignee: "", labels: {x: 1, team: }, note: n}}
  - {id: b, uses: alert.comment, with: {text: "hi ${{ alert.title }}"}}
  - {id: c, uses: alert.suppress, with: {reason: r}}
  - {id: d, uses: notify, with: {channels: [s, p, s], message: m}}
  - {id: e, uses: slack.post, with: {channel: s}}
  - {id: f, uses: pagerduty.trigger, with: {channel: p, severity: error, details: {n: "${{ alert.count }}"}}}
  - {id: g, uses: pagerduty.acknowledge, with: {channel: p}}
  - {id: h, uses: pagerduty.resolve, with: {channel: p}}
  - {id: i, uses: webhook.send, with: {webhook: w, body: "${{ alert.sources }}"}}
  - {id: j, uses: cybervault.submit_finding, with: {title: t, tags: a, score: 1.5}}`,
			[]string{
				`a alert.set {"status":"investigating","assignee":"","labels":{"team":"","x":"1"},"note":"n"}`,
				`b alert.comment {"text":"hi Root login"}`,
				`c alert.suppress {"reason":"r"}`,
				`d/s notify {"target":"s","action":"post","params":{"message":"m"}}`,
				`d/p notify {"target":"p","action":"post","params":{"message":"m"}}`,
				`e slack.post {"target":"s","kind":"slack","action":"post"}`,
				`f pagerduty.trigger {"target":"p","kind":"pagerduty","action":"trigger","params":{"details":{"n":1},"severity":"error"}}`,
				`g pagerduty.acknowledge {"target":"p","kind":"pagerduty","action":"acknowledge"}`,
				`h pagerduty.resolve {"target":"p","kind":"pagerduty","action":"resolve"}`,
				`i webhook.send {"target":"w","kind":"webhook","action":"send","params":{"body":["cybervault","vigilare"]}}`,
				`j cybervault.submit_finding {"target":"cybervault","kind":"connector","action":"submit_finding","params":{"score":1.5,"tags":["a"],"title":"t"}}`,
			},
			"a:done b:done c:done d:done e:done f:done g:done h:done i:done j:done done", "",
		},
		{
			"conditions see what earlier steps did", `
  - {id: a, if: 'alert.severity == "low"', uses: alert.comment, with: {text: x}}
  - {id: b, if: 'steps.a.status == "skipped"', uses: alert.set, with: {severity: low, labels: {team: ops}}}
  - {id: c, if: 'alert.severity == "low" && alert.labels.team == "ops" && event.data.alert.severity == "high"', uses: alert.comment, with: {text: y}}`,
			[]string{`b alert.set {"severity":"low","labels":{"team":"ops"}}`, `c alert.comment {"text":"y"}`},
			"a:skipped b:done c:done done", "",
		},
		{
			"a condition that fails is not met", `
  - {id: a, if: 'alert.payload.none == 1', uses: alert.comment, with: {text: x}}
  - {id: b, if: 'steps.a.error != ""', uses: alert.comment, with: {text: "${{ steps.a.error }}"}}`,
			[]string{`b alert.comment {"text":"if: no such key: none"}`},
			"a:skipped b:done done", "if: no such key",
		},
		{
			"a failure stops", `
  - {id: a, uses: alert.comment, with: {text: x}}
  - {id: b, uses: alert.comment, with: {text: "${{ alert.payload.none }}"}}
  - {id: c, uses: alert.comment, with: {text: z}}`,
			[]string{`a alert.comment {"text":"x"}`},
			"a:done b:failed failed", "with.text: no such key: none",
		},
		{
			"a failure continues", `
  - {id: a, uses: slack.post, with: {channel: "${{ alert.assignee }}"}, on_error: continue}
  - {id: b, if: 'steps.a.status == "failed"', uses: alert.comment, with: {text: "${{ steps.a.error }}"}}`,
			[]string{`b alert.comment {"text":"with.channel is empty"}`},
			"a:failed b:done done", "is empty",
		},
		{
			"a value of the wrong type", `
  - {id: a, uses: alert.set, with: {severity: "${{ alert.title }}"}}`,
			nil, "a:failed failed", `with.severity is "Root login", want one of critical`,
		},
		{
			"null is as if it were not there", `
  - {id: a, uses: alert.set, with: {note: n, assignee: "${{ alert.payload.?none }}"}}`,
			[]string{`a alert.set {"note":"n"}`},
			"a:done done", "",
		},
		{
			"for each", `
  - {id: a, for_each: alert.payload.hosts, uses: alert.comment, with: {text: "${{ item.name }}=${{ item.n + 1 }}"}}
  - {id: b, for_each: '["x", "y"].filter(c, c != "x")', uses: notify, with: {channels: ["${{ item }}", z]}}
  - {id: c, for_each: '[]', uses: alert.comment, with: {text: never}}`,
			[]string{
				`a[0] alert.comment {"text":"h1=2"}`, `a[1] alert.comment {"text":"h2=3"}`,
				`b[0]/y notify {"target":"y","action":"post"}`, `b[0]/z notify {"target":"z","action":"post"}`,
			},
			"a:done b:done c:done done", "",
		},
		{
			"for each with one that fails", `
  - {id: a, for_each: '[1, 0, 2]', uses: alert.comment, with: {text: "${{ 4 / item }}"}}`,
			[]string{`a[0] alert.comment {"text":"4"}`},
			"a:failed failed", "item 1: with.text: division by zero",
		},
		{
			"for each over no list", `
  - {id: a, for_each: alert.payload.wait, uses: alert.comment, with: {text: x}}`,
			nil, "a:failed failed", `for_each: gives "90s", want a list`,
		},
		{
			"item outside of for_each", `
  - {id: a, uses: alert.comment, with: {text: "${{ item }}"}}`,
			nil, "a:failed failed", "no item outside of for_each",
		},
		{
			"a delay that is over", `
  - {id: a, uses: delay, with: {until: "2020-01-01T00:00:00Z"}}
  - {id: b, uses: delay, with: {for: 0s}}`,
			nil, "a:done b:done done", "",
		},
		{
			"a delay that is too long", `
  - {id: a, uses: delay, with: {for: 1000h}}`,
			nil, "a:failed failed", "waits at most",
		},
	} {
		p := mustParse(t, head+"steps:"+c.steps)
		run := Start(p, testEvent(), testTime, "run_1")
		effects, err := Advance(p, run, Env{Event: testEvent()}, testTime)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.effects, shown(effects)); d != "" {
			t.Errorf("%s: effects (-want +got)\n%s", c.name, d)
		}
		if got := results(run); got != c.results {
			t.Errorf("%s: got %s, want %s", c.name, got, c.results)
		}
		var errs []string
		for _, s := range run.Steps {
			errs = append(errs, s.Error)
		}
		if all := strings.Join(errs, "|"); c.err == "" && strings.Trim(all, "|") != "" || !strings.Contains(all, c.err) {
			t.Errorf("%s: errors %q, want %q", c.name, all, c.err)
		}
	}
}

func TestEventWithoutAnAlert(t *testing.T) {
	p := mustParse(t, "name: p\non: threat.lockdown\nsteps:\n  - {id: a, uses: alert.set, with: {note: x}, on_error: continue}\n"+
		"  - {id: b, uses: webhook.send, with: {webhook: w, body: '${{ event.data.object.level }}'}}\n")
	ev := &hub.Event{ID: "msg_1", Type: hub.ThreatLockdown, Data: hub.EventData{Object: []byte(`{"level":8}`)}}
	run := Start(p, ev, testTime, "run_1")
	effects, err := Advance(p, run, Env{Event: ev}, testTime)
	if err != nil || results(run) != "a:failed b:done done" || run.Steps[0].Error != errNoAlert.Error() {
		t.Errorf("got %s, %v, %v", results(run), run.Steps, err)
	}
	if d := cmp.Diff([]string{`b webhook.send {"target":"w","kind":"webhook","action":"send","params":{"body":8}}`}, shown(effects)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestDeliverCarriesTimeoutAndRetry(t *testing.T) {
	p := mustParse(t, head+"steps: [{id: a, uses: slack.post, with: {channel: c}, timeout: 7s, retry: {attempts: 3}}]")
	run := Start(p, testEvent(), testTime, "run_1")
	effects, err := Advance(p, run, Env{Event: testEvent()}, testTime)
	if err != nil || len(effects) != 1 {
		t.Fatal(effects, err)
	}
	if d := effects[0].Do.(Deliver); d.Timeout != 7*time.Second || d.Retry.Attempts != 3 {
		t.Errorf("got %+v", d)
	}
}

func TestWaiting(t *testing.T) {
	p := mustParse(t, head+`steps:
  - {id: a, uses: alert.comment, with: {text: "${{ alert.status }}"}}
  - {id: w, uses: delay, with: {for: "${{ alert.payload.wait }}"}}
  - {id: b, if: 'alert.status == "open" && steps.w.status == "done"', uses: alert.comment, with: {text: "${{ now - run.started_at }}"}}`)
	ev := testEvent()
	run := Start(p, ev, testTime, "run_1")
	if _, err := Advance(p, run, Env{Event: ev}, testTime); err != nil {
		t.Fatal(err)
	}
	due := testTime.Add(90 * time.Second)
	if results(run) != "a:done w:waiting waiting" || !run.Due.Equal(due) {
		t.Fatalf("got %s, due %v", results(run), run.Due)
	}
	stored, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	early, err := Advance(p, run, Env{Event: ev}, due.Add(-time.Microsecond))
	again, _ := run.Encode()
	if err != nil || early != nil || string(again) != string(stored) {
		t.Errorf("before it is due: %v, %v, %s", early, err, again)
	}
	effects, err := Advance(p, run, Env{Event: ev}, due)
	if d := cmp.Diff([]string{`b alert.comment {"text":"1m30s"}`}, shown(effects)); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	if results(run) != "a:done w:done b:done done" || !run.EndedAt.Equal(due) || !run.Due.IsZero() {
		t.Errorf("got %+v", run)
	}
	// The alert as it is then decides, not as it was.
	run, err = DecodeRun(stored)
	if err != nil {
		t.Fatal(err)
	}
	acked := *ev.Data.Alert
	acked.Status = hub.AlertInvestigating
	effects, err = Advance(p, run, Env{Event: ev, Alert: &acked}, due)
	if err != nil || effects != nil || results(run) != "a:done w:done b:skipped done" {
		t.Errorf("acknowledged: got %v, %v, %s", shown(effects), err, results(run))
	}
	if effects, err := Advance(p, run, Env{Event: ev}, due.Add(time.Hour)); effects != nil || err != nil {
		t.Errorf("an ended run went on: %v, %v", effects, err)
	}
}

func TestAdvanceRefusesAnotherVersion(t *testing.T) {
	p := mustParse(t, head+"steps: [{id: a, uses: delay, with: {for: 1s}}]")
	q := mustParse(t, head+"steps: [{id: a, uses: delay, with: {for: 2s}}]")
	run := Start(p, testEvent(), testTime, "run_1")
	if _, err := Advance(q, run, Env{Event: testEvent()}, testTime); err == nil || len(run.Steps) != 0 {
		t.Errorf("got %v, %v", err, run.Steps)
	}
}

func TestDecodeRunRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{``, `{}`, `{"format":2,"id":"run_1"}`, `[]`} {
		if r, err := DecodeRun([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, r)
		}
	}
}

// Steps that the property test makes playbooks of; %d is the step's number.
var pieces = []string{
	`  - {id: s%[1]d, uses: alert.comment, with: {text: "${{ alert.severity }} ${{ alert.labels }} ${{ now }}"}}`,
	`  - {id: s%[1]d, uses: alert.set, with: {severity: '${{ alert.severity == "high" ? "low" : "high" }}', labels: {n: "%[1]d"}}}`,
	`  - {id: s%[1]d, if: 'alert.severity == "low"', uses: slack.post, with: {channel: c, message: "${{ alert.assignee }}"}}`,
	`  - {id: s%[1]d, uses: delay, with: {for: %[1]dm}}`,
	`  - {id: s%[1]d, for_each: alert.payload.hosts, uses: notify, with: {channels: [a, b], message: "${{ item.n * 2 }} ${{ item }}"}}`,
	`  - {id: s%[1]d, if: alert.payload.none, uses: alert.comment, with: {text: x}}`,
	`  - {id: s%[1]d, uses: alert.comment, with: {text: "${{ alert.payload.none }}"}, on_error: continue}`,
	`  - {id: s%[1]d, uses: alert.comment, with: {text: "${{ alert.payload.none }}"}}`,
	`  - {id: s%[1]d, uses: webhook.send, with: {webhook: w, body: {big: "${{ alert.payload.big }}", at: "${{ now }}"}}}`,
	`  - {id: s%[1]d, if: 's0 == "failed"', uses: alert.set, with: {assignee: "u%[1]d"}}`,
	`  - {id: s%[1]d, if: 's0 != "failed"', uses: alert.set, with: {assignee: "${{ alert.count + %[1]d }}"}}`,
}

// A run that is stored and read back between any two steps, with its effects
// carried out each time, ends like one that is not.
func TestResumingAnywhereChangesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := head + "steps:\n  - {id: s0, uses: slack.post, with: {channel: \"${{ alert.assignee }}\"}, on_error: continue}\n"
		for i := range rapid.IntRange(1, 8).Draw(r, "steps") {
			piece := rapid.SampledFrom(pieces).Draw(r, "piece")
			text += strings.ReplaceAll(fmt.Sprintf(piece, i+1), "'s0 ", "'steps.s0.status ") + "\n"
		}
		p := mustParse(t, text)
		whole, wantEffects := play(t, p, false)
		parts, gotEffects := play(t, p, true)
		if d := cmp.Diff(wantEffects, gotEffects); d != "" {
			r.Errorf("%s\neffects (-whole +parts)\n%s", text, d)
		}
		if d := cmp.Diff(whole, parts, cmpopts.EquateEmpty()); d != "" {
			r.Errorf("%s\nrun (-whole +parts)\n%s", text, d)
		}
		seen := map[string]bool{}
		for _, line := range wantEffects {
			key, _, _ := strings.Cut(line, " ")
			if seen[key] {
				r.Errorf("the key %s comes twice", key)
			}
			seen[key] = true
		}
	})
}

// play runs p to its end, one step at a time through its stored form if inParts.
func play(t *testing.T, p *Playbook, inParts bool) (*Run, []string) {
	t.Helper()
	ev := testEvent()
	alert, now := ev.Data.Alert, testTime
	run := Start(p, ev, now, "run_1")
	var lines []string
	for range 100 {
		if run.State != hub.RunWaiting {
			return run, lines
		}
		if now.Before(run.Due) {
			now = run.Due
		}
		steps := len(p.Steps) + 1
		if inParts {
			steps = 1
			b, err := run.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if run, err = DecodeRun(b); err != nil {
				t.Fatal(err)
			}
		}
		effects, err := advance(p, run, Env{Event: ev, Alert: alert}, now, steps)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range effects {
			if set, ok := e.Do.(SetAlert); ok {
				alert = set.apply(alert)
			}
		}
		lines = append(lines, shown(effects)...)
	}
	t.Fatalf("the run does not end: %s", results(run))
	return nil, nil
}

func TestSetAlertApplyLeavesTheOriginal(t *testing.T) {
	a := testEvent().Data.Alert
	none := ""
	b := SetAlert{Status: hub.AlertResolved, Assignee: &none, Labels: map[string]string{"team": "", "x": "y"}}.apply(a)
	if a.Status != hub.AlertOpen || a.Labels["team"] != "soc" {
		t.Errorf("the original changed: %+v", a)
	}
	if b.Status != hub.AlertResolved || cmp.Diff(map[string]string{"x": "y"}, b.Labels) != "" {
		t.Errorf("got %+v", b)
	}
}
