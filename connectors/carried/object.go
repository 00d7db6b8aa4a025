package carried

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	"github.com/tocsin/tocsin/internal/intake"
)

// isOwn reports whether raw looks like a finding in the hub's own format.
func isOwn(raw jsontext.Value) bool {
	var f struct {
		Type     inbound.Text `json:"type"`
		Asset    inbound.Text `json:"asset_id"`
		Severity inbound.Text `json:"severity"`
	}
	return json.Unmarshal(raw, &f) == nil && f.Asset != "" && slices.Contains(hub.FindingTypes[:], string(f.Type)) && hub.Severity(f.Severity).Valid()
}

func own(raw jsontext.Value) ([]hub.Finding, error) {
	f, err := intake.Finding(raw)
	if err != nil {
		return nil, err
	}
	if f.SourceID == "" && f.DedupKey == "" {
		f.SourceID = inbound.Key(f.Type, f.AssetID, f.Title)
	}
	f.Title = inbound.Said(f.Title, f.Type+" on "+f.AssetID)
	return []hub.Finding{*f}, nil
}

// Fields are the members of a JSON object whose names most tools share; those of
// Splunk's Common Information Model among them.
type Fields map[string]inbound.Text

// ReadFields reads the texts, numbers and truth values of an object. Names are
// taken in small letters.
func ReadFields(raw jsontext.Value) Fields {
	var members map[string]inbound.Text
	if raw.Kind() != '{' || json.Unmarshal(raw, &members) != nil {
		return Fields{}
	}
	fields := make(Fields, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) { // in order, for names that differ in case only
		if small := strings.ToLower(name); strings.TrimSpace(string(members[name])) != "" && fields[small] == "" {
			fields[small] = members[name]
		}
	}
	return fields
}

// First gives the first field that is there.
func (f Fields) First(names ...string) string {
	for _, n := range names {
		if v := f[n]; v != "" {
			return string(v)
		}
	}
	return ""
}

// Finding maps an object by its names. source says what sort of thing it is, for
// the identity, and text is what it says as a whole, if that is known.
func (f Fields) Finding(source, text string, m *Message) hub.Finding {
	title := f.First("title", "signature", "rule_title", "rule_name", "search_name", "alert_name", "alertname", "name", "subject")
	message := f.First("message", "msg", "description", "body", "reason", "summary", "log")
	to, from := f.First("dest", "dest_ip", "dest_host", "dst", "dst_ip", "destination_ip"), f.First("src", "src_ip", "src_host", "source_ip", "srcip")
	cve := f.First("cve", "cve_id")
	out := hub.Finding{
		Title: inbound.Said(title, message, text, "Event of "+source), Description: inbound.Said(message, text),
		Severity: f.severity(), Status: f.status(), ObservedAt: f.time(), Raw: m.Raw,
		AssetID: inbound.First(f.First("asset_id", "asset"), inbound.Ours(to, from), f.First("dvc", "host", "hostname", "computer", "device", "instance_id", "resource_id", "resource"), m.Host, "unknown"),
		Labels:  map[string]string{"sender": m.Host, "action": f.First("action"), "category": f.First("category"), "mitre_technique_id": f.First("mitre_technique_id")},
	}
	out.Type = f.kind(cve, title, message, text, to != "" && from != "")
	out.SourceID = f.identity(source, title, inbound.First(message, text), cve, out.AssetID, to, from)
	if cve != "" {
		out.Vulnerability = &hub.Vulnerability{CVE: cve, Package: f.First("package", "package_name"), FixedVersion: f.First("fixed_version")}
	}
	out.Payload = f.payload()
	return out
}

func (f Fields) kind(cve, title, message, text string, connection bool) string {
	if t := strings.ToLower(f.First("type", "finding_type")); slices.Contains(hub.FindingTypes[:], t) {
		return t
	}
	if cve != "" {
		return "vulnerability"
	}
	if t := inbound.TypeOf(title, f.First("category", "subcategory", "classification"), message, text); t != "" {
		return t
	}
	if connection {
		return "network"
	}
	return "custom"
}

// identity is the sender's own id; for want of one, what it is about.
func (f Fields) identity(source, title, text, cve, asset, to, from string) string {
	if id := f.First("source_id", "finding_id", "alert_id", "notable_id", "event_id", "event_uuid", "external_id", "id"); id != "" {
		return inbound.Key(source, "id", id)
	}
	what := inbound.First(f.First("signature_id", "rule_id"), title, cve)
	if what == "" {
		what = text
	}
	return inbound.Key(source, what, asset, from, to, f.First("user", "dest_user", "username"), f.First("src_user"), f.First("file_path", "file_name", "file_hash", "url"), cve)
}

func (f Fields) severity() hub.Severity {
	word := f.First("urgency", "severity", "severity_name", "priority", "level", "risk_level")
	if n := numbered(word); n != "" {
		return n
	}
	if strings.EqualFold(word, "unknown") {
		return hub.Medium
	}
	return inbound.SeverityOr(word, hub.Medium)
}

// numbered reads the numbers that are the same in most tools: 1 to 5 grow worse.
// Others are left to the rules of the transport.
func numbered(word string) hub.Severity {
	switch word {
	case "1":
		return hub.Info
	case "2":
		return hub.Low
	case "3":
		return hub.Medium
	case "4":
		return hub.High
	case "5":
		return hub.Critical
	}
	return ""
}

func (f Fields) status() hub.FindingStatus { return status(f.First("status", "state", "status_label")) }

func (f Fields) time() time.Time {
	return inbound.ParseTime(f.First("observed_at", "event_time", "_time", "time", "timestamp", "@timestamp", "date"))
}

// changing are fields that differ from one report of the same thing to the next.
var changing = map[string]bool{
	"time": true, "_time": true, "timestamp": true, "@timestamp": true, "date": true, "event_time": true, "observed_at": true, "count": true,
	"src_port": true, "id": true, "event_id": true, "event_uuid": true, "alert_id": true, "notable_id": true, "message": true, "msg": true,
	"body": true, "log": true, "description": true, "bytes": true, "bytes_in": true, "bytes_out": true, "duration": true, "pid": true,
	"process_id": true, "session_id": true, "status": true, "state": true, "severity": true, "urgency": true, "severity_id": true, "_raw": true,
}

func (f Fields) payload() jsontext.Value {
	stable := make(map[string]any, len(f))
	for name, value := range f {
		if !changing[name] {
			stable[name] = value
		}
	}
	return inbound.Object(stable)
}
