package slack

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// Sizes of a whole message.
const (
	maxText   = 40_000 // characters; what is more is cut off
	maxEdited = 4_000  // of the text that chat.update takes
	maxBlocks = 13_200 // characters of the encoded blocks, above which msg_blocks_too_long was seen
)

// A post is what chat.postMessage, chat.update and webhooks are given.
type post struct {
	Token          string           `json:"token"`
	Channel        string           `json:"channel"`
	TS             string           `json:"ts"`
	ThreadTS       string           `json:"thread_ts"`
	Text           string           `json:"text"`
	Blocks         []map[string]any `json:"blocks"`
	Attachments    []map[string]any `json:"attachments"`
	ReplyBroadcast any              `json:"reply_broadcast"`
	Metadata       *metadata        `json:"metadata"`

	blocksGiven bool
	query       url.Values // of methods that read
}

// metadata is what an app hangs on a message, for itself.
type metadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

// known are the arguments that exist beside those that post reads.
var known = []string{
	"token", "channel", "ts", "thread_ts", "text", "blocks", "attachments", "reply_broadcast", "as_user", "icon_emoji",
	"icon_url", "link_names", "metadata", "mrkdwn", "parse", "unfurl_links", "unfurl_media", "username", "file_ids",
	"client_msg_id", "response_type", "replace_original", "delete_original",
}

func (s *Sim) api(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	scope, known := scopes[method]
	if !known {
		s.Violate(r, "method is not simulated")
		refuse(w, "unknown_method")
		return
	}
	if method == "oauth.v2.access" {
		s.access(w, r)
		return
	}
	if r.Method != http.MethodPost && method != "auth.test" {
		s.Violate(r, "want POST")
		refuse(w, "method_not_supported")
		return
	}
	p, fault := read(r, strings.HasPrefix(method, "chat."))
	if fault != "" {
		s.Violate(r, "body: %s", fault)
		refuse(w, fault)
		return
	}
	if fault := s.auth(r, p.Token); fault != "" {
		refuse(w, fault)
		return
	}
	if given := s.granted(); scope != "" && !slices.Contains(given, scope) {
		unkind.Answer(w, 200, map[string]any{"ok": false, "error": "missing_scope", "needed": scope, "provided": strings.Join(given, ",")})
		return
	}
	switch method {
	case "conversations.history", "conversations.replies":
		s.history(w, r, p, method == "conversations.replies")
	case "users.info":
		s.userInfo(w, r, p)
	case "auth.test":
		unkind.Answer(w, 200, map[string]any{
			"ok": true, "url": "https://tocsin-sim.slack.example/", "team": "Simulated", "team_id": "T024BE7LD",
			"user": "tocsin", "user_id": "U024BOT", "bot_id": "B024BOT", "is_enterprise_install": false,
		})
	case "chat.postMessage":
		s.postMessage(w, r, p)
	case "chat.update":
		s.update(w, r, p)
	}
}

// auth checks the token, from the header or the form.
func (s *Sim) auth(r *http.Request, form string) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token = form
	}
	switch {
	case token == "":
		s.Violate(r, "no token")
		return "not_authed"
	case strings.HasPrefix(token, "xapp-") || strings.HasPrefix(token, "xoxe-"):
		s.Violate(r, "an app-level or configuration token")
		return "not_allowed_token_type"
	case !s.tokenIs(token):
		return "invalid_auth"
	}
	return ""
}

func refuse(w http.ResponseWriter, code string, messages ...string) {
	body := map[string]any{"ok": false, "error": code}
	if len(messages) > 0 {
		body["errors"] = messages
		body["response_metadata"] = map[string]any{"messages": messages}
	}
	unkind.Answer(w, 200, body)
}

// read takes JSON or a form, as Slack does; a fault is an error code.
func read(r *http.Request, strict bool) (post, string) {
	var p post
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return p, "request_timeout"
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return p, ""
	case !utf8.Valid(body):
		return p, "invalid_charset"
	case media == "application/json":
		return fromJSON(body)
	case media == "application/x-www-form-urlencoded":
		return fromForm(string(body), strict)
	}
	return p, "invalid_post_type"
}

func fromJSON(body []byte) (post, string) {
	var p post
	members := map[string]json.RawMessage{}
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(body, &p) != nil {
		return p, "invalid_json"
	}
	for name := range members {
		if !slices.Contains(known, name) {
			return p, "invalid_arguments"
		}
	}
	_, p.blocksGiven = members["blocks"]
	return p, ""
}

