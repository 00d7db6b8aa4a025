package echelongraph

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Names of the actions that need more than their call.
const (
	actionAlert    = "echelongraph.update_alert"
	actionIncident = "echelongraph.update_incident"
	actionCreate   = "echelongraph.create_incident"
	actionRegister = "echelongraph.register_account"
	actionWebhook  = "echelongraph.register_webhook"
	actionUser     = "echelongraph.create_user"
	actionGroup    = "echelongraph.set_group_members"
)

func text(name, doc string) connectors.ParamSpec {
	return connectors.ParamSpec{Name: name, Type: connectors.ParamString, Doc: doc}
}

func needed(p connectors.ParamSpec) connectors.ParamSpec { p.Required = true; return p }

func number(name, doc string) connectors.ParamSpec {
	return connectors.ParamSpec{Name: name, Type: connectors.ParamNumber, Doc: doc}
}

func array(name, doc string) connectors.ParamSpec {
	return connectors.ParamSpec{Name: name, Type: connectors.ParamArray, Doc: doc}
}

func oneOf(p connectors.ParamSpec, words ...string) connectors.ParamSpec { p.Enum = words; return p }

var severities = []string{"critical", "high", "medium", "low", "info"}

// endpoints are the calls that playbooks may make, where they are not left out.
func (s *Source) endpoints() []connectors.Endpoint {
	var all []connectors.Endpoint
	of := func(capability, name, doc, method, below string, params ...connectors.ParamSpec) {
		path := s.path(capability)
		if path == "" {
			return
		}
		e := connectors.Endpoint{
			ActionSpec: connectors.ActionSpec{Name: "echelongraph." + name, Doc: doc, Params: params},
			Method:     method, Path: path + below, Check: checkDates,
		}
		if method == http.MethodGet {
			for _, p := range params {
				e.Query = append(e.Query, p.Name)
			}
		}
		all = append(all, e)
	}
	note := text("note", "for people there")
	pages := []connectors.ParamSpec{number("page", "from 1"), number("limit", "1 to 100")}
	with := func(params ...connectors.ParamSpec) []connectors.ParamSpec { return append(params, pages...) }

	of("incidents", "create_incident", "creates an incident at EchelonGraph", "POST", "",
		needed(text("title", "")), needed(oneOf(text("severity", ""), severities...)), text("description", ""),
		array("alert_ids", "EchelonGraph's ids of alerts: the label echelongraph_id"), text("asset_id", ""))
	of("incidents", "update_incident", "changes an incident's status or severity", "PATCH", "/{incident_id}", needed(text("incident_id", "the label echelongraph_id")),
		oneOf(text("status", ""), "open", "investigating", "resolved", "closed"), oneOf(text("severity", ""), severities...), note)
	of("alerts", "update_alert", "changes an alert's status", "PATCH", "/{alert_id}", needed(text("alert_id", "the label echelongraph_id")),
		needed(oneOf(text("status", ""), "open", "acknowledged", "resolved", "dismissed")), note)
	of("detection_rules", "detection_rules", "lists the threat detection rules", "GET", "", with()...)
	of("vulnerabilities", "get_remediation", "gives the recommendation for a vulnerability", "GET", "/{vulnerability_id}/remediation",
		needed(text("vulnerability_id", "the label echelongraph_id")))
	of("vulnerabilities", "update_remediation", "tracks the work on a vulnerability", "PATCH", "/{vulnerability_id}/remediation",
		needed(text("vulnerability_id", "the label echelongraph_id")), needed(oneOf(text("status", ""), "not_started", "in_progress", "completed")), note)
	of("accounts", "register_account", "registers a cloud account", "POST", "", needed(oneOf(text("provider", ""), "aws", "azure", "gcp")),
		needed(text("account_id", "the provider's")), text("name", ""), text("role_arn", "AWS: the role to assume"))
	of("accounts", "update_account", "renames a cloud account, or turns its scans on or off", "PATCH", "/{id}", needed(text("id", "EchelonGraph's")),
		text("name", ""), connectors.ParamSpec{Name: "enabled", Type: connectors.ParamBoolean})
	of("accounts", "remove_account", "ends the connection to a cloud account", "DELETE", "/{id}", needed(text("id", "EchelonGraph's")))
	of("assets", "search_assets", "lists assets", "GET", "", with(text("type", ""), text("region", ""), number("min_risk_score", "0 to 100"))...)
	of("blast_radius", "blast_radius", "tells what an attack on an asset can reach", "GET", "", needed(text("root", "asset id")), number("depth", "hops, 1 to 20"))
	of("reports", "create_report", "asks for a report", "POST", "", needed(oneOf(text("type", ""), "executive", "compliance", "vulnerability", "asset")),
		needed(oneOf(text("format", ""), "pdf", "csv", "json")), text("from", "date, YYYY-MM-DD"), text("to", "date, YYYY-MM-DD"))
	of("reports", "get_report", "tells whether a report is ready, and where it is", "GET", "/{report_id}", needed(text("report_id", "from create_report")))
	of("audit", "search_audit", "lists entries of the audit trail", "GET", "", with(text("action", ""), text("user", ""), text("from", "time"), text("to", "time"))...)
	of("webhooks", "register_webhook", "has events sent to an address", "POST", "", needed(text("url", "")), array("events", "none: all of them"), text("secret", "made there if not given"))
	of("webhooks", "remove_webhook", "ends a webhook", "DELETE", "/{webhook_id}", needed(text("webhook_id", "")))
	of("users", "create_user", "creates a user (SCIM)", "POST", "", needed(text("user_name", "")), text("display_name", ""), text("email", ""))
	of("groups", "set_group_members", "sets who is in a group (SCIM)", "PUT", "/{group_id}", needed(text("group_id", "")), needed(text("display_name", "")),
		needed(array("user_ids", "SCIM ids")))
	return all
}

