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
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/messages":
		unkind.Answer(w, 200, s.Messages(r.URL.Query().Get("channel")))
	case "PUT /_sim/limits":
		s.mu.Lock()
		l := s.limits
		s.mu.Unlock()
		if unkind.Read(w, r, &l) {
			s.SetLimits(l)
			unkind.Answer(w, 200, l)
		}
	case "PUT /_sim/channels":
		var in map[string]string
		if unkind.Read(w, r, &in) {
			for channel, fault := range in {
				s.Break(channel, fault)
			}
			unkind.Answer(w, 200, in)
		}
	case "POST /_sim/click":
		s.steerClick(w, r)
	default:
		if !s.Steer(w, r) {
			http.Error(w, "no such steering request", http.StatusNotFound)
		}
	}
}

// A Click is a press on a button.
type Click struct {
	Channel  string `json:"channel"`
	TS       string `json:"ts"`
	ActionID string `json:"action_id"`
	URL      string `json:"url"`    // the app's interactions endpoint
	Secret   string `json:"secret"` // the app's signing secret
	User     string `json:"user"`
}

func (s *Sim) steerClick(w http.ResponseWriter, r *http.Request) {
	var c Click
	if !unkind.Read(w, r, &c) {
		return
	}
	status, body, err := s.Press(r.Context(), http.DefaultClient, c)
	if err != nil {
		unkind.Answer(w, 502, map[string]string{"error": err.Error()})
		return
	}
	unkind.Answer(w, 200, map[string]any{"status": status, "body": body})
}

// Press presses a button: it posts the signed block_actions interaction and
// gives the app's answer, for which Slack waits three seconds.
func (s *Sim) Press(ctx context.Context, client *http.Client, c Click) (status int, answer string, err error) {
	m := s.find(c.Channel, c.TS)
	if m == nil {
		return 0, "", fmt.Errorf("no message %s in %s", c.TS, c.Channel)
	}
	payload, err := s.interaction(m, c)
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	body := []byte(url.Values{"payload": {string(payload)}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	stamp := strconv.FormatInt(s.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Slack-Request-Timestamp", stamp)
	req.Header.Set("X-Slack-Signature", Sign(c.Secret, stamp, body))
	res, err := client.Do(req)
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
	action, block := button(m.Blocks, c.ActionID)
	if action == nil {
		return nil, fmt.Errorf("message %s has no button %s", c.TS, c.ActionID)
	}
	user := c.User
	if user == "" {
		user = "U061F7AUR"
	}
	return json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]string{"id": user, "username": "ada", "name": "ada", "team_id": "T024BE7LD"},
		"team": map[string]string{"id": "T024BE7LD", "domain": "tocsin-sim"}, "api_app_id": "A024APP", "trigger_id": "1.2.3",
		"container": map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": false},
		"channel":   map[string]string{"id": m.Channel, "name": "alerts"}, "message": m.shown(),
		"actions": []any{map[string]any{
			"type": "button", "action_id": c.ActionID, "block_id": block, "value": action["value"], "text": action["text"],
			"action_ts": fmt.Sprintf("%d.000001", s.Now().Unix()),
		}},
	})
}

// button finds a button by its action id.
func button(blocks []map[string]any, id string) (element map[string]any, block string) {
	for _, b := range blocks {
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
