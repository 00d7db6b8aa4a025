package edgetelemetry

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An item is an alert or an incident.
type item struct {
	id, status         string
	ruleID, incidentID string // of an alert
	title, description string
	created, changed   time.Time // changed is zero if it is not told, as of alerts
	acknowledged       time.Time
	members, context   fields
	nodes, alerts      []string // of an incident's detail
	rule, blast        string   // what was asked for beside
	raw                jsontext.Value
}

// readItem decodes one; false if it is none or has no id.
func readItem(raw jsontext.Value) (item, bool) {
	m := readFields(raw)
	x := item{
		id: m.text("id", "alert_id", "incident_id"), status: strings.ToLower(m.text("status", "state")),
		title: m.text("title", "name"), description: m.text("description", "summary"), created: m.time("created_at", "timestamp", "detected_at"),
		changed:      inbound.Latest(inbound.Time{Time: m.time("updated_at")}, inbound.Time{Time: m.time("acknowledged_at")}, inbound.Time{Time: m.time("resolved_at", "closed_at")}),
		acknowledged: m.time("acknowledged_at"), ruleID: m.text("alert_rule_id"),
		members: m, context: readFields(m["context_data"]), raw: raw,
	}
	if m["id"] != nil {
		x.incidentID = m.text("incident_id")
	}
	return x, x.id != ""
}

// detail takes over what GET /incidents/:id tells beside.
func (x *item) detail(data jsontext.Value) {
	d, ok := readItem(data)
	if inner := readFields(readFields(data)["incident"]); !ok && inner != nil {
		d, ok = readItem(readFields(data)["incident"])
	}
	if !ok || d.id != x.id {
		return
	}
	x.nodes = d.members.texts(listNames...)
	x.alerts = d.members.texts("alert_ids", "alerts")
	x.raw = data
}

// closedWords are the statuses with which EdgeAI is done with an item: the
// document's, and what others call them.
var closedWords = []string{"resolved", "closed", "dismissed", "false_positive", "done", "mitigated"}

func (x item) closed() bool { return slices.Contains(closedWords, x.status) }

// inHand reports whether somebody there has taken it up.
func (x item) inHand() bool {
	return slices.Contains([]string{"acknowledged", "investigating", "in_progress", "assigned"}, x.status)
}

// rank orders the stages of an item's life.
func (x item) rank() int64 {
	switch {
	case x.closed():
		return 3
	case x.inHand():
		return 2
	}
	return 1
}

// sighting is the item as its memory sees it.
func (x item) sighting() connectors.Sighting {
	return connectors.Sighting{
		ID: x.id, Closed: x.closed(), Created: x.created, At: x.changed, Rank: x.rank(),
		Digest: connectors.DigestOf(x.status, x.members.text("severity"), x.title, x.description, x.incidentID, string(x.members["context_data"]), x.asset("")),
	}
}

// severity is their word, else what the risk score says.
func (x item) severity() hub.Severity {
	if word := x.members.text("severity"); word != "" {
		return inbound.SeverityOr(word, hub.High)
	}
	if risk := x.risk(); risk != nil {
		return inbound.Score(*risk / 10)
	}
	return hub.High
}

// assetNames are the members that may say what an item is about, nodes of the
// graph before others; listNames are those that may say it of several.
var (
	assetNames = []string{
		"node_id", "asset_id", "identity_id", "entity_id", "resource_id", "device_id", "host_id", "identity", "entity", "device", "hostname", "host",
		"user_email", "email", "user_id", "user", "agent_id", "agent", "ip_address", "ip",
	}
	listNames = []string{"affected_nodes", "node_ids", "affected_assets", "asset_ids", "nodes", "assets"}
)

// sentence is how the document's example describes an alert about an identity.
var sentence = regexp.MustCompile(`^Identity (\S{1,256}) has risk score of ([0-9]{1,3}(?:\.[0-9]+)?)\.?$`)

// asset is what the item is about, otherwise missing.
func (x item) asset(missing string) string {
	for _, f := range []fields{x.context, x.members} {
		if name := f.text(assetNames...); name != "" {
			return lower(name)
		}
	}
	for _, names := range [][]string{x.nodes, x.context.texts(listNames...), x.members.texts(listNames...)} {
		if len(names) > 0 {
			return lower(names[0])
		}
	}
	if m := sentence.FindStringSubmatch(x.description); m != nil {
		return lower(m[1])
	}
	return missing
}