// Actions lists what EchelonGraph does for playbooks.
func (s *Source) Actions() []connectors.ActionSpec { return connectors.Specs(s.endpoints()) }

// checkDates keeps times in their form, so that a mistake is told before the call.
func checkDates(params map[string]jsontext.Value) error {
	for _, name := range []string{"from", "to"} {
		v, there := params[name]
		if !there || v.Kind() == 'n' {
			continue
		}
		word := connectors.Text(v)
		_, err := time.Parse(time.DateOnly, word)
		if _, err2 := time.Parse(time.RFC3339, word); err != nil && err2 != nil {
			return hub.E(hub.Invalid, "/"+name+": want a date such as 2026-05-22")
		}
	}
	return nil
}

// Do performs an action. EchelonGraph takes no idempotency key. Most actions
// change nothing more when they are repeated; those that make something look
// for what an earlier try has made.
func (s *Source) Do(ctx context.Context, action, key string, params jsontext.Value) (jsontext.Value, error) {
	call, err := connectors.CallOf(s.endpoints(), action, params)
	if err != nil {
		return nil, err
	}
	p := map[string]jsontext.Value{}
	if len(params) > 0 {
		_ = json.Unmarshal(params, &p) // Call has read it
	}
	switch action {
	case actionAlert:
		return s.update(ctx, "alert", connectors.Text(p["alert_id"]), connectors.Text(p["status"]), call)
	case actionIncident:
		return s.update(ctx, "incident", connectors.Text(p["incident_id"]), connectors.Text(p["status"]), call)
	case actionCreate:
		return s.create(ctx, key, p, call)
	case actionWebhook:
		return s.make(ctx, call, func(x map[string]jsontext.Value) bool { return bytes.Equal(x["url"], p["url"]) }, true)
	case actionRegister:
		return s.make(ctx, call, func(x map[string]jsontext.Value) bool {
			return bytes.Equal(x["provider"], p["provider"]) && bytes.Equal(x["account_id"], p["account_id"])
		}, false)
	case actionUser:
		return s.createUser(ctx, p, call)
	case actionGroup:
		call.Body = groupBody(p)
	}
	return s.do(ctx, call)
}

// do makes a call within the limit of its kind. What is to be removed and is
// not there has been removed.
func (s *Source) do(ctx context.Context, c connectors.Call) (jsontext.Value, error) {
	api := s.writes
	if c.Method == http.MethodGet {
		api = s.reads
	}
	answer, err := api.Do(ctx, c)
	if hub.KindOf(err) == hub.NotFound && c.Method == http.MethodDelete {
		return jsontext.Value(`{"message":"it is not there"}`), nil
	}
	if err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// update changes an item, and remembers that it was us.
func (s *Source) update(ctx context.Context, kind, id, status string, c connectors.Call) (jsontext.Value, error) {
	if status != "" {
		s.own.set(kind, id, mark{status: status}) // its event may be quicker than the answer
	}
	result, err := s.do(ctx, c)
	switch k := hub.KindOf(err); {
	case err == nil:
		if x, ok := readEntity(result); ok && status != "" {
			s.own.set(kind, id, mark{status: status, updated: x.UpdatedAt.Time})
		}
	case k != hub.Transient && k != hub.RateLimited:
		s.own.drop(kind, id)
	}
	return result, err
}

// create makes an incident, unless an earlier try has: its description carries
// the key.
func (s *Source) create(ctx context.Context, key string, p map[string]jsontext.Value, c connectors.Call) (jsontext.Value, error) {
	page, err := s.list(ctx, s.path("incidents"), 1, nil)
	if err != nil {
		return nil, err
	}
	for _, raw := range page.Data {
		if x, ok := readEntity(raw); ok && strings.Contains(string(x.Description), signature+key+"]") {
			return raw, nil
		}
	}
	description := ""
	if v, there := p["description"]; there && v.Kind() == '"' {
		description = connectors.Text(v)
	}
	body := map[string]jsontext.Value{}
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the parameters cannot be sent as JSON")
	}
	if body["description"], err = jsontext.AppendQuote(nil, signed(description, key)); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "/description: is no text")
	}
	if c.Body, err = json.Marshal(body, json.Deterministic(true)); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the parameters cannot be sent as JSON")
	}
	return s.do(ctx, c)
}

