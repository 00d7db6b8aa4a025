package vigilare

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A pageToken is what stands inside a next_token: where to go on, and the query
// it was made for.
type pageToken struct {
	Offset int    `json:"o"`
	Of     string `json:"q"`
}

func tie(r *http.Request) string {
	q := r.URL.Query()
	q.Del("next_token")
	sum := sha256.Sum256([]byte(r.URL.Path + "?" + url.Values(q).Encode()))
	return hex.EncodeToString(sum[:6])
}

// offset reads next_token.
func (s *Sim) offset(w http.ResponseWriter, r *http.Request) (int, bool) {
	text := r.URL.Query().Get("next_token")
	if text == "" {
		return 0, true
	}
	var t pageToken
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, &t) != nil || t.Of != tie(r) {
		s.wrong(w, r, 400, "next_token was not given for this query")
		return 0, false
	}
	return t.Offset, true
}

// page cuts a page out of what there is now, which need not be what there was
// when the page before was cut.
func page[T any](r *http.Request, all []T, offset, limit int) (out []T, next *string) {
	start := min(offset, len(all))
	end := min(start+limit, len(all))
	if end < len(all) {
		b, _ := json.Marshal(pageToken{end, tie(r)})
		token := base64.RawURLEncoding.EncodeToString(b)
		next = &token
	}
	return append([]T{}, all[start:end]...), next
}

func (s *Sim) listSignals(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "severity", "scenario", "since", "limit", "next_token") {
		return
	}
	q := r.URL.Query()
	limit, ok := s.number(w, r, "limit", 50, 1, 200)
	if !ok {
		return
	}
	offset, ok := s.offset(w, r)
	if !ok {
		return
	}
	since, err := time.Parse(time.RFC3339, q.Get("since"))
	if q.Has("since") && err != nil {
		s.wrong(w, r, 400, "since must be an ISO 8601 timestamp")
		return
	}
	if q.Has("severity") && !slices.Contains(severities, q.Get("severity")) {
		s.wrong(w, r, 400, "severity must be CRITICAL, HIGH, MEDIUM or LOW")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(w, r)
	if a == nil {
		return
	}
	var match []Signal
	for _, g := range s.signals[a.ID] {
		if q.Has("severity") && g.Severity != q.Get("severity") || q.Has("scenario") && g.Scenario != q.Get("scenario") ||
			q.Has("since") && !g.DetectedAt.After(since) {
			continue
		}
		match = append(match, g)
	}
	out, next := page(r, match, offset, limit)
	unkind.Answer(w, 200, map[string]any{"signals": out, "count": len(out), "next_token": next})
}

func (s *Sim) listAlerts(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "limit", "next_token") {
		return
	}
	limit, ok := s.number(w, r, "limit", 50, 1, 200)
	if !ok {
		return
	}
	offset, ok := s.offset(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, next := page(r, s.alerts, offset, limit)
	unkind.Answer(w, 200, map[string]any{"alerts": out, "count": len(out), "next_token": next})
}

func (s *Sim) ackAlert(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) || !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.ack(r.PathValue("id"))
	if !ok {
		refuse(w, 404, "")
		return
	}
	unkind.Answer(w, 200, map[string]any{"alert_id": a.ID, "acknowledged_at": a.AcknowledgedAt})
}