func fromForm(body string, strict bool) (post, string) {
	v, err := url.ParseQuery(body)
	if err != nil {
		return post{}, "invalid_form_data"
	}
	for name := range v {
		if strict && !slices.Contains(known, name) {
			return post{}, "invalid_arguments"
		}
	}
	p := post{Token: v.Get("token"), Channel: v.Get("channel"), TS: v.Get("ts"), ThreadTS: v.Get("thread_ts"), Text: v.Get("text"), query: v}
	if v.Get("reply_broadcast") != "" {
		p.ReplyBroadcast = v.Get("reply_broadcast")
	}
	if v.Get("metadata") != "" {
		d := json.NewDecoder(strings.NewReader(v.Get("metadata")))
		d.DisallowUnknownFields()
		if d.Decode(&p.Metadata) != nil {
			return p, "invalid_metadata_format"
		}
	}
	if v.Get("blocks") != "" {
		p.blocksGiven = true
		if json.Unmarshal([]byte(v.Get("blocks")), &p.Blocks) != nil {
			return p, "invalid_blocks_format"
		}
	}
	if v.Get("attachments") != "" && json.Unmarshal([]byte(v.Get("attachments")), &p.Attachments) != nil {
		return p, "invalid_attachments"
	}
	return p, ""
}

// checked records and answers what is wrong with a message's content.
func (s *Sim) checked(w http.ResponseWriter, r *http.Request, p post) bool {
	code, messages := content(p)
	if code == "" {
		return true
	}
	s.Violate(r, "%s %v", code, messages)
	refuse(w, code, messages...)
	return false
}

func content(p post) (code string, messages []string) {
	if p.Text == "" && len(p.Blocks) == 0 && len(p.Attachments) == 0 {
		return "no_text", nil
	}
	if utf8.RuneCountInString(p.Text) > maxText {
		return "msg_too_long", nil
	}
	if fault := p.Metadata.fault(); fault != "" {
		return fault, nil
	}
	if len(p.Attachments) > 100 {
		return "too_many_attachments", nil
	}
	for i, a := range p.Attachments {
		messages = append(messages, checkAttachment(a, fmt.Sprintf("/attachments/%d", i))...)
	}
	messages = append(messages, checkBlocks(p.Blocks, "/blocks")...)
	if len(messages) > 0 {
		return "invalid_blocks", messages
	}
	if utf8.RuneCount(encoded(p.Blocks))+utf8.RuneCount(encoded(p.Attachments)) > maxBlocks {
		return "msg_blocks_too_long", nil
	}
	return "", nil
}

func (s *Sim) postMessage(w http.ResponseWriter, r *http.Request, p post) {
	if p.Channel == "" {
		s.Violate(r, "no channel")
		refuse(w, "channel_not_found")
		return
	}
	p.Channel = channelID(p.Channel)
	s.mu.Lock()
	limits, broken := s.limits, s.channels[p.Channel]
	s.mu.Unlock()
	if !s.within(w, r, "channel "+p.Channel, limits.PerSecond, limits.Burst) {
		return
	}
	if broken != "" {
		refuse(w, broken)
		return
	}
	if !s.checked(w, r, p) {
		return
	}
	if p.ThreadTS != "" {
		parent := s.find(p.Channel, p.ThreadTS)
		if parent == nil {
			if !s.was(p.Channel, p.ThreadTS) {
				s.Violate(r, "thread_ts %s never was a message of the channel", p.ThreadTS)
			}
			refuse(w, "thread_not_found")
			return
		}
		if parent.ThreadTS != "" {
			s.Violate(r, "thread_ts %s is a reply, not the message that began the thread", p.ThreadTS)
		}
	}
	if p.ThreadTS == "" && p.ReplyBroadcast != nil {
		s.Violate(r, "reply_broadcast without thread_ts")
	}
	m := s.add(p, false)
	unkind.Answer(w, 200, map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "message": m.shown()})
}

func (m Message) shown() map[string]any {
	shown := map[string]any{"type": "message", "user": "U024BOT", "bot_id": "B024BOT", "text": m.Text, "ts": m.TS}
	if len(m.Blocks) > 0 {
		shown["blocks"] = m.Blocks
	}
	if len(m.Attachments) > 0 {
		shown["attachments"] = m.Attachments
	}
	if m.ThreadTS != "" {
		shown["thread_ts"] = m.ThreadTS
	}
	return shown
}

