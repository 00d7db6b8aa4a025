package expr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func numbers(n int) []byte {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, i)
	}
	b.WriteByte(']')
	return []byte(b.String())
}

// What has no acceptable bound does not compile.
func TestCompileRefusesBombs(t *testing.T) {
	loop := func(depth int) string {
		s := "true"
		for i := range depth {
			s = fmt.Sprintf("alert.payload.list.all(x%d, %s)", i, s)
		}
		return s
	}
	for name, source := range map[string]string{
		"three loops": loop(3),
		"six loops":   loop(6),
		"long":        `alert.title == "` + strings.Repeat("x", MaxSource) + `"`,
		"deep":        strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300),
		"many nodes":  strings.Repeat(`alert.title == "x" || `, 200) + "true",
		"big regex":   `alert.title.matches("(a{1,200}){1,200}")`,
		"two loops":   `alert.payload.list.all(x, alert.payload.list.all(y, x + y >= 0))`,
	} {
		start := time.Now()
		if _, err := Compile(Condition, source); err == nil {
			t.Errorf("%s: compiled", name)
		}
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("%s: refused after %v", name, d)
		}
	}
}

// What compiles stops in time on the worst input there can be.
func TestBombsStop(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	alert := &hub.Alert{
		Title: long, Description: long, Labels: map[string]string{"l": long},
		Payload: []byte(`{"list":` + string(numbers(20_000)) + `,"s":"` + strings.Repeat("a", 100<<10) + `"}`),
	}
	big := &hub.Alert{Payload: []byte(`{"s":"` + long + `"}`)}
	nested := &hub.Alert{Payload: []byte(`{"list":` + string(numbers(1000)) + `,"a":{"b":[` + strings.Repeat("true,", 999) + `true]}}`)}
	const nasty = `"(a|aa|aaa|aaaa)*(a|b)?(aa)*$b"`
	for name, c := range map[string]struct {
		source string
		alert  *hub.Alert
	}{
		"two maps":         {`alert.payload.list.map(x, alert.payload.list.map(y, x * y)).size() > 0`, alert},
		"nested untyped":   {`[1,2,3,4,5,6,7,8].all(a, alert.payload.list.all(x, alert.payload.list.exists(y, y == -1) || x > -1))`, alert},
		"two loops":        {`alert.payload.list.all(x, alert.payload.list.all(y, true))`, alert},
		"untyped loops":    {`alert.payload.list.all(x, alert.payload.a.b.all(y, alert.payload.a.b.all(z, y)))`, nested},
		"regex":            {`alert.description.matches(` + nasty + `)`, alert},
		"many regexes":     {strings.Repeat(`alert.description.matches(`+nasty+`) || `, 40) + "false", alert},
		"regex in a loop":  {`alert.payload.list.exists(x, alert.title.matches(` + nasty + `))`, alert},
		"regex of a label": {`alert.labels.l.matches(` + nasty + `)`, alert},
		"dynamic regex":    {`alert.description.matches(alert.payload.s + "{900}")`, alert},
		"replace":          {`alert.description.replace("a", alert.description).size() > 1`, alert},
		"join":             {`alert.description.split("").join(alert.description).size() > 1`, alert},
		"text growth":      {`alert.payload.list.map(x, alert.description + alert.title).size() > 0`, alert},
		"large document":   {`alert.payload.s == "x"`, big},
	} {
		p, err := Compile(Condition, c.source)
		if err != nil {
			t.Logf("%s: refused: %v", name, err)
			continue
		}
		best := time.Hour // of three, because the machine may be busy
		for range 3 {
			start := time.Now()
			_, err = p.Test(&Vars{Event: &hub.Event{}, Alert: c.alert})
			best = min(best, time.Since(start))
		}
		t.Logf("%s: %v: %v", name, best, err)
		if best > 100*time.Millisecond {
			t.Errorf("%s: took %v", name, best)
		}
	}
}

func TestAnExpressionSeesCappedInput(t *testing.T) {
	a := &hub.Alert{
		Description: strings.Repeat("ä", MaxText), Labels: map[string]string{"l": strings.Repeat("x", MaxText+1)},
		Payload: []byte(`{"list":` + string(numbers(MaxList+1)) + `}`),
	}
	p, err := Compile(Value, `[alert.description.size(), alert.labels.l.size(), alert.payload.list.size()]`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.JSON(&Vars{Event: &hub.Event{}, Alert: a})
	if want := fmt.Sprintf("[%d,%d,%d]", MaxText/2, MaxText, MaxList); err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
