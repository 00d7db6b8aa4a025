package slack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A Click is a press on a button.
type Click struct {
	Channel  string `json:"channel"`
	TS       string `json:"ts"`
	ActionID string `json:"action_id"`
	URL      string `json:"url"`    // the app's interactions endpoint
	Secret   string `json:"secret"` // the app's signing secret
	User     string `json:"user"`
	UserTeam string `json:"user_team"` // of the person; "" for that of the workspace
	Team     string `json:"team"`      // of the workspace; "" for the usual one
}

// Press presses a button: it posts the signed block_actions interaction and
// gives the app's answer, for which Slack waits three seconds.
func (s *Sim) Press(ctx context.Context, client *http.Client, c Click) (status int, answer string, err error) {
	req, err := s.Interaction(ctx, c)
	if err != nil {
		return 0, "", err
	}
	return Deliver(ctx, client, req)
}

// Interaction makes the request of a press, for tests that change or repeat it.
func (s *Sim) Interaction(ctx context.Context, c Click) (*http.Request, error) {
	m := s.find(c.Channel, c.TS)
	if m == nil {
		return nil, fmt.Errorf("no message %s in %s", c.TS, c.Channel)
	}
	payload, err := s.interaction(m, c)
	if err != nil {
		return nil, err
	}
	body := []byte(url.Values{"payload": {string(payload)}}.Encode())
	return Signed(ctx, c.URL, c.Secret, body, s.Now())
}

// Signed makes a request as Slack sends it.
func Signed(ctx context.Context, to, secret string, body []byte, at time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Slack-Request-Timestamp", stamp)
	req.Header.Set("X-Slack-Signature", Sign(secret, stamp, body))
	return req, nil
}

// Deliver sends a request as Slack does, which waits three seconds.
func Deliver(ctx context.Context, client *http.Client, req *http.Request) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, string(got), err
}

// Sign gives X-Slack-Signature: v0= and the hex HMAC-SHA256 of v0:time:body.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%s:", timestamp)
	mac.Write(body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

func (s *Sim) interaction(m *Message, c Click) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	action, block := m.button(c.ActionID)
	if action == nil {
		return nil, fmt.Errorf("message %s has no button %s", c.TS, c.ActionID)
	}
	user, team := or(c.User, "U061F7AUR"), or(c.Team, "T024BE7LD")
	s.serial++
	path := fmt.Sprintf("/actions/%s/%d/simulated%d", team, s.serial, s.serial)
	s.hooks[path] = &hook{user: user, channel: m.Channel, until: s.Now().Add(30 * time.Minute), left: 5}
	name := s.users[user].Name
	pressed := map[string]any{
		"type": "button", "action_id": action["action_id"], "block_id": block, "text": action["text"], "action_ts": fmt.Sprintf("%d.%06d", s.Now().Unix(), s.serial),
	}
	if v, ok := action["value"]; ok {
		pressed["value"] = v
	}
	return json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]string{"id": user, "username": name, "name": name, "team_id": or(c.UserTeam, team)},
		"team": map[string]string{"id": team, "domain": "tocsin-sim"}, "enterprise": nil, "is_enterprise_install": false, "api_app_id": "A024APP",
		"trigger_id": fmt.Sprintf("%d.2.3", s.serial), "token": "deprecated", "response_url": "http://" + s.host + path, "state": map[string]any{"values": map[string]any{}},
		"container": map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": false},
		"channel":   map[string]string{"id": m.Channel, "name": "alerts"}, "message": m.shown(), "actions": []any{pressed},
	})
}

func or(given, otherwise string) string {
	if given == "" {
		return otherwise
	}
	return given
}

// button finds a button by its action id.
func (m *Message) button(id string) (element map[string]any, block string) {
	for _, b := range m.All() {
		elements, _ := b["elements"].([]any)
		if a, ok := b["accessory"]; ok {
			elements = append(elements, a)
		}
		for _, e := range asObjects(elements) {
			if e["action_id"] == id {
				block, _ = b["block_id"].(string)
				return e, block
			}
		}
	}
	return nil, ""
}

// All gives the blocks of the message and of its attachments.
func (m *Message) All() []map[string]any {
	all := append([]map[string]any{}, m.Blocks...)
	for _, a := range m.Attachments {
		blocks, _ := a["blocks"].([]any)
		all = append(all, asObjects(blocks)...)
	}
	return all
}

// Buttons gives the action ids of the message's buttons, in order.
func (m *Message) Buttons() (ids []string) {
	for _, b := range m.All() {
		elements, _ := b["elements"].([]any)
		for _, e := range asObjects(elements) {
			if id, ok := e["action_id"].(string); ok && e["type"] == "button" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// A hook is a response_url.
type hook struct {
	user, channel string
	until         time.Time
	left          int
}

// A Whisper is what was said to one person.
type Whisper struct {
	Channel string `json:"channel"`
	User    string `json:"user"`
	Text    string `json:"text"`
}

// Whispers gives what was said by response_url, oldest first.
func (s *Sim) Whispers() []Whisper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Whisper{}, s.whispers...)
}

// whisper takes a request to a response_url.
func (s *Sim) whisper(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Text         string           `json:"text"`
		ResponseType string           `json:"response_type"`
		Replace      bool             `json:"replace_original"`
		Delete       bool             `json:"delete_original"`
		Blocks       []map[string]any `json:"blocks"`
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[r.URL.Path]
	fault, status := "", 0
	switch {
	case h == nil:
		fault, status = "no such response_url", 404
	case r.Method != http.MethodPost || media != "application/json":
		fault, status = "want POST of application/json", 400
	case h.left == 0:
		fault, status = "used_url: more than 5 times", 404
	case s.Now().After(h.until):
		fault, status = "expired_url: after 30 minutes", 404
	case json.Unmarshal(body, &in) != nil:
		fault, status = "invalid_payload", 400
	case in.Replace || in.Delete || in.ResponseType != "ephemeral":
		fault, status = "it would change the message that all see", 400
	case in.Text == "" || size(in.Text) > maxText:
		fault, status = "no_text or msg_too_long", 400
	}
	if fault != "" {
		s.Violate(r, "response_url: %s", fault)
		http.Error(w, fault, status)
		return
	}
	h.left--
	s.whispers = append(s.whispers, Whisper{h.channel, h.user, in.Text})
	unkind.Answer(w, 200, map[string]bool{"ok": true})
}

// ResponseURL makes a response_url for a payload that a test makes itself.
func (s *Sim) ResponseURL(user, channel string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	path := fmt.Sprintf("/actions/T024BE7LD/%d/made%d", s.serial, s.serial)
	s.hooks[path] = &hook{user: user, channel: channel, until: s.Now().Add(30 * time.Minute), left: 5}
	return "http://" + s.host + path
}
