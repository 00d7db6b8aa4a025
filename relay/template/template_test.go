package template

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

func event() *hub.Event {
	score := 87.5
	return &hub.Event{
		ID: "msg_1", Type: hub.AlertUpdated, Subject: "alt_1", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Tenant: "default",
		Data: hub.EventData{Reason: "merged", Changes: hub.Changes{"severity": {"high", "critical"}}, Alert: &hub.Alert{
			ID: "alt_1", Title: "Root <login>", Severity: hub.Critical, AssetID: "web", Sources: []string{"a", "b"}, Count: 3, RiskScore: &score,
			Labels: map[string]string{"team": "soc"}, Asset: &hub.Asset{Account: "0123"}, Payload: jsontext.Value(`{"ip":"203.0.113.9","deep":{"er":[1,2]}}`),
			FirstSeen: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
		}},
	}
}

// A text with each function, and each kind of data.
func TestText(t *testing.T) {
	var failed error
	r := &Renderer{Link: func(s string) string { return "https://hub.example/" + s }, Failed: func(_ *hub.Endpoint, _ string, _ *hub.Event, err error) { failed = err }}
	d := &hub.Delivery{Params: sampleParams}
	for source, want := range map[string]string{
		"[{{upper .alert.severity}}] {{.alert.title}}":                       "[CRITICAL] Root <login>",
		"{{.event.type}} {{.event.reason}} {{.link}}":                        "alert.updated merged https://hub.example/alt_1",
		"{{.alert.labels.team}}{{.alert.labels.none}}":                       "soc",
		"{{.alert.payload.ip}} {{index .alert.payload.deep.er 1}}":           "203.0.113.9 2",
		"{{.alert.payload.none}}":                                            "",
		"{{join \", \" .alert.sources}}":                                     "a, b",
		"{{truncate 5 .alert.title}}":                                        "Root…",
		"{{date \"15:04\" .alert.first_seen \"Europe/Berlin\"}}":             "12:00",
		"{{date \"15:04\" .alert.resolved_at}}":                              "",
		"{{range $k, $v := .event.changes}}{{$k}}: {{index $v 1}}{{end}}":    "severity: critical",
		"{{.alert.assignee | default \"nobody\"}}":                           "nobody",
		"{{if gt .alert.count 2}}many{{else}}few{{end}}":                     "many",
		"{{printf \"%05.1f\" .alert.risk_score}}":                            "087.5",
		"{{json .alert.payload.deep}}":                                       `{"er":[1,2]}`,
		"{{replace \"<\" \"(\" .alert.title}}":                               "Root (login>",
		"{{html .alert.title}} {{lower .alert.title | trim}}":                "Root &lt;login&gt; root <login>",
		"{{with .rule}}{{.name}} +{{.held_back}}{{end}}":                     "critical +2",
		"{{range .alert.sources}}{{.}}{{break}}{{end}}":                      "a",
		"{{if contains \"Root\" .alert.title}}yes{{end}} {{urlquery \"&\"}}": "yes %26",
		"{{range .}}{{end}}.":                                                ".",
		"":                                                                   "",
	} {
		failed = nil
		if got := r.Text(&hub.Endpoint{Templates: map[string]string{"text": source}}, "text", d, event()); got != want || failed != nil {
			t.Errorf("%s: got %q (%v), want %q", source, got, failed, want)
		}
	}
}

