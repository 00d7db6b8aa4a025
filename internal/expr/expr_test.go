package expr

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

func sample() *hub.Event {
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	return &hub.Event{
		ID: "msg_1", Type: hub.AlertCreated, Subject: "alt_1", Tenant: "default", Time: at, Sequence: 7,
		Data: hub.EventData{
			Reason: "created", Actor: "source:cybervault",
			Changes: hub.Changes{"severity": {hub.Medium, "high"}},
			Alert: &hub.Alert{
				ID: "alt_1", Title: "SQL injection", Type: "sql_injection", Severity: hub.High, Status: hub.AlertOpen,
				AssetID: "web-1", Asset: &hub.Asset{Account: "012345670123", Tags: map[string]string{"env": "prod"}},
				Source: "cybervault", Sources: []string{"cybervault", "vigilare"}, Count: 3, CreatedAt: at,
				Labels:        map[string]string{"team": "payments"},
				Vulnerability: &hub.Vulnerability{CVE: "CVE-2026-1", Package: "openssl"},
				Payload:       []byte(`{"rule":{"id":941100,"name":"libinjection"},"hits":[{"n":1},{"n":2}],"ratio":0.5}`),
			},
		},
	}
}

func vars() *Vars {
	steps := map[string]*Step{"page": {Status: "done", Output: []byte(`{"key":"k1"}`)}, "note": {Status: "failed", Error: "no"}}
	return &Vars{
		Event: sample(), Now: time.Date(2026, 11, 2, 10, 15, 0, 0, time.UTC),
		Step: func(id string) *Step { return steps[id] }, StepIDs: []string{"note", "page"},
		Run:  &Run{ID: "run_1", Playbook: "page-critical", Version: "abc"},
		Item: []byte(`{"host":"h1","n":4}`),
	}
}

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		source string
		want   bool
		err    string // part of the runtime error
	}{
		{`alert.severity == "high"`, true, ""},
		{`alert.severity_num >= severity_num("high") && alert.severity_num < 99`, true, ""},
		{`alert.severity in ["critical", "high"] && alert.asset.tags.env == "prod"`, true, ""},
		{`alert.asset.account == "012345670123"`, true, ""},
		{`alert.vulnerability.package == "openssl" && !has(alert.vulnerability.cvss)`, true, ""},
		{`alert.compliance.framework == ""`, true, ""}, // an absent part reads as an empty one
		{`has(alert.compliance)`, false, ""},
		{`has(alert.risk_score) && alert.risk_score >= 80`, false, ""},
		{`alert.risk_score < 10`, false, "not set"}, // absent is never zero
		{`alert.resolved_at > now`, false, "not set"},
		{`now - alert.created_at == duration("15m")`, true, ""},
		{`"vigilare" in alert.sources && alert.sources.exists(s, s.startsWith("cyber"))`, true, ""},
		{`has(alert.labels.team) && alert.labels["team"] == "payments"`, true, ""},
		{`alert.labels[?"owner"].orValue("none") == "none"`, true, ""},
		{`alert.labels.owner == "x"`, false, "no such key"},
		{`alert.payload.rule.id == 941100 && alert.payload.hits.exists(h, h.n == 2)`, true, ""},
		{`alert.payload.ratio > 0.4`, true, ""},
		{`alert.payload.nothing == 1`, false, "no such key"},
		{`has(alert.payload.rule) && !has(alert.payload.nothing)`, true, ""},
		{`alert.payload.ratio`, false, "want true or false"},
		{`"severity" in event.changes && event.changes.severity[0] == "medium" && event.changes["severity"][1] == "high"`, true, ""},
		{`event.type == "alert.created" && event.reason == "created" && event.actor.startsWith("source:")`, true, ""},
		{`event.data.alert.id == alert.id && event.subject == alert.id`, true, ""},
		{`alert.title.lowerAscii().replace("injection", "i").split(" ").join("-") == "sql-i"`, true, ""},
		{`alert.title.substring(0, 3) + alert.title.substring(4, 99) == "SQLinjection" && "  x ".trim().upperAscii() == "X"`, true, ""},
		{`alert.payload.?none.orValue("q").contains("q")`, true, ""},
		{`alert.title.lowerAscii().matches("sql.*")`, true, ""},
		{`steps.page.status == "done" && steps.page.output.key == "k1" && steps["note"].error == "no"`, true, ""},
		{`has(steps.page) && !has(steps.other)`, true, ""},
		{`item.host == "h1" && item.n + 1 == 5`, true, ""},
		{`run.playbook == "page-critical"`, true, ""},
	} {
		p, err := Compile(StepCondition, c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.Test(vars())
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s = %v, %v; want %v, %q", c.source, got, err, c.want, c.err)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct {
		kind         Kind
		source       string
		line, column int
		msg          string
	}{
		{Condition, ``, 1, 1, "empty"},
		{Condition, `alrt.severity == "high"`, 1, 1, "unknown name alrt, did you mean alert?"},
		{Condition, "alert.severity == \"high\" &&\n alert.sevrity == \"x\"", 2, 7, "unknown field sevrity, did you mean severity?"},
		{Condition, `alert.severity == "hgih"`, 1, 19, `alert.severity is never "hgih", it is one of critical, high`},
		{Condition, `"closed" != alert.status`, 1, 1, `alert.status is never "closed"`},
		{Condition, `alert.type in ["xss", "sqli"]`, 1, 23, `alert.type is never "sqli"`},
		{Condition, `event.type == "alert.creatd"`, 1, 15, `event.type is never "alert.creatd", it is one of alert.created`},
		{StepCondition, `steps.a.status == "ok"`, 1, 19, `steps.<id>.status is never "ok", it is one of done`},
		{Condition, `alert.severity_num >= severity_num("bad")`, 1, 36, `a severity is never "bad"`},
		{Condition, `alert.count`, 1, 1, "gives int, want a condition"},
		{Condition, `alert.title > 3`, 1, 13, "no matching overload"},
		{Condition, `steps.a.status == "done"`, 1, 1, "unknown name steps"},
		{Condition, `alert.title.matches("(")`, 1, 21, "invalid matches argument"},
		{FindingCondition, `alert.title == ""`, 1, 1, "unknown name alert"},
		{StepList, `alert.title`, 1, 1, "gives string, want a list"},
		{Condition, `alert.title == `, 1, 16, "Syntax error"},
		{Condition, `finding{}`, 1, 8, "unknown name finding"},
	} {
		_, err := Compile(c.kind, c.source)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v, want an *Error", c.source, err)
			continue
		}
		p := e.Problems[0]
		if p.Line != c.line || p.Column != c.column || !strings.Contains(p.Msg, c.msg) {
			t.Errorf("%q: got %d:%d %q, want %d:%d %q", c.source, p.Line, p.Column, p.Msg, c.line, c.column, c.msg)
		}
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	_, err := Compile(Condition, `alrt.x == 1 || alert.sevrity == "a" || evnt.type == "b"`)
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		source string
		want   string
	}{
		{`alert.title`, `"SQL injection"`},
		{`alert.count + 1`, `4`},
		{`alert.created_at`, `"2026-11-02T10:00:00Z"`},
		{`now - alert.created_at`, `"15m0s"`},
		{`{"b": [1, 2.5, true, null], "a": alert.labels}`, `{"a":{"team":"payments"},"b":[1,2.5,true,null]}`},
		{`alert.payload.hits.map(h, h.n * 10)`, `[10,20]`},
		{`alert.asset`, `{"account":"012345670123","tags":{"env":"prod"}}`},
		{`{"vuln": alert.vulnerability}`, `{"vuln":{"cve":"CVE-2026-1","package":"openssl"}}`},
		{`alert.payload.?none`, `null`},
		{`event.changes`, `{"severity":["medium","high"]}`},
		{`alert.severity`, `"high"`},
	} {
		p, err := Compile(Value, c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.JSON(vars())
		if err != nil || string(got) != c.want {
			t.Errorf("%s = %s, %v; want %s", c.source, got, err, c.want)
		}
	}
}

