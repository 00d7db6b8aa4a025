package echelongraph

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) register(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Provider  string
		AccountID string `json:"account_id"`
		Name      string
		RoleARN   string `json:"role_arn"`
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if !slices.Contains([]string{"aws", "azure", "gcp"}, in.Provider) || in.AccountID == "" {
		s.wrong(w, r, 422, "provider must be aws, azure or gcp; account_id is required.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.accounts, func(a Account) bool { return a.Provider == in.Provider && a.AccountID == in.AccountID }) {
		refuse(w, 409, "The account is registered already.")
		return
	}
	a := Account{ID: s.id("acc"), Provider: in.Provider, AccountID: in.AccountID, Name: in.Name, Status: "pending", CreatedAt: s.now()}
	s.accounts = slices.Insert(s.accounts, 0, a)
	s.log(Entry{Action: "config.account_registered", User: s.options.Email, Resource: a.ID})
	unkind.Answer(w, 201, a)
}

func (s *Sim) accountAt(w http.ResponseWriter, r *http.Request) int {
	i := slices.IndexFunc(s.accounts, func(a Account) bool { return a.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, 404, "There is no such account.")
	}
	return i
}

func (s *Sim) patchAccount(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name    *string
		Enabled *bool
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.accountAt(w, r)
	if i < 0 {
		return
	}
	if in.Name != nil {
		s.accounts[i].Name = *in.Name
	}
	if in.Enabled != nil {
		s.accounts[i].Status = map[bool]string{true: "connected", false: "disabled"}[*in.Enabled]
	}
	unkind.Answer(w, 200, s.accounts[i])
}

func (s *Sim) deleteAccount(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.accountAt(w, r); i >= 0 {
		s.accounts = slices.Delete(s.accounts, i, i+1)
		w.WriteHeader(204)
	}
}

// An edit is the body of a PATCH of an item.
type edit struct {
	Status   string `json:"status"`
	Severity string `json:"severity"`
	Note     string `json:"note"`
}

// patch changes an item of one of the lists and answers with it.
func (s *Sim) patch(w http.ResponseWriter, r *http.Request, lists ...string) {
	var in edit
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.Status != "" && !slices.Contains(statuses[lists[0]], in.Status) || in.Severity != "" && !slices.Contains(severities, in.Severity) {
		s.wrong(w, r, 422, "status or severity is none.")
		return
	}
	for _, list := range lists {
		if s.Change(list, r.PathValue("id"), in.Status, in.Severity) {
			s.mu.Lock()
			defer s.mu.Unlock()
			unkind.Answer(w, 200, s.find(list, r.PathValue("id")))
			return
		}
	}
	refuse(w, 404, "There is no such item.")
}

func (s *Sim) patchAlert(w http.ResponseWriter, r *http.Request) {
	s.patch(w, r, "alerts", "detections")
}
func (s *Sim) patchIncident(w http.ResponseWriter, r *http.Request) { s.patch(w, r, "incidents") }

func (s *Sim) createIncident(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Severity    string   `json:"severity"`
		AlertIDs    []string `json:"alert_ids"`
		AssetID     string   `json:"asset_id"`
	}
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if in.Title == "" || !slices.Contains(severities, in.Severity) {
		s.wrong(w, r, 422, "title and severity are required.")
		return
	}
	x := s.AddItem("incidents", Item{Title: in.Title, Description: in.Description, Severity: in.Severity, AlertIDs: in.AlertIDs, AssetID: in.AssetID})
	unkind.Answer(w, 201, x)
}

func (s *Sim) remedy(w http.ResponseWriter, r *http.Request) *Item {
	x := s.find("vulnerabilities", r.PathValue("id"))
	if x == nil {
		refuse(w, 404, "There is no such vulnerability.")
	}
	return x
}

func (s *Sim) getRemedy(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.remedy(w, r); x != nil {
		unkind.Answer(w, 200, x.remedy)
	}
}

func (s *Sim) patchRemedy(w http.ResponseWriter, r *http.Request) {
	var in struct{ Status, Note string }
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	progress, ok := map[string]int{"not_started": 0, "in_progress": 50, "completed": 100}[in.Status]
	if !ok {
		s.wrong(w, r, 422, "status must be not_started, in_progress or completed.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.remedy(w, r); x != nil {
		x.remedy.Status, x.remedy.Progress = in.Status, progress
		unkind.Answer(w, 200, x.remedy)
	}
}

func (s *Sim) createReport(w http.ResponseWriter, r *http.Request) {
	var in Report
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	bad := !slices.Contains([]string{"executive", "compliance", "vulnerability", "asset"}, in.Type) ||
		!slices.Contains([]string{"pdf", "csv", "json"}, in.Format) || in.ID+in.Status+in.URL != ""
	for _, day := range []string{in.From, in.To} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			bad = true
		}
	}
	if bad {
		s.wrong(w, r, 422, "type, format or the range of dates is not valid.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in.ID, in.Status = s.id("rep"), "pending"
	s.reports[in.ID] = &in
	unkind.Answer(w, 202, in)
}

func (s *Sim) getReport(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rep := s.reports[r.PathValue("id")]
	if rep == nil {
		refuse(w, 404, "There is no such report.")
		return
	}
	rep.Status, rep.URL = "ready", "https://reports.example/"+rep.ID+"."+rep.Format
	unkind.Answer(w, 200, rep)
}

// A Hook is a webhook endpoint.
type Hook struct {
	ID     string   `json:"id"`
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Secret string   `json:"secret,omitempty"`
}

var hookEvents = []string{"alert.created", "alert.resolved", "scan.completed", "incident.created", "compliance.drift"}

func (s *Sim) listHooks(w http.ResponseWriter, r *http.Request) {
	if s.query(w, r, "page", "limit") {
		s.mu.Lock()
		defer s.mu.Unlock()
		hidden := slices.Clone(s.hooks)
		for i := range hidden {
			hidden[i].Secret = ""
		}
		page(s, w, r, hidden)
	}
}

func (s *Sim) createHook(w http.ResponseWriter, r *http.Request) {
	var in Hook
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	u, err := url.Parse(in.URL)
	if err != nil || u.Host == "" || in.ID != "" || slices.ContainsFunc(in.Events, func(e string) bool { return !slices.Contains(hookEvents, e) }) {
		s.wrong(w, r, 422, "url or events are not valid.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in.ID = s.id("whk")
	if in.Secret == "" {
		in.Secret = s.id("whsec")
	}
	s.hooks = append(s.hooks, in)
	unkind.Answer(w, 201, in)
}

func (s *Sim) deleteHook(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.hooks)
	s.hooks = slices.DeleteFunc(s.hooks, func(h Hook) bool { return h.ID == r.PathValue("id") })
	if len(s.hooks) == before {
		refuse(w, 404, "There is no such webhook.")
		return
	}
	w.WriteHeader(204)
}
