package slack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

type clock struct{ now time.Time }

func kind(c *clock) *Sim {
	return New(Options{Options: unkind.Options{Kind: true, Now: func() time.Time { return c.now }}})
}

func fresh() (*Sim, *clock) {
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	return kind(c), c
}

func call(s *Sim, path, body string) (int, map[string]any, http.Header) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+DefaultToken)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var answer map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer, w.Header()
}

func text(n int) string { return strings.Repeat("x", n) }

func section(kind string, n int) string {
	return fmt.Sprintf(`{"type":"section","text":{"type":"%s","text":"%s"}}`, kind, text(n))
}

func aButton(label, value int, more string) string {
	return fmt.Sprintf(`{"type":"actions","elements":[{"type":"button","action_id":"a","text":{"type":"plain_text","text":"%s"},"value":"%s"%s}]}`,
		text(label), text(value), more)
}

// TestLimits checks each limit at its edge and one beyond.
func TestLimits(t *testing.T) {
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	fields := func(n, size int) string {
		return `{"type":"section","fields":[` + list(n, fmt.Sprintf(`{"type":"mrkdwn","text":"%s"}`, text(size))) + `]}`
	}
	header := func(kind string, n int) string {
		return fmt.Sprintf(`{"type":"header","text":{"type":"%s","text":"%s"}}`, kind, text(n))
	}
	context := func(n int) string {
		return `{"type":"context","elements":[` + list(n, `{"type":"mrkdwn","text":"x"}`) + `]}`
	}
	tests := []struct{ name, blocks, want string }{
		{"section", section("mrkdwn", 3000), ""},
		{"section too long", section("mrkdwn", 3001), "invalid_blocks"},
		{"section empty", section("mrkdwn", 0), "invalid_blocks"},
		{"section of html", section("html", 3), "invalid_blocks"},
		{"fields", fields(5, 2000), ""},
		{"11 fields", fields(11, 3), "invalid_blocks"},
		{"field too long", fields(1, 2001), "invalid_blocks"},
		{"header", header("plain_text", 150), ""},
		{"header too long", header("plain_text", 151), "invalid_blocks"},
		{"header with mrkdwn", header("mrkdwn", 3), "invalid_blocks"},
		{"context", context(10), ""},
		{"11 in a context", context(11), "invalid_blocks"},
		{"button", aButton(75, 2000, ""), ""},
		{"button label too long", aButton(76, 1, ""), "invalid_blocks"},
		{"button value too long", aButton(1, 2001, ""), "invalid_blocks"},
		{"button style", aButton(1, 1, `,"style":"loud"`), "invalid_blocks"},
		{"action id too long", strings.Replace(aButton(1, 1, ""), `"action_id":"a"`, `"action_id":"`+text(256)+`"`, 1), "invalid_blocks"},
		{"unknown block", `{"type":"video_wall"}`, "invalid_blocks"},
		{"50 blocks", list(50, `{"type":"divider"}`), ""},
		{"51 blocks", list(51, `{"type":"divider"}`), "invalid_blocks"},
		{"block id twice", list(2, `{"type":"divider","block_id":"b"}`), "invalid_blocks"},
		{"too much in all", list(5, section("mrkdwn", 2900)), "msg_blocks_too_long"},
	}
	for _, tt := range tests {
		s, _ := fresh()
		status, answer, _ := call(s, "/api/chat.postMessage", `{"channel":"C1","text":"t","blocks":[`+tt.blocks+`]}`)
		got, _ := answer["error"].(string)
		if status != 200 || got != tt.want || (answer["ok"] == true) != (tt.want == "") || (len(s.Violations()) > 0) != (tt.want != "") {
			t.Errorf("%s: %d %v, violations %v; want %q", tt.name, status, answer, s.Violations(), tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name, path, body string
		edit             func(*http.Request)
		want             string
	}{
		{"auth.test", "/api/auth.test", "", nil, ""},
		{"no token", "/api/auth.test", "", func(r *http.Request) { r.Header.Del("Authorization") }, "not_authed"},
		{"wrong token", "/api/auth.test", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer xoxb-2") }, "invalid_auth"},
		{"no text", "/api/chat.postMessage", `{"channel":"C1"}`, nil, "no_text"},
		{"text too long", "/api/chat.postMessage", `{"channel":"C1","text":"` + text(40_001) + `"}`, nil, "msg_too_long"},
		{"broken JSON", "/api/chat.postMessage", `{"channel"`, nil, "invalid_json"},
		{"unknown argument", "/api/chat.postMessage", `{"channel":"C1","txt":"a"}`, nil, "invalid_arguments"},
		{"as text", "/api/chat.postMessage", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "invalid_post_type"},
		{"not UTF-8", "/api/chat.postMessage", "{\"channel\":\"C1\",\"text\":\"\xff\"}", nil, "invalid_charset"},
		{"archived", "/api/chat.postMessage", `{"channel":"C9","text":"a"}`, nil, "is_archived"},
		{"thread of nothing", "/api/chat.postMessage", `{"channel":"C1","text":"a","thread_ts":"1.1"}`, nil, "thread_not_found"},
		{"update of nothing", "/api/chat.update", `{"channel":"C1","ts":"1.1","text":"a"}`, nil, "message_not_found"},
		{"unknown method", "/api/chat.delete", `{}`, nil, "unknown_method"},
	}
	for _, tt := range tests {
		s, _ := fresh()
		s.Break("C9", "is_archived")
		r := httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Authorization", "Bearer "+DefaultToken)
		r.Header.Set("Content-Type", "application/json")
		if tt.edit != nil {
			tt.edit(r)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var answer struct {
			OK    bool
			Error string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.Error != tt.want || answer.OK != (tt.want == "") {
			t.Errorf("%s: %d %s; want %q", tt.name, w.Code, w.Body, tt.want)
		}
	}
}

func TestForm(t *testing.T) {
	s, _ := fresh()
	form := url.Values{"token": {DefaultToken}, "channel": {"C1"}, "text": {"a"}, "blocks": {`[{"type":"divider"}]`}}
	r := httptest.NewRequest(http.MethodPost, "/api/chat.postMessage", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got := s.Messages("C1"); len(got) != 1 || len(got[0].Blocks) != 1 {
		t.Errorf("a form gave %+v: %s", got, w.Body)
	}
}

func TestUpdateAndThread(t *testing.T) {
	s, c := fresh()
	_, answer, _ := call(s, "/api/chat.postMessage", `{"channel":"C1","text":"first <!channel>","blocks":[{"type":"divider"}]}`)
	ts, _ := answer["ts"].(string)
	c.now = c.now.Add(time.Second)
	call(s, "/api/chat.postMessage", `{"channel":"C1","text":"reply","thread_ts":"`+ts+`"}`)
	call(s, "/api/chat.update", `{"channel":"C1","ts":"`+ts+`","text":"second"}`)
	got := s.Messages("C1")
	if len(got) != 2 || got[0].Text != "second" || got[0].Blocks != nil || got[0].Edits != 1 || got[1].ThreadTS != ts {
		t.Errorf("messages %+v; want text alone to take the blocks away", got)
	}
	if len(got[0].Mentions) != 0 || len(s.Violations()) > 0 {
		t.Errorf("mentions %v, violations %v", got[0].Mentions, s.Violations())
	}
}

func TestRates(t *testing.T) {
	s, c := fresh()
	post := func(channel string) (int, string) {
		status, _, h := call(s, "/api/chat.postMessage", `{"channel":"`+channel+`","text":"a"}`)
		return status, h.Get("Retry-After")
	}
	for _, step := range []struct {
		channel    string
		after      time.Duration
		status     int
		retry      string
		violations int
	}{
		{"C1", 0, 200, "", 0},
		{"C2", 0, 200, "", 0}, // channels count apart
		{"C1", 0, 429, "1", 0},
		{"C1", 500 * time.Millisecond, 429, "1", 1},
		{"C1", time.Second, 200, "", 1},
	} {
		c.now = c.now.Add(step.after)
		if status, retry := post(step.channel); status != step.status || retry != step.retry || len(s.Violations()) != step.violations {
			t.Errorf("%+v: got %d, Retry-After %q, violations %v", step, status, retry, s.Violations())
		}
	}
}

func TestIncomingWebhook(t *testing.T) {
	s, c := fresh()
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{DefaultWebhookPath, `{"text":"a"}`, 200, "ok"},
		{DefaultWebhookPath, `{}`, 400, "no_text"},
		{DefaultWebhookPath, `{"text":`, 400, "invalid_payload"},
		{DefaultWebhookPath, `{"blocks":[{"type":"nope"}]}`, 400, "invalid_blocks"},
		{"/services/T1/B1/x", `{"text":"a"}`, 404, "no_service"},
	} {
		c.now = c.now.Add(time.Second)
		r := httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.want {
			t.Errorf("%s %s: %d %s, want %d %s", tt.path, tt.body, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

// TestPress presses a button, and checks what the app gets.
func TestPress(t *testing.T) {
	s, _ := fresh()
	_, answer, _ := call(s, "/api/chat.postMessage", `{"channel":"C1","text":"t","blocks":[`+aButton(3, 5, "")+`]}`)
	var got url.Values
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Slack-Signature") != Sign("sec", r.Header.Get("X-Slack-Request-Timestamp"), body) {
			t.Error("wrong signature")
		}
		got, _ = url.ParseQuery(string(body))
	}))
	defer app.Close()
	ts, _ := answer["ts"].(string)
	status, _, err := s.Press(t.Context(), app.Client(), Click{Channel: "C1", TS: ts, ActionID: "a", URL: app.URL, Secret: "sec"})
	if err != nil || status != 200 || !strings.Contains(got.Get("payload"), `"value":"xxxxx"`) {
		t.Errorf("pressed: %d, %v, %s", status, err, got)
	}
	if _, _, err := s.Press(t.Context(), app.Client(), Click{Channel: "C1", TS: ts, ActionID: "b", URL: app.URL}); err == nil {
		t.Error("a button that is not there was pressed")
	}
}

// TestSignature is Slack's own published example.
func TestSignature(t *testing.T) {
	const body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	const want = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
	if got := Sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", []byte(body)); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}
