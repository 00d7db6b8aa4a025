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
	"slices"
	"strings"
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

// A Hook is what was done to an incident, and who is to be told.
type Hook struct {
	DedupKey string   `json:"dedup_key"`
	Event    string   `json:"event"`  // such as incident.acknowledged
	URL      string   `json:"url"`    // the subscriber
	Secret   string   `json:"secret"` // the subscription's
	Others   []string `json:"others"` // further secrets, while it is changed; they sign first
	User     string   `json:"user"`
	// Agent is who did it: user, or integration for an event of the Events API, or
	// service for PagerDuty by itself. Default user.
	Agent string `json:"agent"`
	ID    string `json:"id"` // of the event; made if empty, given to repeat one
	// NoKey leaves incident_key out, as for incidents that were not made of an event.
	NoKey     bool     `json:"no_key"`
	Note      string   `json:"note"` // of incident.annotated and incident.status_update_published
	Assignees []string `json:"assignees"`
	Priority  string   `json:"priority"`
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

// statusAfter is the incident's status after an event; "" leaves it.
var statusAfter = map[string]string{
	"incident.triggered": "", "incident.acknowledged": "acknowledged", "incident.unacknowledged": "triggered",
	"incident.resolved": "resolved", "incident.reopened": "triggered", "incident.reassigned": "", "incident.escalated": "",
	"incident.delegated": "", "incident.priority_updated": "", "incident.annotated": "", "incident.status_update_published": "",
	"incident.responder.added": "",
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
	req.Header.Set("X-PagerDuty-Signature", signatures(append(slices.Clone(h.Others), h.Secret), body))
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

// signatures gives the signatures of several secrets as PagerDuty sends them.
func signatures(secrets []string, body []byte) string {
	all := make([]string, len(secrets))
	for i, secret := range secrets {
		all[i] = Sign(secret, body)
	}
	return strings.Join(all, ",")
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
	if after != "" {
		inc.Status = after
	}
	s.serial++
	id = h.ID
	if id == "" {
		id = fmt.Sprintf("01SIM%08d", s.serial)
	}
	body, err = json.Marshal(map[string]any{"event": map[string]any{
		"id": id, "event_type": h.Event, "resource_type": "incident", "occurred_at": s.Now().UTC().Format(time.RFC3339Nano),
		"agent": h.agent(), "client": nil, "data": h.data(inc),
	}})
	return body, id, err
}

func (h *Hook) agent() any {
	switch h.Agent {
	case "integration":
		return reference("PX1K2L3", "events_api_v2_inbound_integration_reference", "Tocsin")
	case "service":
		return reference("PF9KMXH", "service_reference", "API Service")
	case "nobody":
		return nil
	}
	name := h.User
	if name == "" {
		name = "Ada Lovelace"
	}
	return reference("PLH1HKV", "user_reference", name)
}

// reference is how PagerDuty names one of its objects.
func reference(id, kind, summary string) map[string]any {
	return map[string]any{
		"id": id, "type": kind, "summary": summary,
		"self": "https://api.pagerduty.example/" + id, "html_url": "https://tocsin-sim.pagerduty.example/" + id,
	}
}

// data is an incident, or what hangs on one.
func (h *Hook) data(inc *Incident) map[string]any {
	incident := reference(inc.ID, "incident_reference", inc.Summary)
	incident["html_url"] = "https://tocsin-sim.pagerduty.example/incidents/" + inc.ID
	switch h.Event {
	case "incident.annotated":
		return map[string]any{"incident": incident, "id": "P2LA89X", "type": "incident_note", "content": h.Note, "trimmed": false}
	case "incident.status_update_published":
		return map[string]any{"incident": incident, "id": "P2LA89Y", "type": "incident_status_update", "message": h.Note, "trimmed": false}
	case "incident.responder.added":
		return map[string]any{"incident": incident, "type": "incident_responder", "state": "pending", "message": "please help", "user": reference("PVMGSML", "user_reference", "Maeve")}
	}
	incident["type"], incident["title"], incident["number"], incident["status"] = "incident", inc.Summary, 2, inc.Status
	incident["urgency"], incident["created_at"], incident["resolve_reason"] = "high", inc.CreatedAt.UTC().Format(time.RFC3339), nil
	incident["service"] = reference("PF9KMXH", "service_reference", "API Service")
	incident["incident_key"] = inc.DedupKey
	if h.NoKey {
		incident["incident_key"] = nil
	}
	assignees := []any{}
	for i, a := range h.Assignees {
		assignees = append(assignees, reference(fmt.Sprintf("PTUX%03d", i), "user_reference", a))
	}
	incident["assignees"], incident["priority"] = assignees, nil
	if h.Priority != "" {
		incident["priority"] = reference("PSO75BM", "priority_reference", h.Priority)
	}
	return incident
}
