package pagerduty

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
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/incidents":
		unkind.Answer(w, 200, s.Incidents())
	case "GET /_sim/dropped":
		unkind.Answer(w, 200, s.Dropped())
	case "PUT /_sim/limits":
		in := struct {
			PerMinute  int  `json:"per_minute"`
			RetryAfter bool `json:"retry_after"`
		}{PerMinute: 120}
		if unkind.Read(w, r, &in) {
			s.SetLimit(in.PerMinute, in.RetryAfter)
			unkind.Answer(w, 200, in)
		}
	case "POST /_sim/fire":
		s.steerFire(w, r)
	default:
		if !s.Steer(w, r) {
			http.Error(w, "no such steering request", http.StatusNotFound)
		}
	}
}

// A Hook is what a person did to an incident, and who is to be told.
type Hook struct {
	DedupKey string `json:"dedup_key"`
	Event    string `json:"event"`  // such as incident.acknowledged
	URL      string `json:"url"`    // the subscriber
	Secret   string `json:"secret"` // the subscription's
	User     string `json:"user"`
	ID       string `json:"id"` // of the webhook; made if empty, given to repeat one
}

func (s *Sim) steerFire(w http.ResponseWriter, r *http.Request) {
	var h Hook
	if !unkind.Read(w, r, &h) {
		return
	}
	status, err := s.Fire(r.Context(), http.DefaultClient, h)
	if err != nil {
		unkind.Answer(w, 502, map[string]string{"error": err.Error()})
		return
	}
	unkind.Answer(w, 200, map[string]int{"status": status})
}

var statusAfter = map[string]string{
	"incident.acknowledged": "acknowledged", "incident.unacknowledged": "triggered",
	"incident.resolved": "resolved", "incident.reopened": "triggered",
}

// Fire changes the newest incident of the key as h says, and posts the signed
// v3 webhook once, waiting five seconds as PagerDuty does.
func (s *Sim) Fire(ctx context.Context, client *http.Client, h Hook) (status int, err error) {
	body, id, err := s.hook(h)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Webhook-Id", id)
	req.Header.Set("X-PagerDuty-Signature", Sign(h.Secret, body))
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, err
}

// Sign gives X-PagerDuty-Signature: v1= and the hex HMAC-SHA256 of the body.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (s *Sim) hook(h Hook) (body []byte, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, ok := statusAfter[h.Event]
	if !ok {
		return nil, "", fmt.Errorf("event %q is not simulated", h.Event)
	}
	var inc *Incident
	for _, i := range s.incidents {
		if i.DedupKey == h.DedupKey {
			inc = i
		}
	}
	if inc == nil {
		return nil, "", fmt.Errorf("no incident has the key %q", h.DedupKey)
	}
	inc.Status = after
	s.serial++
	id = h.ID
	if id == "" {
		id = fmt.Sprintf("01SIM%08d", s.serial)
	}
	user := h.User
	if user == "" {
		user = "Ada Lovelace"
	}
	body, err = json.Marshal(map[string]any{"event": map[string]any{
		"id": id, "event_type": h.Event, "resource_type": "incident", "occurred_at": s.Now().UTC().Format(time.RFC3339Nano),
		"agent": map[string]string{"id": "PLH1HKV", "type": "user_reference", "summary": user},
		"data": map[string]any{
			"id": inc.ID, "type": "incident", "incident_key": inc.DedupKey, "status": inc.Status, "title": inc.Summary,
			"urgency": "high", "created_at": inc.CreatedAt.UTC().Format(time.RFC3339),
			"html_url": "https://tocsin-sim.pagerduty.example/incidents/" + inc.ID,
		},
	}})
	return body, id, err
}
