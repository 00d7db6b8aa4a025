package cybervault

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A query is the checked form of the parameters of GET /v2/alerts.
type query struct {
	severity, status string
	limit, page      int
}

// A page is the answer of GET /v2/alerts.
type page struct {
	Data       []Alert `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
}

func (s *Sim) listAlerts(w http.ResponseWriter, r *http.Request) {
	q, fault := s.parse(r.URL.Query())
	if fault != "" {
		s.Violate(r, "%s", fault)
		refuse(w, 400, fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, s.page(q))
}

// page cuts the page out of what matches now, which need not be what matched
// when the page before was cut.
func (s *Sim) page(q query) page {
	skip := (q.page - 1) * q.limit
	p := page{Data: []Alert{}}
	for _, a := range s.alerts {
		if q.severity != "" && a.Severity != q.severity || q.status != "" && a.Status != q.status {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(p.Data) == q.limit {
			next := s.cursor(q)
			p.NextCursor, p.HasMore = &next, true
			break
		}
		p.Data = append(p.Data, a)
	}
	return p
}

func (s *Sim) parse(v url.Values) (query, string) {
	q := query{severity: v.Get("severity"), status: v.Get("status"), limit: 50, page: 1}
	for name, values := range v {
		if !slices.Contains([]string{"severity", "status", "limit", "after"}, name) {
			return q, fmt.Sprintf("Unknown parameter: %s.", name)
		}
		if len(values) != 1 || values[0] == "" {
			return q, fmt.Sprintf("Parameter %s must be given once, with a value.", name)
		}
	}
	if q.severity != "" && !slices.Contains(severities, q.severity) {
		return q, "Invalid severity: must be one of critical, high, medium, low."
	}
	if q.status != "" && !slices.Contains(statuses, q.status) {
		return q, "Invalid status: must be one of open, investigating, resolved, dismissed."
	}
	if v.Has("limit") {
		n, err := strconv.Atoi(v.Get("limit"))
		if err != nil || n < 1 || n > 200 {
			return q, "Invalid limit: must be between 1 and 200."
		}
		q.limit = n
	}
	if v.Has("after") && !s.resume(&q, v.Get("after")) {
		return q, "Invalid cursor."
	}
	return q, ""
}

// A token is what stands inside a cursor. The document's example shows the
// first two; Of ties it to the query it was made for.
type token struct {
	Page      int    `json:"page"`
	Timestamp int64  `json:"timestamp"`
	Of        string `json:"of"`
}

// cursor makes the opaque token for the page after q's.
func (s *Sim) cursor(q query) string {
	b, _ := json.Marshal(token{Page: q.page + 1, Timestamp: s.Now().Unix(), Of: s.tie(q)})
	return base64.RawURLEncoding.EncodeToString(b)
}

// resume reads a cursor that was made for the same filters and limit.
func (s *Sim) resume(q *query, cursor string) bool {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	var t token
	if err != nil || json.Unmarshal(b, &t) != nil || t.Page < 2 || t.Of != s.tie(*q) {
		return false
	}
	q.page = t.Page
	return true
}

func (s *Sim) tie(q query) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", s.token, q.severity, q.status, q.limit))
	return hex.EncodeToString(sum[:6])
}
