package vigilare

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// pageLimit is the most that the API gives in one page.
const pageLimit = "200"

// login gives an id_token. The document has no call that takes a refresh_token,
// so a token that ends is replaced by another login.
func (s *Source) login(ctx context.Context) (connectors.Tokens, error) {
	body, err := json.Marshal(map[string]string{"email": s.cfg.Email, "password": s.cfg.Password.Reveal()}, json.Deterministic(true))
	if err != nil {
		return connectors.Tokens{}, hub.Wrap(hub.Invalid, err, "email and password cannot be sent as JSON")
	}
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodPost, Path: "/auth/login", Body: body, Open: true, Urgent: true})
	if err != nil {
		return connectors.Tokens{}, err
	}
	var out struct {
		IDToken   secret.Secret `json:"id_token"`
		ExpiresIn int64         `json:"expires_in"`
	}
	if err := json.Unmarshal(answer.Body, &out); err != nil || out.IDToken.IsZero() {
		return connectors.Tokens{}, hub.E(hub.Transient, "Vigilare answered a login without an id_token; check base_url")
	}
	t := connectors.Tokens{Access: out.IDToken}
	if out.ExpiresIn > 0 {
		t.Expires = time.Now().Add(time.Duration(min(out.ExpiresIn, 1<<20)) * time.Second)
	}
	return t, nil
}

// get asks for one thing and decodes the answer.
func (s *Source) get(ctx context.Context, path string, query url.Values, into any) (connectors.Answer, error) {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return answer, hub.Wrap(hub.Transient, err, "Vigilare sent an answer to "+path+" that cannot be read")
	}
	return answer, nil
}

// A refusal is the body of every error.
type refusal struct {
	Error  string `json:"error"`
	Detail string `json:"detail"`
}

// explain turns the statuses of the document into words that say what to do.
func explain(c connectors.Call, status int, body []byte) *hub.Error {
	var r refusal
	_ = json.Unmarshal(body, &r) // without their words, ours stand alone
	theirs := ""
	if r.Error != "" {
		theirs = ": " + connectors.Quote(r.Error)
	}
	if r.Detail != "" {
		theirs += " (" + connectors.Quote(r.Detail) + ")"
	}
	switch status {
	case http.StatusBadRequest:
		return hub.E(hub.Invalid, "Vigilare refused the request"+theirs)
	case http.StatusUnauthorized:
		if c.Open {
			return hub.E(hub.Unauthorized, "Vigilare does not accept email and password; put the right ones into the connector's settings")
		}
		return hub.E(hub.Unauthorized, "Vigilare does not accept a token that it has just given")
	case http.StatusForbidden:
		return hub.E(hub.Forbidden, "the user's role or the tenant's plan does not allow this"+theirs)
	case http.StatusNotFound:
		return hub.E(hub.NotFound, "Vigilare has no such thing at "+c.Path+"; if it should be there, check base_url")
	case http.StatusConflict:
		return hub.E(hub.Conflict, "it is there already"+theirs)
	case http.StatusUnprocessableEntity:
		return hub.E(hub.Invalid, "Vigilare could not assume the account's role; apply the Terraform snippet or script that connect_account gave, then verify again"+theirs)
	}
	return nil
}

// An account is an AWS account as the list shows it.
type account struct {
	ID          string   `json:"aws_account_id"`
	DisplayName string   `json:"display_name"`
	Status      string   `json:"status"`
	SRS         *float64 `json:"current_srs"`
	LastScanAt  string   `json:"last_scan_at"`
	Tags        []string `json:"tags"`

	raw jsontext.Value
}

// name is how people know the account.
func (a account) name() string {
	if a.DisplayName != "" {
		return a.DisplayName
	}
	return "AWS account " + a.ID
}

func (s *Source) listAccounts(ctx context.Context) ([]account, time.Time, error) {
	var out struct {
		Accounts []jsontext.Value `json:"accounts"`
	}
	answer, err := s.get(ctx, "/accounts", nil, &out)
	if err != nil {
		return nil, time.Time{}, err
	}
	var accounts []account
	for _, raw := range out.Accounts {
		a := account{raw: raw}
		if json.Unmarshal(raw, &a) == nil && plain(a.ID) {
			accounts = append(accounts, a)
		}
	}
	if len(accounts) < len(out.Accounts) {
		s.log.Warn("accounts without a usable id were left out", "count", len(out.Accounts)-len(accounts))
	}
	return accounts, answer.At, nil
}

// plain keeps an account id that came from outside from leading to another path.
func plain(id string) bool {
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_' {
			return false
		}
	}
	return id != ""
}

// A step is one of a recovery checklist.
type step struct {
	Step        int    `json:"step"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	DocsURL     string `json:"docs_url,omitempty"`
}

// fetchChecklist gives what to do for an account; none where there is none.
func (s *Source) fetchChecklist(ctx context.Context, account string) ([]step, error) {
	var out struct {
		Checklist []step `json:"checklist"`
	}
	_, err := s.get(ctx, "/accounts/"+account+"/recovery-checklist", nil, &out)
	if hub.KindOf(err) == hub.NotFound || hub.KindOf(err) == hub.Forbidden {
		return nil, nil // a finding without a checklist is better than none
	}
	return out.Checklist, err
}

// A score is a day of an account's history.
type score struct {
	Date string  `json:"date"`
	SRS  float64 `json:"srs"`
}

func (s *Source) fetchHistory(ctx context.Context, account string, days int) ([]score, error) {
	var out struct {
		History []score `json:"history"`
	}
	_, err := s.get(ctx, "/accounts/"+account+"/score-history", url.Values{"days": {fmt.Sprint(days)}}, &out)
	return out.History, err
}

// fetchMe asks who we are, and keeps the answer for Report.
func (s *Source) fetchMe(ctx context.Context, urgent bool) (me, error) {
	var m me
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: "/me", Urgent: urgent})
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(answer.Body, &m); err != nil || m.Tenant.ID == "" {
		return m, hub.E(hub.Transient, "Vigilare sent an answer to /me that cannot be read; check base_url")
	}
	report, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		return m, hub.Wrap(hub.Transient, err, "Vigilare sent an answer to /me that cannot be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = report
	return m, nil
}

// me is who we are at Vigilare.
type me struct {
	User struct {
		Email string `json:"email"`
		Role  string `json:"role"`
	} `json:"user"`
	Tenant struct {
		ID     string `json:"tenant_id"`
		Name   string `json:"name"`
		Plan   string `json:"plan"`
		Status string `json:"status"`
	} `json:"tenant"`
}

// Report gives what GET /me said last: user and tenant with its plan.
func (s *Source) Report() jsontext.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Test asks who we are.
func (s *Source) Test(ctx context.Context) error {
	_, err := s.fetchMe(ctx, true)
	return err
}
