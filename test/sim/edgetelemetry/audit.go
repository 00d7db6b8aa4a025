package edgetelemetry

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// span reads start_time and end_time; it has answered if it gives false.
func (s *Sim) span(w http.ResponseWriter, r *http.Request) (from, to time.Time, ok bool) {
	for name, into := range map[string]*time.Time{"start_time": &from, "end_time": &to} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			s.wrong(w, r, 422, "%s must be an ISO 8601 timestamp", name)
			return from, to, false
		}
		*into = t
	}
	return from, to, true
}

// between gives the entries of a span, newest first. Both ends are within it.
func (s *Sim) between(from, to time.Time) []*Entry {
	out := []*Entry{}
	for i := len(s.audit) - 1; i >= 0; i-- {
		at := s.audit[i].Timestamp
		if !at.Before(from) && (to.IsZero() || !at.After(to)) {
			out = append(out, s.audit[i])
		}
	}
	return out
}

func (s *Sim) listAudit(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "user_id", "action", "resource_type", "start_time", "end_time", "limit", "offset") {
		return
	}
	from, to, ok := s.span(w, r)
	if !ok {
		return
	}
	limit, ok := s.number(w, r, "limit", 100, 1)
	if !ok {
		return
	}
	offset, ok := s.number(w, r, "offset", 0, 0)
	if !ok {
		return
	}
	if s.options.MaxLimit > 0 {
		limit = min(limit, s.options.MaxLimit)
	}
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	match := slices.DeleteFunc(s.between(from, to), func(e *Entry) bool {
		return q.Has("user_id") && e.user != q.Get("user_id") || q.Has("action") && e.Action != q.Get("action") ||
			q.Has("resource_type") && e.ResourceType != q.Get("resource_type")
	})
	offset = min(offset, len(match))
	give(w, 200, match[offset:min(offset+limit, len(match))])
}

func (s *Sim) auditStats(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "start_time", "end_time") {
		return
	}
	from, to, ok := s.span(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.between(from, to)
	actions, resources := map[string]int{}, map[string]int{}
	for _, e := range all {
		actions[e.Action]++
		resources[e.ResourceType]++
	}
	give(w, 200, map[string]any{
		"total_count": len(all), "action_counts": pairs(actions), "resource_counts": pairs(resources),
		"start_time": r.URL.Query().Get("start_time"), "end_time": r.URL.Query().Get("end_time"),
	})
}

// pairs gives counts as the document has them, the largest first.
func pairs(counts map[string]int) [][2]any {
	out := [][2]any{}
	for name, n := range counts {
		out = append(out, [2]any{name, n})
	}
	slices.SortFunc(out, func(a, b [2]any) int {
		if a[1] != b[1] {
			return b[1].(int) - a[1].(int)
		}
		return strings.Compare(a[0].(string), b[0].(string))
	})
	return out
}

func (s *Sim) auditExport(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "format", "start_time", "end_time") {
		return
	}
	format := r.URL.Query().Get("format")
	if format != "json" && format != "csv" {
		s.wrong(w, r, 422, "format must be json or csv")
		return
	}
	from, to, ok := s.span(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.between(from, to)
	s.act(r, "export_audit_logs", "audit_logs", format)
	give(w, 200, exported(format, all))
}

// exported is the content as one text.
func exported(format string, all []*Entry) string {
	if format == "json" {
		b, err := json.Marshal(all)
		if err != nil {
			panic(err) // a fault of the simulator
		}
		return string(b)
	}
	var b strings.Builder
	c := csv.NewWriter(&b)
	_ = c.Write([]string{"id", "timestamp", "user_email", "action", "resource_type", "response_status"})
	for _, e := range all {
		_ = c.Write([]string{e.ID, e.Timestamp.Format(time.RFC3339), e.UserEmail, e.Action, e.ResourceType, strconv.Itoa(e.Status)})
	}
	c.Flush()
	return b.String()
}
