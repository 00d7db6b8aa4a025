package cloudoptix

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// Texts of the document that more than one path refuses with.
const (
	noKey      = "ApiKey not provided"
	badKey     = "Unauthorized access or ApiKey expired"
	noResource = "No message available"
	noUser     = "Unable to retrieve user"
	improper   = "Proper arguments not provided"
	pageFrom1  = "Page number should be greater than 0"
	noScan     = "Unable to find the scan you requested"
	above50    = "Pageable size cannot be greater than 50"
)

// mux has every path of the document.
func (s *Sim) mux() *http.ServeMux {
	m := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /alerts/count": s.countAlerts, "GET /alerts": s.listAlerts, "GET /search/{key}": s.search,
		"POST /image-scanning/submit-for-scan": s.owned(s.submitFiles), "POST /image-scanning/submit-for-scan/by-image-name": s.owned(s.submitNames),
		"GET /image-scanning/get-scan-result": s.owned(s.taskResult), "GET /image-scanning/container-scan-result": s.owned(s.imageResult),
		"POST /iac/scan": s.owned(s.scanTemplates), "GET /iac/scan/status": s.scanStatus, "GET /iac/scan/detailedReport": s.scanReport,
		"GET /outgoingtraffic/vpc": s.vpcTraffic, "GET /outgoingtraffic/instance": s.instanceTraffic,
		"POST /outboundtraffic/ipList": s.setOutbound, "POST /whitelistIPs": s.allow,
		"GET /accounts": s.listAccounts, "GET /vms": s.listVMs, "GET /users": s.listUsers,
		"GET /serverless": s.listServerless, "GET /containers": s.listContainers,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		m.HandleFunc(method+" /api/v1"+path, s.keyed(h))
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
	if _, pattern := s.routes.Handler(r); pattern == "" {
		s.wrong(w, r, 404, noResource)
		return
	}
	s.routes.ServeHTTP(w, r)
}

// inventory says whether a path refuses with errorMessage.
func inventory(path string) bool {
	return slices.Contains([]string{"/api/v1/vms", "/api/v1/accounts", "/api/v1/users", "/api/v1/serverless", "/api/v1/containers"}, path)
}

// refuse answers with a text of the document.
func (s *Sim) refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if inventory(r.URL.Path) && status != 404 {
		unkind.Answer(w, status, map[string]string{"errorMessage": text})
		return
	}
	unkind.Answer(w, status, map[string]any{
		"timestamp": s.Now().UnixMilli(), "status": status, "error": http.StatusText(status), "message": text, "path": r.URL.Path,
	})
}

// wrong refuses what breaks the document.
func (s *Sim) wrong(w http.ResponseWriter, r *http.Request, status int, text string) {
	s.Violate(r, "%s", text)
	s.refuse(w, r, status, text)
}

func (s *Sim) voice() unkind.Voice {
	return unkind.Voice{
		Limit:     func(*http.Request) string { return "key" },
		Throttled: throttled,
		Failed: func(w http.ResponseWriter, status int) {
			if status == 500 {
				unkind.Answer(w, status, map[string]any{"status": status, "error": "Internal Server Error", "message": noResource})
				return
			}
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<html><head><title>%d %s</title></head><body></body></html>", status, http.StatusText(status))
		},
	}
}

func throttled(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	unkind.Answer(w, 429, map[string]any{"status": 429, "error": "Too Many Requests", "message": noResource})
}

// within keeps the key's limit.
func (s *Sim) within(w http.ResponseWriter, r *http.Request) bool {
	wait := s.Early(r, "key")
	s.mu.Lock()
	now := s.Now()
	s.used = slices.DeleteFunc(s.used, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(s.used) >= s.options.PerMinute {
		wait = max(wait, s.used[0].Add(time.Minute).Sub(now))
	} else {
		s.used = append(s.used, now)
	}
	s.mu.Unlock()
	if wait <= 0 {
		return true
	}
	seconds := int((wait + time.Second - 1) / time.Second)
	s.Told("key", time.Duration(seconds)*time.Second)
	throttled(w, seconds)
	return false
}

// keyed lets through who has the key.
func (s *Sim) keyed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, scheme := strings.CutPrefix(r.Header.Get("Authorization"), "ApiKey ")
		s.mu.Lock()
		refused := s.refused
		s.mu.Unlock()
		switch {
		case !scheme || key == "":
			s.wrong(w, r, 400, noKey)
		case key != s.options.Key && (r.URL.Path == "/api/v1/serverless" || r.URL.Path == "/api/v1/containers"):
			s.refuse(w, r, 401, "Api Key Not Valid")
		case key != s.options.Key || refused:
			s.refuse(w, r, 401, badKey)
		default:
			next(w, r)
		}
	}
}

// owned is for paths that look for the key's customer.
func (s *Sim) owned(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		orphan := s.orphan
		s.mu.Unlock()
		if orphan {
			s.refuse(w, r, 400, noUser)
			return
		}
		next(w, r)
	}
}

// query notes parameters that the document does not have, and ones that are
// there twice or without a value. They are ignored, as a server of theirs would.
func (s *Sim) query(r *http.Request, names ...string) {
	for name, values := range r.URL.Query() {
		switch {
		case !slices.Contains(names, name):
			s.Violate(r, "parameter %s is not documented", name)
		case len(values) != 1 || values[0] == "":
			s.Violate(r, "parameter %s must be given once, with a value", name)
		}
	}
}

// A frame is a page of a list.
type frame struct {
	Data        any  `json:"data"`
	CurrentPage int  `json:"currentPage"`
	HasNext     bool `json:"hasNext"`
	HasPrevious bool `json:"hasPrevious"`
	TotalPages  int  `json:"totalPages"`
	Size        int  `json:"size"`
}

// pageOf cuts a page out of all; first is the number of the first page.
func pageOf[T any](all []T, page, size, first int) frame {
	pages := (len(all) + size - 1) / size
	n := page - first
	from := min(max(n, 0)*size, len(all))
	return frame{
		Data: append([]T{}, all[from:min(from+size, len(all))]...), CurrentPage: page,
		HasNext: n+1 < pages, HasPrevious: n > 0, TotalPages: pages, Size: size,
	}
}

// missing gives the ids of a list that are no accounts; the caller holds the lock.
func (s *Sim) missing(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.ContainsFunc(s.things["accounts"], func(t Thing) bool { return t["accountId"] == id }) {
			out = append(out, id)
		}
	}
	return out
}

// noAccounts is the text for them.
func noAccounts(ids []string) string { return "Account Ids " + strings.Join(ids, ",") + " not found" }

func listed(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
