package edgetelemetry

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// An envelope is around every answer but those of /health and /ready.
type envelope struct {
	Success *bool          `json:"success"`
	Data    jsontext.Value `json:"data"`
	Error   jsontext.Value `json:"error"`
}

// open takes an answer out of its envelope. One that says that it failed although
// its status does not is an error: of a read, to be tried again; of a write, a
// refusal.
func open(method string, a connectors.Answer) (jsontext.Value, error) {
	body := jsontext.Value(a.Body)
	var e envelope
	if body.Kind() == '[' {
		return body, nil
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, hub.Wrap(hub.Transient, err, vendor+" sent an answer that cannot be read; check base_url")
	}
	if e.Success != nil && !*e.Success {
		kind := hub.Invalid
		if method == http.MethodGet {
			kind = hub.Transient
		}
		return nil, hub.E(kind, vendor+" answered "+strconv.Itoa(a.Status)+" and says that it failed: "+connectors.Quote(connectors.Text(e.Error)))
	}
	if e.Data == nil {
		return body, nil
	}
	return e.Data, nil
}

// get asks for one thing.
func (s *Source) get(ctx context.Context, path string, query url.Values) (data jsontext.Value, at time.Time, err error) {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return nil, time.Time{}, err
	}
	s.note(answer)
	data, err = open(http.MethodGet, answer)
	return data, answer.At, err
}

// list asks for a list.
func (s *Source) list(ctx context.Context, path string, query url.Values) (items []jsontext.Value, at time.Time, err error) {
	data, at, err := s.get(ctx, path, query)
	if err != nil {
		return nil, at, err
	}
	items, ok := listIn(data)
	if !ok {
		return nil, at, hub.E(hub.Transient, vendor+" sent an answer to "+path+" that is no list")
	}
	return items, at, nil
}

// listIn gives the list that data is, or that is the only one in it: the document
// does not show every answer. null is an empty one.
func listIn(data jsontext.Value) (items []jsontext.Value, ok bool) {
	switch data.Kind() {
	case 'n':
		return nil, true
	case '[':
		return items, json.Unmarshal(data, &items) == nil
	}
	members := map[string]jsontext.Value{}
	if json.Unmarshal(data, &members) != nil {
		return nil, false
	}
	lists := 0
	for _, v := range members {
		if v.Kind() == '[' && json.Unmarshal(v, &items) == nil {
			lists++
		}
	}
	return items, lists == 1
}

// explain turns the statuses of the document into words that say what to do.
func explain(c connectors.Call, status int, body []byte) *hub.Error {
	var e envelope
	_ = json.Unmarshal(body, &e) // without their words, ours stand alone
	text, theirs := connectors.Text(e.Error), ""
	if text != "" && text != "null" {
		theirs = ": " + connectors.Quote(text)
	}
	done := (status == http.StatusBadRequest || status == http.StatusUnprocessableEntity || status == http.StatusConflict) && saysDone(text)
	switch {
	case done:
		return hub.E(hub.Conflict, "it is so already"+theirs)
	case status == http.StatusBadRequest:
		return hub.E(hub.Invalid, vendor+" refused the request"+theirs)
	case status == http.StatusUnauthorized && c.Path == "/auth/login":
		return hub.E(hub.Unauthorized, vendor+" does not accept the login; put the right email, password and totp_secret into the connector's settings"+theirs)
	case status == http.StatusUnauthorized:
		return hub.E(hub.Unauthorized, vendor+" does not accept a token that it has just given")
	case status == http.StatusForbidden:
		return hub.E(hub.Forbidden, "the hub's user at "+vendor+" lacks a permission"+lacking(c)+theirs)
	case status == http.StatusNotFound:
		return hub.E(hub.NotFound, vendor+" has nothing at "+c.Path+"; if it should be there, check base_url, which ends with /api/v1"+theirs)
	case status == http.StatusUnprocessableEntity:
		return hub.E(hub.Invalid, vendor+" finds the parameters not valid"+theirs)
	case status == http.StatusBadGateway && strings.HasPrefix(c.Path, "/auth/"):
		return hub.E(hub.Transient, vendor+" could not reach its SSO provider; use a local user for the hub if that stays"+theirs)
	case status >= 500 && theirs != "":
		return hub.E(hub.Transient, vendor+" failed with "+strconv.Itoa(status)+"; the connector tries again by itself"+theirs)
	}
	return nil
}

// saysDone reports whether a refusal says that things are as they should be.
func saysDone(text string) bool {
	text = strings.ToLower(text)
	for _, word := range []string{"already", "taken", "exists", "duplicate"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// resources name the permissions that paths take, as far as the document tells.
var resources = []struct{ prefix, resource string }{
	{"/users", "users"},
	{"/roles", "roles"},
	{"/alerting/rules", "alert_rules"},
	{"/alerting/channels", "alert_channels"},
	{"/alerting/alerts", "alerts"},
	{"/audit", "audit_logs"},
	{"/dashboard/incidents", "incidents"},
	{"/dashboard", "summaries"},
	{"/incidents", "incidents"},
	{"/graph", "incidents"},
}

func lacking(c connectors.Call) string {
	action := "read"
	switch rest := strings.Split(strings.Trim(c.Path, "/"), "/"); {
	case c.Method == http.MethodPost && (len(rest) > 3 || len(rest) == 3 && rest[0] != "alerting"):
		action = "update" // of something that is there
	case c.Method == http.MethodPost:
		action = "create"
	case c.Method == http.MethodDelete && strings.Contains(c.Path, "/roles/") && strings.HasPrefix(c.Path, "/users/"):
		action = "update"
	case c.Method == http.MethodDelete:
		action = "delete"
	}
	for _, r := range resources {
		if strings.HasPrefix(c.Path, r.prefix) {
			return ", by the document " + r.resource + ":" + action + "; give its role that"
		}
	}
	return ""
}

// keep remembers what EdgeAI said of itself, for Report.
func (s *Source) keep(name string, said jsontext.Value) {
	if said.Kind() != '{' {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[name] = slices.Clone(said)
}

// miss remembers what cannot be read, and logs it once.
func (s *Source) miss(name, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed[name] != why {
		s.log.Warn("something cannot be read and is left out", "what", name, "why", why)
	}
	s.missed[name] = why
}

func (s *Source) found(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missed, name)
}

// Report gives the dashboard's metrics, the hub's user with its permissions, the
// service's version and health, and what cannot be read.
func (s *Source) Report() jsontext.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.said)+len(s.missed) == 0 {
		return nil
	}
	all := maps.Clone(s.said)
	if len(s.missed) > 0 {
		left, err := json.Marshal(s.missed, json.Deterministic(true))
		if err == nil {
			all["left_out"] = left
		}
	}
	report, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return report
}

// Test asks who we are, and for one alert.
func (s *Source) Test(ctx context.Context) error {
	if err := s.whoami(ctx, true); err != nil {
		return err
	}
	_, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: "/alerting/alerts", Query: url.Values{"limit": {"1"}}, Urgent: true})
	return err
}

// whoami keeps what the hub's user is and may.
func (s *Source) whoami(ctx context.Context, urgent bool) error {
	if err := s.pace.take(time.Now()); err != nil {
		return err
	}
	answer, err := s.auth.Do(ctx, connectors.Call{Method: http.MethodGet, Path: "/auth/me", Urgent: urgent})
	if err != nil {
		return err
	}
	data, err := open(http.MethodGet, answer)
	if err == nil {
		s.keep("user", data)
	}
	return err
}
