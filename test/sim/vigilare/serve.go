package vigilare

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

// The document's words for each status.
var words = map[int]string{
	400: "Bad request — request body failed validation",
	401: "Unauthorized — missing or invalid Bearer token",
	403: "Forbidden — insufficient role, or plan limit exceeded",
	404: "Resource not found",
	405: "Method not allowed",
	409: "Conflict — resource already exists",
	422: "Unprocessable — cross-account role assumption failed",
	429: "Rate limited — too many requests",
	500: "Internal server error",
}

func refuse(w http.ResponseWriter, status int, detail string) {
	text := words[status]
	if text == "" {
		text = words[500]
	}
	body := map[string]string{"error": text}
	if detail != "" {
		body["detail"] = detail
	}
	unkind.Answer(w, status, body)
}

// wrong refuses what breaks the document.
func (s *Sim) wrong(w http.ResponseWriter, r *http.Request, status int, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	s.Violate(r, "%s", detail)
	refuse(w, status, detail)
}

func (s *Sim) voice() unkind.Voice {
	return unkind.Voice{
		Limit: func(*http.Request) string { return "tenant" },
		Throttled: func(w http.ResponseWriter, seconds int) {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			refuse(w, 429, "")
		},
		Failed: func(w http.ResponseWriter, status int) { refuse(w, status, "") },
	}
}

// mux has every path of the document.
func (s *Sim) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("POST /auth/signup", s.signup)
	m.HandleFunc("POST /auth/login", s.login)
	m.HandleFunc("GET /billing/plans", s.listPlans)
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /me": s.getMe, "PATCH /me": s.patchMe,
		"POST /accounts": s.connect, "GET /accounts": s.listAccounts, "GET /accounts/{id}": s.getAccount, "DELETE /accounts/{id}": s.disconnect,
		"POST /accounts/{id}/verify": s.verify, "GET /accounts/{id}/signals": s.listSignals,
		"GET /accounts/{id}/score-history": s.scoreHistory, "GET /accounts/{id}/recovery-checklist": s.recoveryChecklist,
		"POST /accounts/{id}/scan": s.scan, "POST /accounts/{id}/panic": s.panic, "GET /accounts/{id}/export": s.export,
		"GET /alert-rules": s.listRules, "POST /alert-rules": s.createRule, "PATCH /alert-rules/{id}": s.patchRule, "DELETE /alert-rules/{id}": s.deleteRule,
		"GET /alerts": s.listAlerts, "POST /alerts/{id}/ack": s.ackAlert,
		"GET /users": s.listUsers, "POST /users/invite": s.invite, "PATCH /users/{id}": s.patchUser, "DELETE /users/{id}": s.deleteUser,
		"POST /billing/checkout": s.checkout, "GET /billing/portal": s.portal, "GET /integrations/slack/oauth-start": s.slack,
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
	// The server's own clock, which need not be the machine's.
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if !s.within(w, r) {
		return
	}
	_, pattern := s.routes.Handler(r)
	switch {
	case pattern != "":
		s.routes.ServeHTTP(w, r)
	case s.otherMethod(r):
		s.wrong(w, r, 405, "method %s is not documented here", r.Method)
	default:
		s.wrong(w, r, 404, "path is not documented")
	}
}

func (s *Sim) otherMethod(r *http.Request) bool {
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.routes.Handler(other); pattern != "" {
			return true
		}
	}
	return false
}

// within keeps the tenant's limit.
func (s *Sim) within(w http.ResponseWriter, r *http.Request) bool {
	early := s.Early(r, "tenant")
	s.mu.Lock()
	now := s.Now()
	s.used = slices.DeleteFunc(s.used, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	wait := time.Duration(0)
	if len(s.used) >= s.options.PerMinute {
		wait = s.used[0].Add(time.Minute).Sub(now)
	} else {
		s.used = append(s.used, now)
	}
	s.mu.Unlock()
	return s.throttle(w, "tenant", max(wait, early))
}

// throttle answers 429 if there is something to wait for.
func (s *Sim) throttle(w http.ResponseWriter, limit string, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	seconds := int((wait + time.Second - 1) / time.Second)
	s.Told(limit, time.Duration(seconds)*time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	refuse(w, 429, "")
	return false
}

func (s *Sim) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		token, bearer := strings.CutPrefix(given, "Bearer ")
		s.mu.Lock()
		end, known := s.tokens[token]
		access := s.access[token]
		s.mu.Unlock()
		switch {
		case given == "" || !bearer:
			s.wrong(w, r, 401, "no bearer token")
		case access:
			s.wrong(w, r, 401, "the access_token is no id_token")
		case !known || s.Now().After(end):
			refuse(w, 401, "")
		default:
			next(w, r)
		}
	}
}

// query checks that only these parameters are given, each once.
func (s *Sim) query(w http.ResponseWriter, r *http.Request, names ...string) bool {
	for name, values := range r.URL.Query() {
		if !slices.Contains(names, name) {
			s.wrong(w, r, 400, "unknown parameter %s", name)
			return false
		}
		if len(values) != 1 || values[0] == "" {
			s.wrong(w, r, 400, "parameter %s must be given once, with a value", name)
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
		s.wrong(w, r, 400, "%s must be %d to %d", name, low, high)
		return 0, false
	}
	return n, true
}

// body reads a JSON body strictly; it has answered if it gives false.
func (s *Sim) body(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		s.wrong(w, r, 400, "Content-Type %q", r.Header.Get("Content-Type"))
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
		s.wrong(w, r, 400, "body: %v", err)
		return false
	}
	return true
}

// empty checks that a POST without documented fields has no body but {}.
func (s *Sim) empty(w http.ResponseWriter, r *http.Request) bool {
	b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if text := strings.TrimSpace(string(b)); text != "" && text != "{}" {
		s.wrong(w, r, 400, "a body where none is documented")
		return false
	}
	return true
}
