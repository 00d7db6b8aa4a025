package connectors

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

func TestEndpoints(t *testing.T) {
	param := func(name string, kind ParamType) ParamSpec { return ParamSpec{Name: name, Type: kind} }
	scan := Endpoint{Method: "POST", Path: "/accounts/{id}/scan", ActionSpec: ActionSpec{Params: []ParamSpec{param("id", ParamString)}}}
	rule := Endpoint{Method: "PATCH", Path: "/rules/{id}", Query: []string{"depth"}, ActionSpec: ActionSpec{Params: []ParamSpec{
		param("id", ParamString), param("name", ParamString), param("min", ParamNumber), param("depth", ParamNumber),
	}}}
	for _, tt := range []struct {
		e            Endpoint
		params, want string // "" for a refusal
	}{
		{scan, `{"id":"123456789012"}`, "POST /accounts/123456789012/scan?"},
		{scan, `{"id":".."}`, ""},
		{scan, `{"id":"a/b"}`, ""},
		{scan, `{"id":"a%2fb"}`, ""},
		{scan, `{"id":""}`, ""},
		{scan, `[]`, ""},
		{rule, `{"id":"r1","min":50,"depth":3,"name":"A \"b\""}`, `PATCH /rules/r1?depth=3 {"name":"A \"b\"","min":50}`},
		{rule, `{"id":"r1","min":null}`, "PATCH /rules/r1?"},
	} {
		c, err := tt.e.Call(jsontext.Value(tt.params))
		got := c.Method + " " + c.Path + "?" + c.Query.Encode()
		if c.Body != nil {
			got += " " + string(c.Body)
		}
		if err != nil {
			got = ""
			if hub.KindOf(err) != hub.Invalid {
				t.Errorf("%s: %v, want kind invalid", tt.params, err)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.params, got, tt.want)
		}
	}
}
