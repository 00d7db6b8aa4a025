package slack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// scopes are what each method needs of the token.
var scopes = map[string]string{
	"auth.test": "", "oauth.v2.access": "", "chat.postMessage": "chat:write", "chat.update": "chat:write",
	"conversations.history": "channels:history", "conversations.replies": "channels:history", "users.info": "users:read",
}

// allScopes are what a token has unless told otherwise.
var allScopes = []string{"chat:write", "channels:history", "users:read", "users:read.email"}

// maxMetadata is our guess: Slack has metadata_too_large, and says no number.
const maxMetadata = 8000

var eventForm = regexp.MustCompile(`^[A-Za-z0-9_]{1,255}$`)

func (m *metadata) fault() string {
	if m == nil {
		return ""
	}
	if !eventForm.MatchString(m.EventType) || m.EventPayload == nil {
		return "invalid_metadata_format"
	}
	for _, v := range m.EventPayload {
		switch v.(type) {
		case string, float64, bool:
		default:
			return "invalid_metadata_schema"
		}
	}
	if len(encoded(m)) > maxMetadata {
		return "metadata_too_large"
	}
	return ""
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was decoded before
	}
	return b
}

// channelID gives the id of a channel that may be given by its name.
func channelID(name string) string {
	plain, named := strings.CutPrefix(name, "#")
	if !named {
		return name
	}
	return "C" + strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(plain))
}

func (s *Sim) tokenIs(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return token == s.token || s.tokens[token]
}

func (s *Sim) granted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scopes
}

// SetScopes changes what the token may do.
func (s *Sim) SetScopes(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scopes = scopes
}

// CloseEdits makes every message too old to be edited.
func (s *Sim) CloseEdits(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

func (s *Sim) windowClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Delete deletes a message, as a person can.
func (s *Sim) Delete(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return m.Channel == channel && m.TS == ts })
	s.deleted[channel+" "+ts] = true
}

// Say posts what another app says. It gives the time stamp.
func (s *Sim) Say(channel, text string) string {
	m := s.add(post{Channel: channel, Text: text}, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[len(s.messages)-1].Foreign = true
	return m.TS
}

// was reports whether there was such a message.
func (s *Sim) was(channel, ts string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deleted[channel+" "+ts]
}

// readsPerMinute is tier 3, for methods that read messages.
const readsPerMinute = 50

// history answers with the messages of a channel, the newest first, or with a
// thread, the oldest first.
func (s *Sim) history(w http.ResponseWriter, r *http.Request, p post, replies bool) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	limit := 100
	if n, err := strconv.Atoi(p.query.Get("limit")); err == nil {
		limit = n
	}
	if limit < 1 || limit > 999 {
		s.Violate(r, "limit %d is not within 1 to 999", limit)
		refuse(w, "invalid_limit")
		return
	}
	if !s.within(w, r, method, float64(readsPerMinute)/60, readsPerMinute) {
		return
	}
	if p.Channel == "" || p.Channel != channelID(p.Channel) {
		s.Violate(r, "%s wants the id of a channel, not %q", method, p.Channel)
		refuse(w, "channel_not_found")
		return
	}
	if replies && s.find(p.Channel, p.TS) == nil {
		refuse(w, "thread_not_found")
		return
	}
	all, err := s.matching(p, replies)
	if err != nil {
		s.Violate(r, "%v", err)
		refuse(w, "invalid_ts_oldest")
		return
	}
	offset, _ := strconv.Atoi(p.query.Get("cursor"))
	all = all[min(offset, len(all)):]
	answer := map[string]any{"ok": true, "has_more": len(all) > limit}
	if len(all) > limit {
		all = all[:limit]
		answer["response_metadata"] = map[string]string{"next_cursor": strconv.Itoa(offset + limit)}
	}
	answer["messages"] = all
	unkind.Answer(w, 200, answer)
}

func (s *Sim) matching(p post, replies bool) ([]map[string]any, error) {
	oldest := 0.0
	if text := p.query.Get("oldest"); text != "" {
		var err error
		if oldest, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("oldest is %q", text)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []map[string]any{}
	for _, m := range s.messages {
		at, _ := strconv.ParseFloat(m.TS, 64)
		inThread := m.ThreadTS == p.TS || m.TS == p.TS
		inChannel := m.ThreadTS == "" || m.Broadcast
		switch {
		case m.Channel != p.Channel, at < oldest, replies && !inThread, !replies && !inChannel:
			continue
		}
		shown := m.shown()
		if m.metadata != nil {
			shown["metadata"] = map[string]any{"event_type": m.metadata.EventType}
			if v := p.query.Get("include_all_metadata"); v == "1" || v == "true" {
				shown["metadata"] = m.metadata
			}
		}
		all = append(all, shown)
	}
	if !replies {
		slices.Reverse(all)
	}
	return all, nil
}

// A User is a person of the workspace.
type User struct {
	Name     string
	Email    string
	Stranger bool // of another workspace
	Deleted  bool
}

func usual() map[string]User {
	return map[string]User{
		"U061F7AUR": {Name: "Ada", Email: "ada@example.com"}, "U0G9QF9C6": {Name: "Grace", Email: "grace@example.com"},
		"USTRANGER": {Name: "Eve", Email: "eve@elsewhere.example", Stranger: true}, "UGONE": {Name: "Old", Email: "old@example.com", Deleted: true},
	}
}

func (s *Sim) userInfo(w http.ResponseWriter, r *http.Request, p post) {
	if !s.within(w, r, "users.info", 100.0/60, 100) {
		return
	}
	id := p.query.Get("user")
	s.mu.Lock()
	u, found := s.users[id]
	email := slices.Contains(s.scopes, "users:read.email")
	s.mu.Unlock()
	if !found {
		refuse(w, "user_not_found")
		return
	}
	profile := map[string]any{"real_name": u.Name, "display_name": strings.ToLower(u.Name), "team": "T024BE7LD"}
	if email {
		profile["email"] = u.Email
	}
	unkind.Answer(w, 200, map[string]any{"ok": true, "user": map[string]any{
		"id": id, "team_id": "T024BE7LD", "name": strings.ToLower(u.Name), "real_name": u.Name, "deleted": u.Deleted, "is_bot": false, "is_stranger": u.Stranger,
		"profile": profile,
	}})
}

// size counts characters.
func size(text string) int { return utf8.RuneCountInString(text) }
