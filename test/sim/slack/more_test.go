package slack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func post1(t *testing.T, s *Sim, body string) string {
	t.Helper()
	_, answer, _ := call(s, "/api/chat.postMessage", body)
	ts, _ := answer["ts"].(string)
	if ts == "" {
		t.Fatalf("%s is answered %v", body, answer)
	}
	return ts
}

// form calls a method with a form, as libraries do.
func form(s *Sim, method string, v url.Values) map[string]any {
	r := httptest.NewRequest(http.MethodPost, "/api/"+method, strings.NewReader(v.Encode()))
	r.Header.Set("Authorization", "Bearer "+DefaultToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var out map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &out)
	return out
}

// TestMessagesOfOthers: what is not there, or not the app's own, cannot be changed
// nor replied to, and whoever tries what never was is told.
func TestMessagesOfOthers(t *testing.T) {
	s, c := fresh()
	own := post1(t, s, `{"channel":"#soc","text":"a"}`)
	c.now = c.now.Add(time.Minute)
	reply := post1(t, s, `{"channel":"CSOC","text":"b","thread_ts":"`+own+`"}`)
	foreign := s.Say("CSOC", "hello")
	gone := post1(t, s, `{"channel":"C2","text":"c"}`)
	s.Delete("C2", gone)
	for _, tt := range []struct {
		name, method, body, want string
		violation                bool
	}{
		{"by name", "chat.update", `{"channel":"#soc","ts":"` + own + `","text":"x"}`, "channel_not_found", true},
		{"own", "chat.update", `{"channel":"CSOC","ts":"` + own + `","text":"x"}`, "", false},
		{"somebody else's", "chat.update", `{"channel":"CSOC","ts":"` + foreign + `","text":"x"}`, "cant_update_message", true},
		{"deleted", "chat.update", `{"channel":"C2","ts":"` + gone + `","text":"x"}`, "message_not_found", false},
		{"never was", "chat.update", `{"channel":"C2","ts":"1.5","text":"x"}`, "message_not_found", true},
		{"too long", "chat.update", `{"channel":"CSOC","ts":"` + own + `","text":"` + text(4001) + `"}`, "msg_too_long", true},
		{"thread of a deleted one", "chat.postMessage", `{"channel":"C2","thread_ts":"` + gone + `","text":"x"}`, "thread_not_found", false},
		{"thread of a reply", "chat.postMessage", `{"channel":"CSOC","thread_ts":"` + reply + `","text":"x"}`, "", true},
		{"broadcast of no reply", "chat.postMessage", `{"channel":"CSOC","reply_broadcast":true,"text":"x"}`, "", true},
		{"metadata", "chat.postMessage", `{"channel":"CSOC","text":"x","metadata":{"event_type":"a_b","event_payload":{"n":1}}}`, "", false},
		{"metadata type", "chat.postMessage", `{"channel":"CSOC","text":"x","metadata":{"event_type":"a b","event_payload":{}}}`, "invalid_metadata_format", true},
		{"metadata list", "chat.postMessage", `{"channel":"CSOC","text":"x","metadata":{"event_type":"a","event_payload":{"n":[1]}}}`, "invalid_metadata_schema", true},
		{"metadata size", "chat.postMessage", `{"channel":"CSOC","text":"x","metadata":{"event_type":"a","event_payload":{"n":"` + text(9000) + `"}}}`, "metadata_too_large", true},
		{"bar", "chat.postMessage", `{"channel":"CSOC","text":"x","attachments":[{"color":"#a30200","blocks":[{"type":"divider"}]}]}`, "", false},
		{"bar of no colour", "chat.postMessage", `{"channel":"CSOC","text":"x","attachments":[{"color":"crimson","blocks":[{"type":"divider"}]}]}`, "invalid_blocks", true},
		{"bad block beside a bar", "chat.postMessage", `{"channel":"CSOC","text":"x","attachments":[{"blocks":[` + section("mrkdwn", 3001) + `]}]}`, "invalid_blocks", true},
		{"button with a bad address", "chat.postMessage", `{"channel":"CSOC","text":"x","blocks":[` + aButton(1, 1, `,"url":"javascript:x"`) + `]}`, "invalid_blocks", true},
	} {
		c.now = c.now.Add(time.Minute)
		before := len(s.Violations())
		_, answer, _ := call(s, "/api/"+tt.method, tt.body)
		if got, _ := answer["error"].(string); got != tt.want || (len(s.Violations()) > before) != tt.violation {
			t.Errorf("%s: %v, violations %v; want %q and %v", tt.name, answer, s.Violations()[before:], tt.want, tt.violation)
		}
	}
}