// lower writes e-mail addresses in small letters, as users of the inventory have them.
func lower(name string) string {
	if strings.Contains(name, "@") {
		return strings.ToLower(name)
	}
	return name
}

// risk is the score that the item tells, nil if none.
func (x item) risk() *float64 {
	for _, f := range []fields{x.context, x.members} {
		if n := f.number("risk_score", "score"); n.Given {
			return n.Bounded(0, 100)
		}
	}
	if m := sentence.FindStringSubmatch(x.description); m != nil {
		v, err := strconv.ParseFloat(m[2], 64)
		return inbound.Number{Value: v, Given: err == nil}.Bounded(0, 100)
	}
	return nil
}

// finding maps what both have.
func (x item) finding(prefix, organization string) hub.Finding {
	f := hub.Finding{
		SourceID: inbound.Key(prefix, x.id), Type: x.kind(), AssetID: x.asset(organization), Status: hub.FindingOpen, Severity: x.severity(),
		Title: x.title, Description: x.description, SourceSequence: x.rank(), RiskScore: x.risk(), AcknowledgedAt: x.acknowledged, Raw: x.raw,
		ObservedAt: x.changed, Payload: x.payload(),
		Labels: map[string]string{
			"edgetelemetry_id": x.id, "edgetelemetry_status": x.status, "edgetelemetry_blast_radius": x.blast,
		},
	}
	if x.closed() {
		f.Status, f.AcknowledgedAt = hub.FindingResolved, time.Time{}
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = x.created
	}
	if word := x.members.text("severity"); word != "" {
		if _, known := inbound.Severity(word); !known {
			f.Labels["edgetelemetry_severity"] = word
		}
	}
	if f.AssetID == organization {
		f.Asset = &hub.Asset{Type: "edgetelemetry", Provider: "edgetelemetry"}
	}
	return f
}

// done completes a finding.
func (x item) done(f hub.Finding, what string) hub.Finding {
	if strings.TrimSpace(f.Title) == "" {
		f.Title = what + " about " + f.AssetID
	}
	inbound.Tidy(&f)
	return f
}

// kind is the finding's type: theirs where it is one of ours, what the words say,
// else an anomaly, which is what EdgeAI looks for.
func (x item) kind() string {
	for _, f := range []fields{x.context, x.members} {
		for _, name := range []string{"type", "alert_type", "incident_type", "category", "anomaly_type"} {
			word := strings.ToLower(f.text(name))
			if slices.Contains(hub.FindingTypes[:], word) {
				return word
			}
			if t := inbound.TypeOf(strings.ReplaceAll(word, "_", " ")); t != "" {
				return t
			}
		}
	}
	if t := inbound.TypeOf(x.title, x.description); t != "" {
		return t
	}
	return "anomaly"
}

// moving are members that change while an item stays the same, or that stand in
// the finding already.
var moving = []string{
	"id", "status", "state", "severity", "title", "name", "description", "created_at", "updated_at", "acknowledged_at", "acknowledged_by", "resolved_at",
	"resolved_by", "closed_at", "risk_score", "timestamp", "last_seen", "count",
}

// payload is what does not change while the item stays the same.
func (x item) payload() jsontext.Value {
	members := map[string]any{}
	for name, v := range x.members {
		if !slices.Contains(moving, name) {
			members[name] = v
		}
	}
	if len(x.alerts) > 0 {
		members["alert_ids"] = x.alerts
	}
	return inbound.Object(members)
}

// alert maps an alert. The incident that it belongs to is a label.
func (x item) alert(organization string) hub.Finding {
	f := x.finding("alert", organization)
	f.Labels["edgetelemetry_rule_id"], f.Labels["edgetelemetry_rule"] = x.ruleID, x.rule
	f.Labels["edgetelemetry_incident_id"] = x.incidentID
	return x.done(f, "Alert")
}

// incident maps an incident. Its alerts are in the payload, the nodes that it
// touches in a label.
func (x item) incident(organization string) hub.Finding {
	f := x.finding("incident", organization)
	f.Labels["edgetelemetry_nodes"] = strings.Join(x.nodes, ", ")
	return x.done(f, "Incident")
}

// plainID keeps an id that came from outside from leading to another path.
func plainID(id string) bool {
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.:@", r) {
			return false
		}
	}
	return strings.Trim(id, ".") != "" && len(id) <= 256
}