// make makes something that a list shows, unless it is there already. first says
// to look before the call rather than after a conflict.
func (s *Source) make(ctx context.Context, c connectors.Call, like func(map[string]jsontext.Value) bool, first bool) (jsontext.Value, error) {
	if first {
		if there, err := s.like(ctx, c.Path, like); there != nil || err != nil {
			return there, err
		}
	}
	result, err := s.do(ctx, c)
	if hub.KindOf(err) != hub.Conflict {
		return result, err
	}
	if there, _ := s.like(ctx, c.Path, like); there != nil {
		return there, nil
	}
	return nil, err
}

// like gives the first item of a list's first pages that suits.
func (s *Source) like(ctx context.Context, path string, suits func(map[string]jsontext.Value) bool) (jsontext.Value, error) {
	seen := 0
	for n := 1; n <= 10; n++ {
		p, err := s.list(ctx, path, n, nil)
		if err != nil {
			return nil, err
		}
		for _, raw := range p.Data {
			x := map[string]jsontext.Value{}
			if json.Unmarshal(raw, &x) == nil && suits(x) {
				return raw, nil
			}
		}
		if seen += len(p.Data); !p.more(seen) {
			return nil, nil
		}
	}
	return nil, nil
}

// createUser makes a SCIM user of the parameters, or gives the one of the name.
func (s *Source) createUser(ctx context.Context, p map[string]jsontext.Value, c connectors.Call) (jsontext.Value, error) {
	name := connectors.Text(p["user_name"])
	user := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": name, "active": true}
	if v := connectors.Text(p["display_name"]); v != "" && v != "null" {
		user["displayName"] = v
	}
	if v := connectors.Text(p["email"]); v != "" && v != "null" {
		user["emails"] = []map[string]any{{"value": v, "primary": true}}
	}
	var err error
	if c.Body, err = json.Marshal(user, json.Deterministic(true)); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the parameters cannot be sent as JSON")
	}
	result, err := s.do(ctx, c)
	if hub.KindOf(err) != hub.Conflict {
		return result, err
	}
	conflict := err
	_, _ = s.scim(ctx, c.Path, func(raw jsontext.Value) {
		var u scimUser
		if json.Unmarshal(raw, &u) == nil && strings.EqualFold(string(u.UserName), name) {
			result, conflict = slices.Clone(raw), nil
		}
	})
	return result, conflict
}

func groupBody(p map[string]jsontext.Value) []byte {
	var ids []inbound.Text
	_ = json.Unmarshal(p["user_ids"], &ids) // an array, as the spec says
	members := make([]map[string]string, len(ids))
	for i, id := range ids {
		members[i] = map[string]string{"value": string(id)}
	}
	body, err := json.Marshal(map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": connectors.Text(p["display_name"]), "members": members,
	}, json.Deterministic(true))
	if err != nil {
		return nil // texts that came out of JSON
	}
	return body
}

// mirrored are their words for what becomes of an alert here.
var mirrored = map[string]map[hub.EventType]string{
	"alert": {
		hub.AlertAcknowledgedEvent: "acknowledged", hub.AlertResolvedEvent: "resolved", hub.AlertDismissedEvent: "dismissed", hub.AlertReopened: "open",
	},
	"incident": {
		hub.AlertAcknowledgedEvent: "investigating", hub.AlertResolvedEvent: "resolved", hub.AlertDismissedEvent: "closed", hub.AlertReopened: "open",
	},
}

// Mirror tells EchelonGraph what became of its alerts and incidents.
func (*Source) Mirror(change hub.EventType, sourceID string) (string, jsontext.Value) {
	kind, id, _ := strings.Cut(sourceID, "|")
	status := mirrored[kind][change]
	if status == "" || !plainID(id) {
		return "", nil
	}
	params, err := json.Marshal(map[string]string{kind + "_id": id, "status": status}, json.Deterministic(true))
	if err != nil {
		return "", nil
	}
	return "echelongraph.update_" + kind, params
}

// plainID keeps an id that came from outside from leading to another path.
func plainID(id string) bool {
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.:", r) {
			return false
		}
	}
	return strings.Trim(id, ".") != ""
}
