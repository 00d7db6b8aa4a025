// Package edgetelemetry simulates the REST API of EdgeAI Telemetry 0.2.0 as its
// document describes it, for tests, hubsim and the demo.
//
// What the document says is enforced to the letter: paths below /api/v1, the
// fields of each body with their words, the envelope {"success", "data"} and
// {"success": false, "data": null, "error"} with the document's words for each
// status, the permission of each resource and action, 10 requests a minute on
// authentication and 1,000 on the others, X-RateLimit-Limit, -Remaining and
// -Reset (Unix seconds), lists of alerts and incidents that know a limit but no
// offset, alerts without a time of their last change. /health and /ready have no
// envelope. Where it is silent the simulator decides as follows, and a client
// should not lean on it:
//
//   - a token is a JWT (HS256) with iat and exp; a refresh gives a new one and
//     ends the old one at once; one that has ended cannot be refreshed;
//   - with MFA, a login without a code answers 200 with requires_mfa and no
//     token; a code is good once, and 401 tells that one was not;
//   - lists are newest first, or in any order if Options say so, also of what a
//     limit leaves out; limit is 1 or more, 100 if not given, and above MaxLimit
//     as if it were MaxLimit;
//   - an incident has id, title, description, severity, status (open,
//     investigating, resolved), risk_score, node_id, created_at and updated_at;
//     /incidents/:id adds alert_ids and affected_nodes;
//   - a summary has id, agent_id, created_at, event_count, anomaly_count,
//     risk_score and summary; /dashboard/summaries gives the newest ones only,
//     /dashboard/incidents the newest 10;
//   - a node has id, node_type, label, risk_score and properties; an edge id,
//     source_id, target_id and edge_type; a blast radius node_id, total, nodes
//     (each with its depth) and edges;
//   - graph and incidents take incidents:read, the dashboard summaries:read and
//     incidents:read, acknowledging and resolving alerts:update, roles of users
//     users:update, permissions of roles roles:update, a toggle or test :update;
//   - a limit counts from one whole minute to the next; 429 has no Retry-After;
//   - what is done already is refused with 400: acknowledging or resolving an
//     alert again, giving a role or a permission again; a name or an address
//     that is taken is 422;
//   - unknown fields and parameters are refused with 422, unknown paths with 404;
//   - logins, writes, exports and the reading of one incident are audited.
//
// It imports nothing of ours but [unkind]. Everything that breaks the document
// is a violation; a request before the time given in X-RateLimit-Reset of a 429
// too.
//
// To steer it, beside what package unkind offers, see steer.go.
package edgetelemetry

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// The credential that the simulator takes unless told otherwise.
const (
	DefaultEmail    = "hub@example.com"
	DefaultPassword = "long-enough-4Rt8"
	// DefaultSecret is the base32 of "12345678901234567890", the secret of RFC
	// 6238's test vectors.
	DefaultSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Email, Password string        // default: the constants above
	MFA             bool          // with DefaultSecret
	TokenLife       time.Duration // default an hour
	PerMinute       int           // requests that are no authentication; default 1,000
	AuthPerMinute   int           // authentication; default 10
	MaxLimit        int           // of lists; default none
	Summaries       int           // how many /dashboard/summaries gives; default 1,000
	Unordered       bool          // lists come in any order
}

// An Alert is a rule that fired, as the document shows it.
type Alert struct {
	ID         string         `json:"id"`
	RuleID     string         `json:"alert_rule_id"`
	IncidentID *string        `json:"incident_id"`
	Status     string         `json:"status"` // fired, acknowledged or resolved
	Severity   string         `json:"severity"`
	Title      string         `json:"title"`
	Desc       string         `json:"description"`
	Context    map[string]any `json:"context_data"`
	CreatedAt  time.Time      `json:"created_at"`
}