func TestReading(t *testing.T) {
	s, c := fresh()
	var first string
	for i, body := range []string{
		`"text":"0","metadata":{"event_type":"tocsin","event_payload":{"delivery":"d0"}}`, `"text":"1"`, `"text":"2"`,
	} {
		c.now = c.now.Add(time.Minute)
		ts := post1(t, s, `{"channel":"C1",`+body+`}`)
		if i == 0 {
			first = ts
		}
	}
	c.now = c.now.Add(time.Minute)
	post1(t, s, `{"channel":"C1","text":"3","thread_ts":"`+first+`"}`)
	texts := func(out map[string]any) (all string) {
		messages, _ := out["messages"].([]any)
		for _, m := range messages {
			all += m.(map[string]any)["text"].(string)
		}
		return all
	}
	page := form(s, "conversations.history", url.Values{"channel": {"C1"}, "limit": {"2"}, "include_all_metadata": {"1"}})
	cursor := page["response_metadata"].(map[string]any)["next_cursor"].(string)
	rest := form(s, "conversations.history", url.Values{"channel": {"C1"}, "limit": {"2"}, "cursor": {cursor}, "include_all_metadata": {"1"}})
	payload := rest["messages"].([]any)[0].(map[string]any)["metadata"].(map[string]any)["event_payload"]
	if texts(page) != "21" || texts(rest) != "0" || payload.(map[string]any)["delivery"] != "d0" {
		t.Errorf("pages %v and %v", page, rest)
	}
	if got := texts(form(s, "conversations.replies", url.Values{"channel": {"C1"}, "ts": {first}})); got != "03" {
		t.Errorf("the thread is %s", got)
	}
	for name, v := range map[string]url.Values{"channel_not_found": {"channel": {"#c1"}}, "invalid_limit": {"channel": {"C1"}, "limit": {"1000"}}} {
		if out := form(s, "conversations.history", v); out["error"] != name {
			t.Errorf("%v gives %v", v, out)
		}
	}
	if out := form(s, "users.info", url.Values{"user": {"U061F7AUR"}}); out["user"].(map[string]any)["profile"].(map[string]any)["email"] != "ada@example.com" {
		t.Errorf("Ada is %v", out)
	}
	s.SetScopes("chat:write", "users:read")
	if out := form(s, "users.info", url.Values{"user": {"U061F7AUR"}}); out["user"].(map[string]any)["profile"].(map[string]any)["email"] != nil {
		t.Errorf("without the scope Ada is %v", out)
	}
	if out := form(s, "conversations.history", url.Values{"channel": {"C1"}}); out["error"] != "missing_scope" || out["needed"] != "channels:history" {
		t.Errorf("without the scope the channel is %v", out)
	}
}

func TestInstall(t *testing.T) {
	s, c := fresh()
	const back = "https://hub.example/callback"
	begin := func(edit func(url.Values)) (int, string) {
		q := url.Values{"client_id": {s.App().ClientID}, "scope": {"chat:write,incoming-webhook"}, "state": {"st"}, "redirect_uri": {back}}
		if edit != nil {
			edit(q)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/oauth/v2/authorize?"+q.Encode(), nil))
		u, _ := url.Parse(w.Header().Get("Location"))
		return w.Code, u.Query().Get("code")
	}
	exchange := func(code string, edit func(url.Values)) map[string]any {
		v := url.Values{"client_id": {s.App().ClientID}, "client_secret": {s.App().ClientSecret}, "code": {code}, "redirect_uri": {back}}
		if edit != nil {
			edit(v)
		}
		return form(s, "oauth.v2.access", v)
	}
	for _, name := range []string{"client_id", "scope", "state", "redirect_uri"} {
		if status, _ := begin(func(q url.Values) { q.Del(name) }); status != 400 {
			t.Errorf("without %s: %d", name, status)
		}
	}
	_, code := begin(nil)
	for name, want := range map[string]string{"client_id": "invalid_client_id", "client_secret": "bad_client_secret", "code": "invalid_code", "redirect_uri": "bad_redirect_uri"} {
		if out := exchange(code, func(v url.Values) { v.Set(name, "x") }); out["error"] != want {
			t.Errorf("a wrong %s gives %v", name, out)
		}
	}
	out := exchange(code, nil)
	token, _ := out["access_token"].(string)
	if !s.tokenIs(token) || out["incoming_webhook"].(map[string]any)["channel_id"] != "CSOC" {
		t.Errorf("got %v", out)
	}
	if out := exchange(code, nil); out["error"] != "invalid_code" {
		t.Errorf("the code again gives %v", out)
	}
	_, late := begin(nil)
	c.now = c.now.Add(11 * time.Minute)
	if out := exchange(late, nil); out["error"] != "invalid_code" {
		t.Errorf("an old code gives %v", out)
	}
}

func TestWhispers(t *testing.T) {
	s, c := fresh()
	say := func(path, body string) int {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	path := func() string {
		u, _ := url.Parse(s.ResponseURL("U1", "C1"))
		return u.Path
	}
	one := path()
	const word = `{"response_type":"ephemeral","replace_original":false,"text":"a"}`
	for i := range 6 {
		if want := map[bool]int{true: 200, false: 404}[i < 5]; say(one, word) != want {
			t.Errorf("time %d is not answered %d", i+1, want)
		}
	}
	if n := len(s.Whispers()); n != 5 || s.Whispers()[0] != (Whisper{"C1", "U1", "a"}) {
		t.Errorf("said %v", s.Whispers())
	}
	if say(path(), `{"response_type":"in_channel","text":"a"}`) != 400 || say(path(), `{"replace_original":true,"response_type":"ephemeral","text":"a"}`) != 400 || say("/actions/x", word) != 404 {
		t.Error("what all would see is taken")
	}
	late := path()
	c.now = c.now.Add(31 * time.Minute)
	if say(late, word) != 404 {
		t.Error("a word after half an hour is taken")
	}
}
