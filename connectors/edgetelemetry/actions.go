package edgetelemetry

import (
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Names of the actions that need more than their call.
const (
	actionAck      = "edgetelemetry.acknowledge"
	actionResolve  = "edgetelemetry.resolve"
	actionSwitch   = "edgetelemetry.set_alert_rule_active"
	actionRule     = "edgetelemetry.create_alert_rule"
	actionChannel  = "edgetelemetry.create_alert_channel"
	actionChannels = "edgetelemetry.list_alert_channels"
	actionUser     = "edgetelemetry.create_user"
	actionRole     = "edgetelemetry.create_role"
	actionExport   = "edgetelemetry.export_audit"
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
	var all []connectors.Endpoint
	of := func(name, doc, method, path string, params ...connectors.ParamSpec) {
		e := connectors.Endpoint{ActionSpec: connectors.ActionSpec{Name: name, Doc: doc, Params: params}, Method: method, Path: path, Check: check}
		if method == http.MethodGet {
			for _, p := range params {
				e.Query = append(e.Query, p.Name)
			}
		}
		all = append(all, e)
	}
	const own = "edgetelemetry."
	number := func(name, doc string) connectors.ParamSpec { return typed(text(name, doc), connectors.ParamNumber) }
	object := func(name, doc string) connectors.ParamSpec { return typed(text(name, doc), connectors.ParamObject) }
	alert, rule := needed(text("alert_id", "the label edgetelemetry_id")), needed(text("rule_id", "the label edgetelemetry_rule_id"))
	user, role := needed(text("user_id", "")), needed(text("role_id", ""))
	from, to, limit := text("start_time", "time"), text("end_time", "time"), number("limit", "1 or more; 100 if not given")

	of(actionAck, "acknowledges an alert at EdgeAI Telemetry", "POST", "/alerting/alerts/{alert_id}/acknowledge", alert)
	of(actionResolve, "resolves an alert at EdgeAI Telemetry", "POST", "/alerting/alerts/{alert_id}/resolve", alert)
	of(own+"blast_radius", "tells what an attack on a node of the graph can reach", "GET", "/graph/blast-radius/{node_id}", needed(text("node_id", "of the graph, such as the alert's asset_id")))
	of(own+"get_incident", "gives all that is known of an incident", "GET", "/incidents/{incident_id}", needed(text("incident_id", "the label edgetelemetry_incident_id or edgetelemetry_id")))
	of(own+"search_alerts", "lists alerts", "GET", "/alerting/alerts", oneOf(text("status", ""), "fired", "acknowledged", "resolved"), limit)
	of(own+"search_incidents", "lists incidents", "GET", "/incidents", text("status", "such as open"), limit)
	of(own+"dashboard_incidents", "gives the incidents that the dashboard shows", "GET", "/dashboard/incidents")
	of(own+"dashboard_summaries", "gives the summaries that the dashboard shows", "GET", "/dashboard/summaries")
	of(own+"dashboard_metrics", "gives the dashboard's numbers", "GET", "/dashboard/metrics")

	of(own+"get_alert_rule", "gives an alert rule", "GET", "/alerting/rules/{rule_id}", rule)
	of(actionRule, "creates an alert rule at EdgeAI Telemetry", "POST", "/alerting/rules", needed(text("name", "")), needed(text("condition_type", "such as risk_score_threshold")),
		text("description", ""), object("condition_config", ""), number("risk_score_min", "0 to 100"), oneOf(text("severity_threshold", ""), "critical", "high", "medium", "low"),
		number("cooldown_minutes", ""), number("max_alerts_per_hour", ""), typed(text("schedule_enabled", ""), connectors.ParamBoolean), object("schedule_config", ""),
		typed(text("channel_ids", "from list_alert_channels"), connectors.ParamArray))
	of(actionSwitch, "turns an alert rule on or off", "POST", "/alerting/rules/{rule_id}/toggle", rule, needed(typed(text("active", ""), connectors.ParamBoolean)))
	of(own+"delete_alert_rule", "deletes an alert rule at EdgeAI Telemetry", "DELETE", "/alerting/rules/{rule_id}", rule)
	of(actionChannels, "lists alert channels, without their settings, which hold keys", "GET", "/alerting/channels")
	of(actionChannel, "creates an alert channel at EdgeAI Telemetry", "POST", "/alerting/channels", needed(text("name", "")), needed(text("channel_type", "such as slack or email")),
		needed(object("config", "such as webhook_url, or recipients and smtp_server; kept with the playbook's run")))
	of(own+"test_alert_channel", "sends a test message to an alert channel", "POST", "/alerting/channels/{channel_id}/test", needed(text("channel_id", "from list_alert_channels")))

	of(own+"search_audit", "lists entries of the audit log", "GET", "/audit/logs", text("user_id", ""), text("action", "such as login"), text("resource_type", ""),
		from, to, limit, number("offset", "from 0"))
	of(own+"audit_stats", "counts entries of the audit log", "GET", "/audit/stats", from, to)
	of(actionExport, "exports the audit log", "GET", "/audit/export", needed(oneOf(text("format", ""), "json", "csv")), from, to)

	of(own+"list_users", "lists users", "GET", "/users")
	of(own+"get_user", "gives a user", "GET", "/users/{user_id}", user)
	of(actionUser, "creates a user", "POST", "/users", needed(text("email", "")), needed(text("password", "8 characters at least; kept with the playbook's run")), needed(text("role", "name of the role")))
	of(own+"delete_user", "deletes a user", "DELETE", "/users/{user_id}", user)
	of(own+"assign_role", "gives a user a role", "POST", "/users/{user_id}/roles", user, role)
	of(own+"remove_role", "takes a role from a user", "DELETE", "/users/{user_id}/roles/{role_id}", user, role)
	of(own+"list_roles", "lists roles", "GET", "/roles")
	of(own+"get_role", "gives a role with its permissions", "GET", "/roles/{role_id}", role)
	of(own+"list_role_permissions", "lists the permissions of a role", "GET", "/roles/{role_id}/permissions", role)
	of(actionRole, "creates a role", "POST", "/roles", needed(text("name", "")), text("description", ""))
	of(own+"delete_role", "deletes a role", "DELETE", "/roles/{role_id}", role)
	of(own+"add_permission", "gives a role a permission", "POST", "/roles/{role_id}/permissions", role, needed(text("permission_id", "from get_role")))
	of(own+"list_sso_providers", "lists the providers of single sign-on", "GET", "/auth/sso/providers")
	return all
}

// Actions lists what EdgeAI does for playbooks.
func (*Source) Actions() []connectors.ActionSpec { return connectors.Specs(endpoints()) }

// check keeps the document's bounds, so that a mistake is told before the call.
func check(params map[string]jsontext.Value) error {
	for name, v := range params {
		fault, word := "", connectors.Text(v)
		if v.Kind() == 'n' {
			continue
		}
		switch name {
		case "start_time", "end_time":
			if _, err := time.Parse(time.RFC3339, word); err != nil {
				fault = "want a time such as 2026-02-23T12:00:00Z"
			}
		case "limit", "offset", "cooldown_minutes", "max_alerts_per_hour":
			var n int
			if json.Unmarshal(v, &n) != nil || n < 0 || name == "limit" && n == 0 {
				fault = "want a whole number that is not negative; a limit is 1 or more"
			}
		case "risk_score_min":
			var n float64
			if json.Unmarshal(v, &n) != nil || n < 0 || n > 100 {
				fault = "want 0 to 100"
			}
		case "name", "condition_type", "channel_type", "role":
			if strings.TrimSpace(word) == "" {
				fault = "want a text"
			}
		case "email":
			if !strings.Contains(strings.Trim(word, "@"), "@") {
				fault = "want an address"
			}
		case "password":
			if len(word) < 8 {
				fault = "want 8 characters at least"
			}
		}
		if fault != "" {
			return hub.E(hub.Invalid, "/"+name+": "+fault)
		}
	}
	return nil
}

// Do performs an action. EdgeAI takes no idempotency key. Most actions change
// nothing more when they are repeated, and what is done already counts as done;
// those that make something look for what an earlier try has made.
func (s *Source) Do(ctx context.Context, action, _ string, params jsontext.Value) (jsontext.Value, error) {
	e, err := connectors.FindEndpoint(endpoints(), action)
	if err != nil {
		return nil, err
	}
	call, err := e.Call(params)
	if err != nil {
		return nil, err
	}
	p := readFields(params)
	switch action {
	case actionAck:
		return s.move(ctx, p.text("alert_id"), "acknowledged", call)
	case actionResolve:
		return s.move(ctx, p.text("alert_id"), "resolved", call)
	case actionSwitch:
		return s.turn(ctx, call, p["active"].Kind() == 't')
	case actionRule:
		return s.make(ctx, call, func(x fields) bool { return covers(inner(x, "rule"), p, "channel_ids") })
	case actionChannel:
		return s.make(ctx, call, func(x fields) bool { return covers(x, p, "config") })
	case actionUser:
		return s.make(ctx, call, func(x fields) bool { return strings.EqualFold(x.text("email"), p.text("email")) })
	case actionRole:
		return s.make(ctx, call, func(x fields) bool { return x.text("name") == p.text("name") })
	}
	data, err := s.do(ctx, call)
	if err != nil {
		return nil, err
	}
	switch action {
	case actionExport:
		return exported(p.text("format"), data)
	case actionChannels:
		return withoutSettings(data)
	}
	return data, nil
}

// done is the result of what changes nothing.
var done = jsontext.Value(`{"message":"it is so already"}`)

// do makes a call and opens its answer. What is so already has been done, and
// what is to be removed and is not there has been removed.
func (s *Source) do(ctx context.Context, c connectors.Call) (jsontext.Value, error) {
	api := s.api
	if strings.HasPrefix(c.Path, "/auth/") {
		if err := s.pace.take(time.Now()); err != nil {
			return nil, err
		}
		api = s.auth
	}
	answer, err := api.Do(ctx, c)
	switch k := hub.KindOf(err); {
	case k == hub.Conflict, k == hub.NotFound && c.Method == http.MethodDelete:
		return done, nil
	case err != nil:
		return nil, err
	}
	s.note(answer)
	if answer.Result() == nil { // 204, or something that is no JSON
		return nil, nil
	}
	return open(c.Method, answer)
}

// move acknowledges or resolves an alert, and remembers that it was us.
func (s *Source) move(ctx context.Context, id, status string, c connectors.Call) (jsontext.Value, error) {
	again := s.own.set(id, status) // a pull may be quicker than the answer
	result, err := s.do(ctx, c)
	k := hub.KindOf(err)
	switch {
	case err == nil && !again && bytes.Equal(result, done): // somebody else's doing, or a pull has met it
		s.own.drop(id)
	case err != nil && k != hub.Transient && k != hub.RateLimited:
		s.own.drop(id)
	}
	return result, err
}

// turn turns an alert rule on or off. Their call only turns it over, so that it is
// looked at first: a repeat must not undo what the first try did.
func (s *Source) turn(ctx context.Context, toggle connectors.Call, active bool) (jsontext.Value, error) {
	data, err := s.do(ctx, connectors.Call{Method: http.MethodGet, Path: strings.TrimSuffix(toggle.Path, "/toggle"), Urgent: true})
	if err != nil {
		return nil, err
	}
	is := inner(readFields(data), "rule")["is_active"]
	switch {
	case is.Kind() != 't' && is.Kind() != 'f':
		return nil, hub.E(hub.Transient, vendor+" does not tell whether the alert rule is active")
	case (is.Kind() == 't') == active:
		return done, nil
	}
	toggle.Body = nil
	return s.do(ctx, toggle)
}

// inner gives the object that is in a member, or the whole where there is none.
func inner(f fields, name string) fields {
	if in := readFields(f[name]); in != nil {
		return in
	}
	return f
}

// make makes something, unless the list shows one that is like it already.
func (s *Source) make(ctx context.Context, c connectors.Call, like func(fields) bool) (jsontext.Value, error) {
	data, err := s.do(ctx, connectors.Call{Method: http.MethodGet, Path: c.Path, Query: url.Values{}, Urgent: true})
	if err != nil && hub.KindOf(err) != hub.Forbidden {
		return nil, err
	}
	items, _ := listIn(data)
	for _, raw := range items {
		if like(readFields(raw)) {
			return withoutSettings(raw)
		}
	}
	data, err = s.do(ctx, c)
	if err != nil {
		return nil, err
	}
	return withoutSettings(data)
}

// covers reports whether every member of want, but the ones left out, is the same
// in is as far as is has it.
func covers(is, want fields, leave string) bool {
	for name, v := range want {
		there := is[name]
		if name == leave || there == nil && name != "name" {
			continue
		}
		a, b := jsontext.Value(bytes.Clone(v)), jsontext.Value(bytes.Clone(there))
		if a.Canonicalize() != nil || b.Canonicalize() != nil || !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

// withoutSettings takes the settings out of channels: they hold keys of other
// systems, and a result is kept with the playbook's run.
func withoutSettings(data jsontext.Value) (jsontext.Value, error) {
	if items := []jsontext.Value(nil); data.Kind() == '[' && json.Unmarshal(data, &items) == nil {
		for i := range items {
			var err error
			if items[i], err = withoutSettings(items[i]); err != nil {
				return nil, err
			}
		}
		return json.Marshal(items)
	}
	f := readFields(data)
	if f["config"] == nil {
		return data, nil
	}
	delete(f, "config")
	return json.Marshal(f, json.Deterministic(true))
}

// maxExport bounds how much of an export stands in an action's result, which is
// kept with the playbook's run.
const maxExport = 256 << 10

// exported wraps an export, cut at an entry.
func exported(format string, data jsontext.Value) (jsontext.Value, error) {
	whole := connectors.Text(data)
	content, entries, err := cutCSV(whole)
	if format == "json" {
		content, entries, err = cutJSON(whole)
	}
	if err != nil {
		return nil, hub.Wrap(hub.Transient, err, vendor+" sent an export that is no "+format)
	}
	return json.Marshal(struct {
		Format    string `json:"format"`
		Entries   int    `json:"entries"` // of the whole export
		Truncated bool   `json:"truncated"`
		Content   string `json:"content"`
	}{format, entries, len(content) < len(whole), content}, json.Deterministic(true))
}

// cutCSV gives the rows that fit, and how many there are behind the heading.
func cutCSV(whole string) (fits string, rows int, err error) {
	r := csv.NewReader(strings.NewReader(whole))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	end := int64(0)
	for rows = -1; r.InputOffset() < int64(len(whole)); rows++ {
		if _, err := r.Read(); err != nil {
			return "", 0, err
		}
		if r.InputOffset() <= maxExport {
			end = r.InputOffset()
		}
	}
	return strings.ToValidUTF8(whole[:end], "?"), max(rows, 0), nil
}

// cutJSON gives the entries that fit as an array, and how many there are.
func cutJSON(whole string) (fits string, entries int, err error) {
	var items []jsontext.Value
	if err := json.Unmarshal([]byte(whole), &items); err != nil {
		return "", 0, err
	}
	if len(whole) <= maxExport {
		return whole, len(items), nil
	}
	b := []byte{'['}
	for i, raw := range items {
		if len(b)+len(raw)+2 > maxExport {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, raw...)
	}
	return string(append(b, ']')), len(items), nil
}

// Mirror tells EdgeAI of alerts of its own that were acknowledged here, or
// closed. It has no call to open one again, and none for incidents.
func (*Source) Mirror(change hub.EventType, sourceID string) (string, jsontext.Value) {
	id, ok := strings.CutPrefix(sourceID, "alert|")
	if !ok || !plainID(id) {
		return "", nil
	}
	action := ""
	switch change {
	case hub.AlertAcknowledgedEvent:
		action = actionAck
	case hub.AlertResolvedEvent, hub.AlertDismissedEvent:
		action = actionResolve
	default:
		return "", nil
	}
	params, err := json.Marshal(map[string]string{"alert_id": id})
	if err != nil {
		return "", nil
	}
	return action, params
}
