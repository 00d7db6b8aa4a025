package playbook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = "name: p\non: alert.created\n"

// testActions is the catalogue with what a connector would add.
func testActions(t testing.TB) Actions {
	t.Helper()
	all, err := Builtin().Merge(Actions{
		"cybervault.submit_finding": ConnectorAction("cybervault", "submit_finding", "Submits a finding.", map[string]Param{
			"title": {Type: Text, Required: true}, "severity": {Type: Text, OneOf: []string{"low", "high"}}, "tags": {Type: Texts}, "score": {Type: Number},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParseReportsEveryFault(t *testing.T) {
	step := func(body string) string { return head + "steps:\n  - id: a\n    " + body + "\n" }
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"the file is empty"}},
		{"no map", "- a", []string{"1: is a list, want a map"}},
		{"syntax", "name: p\non: [\n", []string{"2: did not find expected node content"}},
		{"two documents", head + "steps: [{id: a, uses: delay, with: {for: 1s}}]\n---\nname: q", []string{"4: a second document; a file holds one"}},
		{"anchor", "name: &x p", []string{"1: anchors and aliases are not supported; write the value out"}},
		{"nothing in it", "description: d", []string{"1: name: is missing", "1: on: is missing", "1: steps: is missing"}},
		{"unknown keys", "nmae: p\n" + head + "setps: []\nsteps: [{id: a, use: delay, uses: delay, with: {for: 1s}}]", []string{
			"1: nmae: unknown key, did you mean name?",
			"4: setps: unknown key, did you mean steps?",
			"5: steps[0].use: unknown key, did you mean uses?",
		}},
		{"twice", head + "name: q\nsteps: [{id: a, uses: delay, with: {for: 1s}}]", []string{"3: name: is there twice"}},
		{"bad name and glob", "name: My Playbook\non:\n  - alert.*\n  - alert.creatd\nsteps: [{id: a, uses: delay, with: {for: 1s}}]", []string{
			`1: name: is "My Playbook", want small letters, digits and -, at most 63`,
			`4: on[1]: "alert.creatd" matches no event type; use one such as alert.created or alert.* or *`,
		}},
		{"when", "name: p\non: '*'\nwhen: alert.sevrity == 'high'\nsteps: [{id: a, uses: delay, with: {for: 1s}}]", []string{
			"3: when: unknown field sevrity, did you mean severity? (at character 6)",
		}},
		{"when in a block", "name: p\non: '*'\nwhen: |\n  alert.severity == 'high' &&\n  alrt.count > 2\nenabled: maybe\nsteps: []", []string{
			"5: when: unknown name alrt, did you mean alert?",
			`6: enabled: is "maybe", want true or false`,
			"7: steps: has 0 steps, want 1 to 100",
		}},
		{"limits", head + "limits: {per: alert.id, cooldwn: 5m}\nsteps: [{id: a, uses: delay, with: {for: 1s}}]", []string{
			"3: limits.cooldwn: unknown key, did you mean cooldown?",
			"3: limits: has per but neither cooldown nor max_per_hour",
		}},
		{"no id, no uses", head + "steps:\n  - with: {}\n  - id: A-b\n    uses: slack.pst", []string{
			"4: steps[0].id: is missing; it names the step in expressions and in the audit log",
			"4: steps[0].uses: is missing; it names the action",
			`5: steps[1].id: is "A-b", want a small letter, then small letters, digits and _`,
			"6: steps[1].uses: unknown action slack.pst, did you mean slack.post?",
		}},
		{"same id", head + "steps:\n  - {id: a, uses: delay, with: {for: 1s}}\n  - {id: a, uses: delay, with: {for: 1s}}", []string{"5: steps[1].id: a is the id of an earlier step"}},
		{"later action", step("uses: http.request"), []string{"5: steps[0].uses: unknown action http.request, known are alert.comment, alert.set, alert.suppress, approval, " +
			"cybervault.submit_finding, delay, notify, pagerduty.acknowledge, pagerduty.resolve, pagerduty.trigger, slack.post, webhook.send"}},
		{"inputs", step("uses: slack.post\n    with:\n      chanel: x\n      message: [a]"), []string{
			"7: steps[0].with.chanel: slack.post has no such input, did you mean channel?",
			"7: steps[0].with.channel: is missing; slack.post wants it (text)",
			"8: steps[0].with.message: is a list, want text",
		}},
		{"no inputs", step("uses: slack.post"), []string{"4: steps[0].with.channel: is missing; slack.post wants it (text)"}},
		{"empty input", step(`uses: slack.post` + "\n    with: {channel: \"\"}"), []string{"6: steps[0].with.channel: is empty"}},
		{"connector's inputs", step("uses: cybervault.submit_finding\n    with:\n      title: x\n      severity: medium\n      score: high\n      tags: [a, 1]"), []string{
			`8: steps[0].with.severity: is "medium", want one of low, high`,
			`9: steps[0].with.score: is the text "high", want number`,
			"10: steps[0].with.tags: is a list, want text or list of texts",
		}},
		{"alert.set", step("uses: alert.set\n    with: {severity: hgih}"), []string{`6: steps[0].with.severity: is "hgih", want one of critical, high, medium, low, info`}},
		{"alert.set nothing", step("uses: alert.set"), []string{"4: steps[0].with: alert.set wants at least one of status, severity, assignee, labels, note"}},
		{"delay", step("uses: delay\n    with: {for: 5 minutes, until: x}"), []string{
			`6: steps[0].with.for: is the text "5 minutes", want duration such as 15m`,
			`6: steps[0].with.until: is the text "x", want time such as 2026-01-02T15:04:05Z`,
			"6: steps[0].with: delay wants exactly one of for, until",
		}},
		{"delay for each", step("uses: delay\n    with: {for: 1s}\n    for_each: alert.sources\n    timeout: 5s\n    retry: {attempts: 3}\n    on_error: retry"), []string{
			"7: steps[0].for_each: delay waits once, not for each item; remove for_each",
			"8: steps[0].timeout: delay sends nothing, so it has no timeout; remove it",
			"9: steps[0].retry: delay sends nothing, so it has no retry; remove it",
			`10: steps[0].on_error: is "retry", want stop or continue`,
		}},
		{"retry", step("uses: slack.post\n    with: {channel: c}\n    retry: {schedule: [5s, x], factor: 0, jitter: 2}\n    timeout: 0s"), []string{
			`7: steps[0].retry.schedule[1]: is "x", want a duration such as 30s, 15m or 2h`,
			`7: steps[0].retry.factor: is "0", want a number from 1 to 100`,
			`7: steps[0].retry.jitter: is "2", want a number from 0 to 1`,
			`8: steps[0].timeout: is "0s", want a duration such as 30s, 15m or 2h`,
		}},
		{"two ways to retry", step("uses: slack.post\n    with: {channel: c}\n    retry: {schedule: [5s], attempts: 4}"), []string{
			"7: steps[0].retry: has a schedule and initial, factor, max or attempts; use one way",
		}},
		{"expressions in inputs", step("uses: webhook.send\n    with:\n      webhook: w\n      body:\n        a: ${{ alert.ttle }}\n        b: [x, '${{ 1 + }}', '${{ open']"), []string{
			"9: steps[0].with.body.a: unknown field ttle, did you mean title? (at character 10)",
			"10: steps[0].with.body.b[1]: Syntax error: mismatched input '<EOF>' expecting",
			"10: steps[0].with.body.b[2]: ${{ has no closing }}",
		}},
		{"steps that are not before", head + "steps:\n  - {id: a, if: steps.b.status == 'done', uses: delay, with: {for: 1s}}\n" +
			"  - {id: first, uses: alert.comment, with: {text: '${{ steps.a.status }} ${{ steps.frst.error }}'}}", []string{
			"4: steps[0].if: reads steps.b, but no step comes before this one",
			"5: steps[1].with.text: reads steps.frst, which is no earlier step, known are a",
		}},
		{"not a list", step("uses: alert.comment\n    with: {text: x}\n    for_each: alert.title\n    if: alert.title"), []string{
			"7: steps[0].for_each: gives string, want a list",
			"8: steps[0].if: gives string, want a condition that is true or false",
		}},
		{"step is no map", head + "steps: [a]", []string{`3: steps[0]: is "a", want a map`}},
	} {
		p, problems := Parse("", []byte(c.text), testActions(t))
		if p != nil {
			t.Errorf("%s: parsed", c.name)
		}
		var got []string
		for i, problem := range problems {
			s := problem.String()
			if i < len(c.want) && strings.HasSuffix(c.want[i], "expecting") { // the parser lists every token it knows
				s, _, _ = strings.Cut(s, " {")
			}
			got = append(got, s)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
	}
}

func TestParse(t *testing.T) {
	text := []byte(head + "description: d\nenabled: false\nwhen: ${{ alert.count > 1 }}\nlimits: {cooldown: 5m, max_per_hour: 3, per: alert.id}\n" +
		"steps:\n  - {id: a, uses: slack.post, with: {channel: soc}, timeout: 5s, retry: {schedule: [1s, 1m], jitter: 0.2}, on_error: continue}\n" +
		"  - {id: b, uses: notify, with: {channels: [x, '${{ alert.source }}']}}\n")
	p, problems := Parse("f.yaml", text, testActions(t))
	if problems != nil {
		t.Fatal(problems)
	}
	if p.Name != "p" || p.Enabled || p.Version != VersionOf(text) || len(p.Version) != 12 || p.Limits.MaxPerHour != 3 || len(p.Steps) != 2 {
		t.Errorf("got %+v", p)
	}
	s := p.Steps[0]
	if s.Timeout.String() != "5s" || len(s.Retry.Schedule) != 2 || *s.Retry.Jitter != 0.2 || s.OnError != Continue || s.Line != 8 {
		t.Errorf("step: got %+v", s)
	}
	if d := cmp.Diff([]string{"soc", "x"}, p.Endpoints()); d != "" {
		t.Errorf("endpoints: (-want +got)\n%s", d)
	}
	if other := VersionOf(append(text, ' ')); other == p.Version {
		t.Error("another text has the same version")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":      head + "steps: [{id: a, uses: delay, with: {for: 1s}}]",
		"b.yml":       strings.Replace(head, "p", "q", 1) + "steps: [{id: a, uses: delay, with: {for: 1s}}]",
		"c.yaml":      head + "steps: [{id: a, uses: delay, with: {for: 1s}}]",
		"d.yaml":      "name: d",
		"a.test.yaml": "[]",
		"notes.txt":   "not a playbook",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, problems := Load(Builtin(), dir, filepath.Join(dir, "none"))
	if len(all) != 2 || all[0].Name != "p" || all[1].Name != "q" {
		t.Errorf("got %d playbooks", len(all))
	}
	var got []string
	for _, p := range problems {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	want := []string{
		"none: does not exist or cannot be read",
		"c.yaml:1: name: p is also the name of the playbook in a.yaml",
		"d.yaml:1: on: is missing", "d.yaml:1: steps: is missing",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../configs/playbooks/*.yaml")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	actions := Builtin()
	f.Fuzz(func(t *testing.T, b []byte) {
		p, problems := Parse("", b, actions)
		if (p == nil) == (len(problems) == 0) {
			t.Errorf("playbook %v with problems %v", p, problems)
		}
	})
}
