package cybervault

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

func TestSample(t *testing.T) {
	s, err := Kind().Open(settings(sample, &http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, ok := range []bool{is[connectors.Puller](s), is[connectors.Receiver](s), is[connectors.Actor](s), is[connectors.Tester](s), is[connectors.Reporter](s), is[connectors.Describer](s)} {
		if !ok {
			t.Errorf("%T lacks a capability", s)
		}
	}
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

func TestConfigFaults(t *testing.T) {
	tests := []struct{ text, want string }{
		{"{}", "base_url"},
		{"{}", "token"},
		{"{base_url: api.example, token: t}", "base_url"},
		{"{base_url: ftp://api.example/v2, token: t}", "base_url"},
		{"{base_url: 'https://user:pass@api.example/v2', token: t}", "base_url"},
		{"{base_url: https://api.example/v2, token: t, max_tracked: -1}", "max_tracked"},
		{"{base_url: https://api.example/v2, token: t, history: -1h}", "history"},
		{"{base_url: https://api.example/v2, token: t, tokn: t}", "tokn"},
	}
	for _, tt := range tests {
		_, err := Open(settings(tt.text, &http.Client{}))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v, want an error about %s", tt.text, err, tt.want)
		}
	}
}

func TestStatusIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		if b.source.Report() != nil {
			t.Error("a status before the first call")
		}
		b.sim.Add(2)
		if err := b.source.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"status":"operational"`, `"threat_level":2`, `"active_alerts":2`, `"region":"us-east-1"`} {
			if !strings.Contains(string(b.source.Report()), want) {
				t.Errorf("report %s lacks %s", b.source.Report(), want)
			}
		}
		b.sim.Revoke(true)
		if err := b.source.Test(t.Context()); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("with a revoked token: %v", err)
		}
	})
}

func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		do := func(action, key, params string) (string, error) {
			v, err := b.source.Do(t.Context(), action, key, jsontext.Value(params))
			return string(v), err
		}
		const one = `{"type":"xss","asset_id":"srv_1","severity":"high","payload":{"url":"/login","n":12345678901234567890}}`
		first, err := do(actionSubmit, "k1", one)
		if err != nil || !strings.Contains(first, "fnd_") {
			t.Fatalf("submit: %s, %v", first, err)
		}
		again, err := do(actionSubmit, "k1", one)
		if err != nil || again != first || len(b.sim.Submitted()) != 1 {
			t.Errorf("the same key again: %s, %v, %d findings there; want %s and 1", again, err, len(b.sim.Submitted()), first)
		}
		if _, err := do(actionSubmit, "k2", one); err != nil || len(b.sim.Submitted()) != 2 {
			t.Errorf("another key: %v, %d findings there; want 2", err, len(b.sim.Submitted()))
		}
		if p := string(b.sim.Submitted()[0].Payload); !strings.Contains(p, "12345678901234567890") || !strings.Contains(p, `"tocsin_key":"k1/0"`) {
			t.Errorf("payload %s", p)
		}
		for range 2 {
			batch, err := do(actionBatch, "k3", `{"alerts":[`+one+`,{"type":"malware","asset_id":"srv_2","severity":"low"}]}`)
			if err != nil || strings.Count(batch, "alt_") != 2 || len(b.sim.Alerts()) != 2 {
				t.Errorf("batch: %s, %v, %d alerts there; want 2", batch, err, len(b.sim.Alerts()))
			}
		}
		for _, params := range []string{
			`{"type":"sql_injection","asset_id":"a","severity":"high"}`, `{"type":"xss","asset_id":"","severity":"high"}`,
			`{"type":"xss","asset_id":"a","severity":"info"}`, `{"type":"xss","asset_id":"a","severity":"high","payload":[]}`,
			`{"type":"xss","asset_id":"a","severity":"high","more":1}`, `{}`, `[]`, ``,
		} {
			if _, err := do(actionSubmit, "k", params); hub.KindOf(err) != hub.Invalid {
				t.Errorf("%s: %v, want it refused", params, err)
			}
		}
		if _, err := do(actionBatch, "k", `{"alerts":[]}`); hub.KindOf(err) != hub.Invalid {
			t.Errorf("an empty batch: %v, want it refused", err)
		}
		for _, v := range b.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}
