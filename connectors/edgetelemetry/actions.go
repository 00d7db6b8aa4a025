package edgetelemetry

import (
	"net/http"
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
