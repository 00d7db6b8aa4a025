package vigilare

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A plan is a row of GET /billing/plans.
type plan struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Price        int      `json:"price_usd_month"`
	AccountLimit int      `json:"account_limit"` // 0: none
	ScanInterval int      `json:"scan_interval_minutes"`
	Features     []string `json:"features"`
}

var plans = []plan{
	{"solo", "Solo", 29, 1, 15, []string{"Email alerts", "IAM monitoring", "Billing anomaly detection"}},
	{"team", "Team", 99, 5, 10, []string{"CSV export", "Slack", "PagerDuty"}},
	{"agency", "Agency", 299, 25, 5, []string{"CSV export", "Slack", "PagerDuty"}},
	{"enterprise", "Enterprise", 0, 0, 5, []string{"CSV export", "Slack", "PagerDuty", "Custom rate limits"}},
}

func (s *Sim) plan() plan {
	i := slices.IndexFunc(plans, func(p plan) bool { return p.ID == s.tenant.Plan })
	return plans[max(i, 0)]
}

var awsID = regexp.MustCompile(`^[0-9]{12}$`)

func (s *Sim) connect(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ID          string   `json:"aws_account_id"`
		DisplayName string   `json:"display_name"`
		Tags        []string `json:"tags"`
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if !awsID.MatchString(in.ID) || len([]rune(in.DisplayName)) > 200 {
		s.wrong(w, r, 400, "aws_account_id must have 12 digits, display_name at most 200 characters")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, live := s.accountAt(in.ID), 0
	for _, a := range s.accounts {
		if a.Status != "DISCONNECTED" {
			live++
		}
	}
	limit := s.plan().AccountLimit
	switch {
	case i >= 0 && s.accounts[i].Status != "DISCONNECTED":
		refuse(w, 409, "")
	case limit > 0 && live >= limit:
		refuse(w, 403, "")
	default:
		s.putAccount(Account{ID: in.ID, DisplayName: in.DisplayName, Status: "PENDING", Tags: in.Tags})
		unkind.Answer(w, 201, map[string]string{
			"aws_account_id": in.ID, "external_id": "ext" + s.id(), "sentinel_account_id": "987654321098", "status": "PENDING",
			"terraform_snippet": `module "vigilare_onboarding" { }`, "fallback_cli_script": "aws iam create-role",
		})
	}
}

// account gives the account in the path, or answers 404. The caller holds the lock.
func (s *Sim) account(w http.ResponseWriter, r *http.Request) *Account {
	if i := s.accountAt(r.PathValue("id")); i >= 0 {
		return &s.accounts[i]
	}
	refuse(w, 404, "")
	return nil
}

// active gives the account in the path if it is monitored.
func (s *Sim) active(w http.ResponseWriter, r *http.Request) *Account {
	a := s.account(w, r)
	if a != nil && a.Status != "ACTIVE" {
		refuse(w, 409, "the account is not active")
		return nil
	}
	return a
}

func (s *Sim) verify(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) || !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	a := s.account(w, r)
	if a == nil {
		s.mu.Unlock()
		return
	}
	id := a.ID
	if s.deaf[id] || a.Status == "DISCONNECTED" {
		s.mu.Unlock()
		refuse(w, 422, "")
		return
	}
	first := a.Status != "ACTIVE"
	a.Status = "ACTIVE"
	s.mu.Unlock()
	if first {
		s.SetScore(id, 100)
	}
	unkind.Answer(w, 200, map[string]string{"aws_account_id": id, "status": "ACTIVE", "first_scan_execution_arn": execution(id)})
}

func execution(id string) string { return "arn:aws:states:us-east-1:987654321098:execution:scan:" + id }

// listed is an account as the list shows it.
type listed struct {
	ID          string     `json:"aws_account_id"`
	DisplayName string     `json:"display_name"`
	Status      string     `json:"status"`
	SRS         *int       `json:"current_srs"`
	LastScanAt  *time.Time `json:"last_scan_at"`
	Tags        []string   `json:"tags"`
}

func (s *Sim) listAccounts(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []listed{}
	for _, a := range s.accounts {
		out = append(out, listed{a.ID, a.DisplayName, a.Status, a.SRS, a.LastScanAt, a.Tags})
	}
	unkind.Answer(w, 200, map[string]any{"accounts": out, "total": len(out)})
}

