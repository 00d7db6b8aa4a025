package edgetelemetry

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
	400: "Bad Request",
	401: "Unauthorized - Invalid or missing token",
	403: "Forbidden - Insufficient permissions",
	404: "Not Found",
	422: "Validation Error",
	429: "Too Many Requests", // the document has a limit, and no words for it
	500: "Internal Server Error",
	502: "Bad Gateway - SSO provider error",
}

// refuse answers with the document's words, and what more there is to say.
func refuse(w http.ResponseWriter, status int, detail string) {
	text := words[status]
	if text == "" {
		text = words[500]
	}
	if detail != "" {
		text += ": " + detail
	}
	unkind.Answer(w, status, map[string]any{"success": false, "data": nil, "error": text})
}

// wrong refuses what breaks the document.
func (s *Sim) wrong(w http.ResponseWriter, r *http.Request, status int, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	s.Violate(r, "%s", detail)
	refuse(w, status, detail)
}

// give answers with the envelope.
func give(w http.ResponseWriter, status int, data any) {
	unkind.Answer(w, status, map[string]any{"success": true, "data": data})
}

const base = "/api/v1"

// A window is what has been used of a minute.
type window struct {
	start time.Time
	used  int
}

// limitOf names the limit that a request counts against.
func limitOf(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, base+"/auth/") {
		return "authentication"
	}
	return "others"
}

func (s *Sim) perMinute(limit string) int {
	if limit == "authentication" {
		return s.options.AuthPerMinute
	}
	return s.options.PerMinute
}

func (s *Sim) voice() unkind.Voice {
	return unkind.Voice{
		Limit: limitOf,
		Throttled: func(w http.ResponseWriter, seconds int) {
			now := s.Now()
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			w.Header().Set("X-RateLimit-Limit", strconv.Itoa(s.options.PerMinute))
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", unix(now.Add(time.Duration(seconds)*time.Second)))
			refuse(w, 429, "")
		},
		Failed: func(w http.ResponseWriter, status int) { refuse(w, status, "") },
	}
}

// within counts a request and sets the headers that every response has.
func (s *Sim) within(w http.ResponseWriter, r *http.Request) bool {
	limit := limitOf(r)
	early := s.Early(r, limit)
	s.mu.Lock()
	now, most := s.Now(), s.perMinute(limit)
	win := s.windows[limit]
	if win == nil || now.Sub(win.start) >= time.Minute {
		win = &window{start: now.Truncate(time.Minute)}
		s.windows[limit] = win
	}
	over := win.used >= most
	if !over {
		win.used++
	}
	left, reset := most-win.used, win.start.Add(time.Minute)
	s.mu.Unlock()
	h := w.Header()
	// The server's own clock, which need not be the machine's.
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("X-RateLimit-Limit", strconv.Itoa(most))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", unix(reset))
	switch {
	case over:
		s.Told(limit, reset.Sub(now))
	case early > 0:
		h.Set("X-RateLimit-Reset", unix(now.Add(early)))
	default:
		return true
	}
	h.Set("X-RateLimit-Remaining", "0")
	refuse(w, 429, "")
	return false
}

// unix is a time in whole seconds, never earlier than it is.
func unix(t time.Time) string {
	return strconv.FormatInt(t.Add(time.Second-1).Unix(), 10)
}

// A route is a path of the document, with the permission that it takes.
type route struct {
	permission string // "" for none beside a token
	handler    http.HandlerFunc
}

// mux has every path of the document.
func (s *Sim) mux() *http.ServeMux {
	m := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"POST /auth/login": s.login, "GET /auth/sso/providers": s.listProviders,
		"POST /auth/sso/login/{id}": s.ssoLogin, "POST /auth/sso/callback/{id}": s.ssoCallback,
		"GET /health": s.health, "GET /ready": s.ready,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		m.HandleFunc(method+" "+base+path, h)
	}
	for pattern, rt := range s.guarded() {
		method, path, _ := strings.Cut(pattern, " ")
		m.HandleFunc(method+" "+base+path, s.authorized(rt))
	}
	return m
}

