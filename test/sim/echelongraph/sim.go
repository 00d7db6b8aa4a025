// Package echelongraph simulates EchelonGraph's REST API, events and webhooks,
// for tests, hubsim and the demo.
//
// The document names capabilities, not paths or fields. What it does say is
// enforced: bearer tokens from a login with access and refresh token, a second
// step where MFA is on, the limits of the plans (100 and 100, 10,000 and 2,000,
// none; reads and mutations a minute) with headers on every response, page and
// limit with a total, the filters it names, signed webhooks. All else is chosen
// here in the conventional form; a client should take it from its settings or
// not lean on it:
//
//   - the API lies below /v1, SCIM at /v1/scim/v2;
//   - POST /auth/login gives access_token, refresh_token, expires_in, or with
//     MFA {"mfa_required": true, "mfa_token"} for POST /auth/mfa with a code
//     (RFC 6238, six digits, 30 s, each good once); POST /auth/refresh gives a
//     new pair and ends the old one;
//   - X-RateLimit-Limit, -Remaining and -Reset (Unix seconds, the next whole
//     minute) are of the kind of request: GET is a read, all else a mutation;
//     "unlimited" on the plan Enterprise; 429 has Retry-After;
//   - a list is {"data", "page", "limit", "total"}, newest first by created_at;
//     limit is 1 to 100, 50 by default; items shift between pages when others
//     are added or change status; a page behind the end is empty;
//   - errors are {"error", "message"}; unknown parameters and fields are refused;
//   - an event is {"id", "type", "created_at", "data"}, over the socket at
//     /events and in webhooks, whose X-EchelonGraph-Signature is the hex
//     HMAC-SHA256 of the body; a socket ends with its token (1008);
//   - PATCH of an item that is as it should be changes nothing, not even
//     updated_at.
//
// It imports nothing of ours but [unkind]. Everything that breaks the document
// is a violation; a request before the time given in Retry-After too.
//
// To steer it, beside what package unkind offers, see steer.go.
package echelongraph

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// The credential that the simulator takes unless told otherwise.
const (
	DefaultEmail    = "soc@example.com"
	DefaultPassword = "long-enough-9Kx1"
	// DefaultSecret is the base32 of "12345678901234567890", the secret of RFC
	// 6238's test vectors.
	DefaultSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Email, Password string        // default: the constants above
	MFA             bool          // with DefaultSecret
	Plan            string        // free, pro (default) or enterprise
	TokenLife       time.Duration // of access tokens, default 15 minutes
}

// A Sim is the simulated system. It is an [http.Handler] for API and steering.
type Sim struct {
	*unkind.Side
	handler http.Handler
	routes  *http.ServeMux
	options Options
	sockets sockets
	outbox  outbox

	mu         sync.Mutex // guards all below
	serial     int
	alerts     []*Item // each list newest first
	detections []*Item
	incidents  []*Item
	vulns      []*Item
	audit      []Entry
	accounts   []Account
	assets     []Asset
	links      []Link
	rules      []Rule
	compliance []Score
	risk       []Score
	users      []User
	groups     []Group
	reports    map[string]*Report
	hooks      []Hook

	access, refresh map[string]time.Time // by token: its end
	steps           map[string]time.Time // by mfa_token: its end
	lastCode        int64                // the time step of the last code that was taken
	refused         bool
	windows         map[string]*window
}

// New makes a simulator with an account, a few assets and how they hang
// together, and nothing wrong.
func New(o Options) *Sim {
	o.Email, o.Password = cmp.Or(o.Email, DefaultEmail), cmp.Or(o.Password, DefaultPassword)
	o.Plan, o.TokenLife = cmp.Or(o.Plan, "pro"), cmp.Or(o.TokenLife, 15*time.Minute)
	s := &Sim{
		Side: unkind.New("echelongraph", o.Options), options: o, reports: map[string]*Report{},
		access: map[string]time.Time{}, refresh: map[string]time.Time{}, steps: map[string]time.Time{}, windows: map[string]*window{},
		outbox: outbox{wake: make(chan struct{}, 1)},
	}
	s.sockets.open = map[*socket]bool{}
	s.furnish()
	s.routes = s.mux()
	wrapped := s.Wrap(s.voice(), http.HandlerFunc(s.serve))
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/v1/events" { // a socket cannot be held back
			s.serveSocket(w, r)
			return
		}
		wrapped.ServeHTTP(w, r)
	})
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Sim) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

func (s *Sim) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s_%08d", prefix, s.serial)
}

// An Item is an alert, an alert of a detection rule, an incident or a
// vulnerability; each uses the fields that it needs.
type Item struct {
	ID          string    `json:"id"`
	Title       string    `json:"title"`
	Description string    `json:"description,omitempty"`
	Severity    string    `json:"severity"`
	Status      string    `json:"status"`
	Category    string    `json:"category,omitempty"`
	AssetID     string    `json:"asset_id,omitempty"`
	RiskScore   float64   `json:"risk_score,omitempty"`
	RuleID      string    `json:"rule_id,omitempty"`
	AlertIDs    []string  `json:"alert_ids,omitempty"`
	CVE         string    `json:"cve_id,omitempty"`
	CVSS        float64   `json:"cvss_score,omitempty"`
	Package     string    `json:"package,omitempty"`
	Fixed       string    `json:"fixed_version,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`

	remedy remediation
}

