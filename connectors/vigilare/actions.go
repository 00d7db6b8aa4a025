package vigilare

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Names of the actions that need more than their call.
const (
	actionAck        = "vigilare.acknowledge"
	actionConnect    = "vigilare.connect_account"
	actionInvite     = "vigilare.invite_user"
	actionCreateRule = "vigilare.create_alert_rule"
	actionExport     = "vigilare.export_findings"
)

func text(name, doc string) connectors.ParamSpec {
	return connectors.ParamSpec{Name: name, Type: connectors.ParamString, Doc: doc}
}

func needed(p connectors.ParamSpec) connectors.ParamSpec { p.Required = true; return p }

func typed(p connectors.ParamSpec, t connectors.ParamType) connectors.ParamSpec {
	p.Type = t
	return p
}

func oneOf(p connectors.ParamSpec, words ...string) connectors.ParamSpec { p.Enum = words; return p }

// endpoints are the calls of the document that playbooks may make.
func endpoints() []connectors.Endpoint {
	account := needed(text("account_id", "12-digit AWS account id"))
	rule, user := needed(text("rule_id", "of the alert rule")), needed(text("user_id", "of the team member"))
	of := func(name, doc, method, path string, params ...connectors.ParamSpec) connectors.Endpoint {
		return connectors.Endpoint{ActionSpec: connectors.ActionSpec{Name: name, Doc: doc, Params: params}, Method: method, Path: path, Check: check}
	}
	scenarios := typed(text("scenarios", "none: all of them"), connectors.ParamArray)
	minSRS := typed(text("min_srs", "0 to 100: fires when the score falls below; 40 if not given"), connectors.ParamNumber)
	channels := typed(text("channels", "objects with type email, slack or pagerduty"), connectors.ParamArray)
	enabled := typed(text("enabled", "true if not given"), connectors.ParamBoolean)
	return []connectors.Endpoint{
		of(actionAck, "acknowledges an alert at Vigilare", "POST", "/alerts/{alert_id}/ack", needed(text("alert_id", "the label vigilare_alert_id"))),
		of("vigilare.scan", "starts a manual scan of an account", "POST", "/accounts/{account_id}/scan", account),
		of("vigilare.panic_package", "makes an emergency package of an account; its link lives 15 minutes", "POST", "/accounts/{account_id}/panic", account),
		of(actionExport, "exports an account's findings as CSV (Team plan and up)", "GET", "/accounts/{account_id}/export", account),
		of(actionConnect, "connects an AWS account; verify it once its role is there", "POST", "/accounts",
			needed(text("aws_account_id", "12 digits")), text("display_name", "at most 200 characters"), typed(text("tags", "texts"), connectors.ParamArray)),
		of("vigilare.verify_account", "checks an account's role and starts to watch it", "POST", "/accounts/{account_id}/verify", account),
		of("vigilare.disconnect_account", "stops watching an account", "DELETE", "/accounts/{account_id}", account),
		of(actionCreateRule, "creates an alert rule at Vigilare", "POST", "/alert-rules",
			needed(text("name", "1 to 200 characters")), needed(channels), minSRS, scenarios, enabled),
		of("vigilare.update_alert_rule", "changes an alert rule at Vigilare", "PATCH", "/alert-rules/{rule_id}",
			rule, text("name", "1 to 200 characters"), minSRS, scenarios, channels, enabled),
		of("vigilare.delete_alert_rule", "deletes an alert rule at Vigilare", "DELETE", "/alert-rules/{rule_id}", rule),
		of(actionInvite, "invites somebody to the team", "POST", "/users/invite",
			needed(text("email", "")), needed(text("name", "")), oneOf(text("role", "member if not given"), "admin", "member", "viewer")),
		of("vigilare.set_user_role", "changes a team member's role", "PATCH", "/users/{user_id}", user, needed(oneOf(text("role", ""), "admin", "member", "viewer"))),
		of("vigilare.remove_user", "removes a team member", "DELETE", "/users/{user_id}", user),
		of("vigilare.update_profile", "changes the name of the hub's own user", "PATCH", "/me", needed(text("name", "1 to 200 characters"))),
	}
}

// Actions lists what Vigilare does for playbooks.
func (*Source) Actions() []connectors.ActionSpec { return connectors.Specs(endpoints()) }

var twelveDigits = regexp.MustCompile(`^[0-9]{12}$`)

// check keeps the document's bounds, so that a mistake is told before the call.
func check(params map[string]jsontext.Value) error {
	for name, v := range params {
		fault := ""
		switch word := connectors.Text(v); name {
		case "account_id", "aws_account_id":
			if !twelveDigits.MatchString(word) {
				fault = "want 12 digits"
			}
		case "name":
			if n := len([]rune(word)); n < 1 || n > 200 {
				fault = "want 1 to 200 characters"
			}
		case "display_name":
			if len([]rune(word)) > 200 {
				fault = "want at most 200 characters"
			}
		case "email":
			if !strings.Contains(strings.Trim(word, "@"), "@") {
				fault = "want an address"
			}
		case "min_srs":
			var n int
			if json.Unmarshal(v, &n) != nil || n < 0 || n > 100 {
				fault = "want a whole number from 0 to 100"
			}
		case "channels":
			fault = channelsFault(v)
		}
		if fault != "" {
			return hub.E(hub.Invalid, "/"+name+": "+fault)
		}
	}
	return nil
}

