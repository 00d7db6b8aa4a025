// Package vigilare simulates the Vigilare REST API as its document describes
// it, for tests, hubsim and the demo.
//
// What the document says is enforced to the letter: paths and methods, the
// fields of each body with their bounds and words, which plan may do what, who
// may change whom, the life of an id_token (expires_in seconds; the
// access_token is none), {"error": …} with the document's words for each
// status. Where it is silent the simulator decides as follows, and a client
// should not lean on it:
//
//   - lists are sorted newest first, and a next_token names an offset, so that
//     items shift when others are added while somebody pages;
//   - since compares detected_at, and is exclusive;
//   - a tenant may make 300 requests a minute; manual scans are 4 an hour on
//     Solo, 60 on other plans; 429 has Retry-After, in seconds;
//   - an account that is disconnected stays in the list; connecting it again
//     starts anew; a scan of one that is not active is refused with 409;
//   - a rule fires when an account's score falls below min_srs, or a signal of
//     one of its scenarios is detected while no alert of the rule waits for an
//     acknowledgement there; a rule without scenarios is for all of them;
//   - an alert that is acknowledged again keeps its first acknowledged_at;
//   - unknown fields and unknown parameters are refused with 400.
//
// It imports nothing of ours but [unkind]. Everything that breaks the document
// is a violation; a request before the time given in Retry-After too.
//
// To steer it, beside what package unkind offers:
//
//	POST /_sim/accounts    {"account": {…}}                       adds or replaces one
//	POST /_sim/signals     {"count": 10} or {"account_id", "signal": {…}}
//	GET  /_sim/signals     all of them, by account
//	POST /_sim/resolve     {"signal_id", "open": false}           or opens it again
//	POST /_sim/change      {"signal_id", "severity"}
//	POST /_sim/score       {"account_id", "srs", "date"}          today's if no date
//	GET  /_sim/alerts      all of them
//	POST /_sim/ack         {"alert_id"}                           as a person does there
//	PUT  /_sim/plan        {"plan"}
//	PUT  /_sim/role        {"role"}                               of who logs in
//	PUT  /_sim/assumable   {"account_id", "assumable": false}     verify answers 422
//	PUT  /_sim/login       {"refused": true}                      ends every token too
//	POST /_sim/expire      ends every token; the next login works
package vigilare

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
	DefaultEmail    = "alice@example.com"
	DefaultPassword = "long-enough-7Gd2"
)

// DefaultAccount is connected from the start.
const DefaultAccount = "123456789012"

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Email, Password string        // default: the constants above
	Plan            string        // solo, team (default), agency or enterprise
	TokenLife       time.Duration // default an hour
	PerMinute       int           // requests; default 300
}

// An Account is one AWS account.
type Account struct {
	ID            string     `json:"aws_account_id"`
	DisplayName   string     `json:"display_name"`
	Status        string     `json:"status"` // PENDING, ACTIVE or DISCONNECTED
	SRS           *int       `json:"current_srs"`
	ConnectedAt   time.Time  `json:"connected_at"`
	LastScanAt    *time.Time `json:"last_scan_at"`
	LastSuccessAt *time.Time `json:"last_successful_scan_at"`
	Tags          []string   `json:"tags"`
}

// A Signal is one finding of an account.
type Signal struct {
	ID          string     `json:"signal_id"`
	Scenario    string     `json:"scenario"`
	Severity    string     `json:"severity"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	DetectedAt  time.Time  `json:"detected_at"`
	ResolvedAt  *time.Time `json:"resolved_at"`
}

// An Alert is a rule that fired.
type Alert struct {
	ID             string     `json:"alert_id"`
	AccountID      string     `json:"aws_account_id"`
	RuleID         string     `json:"rule_id"`
	SRS            int        `json:"srs_at_trigger"`
	Scenarios      []string   `json:"scenarios_triggered"`
	FiredAt        time.Time  `json:"fired_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
}

