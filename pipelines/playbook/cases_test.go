package playbook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write puts files into a new folder and gives it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const sample = `name: p
on: alert.created
when: alert.payload.n > 1
steps:
  - {id: a, uses: slack.post, with: {channel: soc, message: "${{ alert.title }}"}}
  - {id: w, uses: delay, with: {for: 5m}}
  - {id: b, if: 'alert.status == "open"', uses: alert.set, with: {labels: {x: y}, note: n}}
`

// A case that is wrong says where and how.
func TestCasesShowWhatDiffers(t *testing.T) {
	dir := write(t, map[string]string{"p.yaml": sample, "p.test.yaml": `
- name: right
  alert: {title: T, payload: {n: 2}}
  expect: {matched: true, state: waiting, steps: {a: done, w: waiting, b: not_reached}, effects: [{uses: slack.post, params: {message: T}}]}
  then:
    - {after: 4m, expect: {state: waiting, effects: []}}
    - {after: 1m, expect: {state: done, effects: [{uses: alert.set, labels: {x: y}}]}}
- name: wrong
  alert: {title: T, payload: {n: 2}}
  expect: {state: done, steps: {a: skipped, b: done, c: done}, effects: [{uses: slack.post, target: ops, params: {message: U, blocks: [1]}}, {uses: notify}]}
  then:
    - after: 5m
      alert: {status: resolved, payload: {n: 2}}
      expect: {steps: {b: done}, effects: [{uses: alert.set}]}
- name: no match
  alert: {payload: {n: 1}}
  expect: {state: done}
- name: when fails
  alert: {title: T}
  expect: {matched: true}
- name: too many
  alert: {title: T, payload: {n: 2}}
  expect: {effects: []}
`})
	report, err := RunCases(Builtin(), filepath.Join(dir, "p.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := `FAIL p: wrong (DIR/p.test.yaml:8)
    state: got waiting, want done
    steps.a: got done, want skipped
    steps.b: was not reached, want done
    steps.c: was not reached, want done
    effects[0].params.blocks: is not there, want [1]
    effects[0].params.message: got "T", want "U"
    effects[0].target: got "soc", want "ops"
    effects[1]: got none, want {"uses":"notify"}
    then[0].steps.b: got skipped, want done
    then[0].effects[0]: got none, want {"uses":"alert.set"}
FAIL p: no match (DIR/p.test.yaml:15)
    the playbook does not match; expect matched: false if that is right
FAIL p: when fails (DIR/p.test.yaml:18)
    matched: got false, want true
    when: no such key: n
FAIL p: too many (DIR/p.test.yaml:21)
    effects[0]: got slack.post {"target":"soc","kind":"slack","action":"post","params":{"message":"T"}}, want no such effect
1 playbooks, 5 cases, 4 failed, 0s
`
	report.Took = 0
	if d := cmp.Diff(want, strings.ReplaceAll(report.String(), dir, "DIR")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestCasesReportTheirOwnFaults(t *testing.T) {
	dir := write(t, map[string]string{
		"p.yaml": sample,
		"p.test.yaml": `- name: a
  events: {}
  event: {typ: x, depth: many}
  alert: {severity: hi, sevrity: low}
  expect: {efects: []}
- name: b
  alert: {asset: {account: 1234}, payload: {n: 2}}
  expect: {effects: [slack.post]}
  then: [{after: soon}]
- name: c
`,
		"q.yaml": "name: q",
		"r.yaml": strings.Replace(sample, "name: p", "name: r", 1),
	})
	report, err := RunCases(Builtin(), dir)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	want := `q.yaml:1: on: is missing
q.yaml:1: steps: is missing
p.test.yaml:2: [0].events: unknown key, did you mean event?
p.test.yaml:3: [0].event.typ: unknown key, did you mean type?
p.test.yaml:3: [0].event.depth: is "many", want a number from 0 to 100
p.test.yaml:4: [0].alert.sevrity: unknown field
p.test.yaml:4: [0].alert.severity: is "hi", which is no severity
p.test.yaml:5: [0].expect.efects: unknown key, did you mean effects?
p.test.yaml:7: [1].alert.asset.account: does not fit string; put numbers that are names in quotes
p.test.yaml:8: [1].expect.effects[0]: is "slack.post", want a map such as {uses: slack.post, target: soc-slack}
p.test.yaml:9: [1].then[0].after: is "soon", want a duration such as 30s, 15m or 2h
p.test.yaml:10: [2].expect: is missing`
	if d := cmp.Diff(want, strings.ReplaceAll(err.Error(), dir+"/", "")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"r"}, report.Untested); d != "" {
		t.Errorf("untested: (-want +got)\n%s", d)
	}
}

// Numbers with a leading zero are names, not octal.
func TestPlainKeepsAccountNumbers(t *testing.T) {
	dir := write(t, map[string]string{
		"p.yaml": head + "steps: [{id: a, uses: webhook.send, with: {webhook: w, body: [012345670123, 0.5, 10, -3, 1e3, 0x1f, yes, null, ~, true]}}]",
	})
	all, problems := Load(Builtin(), dir)
	if problems != nil {
		t.Fatal(problems)
	}
	_, effects, err := DryRun(all[0], Env{Event: testEvent()}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"body":["012345670123",0.5,10,-3,1000,"0x1f","yes",null,null,true]}`
	if got := string(effects[0].Do.(Deliver).Params); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
