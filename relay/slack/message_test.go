package slack

import (
	stdjson "encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	api "github.com/slack-go/slack"
	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

// limits are Slack's, typed from its documents and not from our constants: by
// block type and place, the longest text.
var limits = map[string]int{
	"header text": 150, "section text": 3000, "section field": 2000, "context element": 3000, "block_id": 255, "button label": 75,
	"button value": 2000, "action_id": 255, "button url": 3000,
}

// encodedBlocks are all of a message, above and beside the bar.
func encodedBlocks(t interface{ Fatalf(string, ...any) }, m *message) []byte {
	raw, err := stdjson.Marshal(append(append([]api.Block{}, m.blocks...), m.side...))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return raw
}

// faults checks blocks as they are encoded.
func faults(t interface{ Fatalf(string, ...any) }, m *message) (found []string) {
	raw := encodedBlocks(t, m)
	type element struct {
		Type, URL, Value string
		Action           string `json:"action_id"`
		Text             any    // of a button an object
	}
	var blocks []struct {
		Type, BlockID string
		ID            string `json:"block_id"`
		Text          *struct{ Type, Text string }
		Fields        []struct{ Type, Text string }
		Elements      []element
	}
	if err := stdjson.Unmarshal(raw, &blocks); err != nil {
		t.Fatalf("%v", err)
	}
	check := func(what, text string) {
		if n := len(utf16.Encode([]rune(text))); n == 0 || n > limits[what] {
			found = append(found, fmt.Sprintf("%s has %d characters", what, n))
		}
	}
	for _, b := range blocks {
		if b.Text != nil {
			check(b.Type+" text", b.Text.Text)
		}
		for _, f := range b.Fields {
			check("section field", f.Text)
		}
		for _, e := range b.Elements {
			switch text := e.Text.(type) {
			case string:
				check("context element", text)
			case map[string]any:
				check("button label", text["text"].(string))
				check("action_id", e.Action)
				check("button value", e.Value+"x")
				check("button url", e.URL+"x")
			}
		}
		if len(b.Fields) > 10 || len(b.Elements) > 10 || len(b.ID) > limits["block_id"] || b.Text == nil && len(b.Fields)+len(b.Elements) == 0 {
			found = append(found, fmt.Sprintf("%s block is too full or empty", b.Type))
		}
	}
	if len(blocks) == 0 || len(blocks) > 50 || utf8.RuneCount(raw) > 13_200 {
		found = append(found, fmt.Sprintf("%d blocks of %d characters", len(blocks), utf8.RuneCount(raw)))
	}
	if n := utf8.RuneCountInString(m.text); n == 0 || n > 40_000 {
		found = append(found, fmt.Sprintf("text has %d characters", n))
	}
	for _, bad := range []string{"<!", "<@", "<https://evil", "@here", "@channel", "@everyone", "```", "\x00", "\u202e"} {
		if text := unescaped(string(raw)) + m.text; strings.Contains(text, bad) {
			found = append(found, fmt.Sprintf("%q in %s", bad, text))
		}
	}
	return found
}

// unescaped undoes JSON's escapes of < and >.
func unescaped(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(s)
}

// hostile texts are such as break messages or notify people.
func hostile() *rapid.Generator[string] {
	pieces := []string{"<!channel>", "<@U123>", "&", "<", ">", "`", "@here ", "@channel", "😀", "é", "\x00", "\u202e", " ", "\n", "<https://evil.example|click>", "a", "word "}
	return rapid.Custom(func(t *rapid.T) string {
		piece := rapid.SampledFrom(pieces)
		var b strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "parts") {
			b.WriteString(strings.Repeat(piece.Draw(t, "piece"), rapid.SampledFrom([]int{1, 2, 151, 5000}).Draw(t, "times")))
		}
		return b.String()
	})
}

func TestEveryCardKeepsSlacksLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := hostile()
		text := func(name string) string { return h.Draw(t, name) }
		risk := 1.0
		ev := &hub.Event{
			Type: rapid.SampledFrom(hub.EventTypes[:]).Draw(t, "type"), Subject: text("subject"),
			Data: hub.EventData{Reason: text("reason"), Actor: text("actor")},
		}
		if rapid.Bool().Draw(t, "alert") {
			ev.Data.Alert = &hub.Alert{
				Title: text("title"), Description: text("description"), Type: text("alert type"), Severity: hub.Critical, Status: hub.AlertOpen,
				AssetID: text("asset"), Asset: &hub.Asset{Account: text("account")}, Sources: []string{text("source")}, RiskScore: &risk,
				FirstSeen: time.Unix(0, 0), Labels: map[string]string{"rule_id": text("rule")}, Assignee: text("assignee"),
				Vulnerability: &hub.Vulnerability{CVE: text("cve"), Package: text("package")},
			}
			ev.Data.Changes = hub.Changes{"title": {text("before"), text("after")}}
		} else {
			ev.Data.Endpoint = &hub.EndpointBrief{Name: text("name"), Kind: text("kind"), Reason: text("why")}
			ev.Data.Object = []byte(text("object"))
		}
		given := ""
		if rapid.Bool().Draw(t, "given") {
			given = text("message")
		}
		c := content{
			ev: ev, given: given, note: text("note"), buttons: true, delivery: rapid.SampledFrom([]string{"dlv_1", strings.Repeat("d", 300)}).Draw(t, "delivery"),
			link: rapid.SampledFrom([]string{"", "https://tocsin.example.com/alerts/1", "https://tocsin.example.com/" + strings.Repeat("a", 5000)}).Draw(t, "link"),
		}
		all := []*message{c.message(), c.forWebhook()}
		ask := question{
			a: &hub.Approval{
				ID: "apr_1", Playbook: text("playbook"), Step: text("step"), Subject: text("subject"), Message: text("asked"), By: []string{text("by"), text("by")}, Quorum: 50,
				State: rapid.SampledFrom(hub.ApprovalStates[:]).Draw(t, "state"), ExpiresAt: time.Unix(1, 0),
			},
			how: text("how"), link: c.link, buttons: rapid.Bool().Draw(t, "buttons"),
		}
		for range rapid.IntRange(0, 50).Draw(t, "answers") {
			ask.a.Answers = append(ask.a.Answers, hub.Answer{Name: text("name"), Decision: hub.Approve, Note: text("note"), At: time.Unix(1, 0)})
		}
		all = append(all, ask.message())
		if ev.Data.Alert != nil {
			ev.Data.Alert.Labels["runbook"] = rapid.SampledFrom([]string{"https://wiki.example.com/" + strings.Repeat("b", 1900), "javascript:alert(1)", text("runbook")}).Draw(t, "runbook url")
			ev.Data.Alert.ID = hub.AlertID(rapid.SampledFrom([]string{"alt_1", strings.Repeat("a", 300)}).Draw(t, "id"))
			all = append(all, c.card(), c.reply(false), c.reply(true))
		}
		s := summary{link: func(string) string { return c.link }}
		for range rapid.IntRange(1, 40).Draw(t, "items") {
			e := *ev
			if a := ev.Data.Alert; a != nil {
				b := *a
				b.ID = hub.AlertID(fmt.Sprint(len(s.items)))
				e.Data.Alert = &b
			}
			s.items = append(s.items, item{&hub.Delivery{}, &e})
		}
		for _, m := range append(all, s.message()) {
			if found := faults(t, m); len(found) > 0 {
				t.Fatalf("%s", strings.Join(found, "\n"))
			}
		}
	})
}

func TestEscape(t *testing.T) {
	tests := []struct {
		text  string
		limit int
		want  string
	}{
		{"plain", 100, "plain"},
		{"", 10, ""},
		{"a & b <c>", 100, "a &amp; b &lt;c&gt;"},
		{"<!channel> <@U1> <https://e.example|x>", 100, "&lt;!channel&gt; &lt;@U1&gt; &lt;https://e.example|x&gt;"},
		{"12345", 5, "12345"},
		{"123456", 5, "1234…"},
		{"&&&", 10, "&amp;…"},
		{"&&", 10, "&amp;&amp;"},
		{"😀😀😀", 6, "😀😀😀"},
		{"😀😀😀😀", 6, "😀😀…"},
		{"one two", 5, "one…"},
		{"`rm`", 10, "ˋrmˋ"},
		{"@here @HERE me@home.example", 99, "@\u2060here @\u2060HERE me@home.example"},
		{"a\x00b\x1bc\u202ed\r\ne\tf", 99, "abcd\ne\tf"},
		{"bad \xff utf8", 99, "bad  utf8"},
	}
	for _, tt := range tests {
		if got := escape(tt.text, tt.limit); got != tt.want {
			t.Errorf("escape(%q, %d) is %q, want %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

func TestCard(t *testing.T) {
	ev := &hub.Event{Type: hub.AlertUpdated, Subject: "alt_1", Data: hub.EventData{
		Reason: "merged", Actor: "source:a", Changes: hub.Changes{"severity": {"high", "critical"}, "assignee": {nil, "ada"}},
		Alert: &hub.Alert{Title: "Login", Severity: hub.Critical, Status: hub.AlertOpen, AssetID: "web-1", Description: "words", Count: 2},
	}}
	c := content{ev: ev, delivery: "dlv_1", link: "https://tocsin.example.com/alerts/alt_1"}
	got := unescaped(string(encodedBlocks(t, c.message())))
	place := 0
	for _, want := range []string{
		`"[CRITICAL] Login · updated"`, `assignee: – → ada\nseverity: high → critical`, `"words"`, `*Severity*\ncritical`, `*Asset*\nweb-1`,
		`alert.updated · alt_1 · merged · by source:a · <https://tocsin.example.com/alerts/alt_1|Open>`, `"block_id":"dlv_1"`,
	} {
		i := strings.Index(got, want)
		if i < 0 || i < place && !strings.Contains(want, "block_id") {
			t.Errorf("%s is missing or out of order in %s", want, got)
		}
		place = max(i, place)
	}
	c = content{ev: ev, given: "Look *here*", delivery: "dlv_1"}
	m := c.message()
	raw := encodedBlocks(t, m)
	if m.text != "Look *here*" || !strings.Contains(string(raw), "Look *here*") || strings.Contains(string(raw), "words") {
		t.Errorf("with a message: %s", raw)
	}
}

func TestCodesAreCodes(t *testing.T) {
	for code := range advice {
		if !isCode(code) || passing[code] {
			t.Errorf("%s is no code, or passes as well", code)
		}
	}
	for _, s := range []string{"", "<html>", "Not A Code", strings.Repeat("a", 61)} {
		if isCode(s) {
			t.Errorf("%q passes as a code", s)
		}
	}
	if k := codeError("ratelimited").Kind; k != hub.Transient {
		t.Errorf("ratelimited is %s", k)
	}
}
