package expr

import "testing"

func TestRequest(t *testing.T) {
	v := Vars{Input: []byte(`{"id":"a"}`), Body: []byte(`{"env":"prod","items":[{"id":"a"}]}`), Headers: map[string]string{"x-kind": "alert"}}
	for source, want := range map[string]string{
		`input.id + body.env + headers["x-kind"]`: `"aprodalert"`, `size(body.items)`: "1", `headers[?"x-none"].orValue("-")`: `"-"`,
	} {
		p, err := Compile(RequestValue, source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if got, err := p.JSON(&v); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", source, got, err, want)
		}
	}
	for source, kind := range map[string]Kind{`body.x`: InputValue, `headers`: InputValue, `headers["x"]`: RequestCondition, `alert.title`: RequestValue} {
		if _, err := Compile(kind, source); err == nil {
			t.Errorf("%s: compiled", source)
		}
	}
	v = Vars{Input: []byte(`{}`)}
	p, err := Compile(RequestCondition, `"x" in headers || has(body.env)`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Test(&v); ok || err != nil {
		t.Errorf("without headers and body: %v, %v", ok, err)
	}
}