func channelsFault(v jsontext.Value) string {
	var channels []struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(v, &channels) != nil || len(channels) == 0 {
		return "want at least one object with a type"
	}
	for _, c := range channels {
		if c.Type != "email" && c.Type != "slack" && c.Type != "pagerduty" {
			return "want the type email, slack or pagerduty"
		}
	}
	return ""
}

// Do performs an action. Vigilare takes no idempotency key. Repeating most
// actions changes nothing more; for those that make something, a repeat finds
// what the first made and gives that.
func (s *Source) Do(ctx context.Context, action, _ string, params jsontext.Value) (jsontext.Value, error) {
	call, err := connectors.CallOf(endpoints(), action, params)
	if err != nil {
		return nil, err
	}
	if action == actionCreateRule {
		if made, err := s.ruleLike(ctx, call.Body); made != nil || err != nil {
			return made, err
		}
	}
	answer, err := s.api.Do(ctx, call)
	switch {
	case err == nil:
		return s.done(action, params, answer)
	case hub.KindOf(err) == hub.Conflict && action == actionConnect:
		return s.found(ctx, "/accounts/"+connectors.Text(member(params, "aws_account_id")), err)
	case hub.KindOf(err) == hub.Conflict && action == actionInvite:
		return s.invited(ctx, connectors.Text(member(params, "email")), err)
	case hub.KindOf(err) == hub.NotFound && call.Method == http.MethodDelete:
		return jsontext.Value(`{"message":"it is not there"}`), nil // a repeat, or done by somebody else
	}
	return nil, err
}

func member(params jsontext.Value, name string) jsontext.Value {
	m := map[string]jsontext.Value{}
	_ = json.Unmarshal(params, &m) // checked already
	return m[name]
}

// done makes an action's result of the answer.
func (s *Source) done(action string, params jsontext.Value, a connectors.Answer) (jsontext.Value, error) {
	switch action {
	case actionAck:
		s.acked.add(connectors.Text(member(params, "alert_id")))
	case actionExport:
		return exported(a.Body)
	}
	return a.Result(), nil
}

// maxExport bounds how much CSV stands in an action's result, which is kept
// with the playbook's run.
const maxExport = 256 << 10

// exported wraps CSV, cut at a row.
func exported(body []byte) (jsontext.Value, error) {
	rows, end, err := countRows(body)
	if err != nil {
		return nil, hub.Wrap(hub.Transient, err, "Vigilare sent an export that is no CSV")
	}
	return json.Marshal(struct {
		Rows      int    `json:"rows"` // without the heading
		Truncated bool   `json:"truncated"`
		CSV       string `json:"csv"`
	}{rows, end < int64(len(body)), strings.ToValidUTF8(string(body[:end]), "?")}, json.Deterministic(true))
}

// countRows counts a CSV's rows behind its heading, and says where the last one
// ends that is within the bound.
func countRows(body []byte) (rows int, end int64, err error) {
	r := csv.NewReader(bytes.NewReader(body))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	for rows = -1; ; rows++ {
		_, err := r.Read()
		if errors.Is(err, io.EOF) {
			return max(rows, 0), end, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if r.InputOffset() <= maxExport {
			end = r.InputOffset()
		}
	}
}

// found gives what is there already.
func (s *Source) found(ctx context.Context, path string, conflict error) (jsontext.Value, error) {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: path, Urgent: true})
	if err != nil || answer.Result() == nil {
		return nil, conflict
	}
	return answer.Result(), nil
}

// invited gives the team member that an invitation has made already.
func (s *Source) invited(ctx context.Context, email string, conflict error) (jsontext.Value, error) {
	var out struct {
		Users []user `json:"users"`
	}
	if _, err := s.get(ctx, "/users", nil, &out); err != nil {
		return nil, conflict
	}
	for _, u := range out.Users {
		if strings.EqualFold(u.Email, email) {
			return json.Marshal(u, json.Deterministic(true))
		}
	}
	return nil, conflict // of another tenant
}

// ruleLike gives an alert rule of this name that says the same, if there is one:
// the answer to an earlier try may have been lost.
func (s *Source) ruleLike(ctx context.Context, body []byte) (jsontext.Value, error) {
	var want map[string]jsontext.Value
	if err := json.Unmarshal(body, &want); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, actionCreateRule+" wants its parameters as a JSON object")
	}
	var out struct {
		Rules []jsontext.Value `json:"rules"`
	}
	if _, err := s.get(ctx, "/alert-rules", nil, &out); err != nil {
		return nil, err
	}
	for _, raw := range out.Rules {
		var is map[string]jsontext.Value
		if json.Unmarshal(raw, &is) == nil && covers(is, want) {
			return raw, nil
		}
	}
	return nil, nil
}

// covers reports whether every member of want is the same in is.
func covers(is, want map[string]jsontext.Value) bool {
	for name, v := range want {
		a, b := jsontext.Value(bytes.Clone(v)), jsontext.Value(bytes.Clone(is[name]))
		if a.Canonicalize() != nil || b.Canonicalize() != nil || !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

// Mirror tells Vigilare of alerts of its own that were acknowledged here, or
// closed, which it has no other word for.
func (*Source) Mirror(change hub.EventType, sourceID string) (string, jsontext.Value) {
	id, ok := strings.CutPrefix(sourceID, "alert|")
	if !ok {
		return "", nil
	}
	switch change {
	case hub.AlertAcknowledgedEvent, hub.AlertResolvedEvent, hub.AlertDismissedEvent:
		params, err := json.Marshal(map[string]string{"alert_id": id})
		if err == nil {
			return actionAck, params
		}
	}
	return "", nil
}
