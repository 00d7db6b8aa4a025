package cybervault

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A Status is the answer of GET /v2/status. ActiveAlerts is counted.
type Status struct {
	Status       string    `json:"status"`
	ThreatLevel  int       `json:"threat_level"`
	ActiveAlerts int       `json:"active_alerts"`
	LastScan     time.Time `json:"last_scan"`
	Region       string    `json:"region"`
}

func refuse(w http.ResponseWriter, status int, message string) {
	unkind.Answer(w, status, map[string]string{"error": http.StatusText(status), "message": message})
}

func (s *Sim) voice() unkind.Voice {
	return unkind.Voice{
		Limit: apiKey,
		Throttled: func(w http.ResponseWriter, seconds int) {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			s.headers(w, state{remaining: 0, reset: s.Now().Add(time.Duration(seconds) * time.Second)})
			refuse(w, 429, "Rate limit exceeded.")
		},
		Failed: func(w http.ResponseWriter, status int) {
			s.headers(w, state{remaining: s.tier.burst, reset: s.Now()})
			refuse(w, status, "Something went wrong on our side.")
		},
	}
}

// apiKey is whose limit a request counts against: the key, not the address.
func apiKey(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	if unkind.Steering(r) {
		s.steer(w, r)
		return
	}
	if s.redirected(w, r) || !s.within(w, r) || !s.authorized(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v2/status":
		s.getStatus(w, r)
	case "GET /v2/alerts":
		s.listAlerts(w, r)
	case "POST /v2/alerts":
		s.batchAlerts(w, r)
	case "POST /v2/findings":
		s.submitFinding(w, r)
	default:
		s.unknown(w, r)
	}
}

func (s *Sim) unknown(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v2/status", "/v2/alerts", "/v2/findings":
		s.Violate(r, "method %s is not documented here", r.Method)
		refuse(w, 405, "Method not allowed.")
	default:
		s.Violate(r, "path is not documented")
		refuse(w, 404, "No such endpoint.")
	}
}

// redirected answers for the global address: reads are sent to a region.
// A credential that came in is not looked at.
func (s *Sim) redirected(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	to := s.redirect
	s.mu.Unlock()
	region, err := url.Parse(to)
	if to == "" || err != nil || r.Host == region.Host {
		return false
	}
	w.Header().Set("Location", strings.TrimSuffix(to, "/")+r.URL.RequestURI())
	refuse(w, 301, "Moved to the regional endpoint.")
	return true
}

// within counts the request against the key's limit, and sets the headers that
// all responses have.
func (s *Sim) within(w http.ResponseWriter, r *http.Request) bool {
	key := apiKey(r)
	early := s.Early(r, key)
	st := s.take(key)
	s.headers(w, st)
	if st.wait == 0 && early == 0 {
		return true
	}
	wait := max(st.wait, early)
	seconds := int((wait + time.Second - 1) / time.Second)
	s.Told(key, time.Duration(seconds)*time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	refuse(w, 429, "Rate limit exceeded.")
	return false
}

func (s *Sim) authorized(w http.ResponseWriter, r *http.Request) bool {
	given := r.Header.Get("Authorization")
	token, bearer := strings.CutPrefix(given, "Bearer ")
	s.mu.Lock()
	revoked := s.revoked
	s.mu.Unlock()
	switch {
	case given == "":
		s.Violate(r, "no Authorization header")
		refuse(w, 401, "Missing bearer token.")
	case !bearer:
		s.Violate(r, "Authorization is no bearer token")
		refuse(w, 401, "Malformed Authorization header.")
	case subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 || revoked:
		refuse(w, 401, "Invalid or expired token.")
	default:
		return true
	}
	return false
}

func (s *Sim) getStatus(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.Query()) > 0 {
		s.Violate(r, "unknown parameters %s", r.URL.RawQuery)
		refuse(w, 400, "Unknown parameter.")
		return
	}
	s.mu.Lock()
	st := s.status
	day := s.Now().Add(-24 * time.Hour)
	for _, a := range s.alerts {
		if a.CreatedAt.After(day) && (a.Status == "open" || a.Status == "investigating") {
			st.ActiveAlerts++
		}
	}
	s.mu.Unlock()
	unkind.Answer(w, 200, st)
}