type remediation struct {
	Priority       int    `json:"priority"`
	Recommendation string `json:"recommendation"`
	Status         string `json:"status"` // not_started, in_progress or completed
	Progress       int    `json:"progress"`
}

// An Asset is one of the cloud asset inventory.
type Asset struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Provider  string            `json:"provider"`
	AccountID string            `json:"account_id"`
	Region    string            `json:"region"`
	ARN       string            `json:"arn,omitempty"`
	RiskScore float64           `json:"risk_score"`
	Tags      map[string]string `json:"tags,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
}

// A Link is an edge of the attack graph.
type Link struct {
	Source string `json:"source"`
	Target string `json:"target"`
	Type   string `json:"type"`
}

// An Account is a cloud account connection.
type Account struct {
	ID        string    `json:"id"`
	Provider  string    `json:"provider"`
	AccountID string    `json:"account_id"`
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

// A Score is a framework's or a category's.
type Score struct {
	Framework string    `json:"framework,omitempty"`
	Category  string    `json:"category,omitempty"`
	Score     float64   `json:"score"`
	UpdatedAt time.Time `json:"updated_at"`
}

// An Entry is one of the audit trail.
type Entry struct {
	ID        string    `json:"id"`
	Action    string    `json:"action"`
	User      string    `json:"user"`
	Resource  string    `json:"resource"`
	IP        string    `json:"ip"`
	Outcome   string    `json:"outcome"`
	CreatedAt time.Time `json:"created_at"`
}

// A Rule is a threat detection rule.
type Rule struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Severity string `json:"severity"`
	Enabled  bool   `json:"enabled"`
}

// A Report is one that was asked for.
type Report struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Format string `json:"format"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Status string `json:"status"` // pending, then ready
	URL    string `json:"download_url,omitempty"`
}

func (s *Sim) furnish() {
	at := s.now()
	s.accounts = []Account{{ID: s.id("acc"), Provider: "aws", AccountID: "123456789012", Name: "Production", Status: "connected", CreatedAt: at}}
	for i, name := range []string{"web-1", "api-1", "orders-db", "backups", "deploy-role"} {
		kind := []string{"instance", "instance", "database", "bucket", "role"}[i]
		s.assets = append(s.assets, Asset{
			ID: fmt.Sprintf("ast_%s", name), Name: name, Type: kind, Provider: "aws", AccountID: "123456789012", Region: "eu-central-1",
			ARN: "arn:aws:demo:eu-central-1:123456789012:" + kind + "/" + name, RiskScore: float64(20 * i), CreatedAt: at,
		})
	}
	s.links = []Link{
		{"ast_web-1", "ast_api-1", "network_access"},
		{"ast_api-1", "ast_orders-db", "can_access"},
		{"ast_orders-db", "ast_backups", "writes_to"},
		{"ast_deploy-role", "ast_web-1", "can_access"},
	}
	s.rules = []Rule{{"rul_1", "Impossible travel", "high", true}, {"rul_2", "Mass download", "critical", true}}
	for _, name := range []string{"SOC 2", "CIS AWS", "PCI DSS"} {
		s.compliance = append(s.compliance, Score{Framework: name, Score: 90, UpdatedAt: at})
	}
	for _, name := range []string{"identity", "network", "data", "compute"} {
		s.risk = append(s.risk, Score{Category: name, Score: 35, UpdatedAt: at})
	}
	s.users = []User{
		{ID: "usr_1", UserName: s.options.Email, Active: true, DisplayName: "SOC"},
		{ID: "usr_2", UserName: "dana@example.com", Active: true, DisplayName: "Dana"},
	}
	s.groups = []Group{{ID: "grp_1", DisplayName: "Analysts", Members: []Member{{"usr_1"}, {"usr_2"}}}}
}

// Expire ends every access token, as if its time were over.
func (s *Sim) Expire() {
	s.mu.Lock()
	clear(s.access)
	s.mu.Unlock()
	s.sockets.end(1008, "token expired")
}

// Refuse ends every token and refuses logins, until told otherwise.
func (s *Sim) Refuse(refused bool) {
	s.mu.Lock()
	s.refused = refused
	if refused {
		clear(s.access)
		clear(s.refresh)
		clear(s.steps)
	}
	s.mu.Unlock()
	if refused {
		s.sockets.end(1008, "token expired")
	}
}

// SetPlan changes the plan.
func (s *Sim) SetPlan(plan string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Plan = plan
}

// Items gives the items of a list: alerts, detections, incidents or
// vulnerabilities, newest first.
func (s *Sim) Items(list string) []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Item{}
	for _, x := range *s.list(list) {
		out = append(out, *x)
	}
	return out
}

func (s *Sim) list(name string) *[]*Item {
	switch name {
	case "detections":
		return &s.detections
	case "incidents":
		return &s.incidents
	case "vulnerabilities":
		return &s.vulns
	}
	return &s.alerts
}

// find gives an item of a list, nil if there is none.
func (s *Sim) find(list, id string) *Item {
	all := *s.list(list)
	i := slices.IndexFunc(all, func(x *Item) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

// Audit gives the audit trail, newest first.
func (s *Sim) Audit() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.audit)
}
