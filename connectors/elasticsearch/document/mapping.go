package document

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// maxRaw is the longest document that a finding keeps whole.
const maxRaw = 1 << 20

// StatusUpdated is when somebody changed the status of a detection alert.
const StatusUpdated = "kibana.alert.workflow_status_updated_at"

// BuildingBlock reports whether the document is a part of other alerts, not an
// alert.
func (d *Document) BuildingBlock() bool { return d.text("kibana.alert.building_block_type") != "" }

// Finding maps the fields that Elastic's own documents have: those of detection
// alerts, else those of ECS.
func (d *Document) Finding(timeField string) hub.Finding {
	rule := d.first("kibana.alert.rule.name", "rule.name", "signal.rule.name")
	f := hub.Finding{
		SourceID: inbound.Key(inbound.First(d.first("kibana.alert.uuid"), d.hit.ID)),
		Status:   d.status(), Severity: d.severity(), RiskScore: d.score(), Raw: d.hit.Source,
		Title:       inbound.Said(rule, d.first("message", "event.action", "event.code"), "Document of "+d.hit.Index),
		Description: inbound.Said(d.first("kibana.alert.reason", "message", "event.reason"), d.first("kibana.alert.rule.description", "rule.description")),
		ObservedAt:  d.latest("@timestamp", StatusUpdated, "kibana.alert.end"),
		Labels: map[string]string{
			"elastic_index": d.hit.Index, "rule_id": d.first("kibana.alert.rule.uuid", "kibana.alert.rule.rule_id", "rule.id"),
			"workflow_status": d.text("kibana.alert.workflow_status"), "mitre_technique_id": strings.Join(d.list("threat.technique.id", "kibana.alert.rule.threat.technique.id"), ","),
			"tags": strings.Join(d.list("kibana.alert.rule.tags", "tags"), ","),
		},
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = d.latest(timeField)
	}
	if len(f.Raw) > maxRaw || !f.Raw.IsValid() {
		f.Raw, f.Labels["raw"] = nil, "left out: longer than 1 MiB, or not what JSON should be"
	}
	f.Type = d.kind(rule)
	d.asset(&f)
	if cve := d.first("vulnerability.id"); strings.HasPrefix(cve, "CVE-") {
		f.Vulnerability = &hub.Vulnerability{CVE: cve, Package: d.first("package.name")}
	}
	f.Payload = d.payload(rule)
	return f
}

// status is what Kibana's users say of an alert, or that an alert of a rule over
// states has recovered.
func (d *Document) status() hub.FindingStatus {
	if d.text("kibana.alert.workflow_status") == "closed" || d.text("signal.status") == "closed" || d.text("kibana.alert.status") == "recovered" {
		return hub.FindingResolved
	}
	return hub.FindingOpen
}

// severity is a word in detection alerts, and a number in ECS whose scale is the
// vendor's own: only Elastic's risk score is on a known one.
func (d *Document) severity() hub.Severity {
	if word := d.first("kibana.alert.severity", "signal.rule.severity", "kibana.alert.rule.severity", "vulnerability.severity", "log.level"); word != "" {
		return inbound.SeverityOr(word, hub.Medium)
	}
	if score := d.score(); score != nil {
		switch { // Elastic's bands
		case *score >= 99:
			return hub.Critical
		case *score >= 73:
			return hub.High
		case *score >= 47:
			return hub.Medium
		case *score >= 21:
			return hub.Low
		}
		return hub.Info
	}
	return hub.Medium
}

func (d *Document) score() *float64 {
	n, err := strconv.ParseFloat(d.first("kibana.alert.risk_score", "signal.rule.risk_score", "event.risk_score"), 64)
	return inbound.Number{Value: n, Given: err == nil}.Bounded(0, 100)
}

// latest is the latest of some times.
func (d *Document) latest(names ...string) time.Time {
	var last time.Time
	for _, n := range names {
		if t := inbound.ParseTime(d.text(n)); t.After(last) {
			last = t
		}
	}
	return last
}

// categories are those of ECS's event.category that say more than where an event
// was seen.
var categories = map[string]string{
	"malware": "malware", "vulnerability": "vulnerability", "iam": "iam", "configuration": "misconfiguration", "network": "network",
	"intrusion_detection": "network", "authentication": "iam", "web": "network", "threat": "malware",
}

func (d *Document) kind(rule string) string {
	if strings.HasPrefix(d.first("vulnerability.id"), "CVE-") {
		return "vulnerability"
	}
	if d.text("kibana.alert.rule.type") == "machine_learning" {
		return "anomaly"
	}
	if t := inbound.TypeOf(rule, strings.Join(d.list("kibana.alert.rule.tags"), " ")); t != "" {
		return t
	}
	for _, c := range d.list("event.category") {
		if t := categories[c]; t != "" {
			return t
		}
	}
	return inbound.First(inbound.TypeOf(d.first("kibana.alert.reason", "message")), "custom")
}

// asset is the host, else the cloud's resource, else the user, else the end of
// the connection that is ours.
func (d *Document) asset(f *hub.Finding) {
	host := d.first("host.name", "host.hostname", "host.id", "agent.name")
	resource := d.first("orchestrator.resource.name", "cloud.instance.name", "cloud.instance.id", "resource.id", "container.name")
	user := d.first("user.name", "user.email", "user.id")
	f.Asset = &hub.Asset{
		Type: "host", Provider: d.first("cloud.provider"), Account: d.first("cloud.account.id"), Region: d.first("cloud.region"),
		Tags: map[string]string{"ip": d.first("host.ip"), "os": d.first("host.os.name")},
	}
	switch {
	case host != "":
		f.AssetID = host
	case resource != "":
		f.AssetID, f.Asset.Type = resource, "resource"
	case user != "":
		f.AssetID, f.Asset.Type = user, "user"
	default:
		f.AssetID = inbound.First(inbound.Ours(d.first("destination.ip"), d.first("source.ip")), d.first("kibana.alert.instance.id", "observer.name"), "unknown")
	}
	f.Asset.Name = f.AssetID
}

// payload is what identifies the alert's cause; times and counters are left out,
// so that another version of the same document is no new evidence.
func (d *Document) payload(rule string) jsontext.Value {
	members := map[string]any{"rule": rule}
	for _, name := range [...]string{
		"kibana.alert.rule.uuid", "kibana.alert.rule.type", "event.module", "event.dataset", "event.action", "host.name", "user.name", "source.ip",
		"destination.ip", "process.name", "process.executable", "file.path", "file.hash.sha256", "dns.question.name", "url.full", "cloud.account.id", "vulnerability.id",
	} {
		members[name] = d.first(name)
	}
	members["threat.technique.id"] = d.list("threat.technique.id", "kibana.alert.rule.threat.technique.id")
	return inbound.Object(members)
}