func TestFindingExpressions(t *testing.T) {
	p, err := Compile(FindingCondition, `finding.source == "trivy" && finding.payload.pkg == "x" && finding.raw.n == 1`)
	if err != nil {
		t.Fatal(err)
	}
	f := &hub.Finding{Source: "trivy", Payload: []byte(`{"pkg":"x"}`), Raw: []byte(`{"n":1}`)}
	if ok, err := p.Test(&Vars{Finding: f}); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

// A Vars that is used for one alert after another must not show the first's payload.
func TestVarsFollowsWhatItPointsTo(t *testing.T) {
	p, err := Compile(Condition, `alert.payload.n == 1`)
	if err != nil {
		t.Fatal(err)
	}
	v := &Vars{Event: &hub.Event{}}
	for i, payload := range []string{`{"n":1}`, `{"n":2}`, `{"n":1}`} {
		v.Alert = &hub.Alert{Payload: []byte(payload)}
		if got, err := p.Test(v); err != nil || got != (i != 1) {
			t.Errorf("%s: got %v, %v", payload, got, err)
		}
	}
	v.Alert = nil
	if got, err := p.Test(v); got || err == nil || !strings.Contains(err.Error(), "no alert") {
		t.Errorf("without an alert: got %v, %v", got, err)
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct {
		text string
		want any
	}{
		{``, ``},
		{`plain text {{ }}`, `plain text {{ }}`},
		{`${{ alert.count }}`, int64(3)},
		{`${{alert.sources}}`, []any{"cybervault", "vigilare"}},
		{`[${{ alert.severity }}] ${{ alert.title }}`, `[high] SQL injection`},
		{
			`n=${{ alert.count }} r=${{ alert.payload.ratio }} t=${{ alert.created_at }} s=${{ alert.sources }}`,
			`n=3 r=0.5 t=2026-11-02T10:00:00Z s=["cybervault","vigilare"]`,
		},
		{`${{ {"a": {"b": "}}"}} }}`, map[string]any{"a": map[string]any{"b": "}}"}}},
		{`cost $${{ is literal, $5 too, ${{ "x" }}`, `cost ${{ is literal, $5 too, x`},
		{`${{ '''it's }} "''' }}!`, `it's }} "!`},
		{`${{ null }}-`, `-`},
	} {
		tpl, err := CompileTemplate(StepValue, c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		got, err := tpl.Eval(vars())
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: (-want +got)\n%s", c.text, d)
		}
	}
}

func TestTemplateErrorsCarryTheirPlace(t *testing.T) {
	_, err := CompileTemplate(Value, "ok ${{ alert.title }}\nä ${{ alert.ttle }} ${{\n  nope }} ${{ open")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	want := []Problem{
		{2, 12, "unknown field ttle, did you mean title?"},
		{3, 3, "unknown name nope"},
		{3, 11, "${{ has no closing }}"},
	}
	got := e.Problems
	for i := range got {
		got[i].Msg, _, _ = strings.Cut(got[i].Msg, ", did you mean n")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	tpl, err := CompileTemplate(StepValue, `${{ steps.a.status }} ${{ steps["b"].error }}`)
	if err != nil || !cmp.Equal(tpl.Steps(), []string{"a", "b"}) {
		t.Errorf("steps: got %v, %v", tpl.Steps(), err)
	}
}

// A program and what stands behind it may be used by many at once.
func TestProgramsAreForManyGoroutines(t *testing.T) {
	p, err := Compile(StepCondition, `alert.payload.hits.exists(h, h.n == 2) && steps.page.output.key == "k1" && alert.asset.tags.env == "prod"`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if ok, err := p.Test(vars()); !ok || err != nil {
					t.Errorf("got %v, %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDecodeKeepsWholeNumbersWhole(t *testing.T) {
	got, err := Decode([]byte(`{"a":1,"b":1.5,"c":9223372036854775807,"d":[true,null,"x"],"e":1e3}`))
	want := map[string]any{"a": int64(1), "b": 1.5, "c": int64(9223372036854775807), "d": []any{true, nil, "x"}, "e": 1000.0}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}
