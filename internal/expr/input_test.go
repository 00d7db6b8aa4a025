package expr

import (
	"strings"
	"testing"
)

func TestInput(t *testing.T) {
	v := Vars{Input: []byte(`{"app":"sshd","severity":3,"n":{"a b":[1,"x"]}}`)}
	for _, c := range []struct{ source, want string }{
		{`input.app`, `"sshd"`},
		{`input.severity <= 4 && input.app.startsWith("ssh")`, `true`},
		{`input.n["a b"][1]`, `"x"`},
		{`input.?none.orValue("-")`, `"-"`},
		{`has(input.none)`, `false`},
		{`input.none`, `error: no such key`},
	} {
		p, err := Compile(InputValue, c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.JSON(&v)
		if err != nil {
			got = []byte("error: " + err.Error())
		}
		if !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: got %s, want %s", c.source, got, c.want)
		}
	}
	for source, kind := range map[string]Kind{`finding.title`: InputValue, `"text"`: InputCondition, `1`: InputList, `alert.title == "x"`: InputCondition} {
		if _, err := Compile(kind, source); err == nil {
			t.Errorf("%s: compiled", source)
		}
	}
	for _, v := range []Vars{v, {InputPlain: map[string]any{"app": "sshd", "severity": int64(3), "match": map[string]string{"user": "bob"}}}} {
		p, err := Compile(InputCondition, `input.app == "sshd" && input.severity < 4 && (!has(input.match) || input.match.user == "bob")`)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := p.Test(&v); !ok || err != nil {
			t.Errorf("%v: %v, %v", v.InputPlain, ok, err)
		}
	}
	tpl, err := CompileTemplate(InputValue, "on ${{ input.app }}: ${{ input.severity }}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tpl.Eval(&v); err != nil || got != "on sshd: 3" {
		t.Errorf("template: %v, %v", got, err)
	}
	v.Input = []byte(`{"app":"cron"}`)
	p, err := Compile(InputCondition, `input.app == "cron"`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Test(&v); !ok || err != nil {
		t.Errorf("a new input: %v, %v", ok, err)
	}
}