func (s *Sim) getAccount(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.account(w, r); a != nil {
		unkind.Answer(w, 200, a)
	}
}

func (s *Sim) disconnect(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.account(w, r); a != nil {
		a.Status = "DISCONNECTED"
		unkind.Answer(w, 200, map[string]string{"message": "Account disconnected"})
	}
}

func (s *Sim) scoreHistory(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "days") {
		return
	}
	days, ok := s.number(w, r, "days", 30, 1, 3650)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(w, r)
	if a == nil {
		return
	}
	type day struct {
		Date string `json:"date"`
		SRS  int    `json:"srs"`
	}
	out := []day{}
	for i := range days {
		date := s.Now().UTC().AddDate(0, 0, -i).Format(time.DateOnly)
		if srs, known := s.history[a.ID][date]; known {
			out = append(out, day{date, srs})
		}
	}
	unkind.Answer(w, 200, map[string]any{"history": out})
}

func (s *Sim) recoveryChecklist(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.account(w, r); a != nil {
		unkind.Answer(w, 200, map[string]any{"checklist": s.checklist(a.ID)})
	}
}

func (s *Sim) scan(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) || !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.active(w, r)
	if a == nil {
		return
	}
	perHour := 60
	if s.tenant.Plan == "solo" {
		perHour = 4
	}
	now := s.Now()
	recent := slices.DeleteFunc(s.scans[a.ID], func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	if len(recent) >= perHour {
		s.throttle(w, "scans of "+a.ID, recent[0].Add(time.Hour).Sub(now))
		return
	}
	s.scans[a.ID] = append(recent, now)
	at := s.now()
	a.LastScanAt, a.LastSuccessAt = &at, &at
	unkind.Answer(w, 202, map[string]string{"message": "Scan started", "execution_arn": execution(a.ID)})
}

func (s *Sim) panic(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) || !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(w, r)
	if a == nil {
		return
	}
	s.packages++
	unkind.Answer(w, 200, map[string]string{
		"message":      "Panic package generated",
		"download_url": fmt.Sprintf("https://s3.amazonaws.com/vigilare-panic/%s-%d.zip?X-Amz-Expires=900&X-Amz-Signature=6b1f", a.ID, s.packages),
	})
}

func (s *Sim) export(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tenant.Plan == "solo" {
		refuse(w, 403, "")
		return
	}
	a := s.account(w, r)
	if a == nil {
		return
	}
	w.Header().Set("Content-Type", "text/csv")
	w.Header().Set("Content-Disposition", `attachment; filename="`+a.ID+`.csv"`)
	out := csv.NewWriter(w)
	rows := [][]string{{"signal_id", "scenario", "severity", "title", "description", "detected_at", "resolved_at"}}
	for _, g := range s.signals[a.ID] {
		resolved := ""
		if g.ResolvedAt != nil {
			resolved = g.ResolvedAt.Format(time.RFC3339)
		}
		rows = append(rows, []string{g.ID, g.Scenario, g.Severity, g.Title, g.Description, g.DetectedAt.Format(time.RFC3339), resolved})
	}
	_ = out.WriteAll(rows) // into memory
}

func (s *Sim) listPlans(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		unkind.Answer(w, 200, map[string]any{"plans": plans})
	}
}

func (s *Sim) checkout(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Plan    string `json:"plan_id"`
		Success string `json:"success_url"`
		Cancel  string `json:"cancel_url"`
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if !slices.ContainsFunc(plans, func(p plan) bool { return p.ID == in.Plan }) || in.Success == "" || in.Cancel == "" {
		s.wrong(w, r, 400, "plan_id, success_url and cancel_url are required")
		return
	}
	unkind.Answer(w, 200, map[string]string{"checkout_url": "https://checkout.stripe.com/pay/cs_test"})
}

func (s *Sim) portal(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		unkind.Answer(w, 200, map[string]string{"portal_url": "https://billing.stripe.com/session/test"})
	}
}

func (s *Sim) slack(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r) {
		unkind.Answer(w, 200, map[string]string{"oauth_url": "https://slack.com/oauth/v2/authorize?client_id=1"})
	}
}
