// Package cybervault simulates the CyberVault Monitoring API v2 as its
// document describes it, for tests, hubsim and the demo.
//
// What the document says is enforced to the letter: bearer tokens, the query
// parameters and their values, opaque cursors, the rate limits of the three
// tiers with their headers, the fields of a submitted finding, the webhook
// signature. Where it is silent the simulator decides as follows, and a client
// should not lean on it:
//
//   - the list is sorted newest first, and a cursor names a page, so that items
//     shift when alerts are added or change status while somebody pages;
//   - findings are submitted at POST /v2/findings (the heading is lost) and
//     answered 202; alerts are made in batches at POST /v2/alerts (the path that
//     the changelog names) with a JSON array of the same fields, answered 201;
//   - errors are {"error": …, "message": …};
//   - a webhook's body is {"id", "type", "created_at", "data"};
//   - Reset is in Unix seconds, when the whole burst is free again.
//
// It imports nothing of ours but [unkind]. Everything that breaks the document
// is a violation; a request before the time given in Retry-After too.
//
// To steer it, beside what package unkind offers:
//
//	POST /_sim/alerts    {"count": 10} or {"alert": {…}}   adds alerts
//	GET  /_sim/alerts                                      all of them
//	POST /_sim/change    {"id", "status", "severity"}      changes one
//	PUT  /_sim/status    {"status", "threat_level"}
//	PUT  /_sim/token     {"revoked": true}                 refuses the token for now
//	PUT  /_sim/redirect  {"to": "http://…"}                301 for GET at any other host
//	POST /_sim/webhooks  {"url", "secret", "events": […]}  subscribes
//	POST /_sim/events    {"type", "data"}                  sends an event
//	GET  /_sim/submitted                                   findings that came in
package cybervault

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// DefaultToken is the API key, the one in the document's examples.
const DefaultToken = "cv_live_8xK9mP2nQ7vR4wL1"

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Token string // default DefaultToken
	Tier  string // starter, professional (default) or enterprise
}

// An Alert is one alert as the API shows it.
type Alert struct {
	ID        string    `json:"id"`
	Severity  string    `json:"severity"`
	Type      string    `json:"type"`
	AssetID   string    `json:"asset_id"`
	CreatedAt time.Time `json:"created_at"`
	Status    string    `json:"status"`
}

// A Sim is the simulated system. It is an [http.Handler] for API and steering.
type Sim struct {
	*unkind.Side
	handler http.Handler
	token   string
	outbox  outbox

	mu        sync.Mutex // guards all below
	alerts    []Alert    // newest first
	submitted []Finding
	status    Status
	revoked   bool
	redirect  string // where GETs at other hosts are sent
	buckets   map[string]*bucket
	tier      tier
	serial    int
}

// New makes a simulator.
func New(o Options) *Sim {
	s := &Sim{
		Side: unkind.New("cybervault", o.Options), token: o.Token, buckets: map[string]*bucket{}, tier: tiers[o.Tier],
		outbox: outbox{wake: make(chan struct{}, 1)},
		status: Status{Status: "operational", ThreatLevel: 2, Region: "us-east-1"},
	}
	if s.token == "" {
		s.token = DefaultToken
	}
	if s.tier.perMinute == 0 {
		s.tier = tiers["professional"]
	}
	s.status.LastScan = s.Now().UTC().Truncate(time.Second)
	s.handler = s.Wrap(s.voice(), http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

var (
	severities = []string{"critical", "high", "medium", "low"}
	statuses   = []string{"open", "investigating", "resolved", "dismissed"}
	alertTypes = []string{"sql_injection", "xss", "csrf", "brute_force", "malware", "custom"}
	assets     = []string{"srv_prod_db_01", "srv_prod_web_02", "srv_stage_api_01", "lap_finance_17", "ci_runner_04"}
)

// Add makes n new open alerts and gives their ids. Their webhooks are sent.
func (s *Sim) Add(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = s.AddAlert(Alert{
			Severity: pick(s, severities), Type: pick(s, alertTypes), AssetID: pick(s, assets), Status: "open",
		}).ID
	}
	return ids
}

func pick(s *Sim, list []string) string { return list[s.IntN(len(list))] }

// AddAlert adds an alert; id and time are made where not given.
func (s *Sim) AddAlert(a Alert) Alert {
	s.mu.Lock()
	s.serial++
	if a.ID == "" {
		a.ID = fmt.Sprintf("alt_%sx%06d", "9x2kL", s.serial)
	}
	if a.CreatedAt.IsZero() {
		a.CreatedAt = s.Now()
	}
	a.CreatedAt = a.CreatedAt.UTC().Truncate(time.Second)
	s.insert(a)
	s.mu.Unlock()
	s.enqueue("alert.created", a)
	return a
}

// insert keeps the list newest first.
func (s *Sim) insert(a Alert) {
	i, _ := slices.BinarySearchFunc(s.alerts, a, func(x, y Alert) int {
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), strings.Compare(y.ID, x.ID))
	})
	s.alerts = slices.Insert(s.alerts, i, a)
}

// Change gives an alert another status or severity; "" leaves it. It reports
// whether there is such an alert.
func (s *Sim) Change(id, status, severity string) bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.ID == id })
	if i < 0 {
		s.mu.Unlock()
		return false
	}
	a := &s.alerts[i]
	resolved := status == "resolved" && a.Status != status
	if status != "" {
		a.Status = status
	}
	if severity != "" {
		a.Severity = severity
	}
	changed := *a
	s.mu.Unlock()
	if resolved {
		s.enqueue("alert.resolved", changed)
	}
	return true
}

// Alerts gives every alert, newest first.
func (s *Sim) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Alert{}, s.alerts...)
}

// Submitted gives the findings that came in, without repeats.
func (s *Sim) Submitted() []Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Finding{}, s.submitted...)
}

// Revoke refuses the token, as if it had expired, until told otherwise.
func (s *Sim) Revoke(revoked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = revoked
}

// Redirect answers GETs at any host other than to's with 301 to there; "" ends it.
func (s *Sim) Redirect(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redirect = to
}
