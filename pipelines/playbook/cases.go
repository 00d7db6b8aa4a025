package playbook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/hub"
)

// A testCase is one case of a <playbook>.test.yaml: an event with its alert, and
// what the playbook must do about it.
//
//   - name: a critical alert pages
//     event: {type: alert.created}
//     alert: {severity: critical, title: SQL injection}
//     expect:
//     matched: true
//     state: waiting
//     steps: {page: done, later: waiting}
//     effects:
//   - {uses: pagerduty.trigger, target: soc-pagerduty, params: {severity: critical}}
//     then:
//   - after: 15m
//     alert: {status: investigating}
//     expect: {state: done, effects: []}
//
// A moment of a run that waits for people may have "answer": approve or deny,
// which is what they decide then.
//
// What is given of "effects" is every effect in order, each with at least the
// fields shown; steps and fields that are not named may be anything.
type testCase struct {
	name   string
	line   int
	event  hub.Event
	expect expectation
	then   []moment
}

// A moment is what happens later in a case.
type moment struct {
	after  time.Duration
	alert  *hub.Alert   // nil: unchanged
	answer hub.Decision // of the people that the run asks; "" for none
	expect expectation
}

// An expectation is what must be true after an advance. Fields that are not
// given are not looked at.
type expectation struct {
	line    int
	matched *bool
	state   string
	steps   map[string]string
	effects []map[string]any // nil: not looked at
}

// testTime is when cases happen unless their event says otherwise.
var testTime = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// casesFile gives where the test cases of a playbook's file stand.
func casesFile(file string) string {
	ext := filepath.Ext(file)
	return strings.TrimSuffix(file, ext) + ".test" + ext
}

// readCases reads the cases beside a playbook's file; none if there is no such file.
func readCases(file string) ([]testCase, Problems) {
	r := &reader{file: casesFile(file)}
	text, err := os.ReadFile(r.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, Problems{{File: r.file, Msg: "cannot be read: " + err.Error()}}
	}
	root := r.document(text)
	if root == nil {
		return nil, r.problems
	}
	var list []testCase
	for i, n := range r.sequence(root, "") {
		list = append(list, r.testCase(n, fmt.Sprintf("[%d]", i)))
	}
	r.problems.sort()
	return list, r.problems
}

func (r *reader) testCase(n *yaml.Node, path string) testCase {
	c := testCase{line: n.Line, event: hub.Event{
		SpecVersion: "1.0", ID: "msg_test", Source: "test", Type: hub.AlertCreated, Tenant: hub.DefaultTenant,
		Time: testTime, Timestamp: testTime, Sequence: 1,
	}}
	for _, e := range r.mapping(n, path, []string{"name", "event", "alert", "expect", "then"}) {
		switch e.key {
		case "name":
			c.name = r.text(e.node, e.path)
		case "event":
			r.event(&c.event, e)
		case "alert":
			c.event.Data.Alert = r.alert(newAlert(), e)
		case "expect":
			c.expect = r.expectation(e)
		case "then":
			c.then = r.moments(e)
		}
	}
	if c.expect.line == 0 {
		r.fault(n, join(path, "expect"), "is missing")
	}
	r.settle(&c)
	return c
}

func newAlert() *hub.Alert {
	return &hub.Alert{
		ID: "alt_test", Tenant: hub.DefaultTenant, Status: hub.AlertOpen, Count: 1, Generation: 1, Version: 1,
		FirstSeen: testTime, LastSeen: testTime, CreatedAt: testTime, UpdatedAt: testTime,
	}
}

// settle fills in what follows from the rest of the case.
func (r *reader) settle(c *testCase) {
	base := c.event.Data.Alert
	if c.event.Subject == "" && base != nil {
		c.event.Subject = string(base.ID)
	}
	for i := range c.then {
		if c.then[i].alert == nil {
			c.then[i].alert = base
		}
		base = c.then[i].alert
	}
}

func (r *reader) event(ev *hub.Event, parent entry) {
	for _, e := range r.mapping(parent.node, parent.path, []string{"type", "subject", "time", "reason", "actor", "depth", "changes", "object"}) {
		switch e.key {
		case "type":
			ev.Type = hub.EventType(r.text(e.node, e.path))
		case "subject":
			ev.Subject = r.text(e.node, e.path)
		case "time":
			r.into(&ev.Time, e)
			ev.Timestamp = ev.Time
		case "reason":
			ev.Data.Reason = r.text(e.node, e.path)
		case "actor":
			ev.Data.Actor = r.text(e.node, e.path)
		case "depth":
			ev.Data.Depth = int(r.number(e.node, e.path, 0, 100))
		case "changes":
			r.into(&ev.Data.Changes, e)
		case "object":
			r.into(&ev.Data.Object, e)
		}
	}
}

func (r *reader) alert(base *hub.Alert, e entry) *hub.Alert {
	r.into(base, e)
	if base.Severity != "" && !base.Severity.Valid() {
		r.fault(e.node, join(e.path, "severity"), "is %q, which is no severity", string(base.Severity))
	}
	return base
}

// into reads a node into a Go value by its JSON form.
func (r *reader) into(target any, e entry) {
	b, err := json.Marshal(plain(e.node), json.Deterministic(true)) // so that the first fault is always the same
	if err == nil {
		err = unmarshalStrict(b, target)
	}
	if err == nil {
		return
	}
	path, msg := e.path, err.Error()
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		path += strings.ReplaceAll(string(wrong.JSONPointer), "/", ".")
		msg = fmt.Sprintf("does not fit %v; put numbers that are names in quotes", wrong.GoType)
		if errors.Is(err, json.ErrUnknownName) {
			msg = "unknown field"
		}
	}
	r.fault(e.node, path, "%s", msg)
}

func (r *reader) expectation(parent entry) expectation {
	x := expectation{line: parent.keyNode.Line}
	for _, e := range r.mapping(parent.node, parent.path, []string{"matched", "state", "steps", "effects"}) {
		switch e.key {
		case "matched":
			b := r.bool(e.node, e.path)
			x.matched = &b
		case "state":
			x.state = r.text(e.node, e.path)
		case "steps":
			x.steps = map[string]string{}
			for _, s := range r.mapping(e.node, e.path, nil) {
				x.steps[s.key] = r.text(s.node, s.path)
			}
		case "effects":
			x.effects = r.effects(e)
		}
	}
	return x
}

func (r *reader) effects(e entry) []map[string]any {
	list := []map[string]any{}
	for i, n := range r.sequence(e.node, e.path) {
		m, ok := plain(n).(map[string]any)
		if !ok {
			r.fault(n, fmt.Sprintf("%s[%d]", e.path, i), "is %s, want a map such as {uses: slack.post, target: soc-slack}", nodeKind(n))
		}
		list = append(list, m)
	}
	return list
}

func (r *reader) moments(parent entry) []moment {
	var list []moment
	for i, n := range r.sequence(parent.node, parent.path) {
		var m moment
		for _, e := range r.mapping(n, fmt.Sprintf("%s[%d]", parent.path, i), []string{"after", "alert", "answer", "expect"}) {
			switch e.key {
			case "after":
				m.after = r.span(e.node, e.path)
			case "alert":
				m.alert = r.alert(newAlert(), e)
			case "answer":
				if m.answer = hub.Decision(r.text(e.node, e.path)); m.answer != hub.Approve && m.answer != hub.Deny {
					r.fault(e.node, e.path, "is %q, want approve or deny", string(m.answer))
				}
			case "expect":
				m.expect = r.expectation(e)
			}
		}
		list = append(list, m)
	}
	return list
}