// add keeps a message under a time stamp of its own, and gives a copy.
func (s *Sim) add(p post, webhook bool) Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	m := &Message{
		Channel: p.Channel, ThreadTS: p.ThreadTS, Text: p.Text, Blocks: p.Blocks, Attachments: p.Attachments, Webhook: webhook, At: s.Now(),
		Broadcast: p.ReplyBroadcast == "true" || p.ReplyBroadcast == true, metadata: p.Metadata,
		TS: fmt.Sprintf("%d.%06d", s.Now().Unix(), s.serial%1_000_000),
	}
	m.Mentions = allMentions(p)
	s.messages = append(s.messages, m)
	return *m
}

func allMentions(p post) []string {
	text := p.Text
	for _, b := range [][]byte{encoded(p.Blocks), encoded(p.Attachments)} {
		var plain any
		if json.Unmarshal(b, &plain) == nil {
			text += gather(plain)
		}
	}
	return mentions(text)
}

// gather joins the mrkdwn texts in a value.
func gather(v any) string {
	var out strings.Builder
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out.WriteString(gather(e))
		}
	case map[string]any:
		if text, ok := v["text"].(string); ok && v["type"] == "mrkdwn" {
			out.WriteString(text + "\n")
		}
		for _, e := range v {
			out.WriteString(gather(e))
		}
	}
	return out.String()
}

func (s *Sim) find(channel, ts string) *Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.messages) - 1; i >= 0; i-- {
		if m := s.messages[i]; m.Channel == channel && m.TS == ts {
			return m
		}
	}
	return nil
}

func (s *Sim) update(w http.ResponseWriter, r *http.Request, p post) {
	s.mu.Lock()
	perMinute := s.limits.UpdatesPerMinute
	s.mu.Unlock()
	if !s.within(w, r, "chat.update", float64(perMinute)/60, perMinute) {
		return
	}
	if p.Channel != channelID(p.Channel) {
		s.Violate(r, "chat.update wants the id of a channel, not %q", p.Channel)
		refuse(w, "channel_not_found")
		return
	}
	m := s.find(p.Channel, p.TS)
	if m == nil {
		if !s.was(p.Channel, p.TS) {
			s.Violate(r, "ts %q never was a message of channel %q", p.TS, p.Channel)
		}
		refuse(w, "message_not_found")
		return
	}
	if m.Webhook || m.Foreign {
		s.Violate(r, "somebody else's message cannot be edited")
		refuse(w, "cant_update_message")
		return
	}
	if s.windowClosed() {
		refuse(w, "edit_window_closed")
		return
	}
	if utf8.RuneCountInString(p.Text) > maxEdited {
		s.Violate(r, "a text of more than %d characters", maxEdited)
		refuse(w, "msg_too_long")
		return
	}
	if !s.checked(w, r, p) {
		return
	}
	s.mu.Lock()
	// Text alone takes the blocks away; blocks alone leave the text.
	if p.Text != "" || !p.blocksGiven {
		m.Text = p.Text
	}
	m.Blocks, m.Attachments = p.Blocks, p.Attachments
	if p.Metadata != nil {
		m.metadata = p.Metadata
	}
	m.Mentions = allMentions(p)
	m.Edits++
	shown := m.shown()
	s.mu.Unlock()
	unkind.Answer(w, 200, map[string]any{"ok": true, "channel": p.Channel, "ts": p.TS, "text": p.Text, "message": shown})
}

// incoming is the webhook: plain text answers, no message id.
func (s *Sim) incoming(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	limits, broken := s.limits, s.channels["C0WEBHOOK"]
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodPost:
		s.Violate(r, "want POST")
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	case r.URL.Path != s.webhook:
		http.Error(w, "no_service", http.StatusNotFound)
		return
	case !s.within(w, r, "webhook", limits.PerSecond, limits.Burst):
		return
	case broken != "":
		http.Error(w, broken, http.StatusGone)
		return
	}
	p, fault := read(r, true)
	if fault == "" {
		fault, _ = content(p)
	} else {
		fault = "invalid_payload"
	}
	if fault != "" {
		s.Violate(r, "%s", fault)
		http.Error(w, fault, http.StatusBadRequest)
		return
	}
	p.Channel = "C0WEBHOOK"
	s.add(p, true)
	io.WriteString(w, "ok")
}
