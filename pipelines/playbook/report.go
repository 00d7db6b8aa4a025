package playbook

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// A Report is what the test cases of playbooks showed.
type Report struct {
	Playbooks int          `json:"playbooks"`
	Cases     []CaseResult `json:"cases"`
	// Untested names the playbooks that have no case.
	Untested []string      `json:"untested,omitempty"`
	Took     time.Duration `json:"-"`
}

// A CaseResult is the outcome of one case. It passed if Diffs is empty.
type CaseResult struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Playbook string   `json:"playbook"`
	Name     string   `json:"name"`
	Diffs    []string `json:"diffs,omitempty"`
}

// Failed counts the cases that did not pass.
func (r *Report) Failed() int {
	n := 0
	for i := range r.Cases {
		if len(r.Cases[i].Diffs) > 0 {
			n++
		}
	}
	return n
}

// String shows what failed and a line of counts.
func (r *Report) String() string {
	var b strings.Builder
	for _, c := range r.Cases {
		if len(c.Diffs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "FAIL %s: %s (%s:%d)\n", c.Playbook, c.Name, c.File, c.Line)
		for _, d := range c.Diffs {
			fmt.Fprintf(&b, "    %s\n", d)
		}
	}
	for _, name := range r.Untested {
		fmt.Fprintf(&b, "no cases: %s\n", name)
	}
	fmt.Fprintf(&b, "%d playbooks, %d cases, %d failed, %v\n", r.Playbooks, len(r.Cases), r.Failed(), r.Took.Round(time.Millisecond))
	return b.String()
}

// RunCases runs the test cases that stand beside the playbooks in paths, which
// are files or folders. The error is a [Problems] of what could not be read; the
// cases of everything else have run all the same.
func RunCases(actions Actions, paths ...string) (Report, error) {
	start := time.Now()
	paths = slices.Clone(paths)
	for i, p := range paths {
		if isCases(p) {
			paths[i] = strings.Replace(p, ".test.", ".", 1)
		}
	}
	all, problems := loadFiles(actions, paths)
	report := Report{Playbooks: len(all)}
	for _, f := range all {
		cases, faults := readCases(f.file)
		problems = append(problems, faults...)
		if len(cases) == 0 {
			report.Untested = append(report.Untested, f.Name)
		}
		for i := range cases {
			report.Cases = append(report.Cases, CaseResult{
				File: casesFile(f.file), Line: cases[i].line, Playbook: f.Name, Name: cases[i].name,
				Diffs: cases[i].run(f.Playbook, actions),
			})
		}
	}
	if len(paths) > 0 && len(all) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{File: paths[0], Msg: "holds no playbook"})
	}
	report.Took = time.Since(start)
	return report, problems.Err()
}

// run plays the case and tells how it differs from what it expects.
func (c *testCase) run(p *Playbook, actions Actions) []string {
	var faults []string
	set, err := NewSet([]*Playbook{p}, actions, func(_ *Playbook, _ *hub.Event, err error) {
		faults = append(faults, "when: "+err.Error())
	})
	if err != nil {
		return []string{err.Error()}
	}
	matched := len(set.Match(&c.event)) > 0
	if c.expect.matched != nil && *c.expect.matched != matched {
		return append([]string{fmt.Sprintf("matched: got %v, want %v", matched, *c.expect.matched)}, faults...)
	}
	if !matched {
		if c.expect.matched == nil {
			return append([]string{"the playbook does not match; expect matched: false if that is right"}, faults...)
		}
		return nil
	}
	now := c.event.Time
	run := Start(p, &c.event, now, "run_test")
	diffs := c.expect.advance(p, run, "", Env{Event: &c.event}, now, "")
	for i, m := range c.then {
		now = now.Add(m.after)
		diffs = append(diffs, m.expect.advance(p, run, m.answer, Env{Event: &c.event, Alert: m.alert}, now, fmt.Sprintf("then[%d].", i))...)
	}
	return diffs
}

// advance moves the run and compares.
func (x *expectation) advance(p *Playbook, run *Run, answer hub.Decision, env Env, now time.Time, at string) []string {
	var effects []Effect
	var err error
	if answer == "" {
		effects, err = Advance(p, run, env, now)
	} else {
		effects, err = Decide(p, run, Verdict{Approved: answer == hub.Approve, By: []string{"tester@example.com"}}, env, now)
	}
	if err != nil {
		return []string{at + err.Error()}
	}
	var diffs []string
	if x.state != "" && x.state != string(run.State) {
		diffs = append(diffs, fmt.Sprintf("%sstate: got %s, want %s", at, run.State, x.state))
	}
	for _, id := range slices.Sorted(maps.Keys(x.steps)) {
		if d := stepDiff(run, id, x.steps[id]); d != "" {
			diffs = append(diffs, at+d)
		}
	}
	if x.effects == nil {
		return diffs
	}
	for _, d := range effectDiffs(effects, x.effects) {
		diffs = append(diffs, at+d)
	}
	return diffs
}

func stepDiff(run *Run, id, want string) string {
	r := run.Result(id)
	switch {
	case r == nil:
		if want == "not_reached" {
			return ""
		}
		return fmt.Sprintf("steps.%s: was not reached, want %s", id, want)
	case string(r.Status) == want:
		return ""
	case r.Error != "":
		return fmt.Sprintf("steps.%s: got %s (%s), want %s", id, r.Status, r.Error, want)
	}
	return fmt.Sprintf("steps.%s: got %s, want %s", id, r.Status, want)
}

func effectDiffs(got []Effect, want []map[string]any) []string {
	var diffs []string
	for i := range max(len(got), len(want)) {
		at := fmt.Sprintf("effects[%d]", i)
		switch {
		case i >= len(want):
			diffs = append(diffs, fmt.Sprintf("%s: got %s, want no such effect", at, got[i]))
		case i >= len(got):
			diffs = append(diffs, fmt.Sprintf("%s: got none, want %s", at, jsonOf(want[i])))
		default:
			diffs = append(diffs, subset(at, got[i].fields(), want[i])...)
		}
	}
	return diffs
}

// subset tells where got lacks something of want.
func subset(at string, got, want any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		var diffs []string
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if v, ok := g[k]; ok {
				diffs = append(diffs, subset(at+"."+k, v, w[k])...)
			} else {
				diffs = append(diffs, fmt.Sprintf("%s.%s: is not there, want %s", at, k, jsonOf(w[k])))
			}
		}
		return diffs
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		var diffs []string
		for i := range w {
			diffs = append(diffs, subset(fmt.Sprintf("%s[%d]", at, i), g[i], w[i])...)
		}
		return diffs
	default:
		if reflect.DeepEqual(got, want) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: got %s, want %s", at, jsonOf(got), jsonOf(want))}
}

// fields gives the effect as plain values: step and uses beside what is asked for.
func (e Effect) fields() map[string]any {
	b, err := json.Marshal(e.Do)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	v, err := expr.Decode(b)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return map[string]any{"error": fmt.Sprint(err)}
	}
	m["step"], m["uses"] = e.Step, e.Uses
	return m
}

// String shows the effect on one line.
func (e Effect) String() string {
	b, err := json.Marshal(e.Do, json.Deterministic(true))
	if err != nil {
		return e.Uses + " " + err.Error()
	}
	return e.Uses + " " + string(b)
}

func jsonOf(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
