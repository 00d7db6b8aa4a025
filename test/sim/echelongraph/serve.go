package echelongraph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

var words = map[int]string{
	400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
	409: "conflict", 422: "unprocessable", 429: "rate_limited",
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	word := words[status]
	if word == "" {
		word = "internal"
	}
	unkind.Answer(w, status, map[string]string{"error": word, "message": fmt.Sprintf(format, args...)})
}

// wrong refuses what breaks the document.
func (s *Sim) wrong(w http.ResponseWriter, r *http.Request, status int, format string, args ...any) {
	s.Violate(r, format, args...)
	refuse(w, status, format, args...)
}

// A window is what one kind of request has used of a minute.
type window struct {
	start time.Time
	used  int
}

// kindOf tells reads from mutations.
func kindOf(r *http.Request) string {
	if r.Method == http.MethodGet {
		return "reads"
	}
	return "mutations"
}

var limits = map[string]map[string]int{
	"free": {"reads": 100, "mutations": 100}, "pro": {"reads": 10_000, "mutations": 2_000},
}

func (s *Sim) voice() unkind.Voice {
	return unkind.Voice{
		Limit: kindOf,
		Throttled: func(w http.ResponseWriter, seconds int) {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(s.Now().Unix()+int64(seconds), 10))
			refuse(w, 429, "Too many requests.")
		},
		Failed: func(w http.ResponseWriter, status int) { refuse(w, status, "Something went wrong on our side.") },
	}
}

// within counts a request and sets the headers that every response has.
func (s *Sim) within(w http.ResponseWriter, r *http.Request) bool {
	kind := kindOf(r)
	early := s.Early(r, kind)
	s.mu.Lock()
	limit, limited := limits[s.options.Plan][kind]
	now := s.Now()
	win := s.windows[kind]
	if win == nil || now.Sub(win.start) >= time.Minute {
		win = &window{start: now.Truncate(time.Minute)}
		s.windows[kind] = win
	}
	end := win.start.Add(time.Minute)
	wait := early
	if limited && win.used >= limit {
		wait = max(wait, end.Sub(now))
	} else {
		win.used++
	}
	left := limit - win.used
	s.mu.Unlock()
	h := w.Header()
	// The server's own clock, which need not be the machine's.
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("X-RateLimit-Limit", "unlimited")
	h.Set("X-RateLimit-Remaining", "unlimited")
	if limited {
		h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(end.Unix(), 10))
	}
	if wait <= 0 {
		return true
	}
	seconds := int((wait + time.Second - 1) / time.Second)
	s.Told(kind, time.Duration(seconds)*time.Second)
	h.Set("Retry-After", strconv.Itoa(seconds))
	refuse(w, 429, "Too many requests.")
	return false
}

// mux has every path.
func (s *Sim) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("POST /v1/auth/login", s.login)
	m.HandleFunc("POST /v1/auth/mfa", s.mfa)
	m.HandleFunc("POST /v1/auth/refresh", s.renew)
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /v1/assets": s.listAssets, "GET /v1/accounts": s.listAccounts, "POST /v1/accounts": s.register,
		"PATCH /v1/accounts/{id}": s.patchAccount, "DELETE /v1/accounts/{id}": s.deleteAccount,
		"GET /v1/graph": s.graph, "GET /v1/graph/blast-radius": s.blastRadius,
		"GET /v1/vulnerabilities": s.lister("vulnerabilities"), "GET /v1/vulnerabilities/{id}/remediation": s.getRemedy,
		"PATCH /v1/vulnerabilities/{id}/remediation": s.patchRemedy,
		"GET /v1/alerts": s.lister("alerts"), "PATCH /v1/alerts/{id}": s.patchAlert,
		"GET /v1/detection/rules": s.listRules, "GET /v1/detection/alerts": s.lister("detections"),
		"GET /v1/incidents": s.lister("incidents"), "POST /v1/incidents": s.createIncident, "PATCH /v1/incidents/{id}": s.patchIncident,
		"GET /v1/compliance/scores": s.listCompliance, "GET /v1/risk/scores": s.listRisk,
		"POST /v1/reports": s.createReport, "GET /v1/reports/{id}": s.getReport, "GET /v1/audit-logs": s.listAudit,
		"GET /v1/webhooks": s.listHooks, "POST /v1/webhooks": s.createHook, "DELETE /v1/webhooks/{id}": s.deleteHook,
		"GET /v1/scim/v2/Users": s.listUsers, "POST /v1/scim/v2/Users": s.createUser,
		"GET /v1/scim/v2/Groups": s.listGroups, "PUT /v1/scim/v2/Groups/{id}": s.putGroup,
	} {
		m.HandleFunc(pattern, s.authorized(h))
	}
	return m
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	if unkind.Steering(r) {
		s.steer(w, r)
		return
	}
	if !s.within(w, r) {
		return
	}
	_, pattern := s.routes.Handler(r)
	if pattern == "" {
		s.wrong(w, r, 404, "There is no %s %s.", r.Method, r.URL.Path)
		return
	}
	s.routes.ServeHTTP(w, r)
}

func (s *Sim) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.bearer(w, r) {
			next(w, r)
		}
	}
}

// bearer checks the access token; it has answered if it gives false.
func (s *Sim) bearer(w http.ResponseWriter, r *http.Request) bool {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	end, known := s.access[token]
	_, refresh := s.refresh[token]
	s.mu.Unlock()
	switch {
	case !bearer:
		s.wrong(w, r, 401, "A bearer token is required.")
	case refresh:
		s.wrong(w, r, 401, "A refresh token is no access token.")
	case !known || !s.Now().Before(end):
		refuse(w, 401, "The access token is not valid.")
	default:
		return true
	}
	return false
}

// query checks that only these parameters are given, each once.
func (s *Sim) query(w http.ResponseWriter, r *http.Request, names ...string) bool {
	for name, values := range r.URL.Query() {
		if !slices.Contains(names, name) || len(values) != 1 || values[0] == "" {
			s.wrong(w, r, 400, "Parameter %s is unknown, empty or given twice.", name)
			return false
		}
	}
	return true
}

// number reads a parameter within bounds.
func (s *Sim) number(w http.ResponseWriter, r *http.Request, name string, missing, low, high int) (int, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		s.wrong(w, r, 400, "Parameter %s must be %d to %d.", name, low, high)
		return 0, false
	}
	return n, true
}

// word reads a parameter that is one of some words.
func (s *Sim) word(w http.ResponseWriter, r *http.Request, name string, of []string) (string, bool) {
	v := r.URL.Query().Get(name)
	if v != "" && !slices.Contains(of, v) {
		s.wrong(w, r, 400, "Parameter %s must be one of %s.", name, strings.Join(of, ", "))
		return "", false
	}
	return v, true
}

// body reads a JSON body strictly; it has answered if it gives false.
func (s *Sim) body(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		s.wrong(w, r, 400, "Content-Type is %q.", r.Header.Get("Content-Type"))
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more after the JSON value")
		}
	}
	if err != nil {
		s.wrong(w, r, 400, "The body cannot be read: %v.", err)
		return false
	}
	return true
}