// What a template may not do: it fails, soon, and gives nothing.
func TestBounds(t *testing.T) {
	r := &Renderer{}
	for name, source := range map[string]string{
		"endless loop":        "{{range 1000000000}}{{end}}",
		"nested loops":        "{{range 1000}}{{range 1000}}{{range 1000}}x{{end}}{{end}}{{end}}",
		"loop without a root": "{{$ := 1}}{{range 1000000000}}{{end}}",
		"doubling":            "{{$a := \"xxxxxxxx\"}}{{range 100000}}{{$a = printf \"%s%s\" $a $a}}{{end}}",
		"wide":                "{{printf \"%999999999d\" 1}}",
		"wide by argument":    "{{printf \"%*d\" 999999999 1}}",
		"recursion":           "{{define \"a\"}}{{template \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}",
		"itself":              "{{template \"\" .}}",
		"in an else":          "{{if .alert.none}}{{else}}{{range 1000000000}}{{end}}{{end}}",
		"in a with":           "{{with .alert}}{{range 1000000000}}{{end}}{{end}}",
		"call":                "{{call .alert.title}}",
		"js":                  "{{js .alert.title}}",
		"method":              "{{.event.time.Year}}",
		"too long itself":     strings.Repeat("x", MaxSource+1),
		"broken":              "{{.alert.title",
		"no such function":    "{{env \"HOME\"}}",
		"replacing more":      "{{$a := .alert.title}}{{range 100000}}{{$a = replace \"o\" \"oooooooooo\" $a}}{{end}}",
	} {
		began := time.Now()
		got := r.Text(&hub.Endpoint{Templates: map[string]string{"text": source}}, "text", &hub.Delivery{}, event())
		if took := time.Since(began); got != "" || took > 20*Deadline {
			t.Errorf("%s gives %.40q after %v", name, got, took)
		}
	}
	long := "{{range 5000}}0123456789{{end}}"
	if got := r.Text(&hub.Endpoint{Templates: map[string]string{"text": long}}, "text", &hub.Delivery{}, event()); len(got) != MaxOutput {
		t.Errorf("a long text has %d bytes, want %d", len(got), MaxOutput)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ kind, name, source, pointer, says string }{
		{hub.KindEmail, "subject", "[{{upper .alert.severity}}] {{.alert.title}} {{.alert.labels.env}} {{.alert.payload.a.b}} {{index .alert.labels \"x\"}}", "", ""},
		{hub.KindSlack, "text", "{{with .alert}}{{.labels.env}}{{.asset.tags.owner}}{{end}}{{range .alert.sources}}{{.}}{{end}}{{.endpoint.name}}{{.object.score}}", "", ""},
		{hub.KindSlack, "text", "{{range $k, $v := .event.changes}}{{$k}}{{index $v 0}}{{end}}{{(index .alert.sources 0)}}", "/templates/text", "index"},
		{hub.KindSlack, "text", "{{.alert.titel}}", "/templates/text", `line 1:8: <.alert.titel>: there is no "titel"`},
		{hub.KindSlack, "text", "a\n{{.alrt.title}}", "/templates/text", "line 2:"},
		{hub.KindSlack, "text", "{{if .alert.title}}", "/templates/text", "unexpected EOF"},
		{hub.KindSlack, "text", "{{range 1000000000}}{{end}}", "/templates/text", "takes too long"},
		{hub.KindSlack, "subject", "x", "/templates/subject", "has no such text; it has text"},
		{hub.KindWebhook, "text", "x", "/templates/text", "has no texts"},
		{hub.KindPagerDuty, "summary", "{{env}}", "/templates/summary", `function "env" not defined`},
	} {
		fields := Check(c.kind, map[string]string{c.name: c.source})
		switch {
		case c.pointer == "" && len(fields) > 0:
			t.Errorf("%s: %v", c.source, fields)
		case c.pointer != "" && (len(fields) != 1 || fields[0].Pointer != c.pointer || !strings.Contains(fields[0].Detail, c.says)):
			t.Errorf("%s: %v, want %s with %q", c.source, fields, c.pointer, c.says)
		}
	}
}

// Many at a time, and more than are kept.
func TestCache(t *testing.T) {
	r := &Renderer{}
	for i := range maxCache + 10 {
		source := strings.Repeat("x", i%100) + "{{.alert.title}}" + strings.Repeat("y", i/100)
		if got := r.Text(&hub.Endpoint{Templates: map[string]string{"text": source}}, "text", &hub.Delivery{}, event()); !strings.Contains(got, "Root") {
			t.Fatal(got)
		}
	}
	if len(r.cache) > maxCache {
		t.Errorf("%d are kept", len(r.cache))
	}
}