// guarded are the paths that take a token.
func (s *Sim) guarded() map[string]route {
	return map[string]route{
		"POST /auth/logout": {"", s.logout}, "POST /auth/refresh": {"", s.refresh}, "GET /auth/me": {"", s.me},
		"POST /auth/mfa/setup": {"", s.mfaSetup}, "POST /auth/mfa/enable": {"", s.mfaEnable}, "POST /auth/mfa/disable": {"", s.mfaDisable},

		"GET /users": {"users:read", s.listUsers}, "POST /users": {"users:create", s.createUser},
		"GET /users/{id}": {"users:read", s.getUser}, "DELETE /users/{id}": {"users:delete", s.deleteUser},
		"POST /users/{id}/roles": {"users:update", s.giveRole}, "DELETE /users/{id}/roles/{role}": {"users:update", s.takeRole},

		"GET /roles": {"roles:read", s.listRoles}, "POST /roles": {"roles:create", s.createRole},
		"GET /roles/{id}": {"roles:read", s.getRole}, "DELETE /roles/{id}": {"roles:delete", s.deleteRole},
		"GET /roles/{id}/permissions": {"roles:read", s.rolePermissions}, "POST /roles/{id}/permissions": {"roles:update", s.grantPermission},

		"GET /alerting/rules": {"alert_rules:read", s.listRules}, "POST /alerting/rules": {"alert_rules:create", s.createRule},
		"GET /alerting/rules/{id}": {"alert_rules:read", s.getRule}, "DELETE /alerting/rules/{id}": {"alert_rules:delete", s.deleteRule},
		"POST /alerting/rules/{id}/toggle": {"alert_rules:update", s.toggleRule},
		"GET /alerting/channels":           {"alert_channels:read", s.listChannels}, "POST /alerting/channels": {"alert_channels:create", s.createChannel},
		"POST /alerting/channels/{id}/test":      {"alert_channels:update", s.testChannel},
		"GET /alerting/alerts":                   {"alerts:read", s.listAlerts},
		"POST /alerting/alerts/{id}/acknowledge": {"alerts:update", s.move("acknowledged")}, "POST /alerting/alerts/{id}/resolve": {"alerts:update", s.move("resolved")},

		"GET /audit/logs": {"audit_logs:read", s.listAudit}, "GET /audit/stats": {"audit_logs:read", s.auditStats}, "GET /audit/export": {"audit_logs:read", s.auditExport},
		"GET /dashboard/metrics": {"summaries:read", s.metrics}, "GET /dashboard/summaries": {"summaries:read", s.listSummaries},
		"GET /dashboard/incidents": {"incidents:read", s.dashboardIncidents},
		"GET /incidents":           {"incidents:read", s.listIncidents}, "GET /incidents/{id}": {"incidents:read", s.getIncident},
		"GET /graph/nodes": {"incidents:read", s.listNodes}, "GET /graph/edges": {"incidents:read", s.listEdges},
		"GET /graph/blast-radius/{id}": {"incidents:read", s.blastRadius},
	}
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	if unkind.Steering(r) {
		s.steer(w, r)
		return
	}
	if !s.within(w, r) {
		return
	}
	if _, pattern := s.routes.Handler(r); pattern == "" {
		s.wrong(w, r, 404, "no %s here", r.Method)
		return
	}
	s.routes.ServeHTTP(w, r)
}

func (s *Sim) authorized(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		u := s.holder(token)
		may := u != nil && (rt.permission == "" || slices.Contains(s.permissions(u), rt.permission))
		s.mu.Unlock()
		switch {
		case !bearer:
			s.wrong(w, r, 401, "")
		case u == nil:
			refuse(w, 401, "")
		case !may:
			refuse(w, 403, "")
		default:
			rt.handler(w, r)
		}
	}
}

// query checks that only these parameters are given, each once.
func (s *Sim) query(w http.ResponseWriter, r *http.Request, names ...string) bool {
	for name, values := range r.URL.Query() {
		if !slices.Contains(names, name) || len(values) != 1 || values[0] == "" {
			s.wrong(w, r, 422, "parameter %s is unknown, empty or given twice", name)
			return false
		}
	}
	return true
}

// number reads a parameter of low at least.
func (s *Sim) number(w http.ResponseWriter, r *http.Request, name string, missing, low int) (int, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low {
		s.wrong(w, r, 422, "%s must be a number of %d at least", name, low)
		return 0, false
	}
	return n, true
}

// body reads a JSON body strictly; it has answered if it gives false.
func (s *Sim) body(w http.ResponseWriter, r *http.Request, into any) bool {
	if !s.query(w, r) {
		return false
	}
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
		s.wrong(w, r, 422, "body: %v", err)
		return false
	}
	return true
}

// empty checks that a request without documented fields brings none.
func (s *Sim) empty(w http.ResponseWriter, r *http.Request) bool {
	if !s.query(w, r) {
		return false
	}
	b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if text := strings.TrimSpace(string(b)); text != "" && text != "{}" {
		s.wrong(w, r, 422, "a body where none is documented")
		return false
	}
	return true
}

func (s *Sim) health(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		unkind.Answer(w, 200, map[string]string{"status": "healthy", "version": "0.2.0"})
	}
}

func (s *Sim) ready(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		unkind.Answer(w, 200, map[string]any{"status": "ready", "checks": map[string]string{"database": "connected", "grpc": "listening"}})
	}
}