// A Sim is the simulated system. It is an [http.Handler] for API and steering.
type Sim struct {
	*unkind.Side
	handler http.Handler
	routes  *http.ServeMux
	options Options

	mu       sync.Mutex // guards all below
	serial   int
	tenant   tenant
	users    []User
	accounts []Account
	signals  map[string][]Signal // by account, newest first
	history  map[string]map[string]int
	alerts   []Alert // newest first
	rules    []Rule
	tokens   map[string]time.Time // by id_token: its end
	access   map[string]bool      // access tokens, which are not for this
	refused  bool                 // logins
	deaf     map[string]bool      // accounts whose role cannot be assumed
	used     []time.Time          // requests of the last minute
	scans    map[string][]time.Time
	packages int
}

// New makes a simulator with one account, one rule and three users.
func New(o Options) *Sim {
	o.Email, o.Password = cmp.Or(o.Email, DefaultEmail), cmp.Or(o.Password, DefaultPassword)
	o.Plan, o.TokenLife, o.PerMinute = cmp.Or(o.Plan, "team"), cmp.Or(o.TokenLife, time.Hour), cmp.Or(o.PerMinute, 300)
	s := &Sim{
		Side: unkind.New("vigilare", o.Options), options: o, signals: map[string][]Signal{}, history: map[string]map[string]int{},
		tokens: map[string]time.Time{}, access: map[string]bool{}, deaf: map[string]bool{}, scans: map[string][]time.Time{},
	}
	s.tenant = tenant{ID: s.id(), Name: "Acme Inc", Plan: o.Plan, Status: "active", CreatedAt: s.now()}
	s.users = []User{
		{ID: s.id(), Email: o.Email, Name: "Alice", Role: "owner", CreatedAt: s.now()},
		{ID: s.id(), Email: "bob@example.com", Name: "Bob", Role: "admin", CreatedAt: s.now()},
		{ID: s.id(), Email: "carol@example.com", Name: "Carol", Role: "viewer", CreatedAt: s.now()},
	}
	s.rules = []Rule{{
		ID: s.id(), Name: "Critical alerts to PagerDuty", MinSRS: 50, Scenarios: []string{"iam", "billing"}, Enabled: true,
		Channels: []Channel{{"type": "pagerduty", "routing_key": "abc123"}}, CreatedAt: s.now(),
	}}
	s.PutAccount(Account{ID: DefaultAccount, DisplayName: "Production", Status: "ACTIVE", Tags: []string{"prod"}})
	s.SetScore(DefaultAccount, 82)
	s.routes = s.mux()
	s.handler = s.Wrap(s.voice(), http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// now is the time as the API tells it, to the second.
func (s *Sim) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

// id makes an id as the document shows them.
func (s *Sim) id() string {
	s.serial++
	return fmt.Sprintf("01JABCDE%018d", s.serial)
}

// PutAccount adds an account, or puts it in the place of the one with its id.
func (s *Sim) PutAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putAccount(a)
}

func (s *Sim) putAccount(a Account) {
	if a.ConnectedAt.IsZero() {
		a.ConnectedAt = s.now()
	}
	if a.Tags == nil {
		a.Tags = []string{}
	}
	if i := s.accountAt(a.ID); i >= 0 {
		s.accounts[i] = a
		return
	}
	s.accounts = append(s.accounts, a)
}

func (s *Sim) accountAt(id string) int {
	return slices.IndexFunc(s.accounts, func(a Account) bool { return a.ID == id })
}

// Accounts gives every account.
func (s *Sim) Accounts() []Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accounts)
}

// Users gives every user.
func (s *Sim) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.users)
}

// Rules gives every alert rule.
func (s *Sim) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rules)
}

// Alerts gives every alert, newest first.
func (s *Sim) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.alerts)
}

// Packages is how many panic packages were made.
func (s *Sim) Packages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packages
}

// Expire ends every token, as if its time were over.
func (s *Sim) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Refuse ends every token and refuses logins, until told otherwise.
func (s *Sim) Refuse(refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused = refused; refused {
		clear(s.tokens)
	}
}

// SetPlan changes the tenant's plan.
func (s *Sim) SetPlan(plan string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenant.Plan = plan
}

// SetRole changes the role of who logs in.
func (s *Sim) SetRole(role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[0].Role = role
}

// SetAssumable says whether verify can assume an account's role.
func (s *Sim) SetAssumable(account string, can bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf[account] = !can
}
