package playbook

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// asking is a playbook that asks, with more inputs, and does something after it.
func asking(t *testing.T, with, more string) *Playbook {
	t.Helper()
	return mustParse(t, `name: p
on: [alert.created]
steps:
  - {id: a, uses: approval, with: {message: "may I, ${{ alert.title }}?"`+with+`}`+more+`}
  - {id: b, uses: alert.comment, with: {text: "${{ steps.a.output.decision }} ${{ size(steps.a.output.by) }} ${{ steps.a.output.note }}"}}
`)
}

// What comes to a run that asks, in any order, and what it makes of it.
func TestApprovalStep(t *testing.T) {
	yes, no := &Verdict{Approved: true, By: []string{"ada", "grace"}, Note: "ok"}, &Verdict{By: []string{"ada"}, Note: "no"}
	type move struct {
		after time.Duration // since the start
		v     *Verdict      // nil: the time alone
		err   bool
	}
	for _, c := range []struct {
		name, with, more string
		moves            []move
		results, effects string
		err              string // of the step
	}{
		{"nothing yet", "", "", []move{{time.Hour, nil, false}}, "a:waiting waiting", "", ""},
		{"approved", "", "", []move{{time.Hour, yes, false}}, "a:done b:done done", `{"text":"approved 2 ok"}`, ""},
		{"approved at the last moment", "", "", []move{{24*time.Hour - time.Microsecond, yes, false}}, "a:done b:done done", `{"text":"approved 2 ok"}`, ""},
		{"too late", "", "", []move{{24 * time.Hour, yes, true}}, "a:waiting waiting", "", ""},
		{"twice", "", "", []move{{time.Hour, yes, false}, {time.Hour, yes, true}}, "a:done b:done done", `{"text":"approved 2 ok"}`, ""},
		{"denied", "", "", []move{{time.Hour, no, false}}, "a:failed failed", "", "denied by ada: no"},
		{"denied, then approved", "", "", []move{{time.Hour, no, false}, {time.Hour, yes, true}}, "a:failed failed", "", "denied"},
		{"denied, and it continues", "", ", on_error: continue", []move{{time.Hour, no, false}}, "a:failed b:done done", `{"text":"denied 1 no"}`, "denied"},
		{"timed out", "", "", []move{{24 * time.Hour, nil, false}}, "a:failed failed", "", "nobody decided until 2026-01-03T15:04:05Z"},
		{"timed out whatever on_error says", "", ", on_error: continue", []move{{24 * time.Hour, nil, false}}, "a:failed failed", "", "nobody decided"},
		{"timed out, then approved", ", timeout: 5m", "", []move{{5 * time.Minute, nil, false}, {5 * time.Minute, yes, true}}, "a:failed failed", "", "nobody decided"},
		{"timed out, and it continues", ", timeout: 5m, on_timeout: continue", "", []move{{6 * time.Minute, nil, false}}, "a:done b:done done", `{"text":"timed_out 0 "}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, ev := asking(t, c.with, c.more), testEvent()
			run := Start(p, ev, testTime, "run_1")
			all, err := Advance(p, run, Env{Event: ev}, testTime)
			if err != nil || len(all) != 1 || run.Asks() == nil {
				t.Fatalf("it asks %v, %v: %s", all, err, results(run))
			}
			var effects []Effect
			for _, m := range c.moves {
				doc, err := run.Encode() // as over a restart
				if err != nil {
					t.Fatal(err)
				}
				if run, err = DecodeRun(doc); err != nil {
					t.Fatal(err)
				}
				now := testTime.Add(m.after)
				var got []Effect
				if m.v == nil {
					got, err = Advance(p, run, Env{Event: ev}, now)
				} else {
					got, err = Decide(p, run, *m.v, Env{Event: ev}, now)
				}
				if (err != nil) != m.err || err != nil && hub.KindOf(err) != hub.Conflict {
					t.Errorf("after %v: %v", m.after, err)
				}
				effects = append(effects, got...)
			}
			if got := results(run); got != c.results || !strings.Contains(run.Steps[0].Error, c.err) || c.err == "" && run.Steps[0].Error != "" {
				t.Errorf("it came to %s (%s), want %s (%s)", got, run.Steps[0].Error, c.results, c.err)
			}
			if got := strings.TrimPrefix(strings.Join(shown(effects), "; "), "b alert.comment "); got != c.effects {
				t.Errorf("it asks for %s, want %s", got, c.effects)
			}
		})
	}
}

// What a step may say, and what it asks for.
func TestApprovalInputs(t *testing.T) {
	for _, c := range []struct{ with, want string }{
		{"", `{"message":"may I, Root login?","quorum":1,"on_timeout":"stop","until":"2026-01-03T15:04:05Z"}`},
		{
			`, by: ["role:admin", ada@example.com], quorum: 2, timeout: 30m, on_timeout: continue, channels: [s, m, s]`,
			`{"message":"may I, Root login?","by":["role:admin","ada@example.com"],"quorum":2,"on_timeout":"continue","channels":["s","m"],"until":"2026-01-02T15:34:05Z"}`,
		},
		{`, by: "${{ alert.labels.team }}@example.com", channels: s`, `{"message":"may I, Root login?","by":["soc@example.com"],"quorum":1,"on_timeout":"stop","channels":["s"],"until":"2026-01-03T15:04:05Z"}`},
		{`, by: [a@x.org, b@x.org], quorum: 3`, "error: 3 must approve, but by names 2"},
		{`, quorum: "${{ alert.count - 1 }}"`, "error: with.quorum is 0, want a whole number from 1 to 50"},
		{`, by: "${{ alert.labels.team }}"`, `error: with.by holds "soc", want role:<name>, an e-mail address or an id`},
	} {
		p, ev := asking(t, c.with, ""), testEvent()
		run := Start(p, ev, testTime, "run_1")
		effects, err := Advance(p, run, Env{Event: ev}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		got := "error: " + run.Steps[0].Error
		if len(effects) > 0 {
			got = strings.TrimPrefix(effects[0].String(), "approval ")
		}
		if got != c.want {
			t.Errorf("%s gives %s, want %s", c.with, got, c.want)
		}
	}
}

// What cannot be meant does not load.
func TestApprovalFaults(t *testing.T) {
	for _, c := range []struct{ with, more, want string }{
		{"timeout: 0s", "", "is 0s, want more than nothing and at most 720h0m0s"},
		{"timeout: 721h", "", "want more than nothing and at most"},
		{"timeout: -1h", "", "want duration"},
		{"quorum: 0", "", "is 0, want a whole number from 1 to 50"},
		{"quorum: 1.5", "", "is 1.5, want a whole number"},
		{"quorum: 51", "", "is 51"},
		{"by: [role:boss]", "", `names the role "boss", want one of owner, admin`},
		{"by: [ada]", "", `holds "ada", want role:<name>`},
		{"on_timeout: wait", "", `is "wait", want one of stop, continue`},
		{"message: ''", "", "is empty"},
		{"channel: soc", "", "no such input"},
		{"", ", for_each: alert.sources", "waits once"},
		{"", ", timeout: 5s", "sends nothing"},
	} {
		if c.with == "" || !strings.HasPrefix(c.with, "message") {
			c.with = "message: m, " + c.with
		}
		text := "name: p\non: [alert.created]\nsteps:\n  - {id: a, uses: approval, with: {" + c.with + "}" + c.more + "}\n"
		if p, problems := Parse("", []byte(text), testActions(t)); p != nil || !strings.Contains(problems.Error(), c.want) {
			t.Errorf("%s%s: %v, want %q", c.with, c.more, problems, c.want)
		}
	}
}

// A dry run says for whom it would wait, and shows what would follow.
func TestApprovalDryRun(t *testing.T) {
	p, ev := asking(t, ", by: role:admin, timeout: 1h", ""), testEvent()
	run, effects, err := DryRun(p, Env{Event: ev}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	text := Explain(p, run, effects)
	if !strings.Contains(text, "would wait for 1 of role:admin until 2026-01-02T16:04:05Z, then stop; shown as if approved") || results(run) != "a:done b:done done" {
		t.Errorf("%s\n%s", text, results(run))
	}
}