// An Incident is one of the list.
type Incident struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Desc      string    `json:"description"`
	Severity  string    `json:"severity"`
	Status    string    `json:"status"` // open, investigating or resolved
	RiskScore float64   `json:"risk_score"`
	NodeID    string    `json:"node_id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// A Summary is what an agent sent of a stretch of time.
type Summary struct {
	ID        string    `json:"id"`
	AgentID   string    `json:"agent_id"`
	CreatedAt time.Time `json:"created_at"`
	Events    int       `json:"event_count"`
	Anomalies int       `json:"anomaly_count"`
	RiskScore float64   `json:"risk_score"`
	Text      string    `json:"summary"`
}

// An Entry is one of the audit log, as the document shows it.
type Entry struct {
	ID           string    `json:"id"`
	Timestamp    time.Time `json:"timestamp"`
	UserEmail    string    `json:"user_email"`
	Action       string    `json:"action"`
	ResourceType string    `json:"resource_type"`
	ResourceID   *string   `json:"resource_id"`
	IP           string    `json:"ip_address"`
	Agent        string    `json:"user_agent"`
	Method       string    `json:"request_method"`
	Path         string    `json:"request_path"`
	Status       int       `json:"response_status"`
	Hash         string    `json:"integrity_hash"`

	user string // id of the user
}

// A Node is one of the graph.
type Node struct {
	ID        string         `json:"id"`
	Type      string         `json:"node_type"`
	Label     string         `json:"label"`
	RiskScore float64        `json:"risk_score"`
	Props     map[string]any `json:"properties"`
}

// An Edge is one of the graph.
type Edge struct {
	ID     string `json:"id"`
	Source string `json:"source_id"`
	Target string `json:"target_id"`
	Type   string `json:"edge_type"`
}

// A Sim is the simulated system. It is an [http.Handler] for API and steering.
type Sim struct {
	*unkind.Side
	handler http.Handler
	routes  *http.ServeMux
	options Options

	mu        sync.Mutex // guards all below
	serial    int
	alerts    []*Alert // each list oldest first
	incidents []*Incident
	summaries []*Summary
	audit     []*Entry
	nodes     []Node
	edges     []Edge
	users     []*User
	roles     []*Role
	perms     []Permission
	rules     []*Rule
	channels  []*Channel
	providers []provider
	received  int // summaries ever

	tokens   map[string]grant // by token
	lastCode int64            // the time step of the last code that was taken
	refused  bool
	windows  map[string]*window
}

// New makes a simulator with two users, a rule, a channel, a small graph and
// nothing wrong.
func New(o Options) *Sim {
	o.Email, o.Password = cmp.Or(o.Email, DefaultEmail), cmp.Or(o.Password, DefaultPassword)
	o.TokenLife, o.PerMinute, o.AuthPerMinute = cmp.Or(o.TokenLife, time.Hour), cmp.Or(o.PerMinute, 1000), cmp.Or(o.AuthPerMinute, 10)
	o.Summaries = cmp.Or(o.Summaries, 1000)
	s := &Sim{Side: unkind.New("edgetelemetry", o.Options), options: o, tokens: map[string]grant{}, windows: map[string]*window{}}
	s.furnishAccess()
	s.furnish()
	s.routes = s.mux()
	s.handler = s.Wrap(s.voice(), http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// now is the time as the API tells it, to the second.
func (s *Sim) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

// id makes an id as the document has them.
func (s *Sim) id() string {
	s.serial++
	return fmt.Sprintf("5e1f0000-0000-4000-8000-%012x", s.serial)
}

func (s *Sim) furnish() {
	s.channels = []*Channel{{
		ID: s.id(), Name: "Security Team Slack", Type: "slack", Active: true,
		Config: map[string]any{"webhook_url": "https://hooks.slack.example/services/T0/B0/secret-of-the-channel"},
	}}
	s.rules = []*Rule{{
		ID: s.id(), Name: "High Risk Alert", Desc: "Alert when risk score exceeds threshold", Active: true, Condition: "risk_score_threshold",
		RiskMin: 70, Cooldown: 60, PerHour: 10, channels: []string{s.channels[0].ID},
	}}
	for i, n := range []Node{
		{Type: "identity", Label: "user123"},
		{Type: "device", Label: "gateway-1"},
		{Type: "service", Label: "orders-api"},
		{Type: "database", Label: "orders-db"},
		{Type: "network", Label: "10.1.0.0/16"},
	} {
		n.ID, n.RiskScore, n.Props = s.id(), float64(20*i), map[string]any{"region": "eu"}
		s.nodes = append(s.nodes, n)
	}
	for i, kind := range []string{"authenticates_to", "calls", "reads"} {
		s.edges = append(s.edges, Edge{ID: s.id(), Source: s.nodes[i].ID, Target: s.nodes[i+1].ID, Type: kind})
	}
	s.providers = []provider{
		{ID: s.id(), Name: "Azure AD", Type: "oidc", Issuer: "https://login.idp.example/tenant/v2.0", Scopes: []string{"openid", "email", "profile"}, Active: true, Default: true},
		{ID: s.id(), Name: "Broken", Type: "oidc", Issuer: "https://broken.idp.example", Scopes: []string{"openid"}, Active: true},
	}
}
