package template

import (
	"slices"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// data are what a template sees: plain values without methods, by the names of
// the API, all of them there for every event.
func data(ev *hub.Event, d *hub.Delivery, link func(string) string) map[string]any {
	address := ""
	if link != nil {
		address = link(ev.Subject)
	}
	return map[string]any{
		"event": map[string]any{
			"id": string(ev.ID), "type": string(ev.Type), "subject": ev.Subject, "time": stamp(ev.Time), "tenant": string(ev.Tenant), "sequence": ev.Sequence,
			"source": ev.Source, "reason": ev.Data.Reason, "actor": ev.Data.Actor, "changes": changes(ev.Data.Changes), "findings": len(ev.Data.Findings),
		},
		"alert": alert(ev.Data.Alert), "endpoint": endpoint(ev.Data.Endpoint), "object": object(ev.Data.Object), "rule": rule(d), "link": address,
	}
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// changes maps a field to its values before and after.
func changes(c hub.Changes) map[string]any {
	out := make(map[string]any, len(c))
	for name, v := range c {
		out[name] = []any{v[0], v[1]}
	}
	return out
}

func alert(a *hub.Alert) map[string]any {
	if a == nil {
		a = &hub.Alert{}
	}
	asset, vuln, comp := a.Asset, a.Vulnerability, a.Compliance
	if asset == nil {
		asset = &hub.Asset{}
	}
	if vuln == nil {
		vuln = &hub.Vulnerability{}
	}
	if comp == nil {
		comp = &hub.Compliance{}
	}
	return map[string]any{
		"id": string(a.ID), "title": a.Title, "description": a.Description, "type": a.Type, "severity": string(a.Severity), "status": string(a.Status),
		"asset_id": a.AssetID, "source": a.Source, "sources": slices.Clone(a.Sources), "first_seen": stamp(a.FirstSeen), "last_seen": stamp(a.LastSeen),
		"created_at": stamp(a.CreatedAt), "updated_at": stamp(a.UpdatedAt), "acknowledged_at": stamp(a.AcknowledgedAt), "acknowledged_by": a.AcknowledgedBy,
		"resolved_at": stamp(a.ResolvedAt), "assignee": a.Assignee, "count": a.Count, "generation": a.Generation, "incident_id": a.IncidentID,
		"previous_alert_id": string(a.PreviousAlertID), "risk_score": number(a.RiskScore), "labels": texts(a.Labels), "payload": object(a.Payload),
		"asset": map[string]any{
			"type": asset.Type, "provider": asset.Provider, "account": asset.Account, "region": asset.Region, "name": asset.Name, "tags": texts(asset.Tags),
		},
		"vulnerability": map[string]any{"cve": vuln.CVE, "cvss": number(vuln.CVSS), "package": vuln.Package, "fixed_version": vuln.FixedVersion},
		"compliance":    map[string]any{"framework": comp.Framework, "control": comp.Control, "result": comp.Result},
	}
}

func endpoint(e *hub.EndpointBrief) map[string]any {
	if e == nil {
		e = &hub.EndpointBrief{}
	}
	return map[string]any{"id": string(e.ID), "name": e.Name, "kind": e.Kind, "url": e.URL, "reason": e.Reason}
}

func rule(d *hub.Delivery) map[string]any {
	var p struct {
		Rule hub.RuleNote `json:"rule"`
	}
	if len(d.Params) > 0 {
		_ = json.Unmarshal(d.Params, &p) // a playbook's values have no rule
	}
	return map[string]any{"id": string(p.Rule.ID), "name": p.Rule.Name, "held_back": p.Rule.HeldBack, "since": stamp(p.Rule.Since), "why": p.Rule.Why}
}

func number(v *float64) any {
	if v == nil {
		return ""
	}
	return *v
}

func texts(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// maxObject is the largest object of a source that is decoded.
const maxObject = 256 << 10

// object decodes what a source sent; anything but an object stands under value.
func object(raw jsontext.Value) map[string]any {
	var v any
	if len(raw) == 0 || len(raw) > maxObject || json.Unmarshal(raw, &v) != nil {
		return map[string]any{}
	}
	if m, ok := v.(map[string]any); ok {
		return m
	}
	return map[string]any{"value": v}
}

var sampleParams = jsontext.Value(`{"rule":{"id":"rul_01","name":"critical","held_back":2,"since":"2026-03-01T11:00:00Z","why":"cooldown"}}`)

// samples are an event of every type, those of alerts with everything and with as
// little as there can be.
func samples() (out []*hub.Event) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	score := 87.5
	full := &hub.Alert{
		ID: "alt_01", Tenant: "default", Title: "Root account login", Description: "from an unknown address", Type: "iam", Severity: hub.Critical, Status: hub.AlertOpen,
		AssetID: "srv-1", Asset: &hub.Asset{Type: "server", Provider: "aws", Account: "012345670123", Region: "eu-central-1", Name: "web", Tags: map[string]string{"env": "prod"}},
		Source: "cybervault", Sources: []string{"cybervault", "vigilare"}, FirstSeen: at, LastSeen: at, CreatedAt: at, UpdatedAt: at, AcknowledgedAt: at, AcknowledgedBy: "usr_01",
		ResolvedAt: at, Assignee: "usr_01", Count: 3, Generation: 1, Version: 2, RiskScore: &score, IncidentID: "inc_01", PreviousAlertID: "alt_00",
		Labels: map[string]string{"team": "soc"}, Vulnerability: &hub.Vulnerability{CVE: "CVE-2026-0001", CVSS: &score, Package: "openssl", FixedVersion: "3.0.1"},
		Compliance: &hub.Compliance{Framework: "CIS", Control: "1.1", Result: "failed"}, Payload: jsontext.Value(`{"ip":"203.0.113.9"}`),
	}
	bare := &hub.Alert{ID: "alt_02", Type: "xss", Severity: hub.Info, Status: hub.AlertOpen, AssetID: "web-1", Source: "api", Sources: []string{"api"}, Count: 1, Generation: 1}
	for _, typ := range hub.EventTypes {
		ev := hub.Event{ID: "msg_01", Type: typ, Subject: "alt_01", Time: at, Tenant: "default", Sequence: 7, Source: "https://tocsin.example.com"}
		ev.Data = hub.EventData{Reason: "created", Actor: "source:cybervault", Changes: hub.Changes{"severity": {"high", "critical"}}, Findings: []hub.FindingID{"fnd_01"}}
		switch kind := string(typ)[:5]; {
		case kind == "alert":
			one, other := ev, ev
			one.Data.Alert, other.Data = full, hub.EventData{Alert: bare}
			out = append(out, &one, &other)
			continue
		case kind == "endpo", kind == "webho", kind == "deliv":
			ev.Subject, ev.Data = "whk_01", hub.EventData{Reason: "410 Gone", Actor: "system", Endpoint: &hub.EndpointBrief{ID: "whk_01", Name: "soar", Kind: hub.KindWebhook, URL: "https://soar.example.com/hook", Reason: "410 Gone"}}
		default:
			ev.Data.Object = jsontext.Value(`{"id":"obj_01","score":61}`)
		}
		out = append(out, &ev)
	}
	return out
}

// loose are the maps whose keys nobody knows beforehand.
var loose = [...]string{"labels", "tags", "payload", "object", "changes"}

// paths gives the names that a template has below those maps.
func paths(t *template.Template) (out [][]string) {
	if t.Tree == nil {
		return nil
	}
	var walk func(n parse.Node)
	take := func(names []string) {
		for i, name := range names {
			if slices.Contains(loose[:], name) {
				out = append(out, names[i:])
			}
		}
	}
	lists := func(p *parse.PipeNode, all ...*parse.ListNode) {
		walk(p)
		for _, l := range all {
			if l != nil {
				walk(l)
			}
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, inner := range n.Nodes {
				walk(inner)
			}
		case *parse.ActionNode:
			walk(n.Pipe)
		case *parse.PipeNode:
			for _, c := range n.Cmds {
				for _, a := range c.Args {
					walk(a)
				}
			}
		case *parse.IfNode:
			lists(n.Pipe, n.List, n.ElseList)
		case *parse.WithNode:
			lists(n.Pipe, n.List, n.ElseList)
		case *parse.RangeNode:
			lists(n.Pipe, n.List, n.ElseList)
		case *parse.FieldNode:
			take(n.Ident)
		case *parse.VariableNode:
			take(n.Ident)
		case *parse.ChainNode:
			walk(n.Node)
			take(n.Field)
		}
	}
	walk(t.Root)
	return out
}

// fill puts something under each name of loose maps.
func fill(d map[string]any, all [][]string) {
	a := d["alert"].(map[string]any)
	at := map[string]map[string]any{
		"labels": a["labels"].(map[string]any), "tags": a["asset"].(map[string]any)["tags"].(map[string]any), "payload": a["payload"].(map[string]any),
		"object": d["object"].(map[string]any), "changes": d["event"].(map[string]any)["changes"].(map[string]any),
	}
	for _, names := range all {
		m := at[names[0]]
		for i, name := range names[1:] {
			if i == len(names)-2 {
				if m[name] == nil {
					m[name] = "sample"
				}
				break
			}
			next, ok := m[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				m[name] = next
			}
			m = next
		}
	}
}
