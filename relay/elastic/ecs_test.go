package elastic

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// An ecsField is a field as the schema has it.
type ecsField struct {
	kind    string
	array   bool     // it must be an array; others must not be
	allowed []string // nil: any
}

// An ecsList is the published list of fields.
type ecsList struct {
	version string
	fields  map[string]ecsField
	types   map[string][]string // event.type that is expected with an event.category
}

// readECS reads the list kept in testdata, which says where it is from.
func readECS(t *testing.T) ecsList {
	t.Helper()
	file := "testdata/ecs-" + ecsVersion + ".txt"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l := ecsList{version: ecsVersion, fields: map[string]ecsField{}, types: map[string][]string{}}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" || strings.HasPrefix(words[0], "#") {
			continue
		}
		if category, is := strings.CutPrefix(words[0], "event.category="); is {
			l.types[category] = strings.Split(words[1], ",")
			continue
		}
		f := ecsField{kind: words[1]}
		for _, w := range words[2:] {
			values, is := strings.CutPrefix(w, "=")
			switch {
			case w == "array":
				f.array = true
			case is:
				f.allowed = strings.Split(values, ",")
			}
		}
		l.fields[words[0]] = f
	}
	if len(l.fields) < 300 || len(l.types) < 10 {
		t.Fatalf("%s has %d fields and %d categories", file, len(l.fields), len(l.types))
	}
	return l
}

// faults gives what is wrong with a document by the list.
func (l *ecsList) faults(doc map[string]any) []string {
	var faults []string
	l.walk("", doc, func(path string, v any) {
		if f := l.fault(path, v); f != "" {
			faults = append(faults, path+" "+f)
		}
	})
	for _, c := range texts(doc, "event", "category") {
		for _, typ := range texts(doc, "event", "type") {
			if !slices.ContainsFunc(texts(doc, "event", "category"), func(other string) bool { return slices.Contains(l.types[other], typ) }) {
				faults = append(faults, fmt.Sprintf("event.type %s is not expected with event.category %s", typ, c))
			}
		}
	}
	return faults
}

// walk visits every value that is no object. What is ours, and labels, may hold
// anything.
func (l *ecsList) walk(path string, v any, visit func(string, any)) {
	object, is := v.(map[string]any)
	if !is {
		visit(path, v)
		return
	}
	for name, part := range object {
		switch at := strings.TrimPrefix(path+"."+name, "."); at {
		case "tocsin":
		case "labels":
			for label, text := range part.(map[string]any) {
				if strings.Contains(label, ".") {
					visit("labels."+label, text)
				}
			}
		default:
			l.walk(at, part, visit)
		}
	}
}

func (l *ecsList) fault(path string, v any) string {
	f, there := l.fields[path]
	if !there {
		return "is not a field"
	}
	list, isList := v.([]any)
	if f.array != isList {
		return fmt.Sprintf("is %v; array: %v", v, f.array)
	}
	if !isList {
		list = []any{v}
	}
	if len(list) == 0 {
		return "is empty"
	}
	for _, one := range list {
		if fault := f.fault(one); fault != "" {
			return fault
		}
	}
	return ""
}

func (f *ecsField) fault(v any) string {
	text, isText := v.(string)
	number, isNumber := v.(float64)
	ok := false
	switch f.kind {
	case "keyword", "constant_keyword", "wildcard", "text", "match_only_text":
		ok = isText && text != "" && (f.allowed == nil || slices.Contains(f.allowed, text))
	case "long", "integer":
		ok = isNumber && number == float64(int64(number))
	case "float", "scaled_float":
		ok = isNumber
	case "boolean":
		_, ok = v.(bool)
	case "ip":
		_, err := netip.ParseAddr(text)
		ok = err == nil
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		ok = err == nil
	}
	if !ok {
		return fmt.Sprintf("is %v, want %s %v", v, f.kind, f.allowed)
	}
	return ""
}

func at(doc map[string]any, path ...string) any {
	var v any = doc
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func texts(doc map[string]any, path ...string) (out []string) {
	list, _ := at(doc, path...).([]any)
	for _, v := range list {
		text, _ := v.(string)
		out = append(out, text)
	}
	return out
}

// ecsDocs gives documents of every kind: the cases, and every type of finding,
// severity, event and action that there is.
func ecsDocs(t *testing.T) map[string]Doc {
	t.Helper()
	all := map[string]Doc{}
	for name, docs := range readCases(t) {
		for i, d := range docs {
			all[fmt.Sprintf("case %s %d", name, i)] = d
		}
	}
	findingTypes := []string{
		"xss", "csrf", "sql_injection", "brute_force", "malware", "vulnerability", "misconfiguration", "anomaly", "compliance",
		"iam", "billing", "network", "policy", "custom",
	}
	for i, typ := range findingTypes {
		severity := hub.Severities[i%len(hub.Severities)]
		f := fullFinding(typ, severity)
		all["finding "+typ] = caseMapping.Finding(f, hub.Triage{Finding: f.ID, Alert: "alt_1", Outcome: hub.OutcomeMerged})
		for _, event := range hub.EventTypes {
			for j, d := range caseMapping.Documents(fullEvent(event, f)) {
				all[fmt.Sprintf("alert %s %s %d", typ, event, j)] = d
			}
		}
	}
	for _, action := range []string{
		"finding.accept", "alert.acknowledged", "auth.login", "auth.logout", "auth.refresh", "session.end", "mfa.enable", "user.create", "user.update", "role.delete",
		"api_key.create", "api_key.revoke", "scim.user.create", "settings.update", "connector.pause", "webhook.rotate", "endpoint.open", "playbook.step",
		"webhook.attempt", "pagerduty.webhook", "audit.read", "access.denied", "plain",
	} {
		for _, outcome := range []hub.AuditOutcome{hub.AuditSuccess, hub.AuditFailure, hub.AuditDenied, "other"} {
			e := fullEntry(action, outcome)
			all[fmt.Sprintf("audit %s %s", action, outcome)] = caseMapping.Audit(e)
		}
	}
	return all
}

var ecsTime = time.Date(2026, 8, 20, 10, 0, 0, 123000, time.UTC)

func fullFinding(typ string, severity hub.Severity) *hub.Finding {
	return &hub.Finding{
		ID: "fnd_1", Tenant: "default", Source: "scanner", SourceID: "s-1", Type: typ, Severity: severity, Status: hub.FindingOpen, AssetID: "i-1",
		Title: "title", Description: "text", ObservedAt: ecsTime, ReceivedAt: ecsTime, RiskScore: new(55.5), DedupKey: "k",
		Asset:         &hub.Asset{Type: "server", Provider: "AWS", Account: "012345670123", Region: "eu-west-1", Name: "db-1", Tags: map[string]string{"env.name": "prod"}},
		Vulnerability: &hub.Vulnerability{CVE: "CVE-2026-1", CVSS: new(9.8), Package: "openssl", FixedVersion: "3.0.1"},
		Compliance:    &hub.Compliance{Framework: "CIS", Control: "1.1", Result: "fail"},
		Labels:        map[string]string{"vendor": "v", "product": "p", "rule_id": "r1", "rule": "name", "reference": "https://r.example", "mitre_technique": "T1110.003", "a.b": "c"},
		Payload:       []byte(`{"source_ip":"203.0.113.5","dest_ip":"198.51.100.7","user":"ana","host":"db-1","sha256":"ab","nested":{"x":1}}`),
	}
}

func fullEvent(typ hub.EventType, f *hub.Finding) *hub.Event {
	return &hub.Event{
		SpecVersion: "1.0", ID: "msg_1", Type: typ, Subject: "alt_1", Time: ecsTime, Timestamp: ecsTime, Tenant: "default", Sequence: 7,
		Data: hub.EventData{
			Reason: "merged", Actor: "source:scanner", Findings: []hub.FindingID{"fnd_1"}, Changes: hub.Changes{"severity": {"low", "high"}, "count": {1.0, 2.0}},
			Alert: &hub.Alert{
				ID: "alt_1", Tenant: "default", Title: f.Title, Description: f.Description, Type: f.Type, Severity: f.Severity, Status: hub.AlertResolved,
				AssetID: f.AssetID, Asset: f.Asset, Source: f.Source, Sources: []string{"scanner", "other"}, FirstSeen: ecsTime, LastSeen: ecsTime,
				CreatedAt: ecsTime, UpdatedAt: ecsTime, AcknowledgedAt: ecsTime, AcknowledgedBy: "usr_1", ResolvedAt: ecsTime, Assignee: "ana",
				Count: 3, Duplicates: 1, Generation: 2, Version: 5, RiskScore: f.RiskScore, IncidentID: "inc_1", PreviousAlertID: "alt_0",
				Labels: f.Labels, Vulnerability: f.Vulnerability, Compliance: f.Compliance, Payload: f.Payload,
			},
		},
	}
}

func fullEntry(action string, outcome hub.AuditOutcome) *hub.AuditEntry {
	return &hub.AuditEntry{
		ID: "aud_1", Sequence: 3, Timestamp: ecsTime, Tenant: "default", UserID: "usr_1", UserEmail: "ana@example.org", ActorType: hub.ActorUser,
		Action: action, ResourceType: "alert", ResourceID: "alt_1", IPAddress: "192.0.2.1", UserAgent: "curl/8", RequestMethod: "POST", RequestPath: "/x",
		ResponseStatus: 200, Outcome: outcome, Details: []byte(`{"a":"b"}`), PrevHash: "aa", IntegrityHash: "bb",
	}
}

// Every field of every document is one of the published list, of its type and
// with a value that the list allows.
func TestDocumentsKeepToECS(t *testing.T) {
	list := readECS(t)
	for name, d := range ecsDocs(t) {
		var doc map[string]any
		if err := json.Unmarshal(d.Body, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range list.faults(doc) {
			t.Errorf("%s: %s", name, f)
		}
		if v := at(doc, "ecs", "version"); v != list.version {
			t.Errorf("%s says that it is of ECS %v", name, v)
		}
		for _, path := range needed(d) {
			if at(doc, strings.Split(path, ".")...) == nil {
				t.Errorf("%s lacks %s", name, path)
			}
		}
	}
}

// needed are the fields without which a SIEM cannot use a document.
func needed(d Doc) []string {
	all := []string{"@timestamp", "message", "event.kind", "event.category", "event.type", "event.module", "event.dataset", "event.id", "event.action", "event.created", "tags"}
	switch {
	case strings.HasPrefix(d.Index, auditStream):
		all = append(all, "event.outcome", "data_stream.type", "data_stream.dataset", "data_stream.namespace", "tocsin.audit.integrity_hash")
	case d.Version == 0:
		all = append(all, "event.severity", "rule.name", "observer.name", "data_stream.type", "data_stream.dataset", "data_stream.namespace")
	default:
		all = append(all, "event.severity", "rule.name", "observer.name")
	}
	return all
}

// The list itself is right: what the schema does not allow is found.
func TestECSFaultsAreFound(t *testing.T) {
	list := readECS(t)
	for text, want := range map[string]string{
		`{"event":{"kind":"alarm"}}`:                                 "event.kind is alarm",
		`{"event":{"category":"malware"}}`:                           "event.category is malware; array: true",
		`{"event":{"category":["malware"],"type":["creation"]}}`:     "event.type creation is not expected with event.category malware",
		`{"event":{"severity":"high"}}`:                              "event.severity is high, want long",
		`{"host":{"name":["a"]}}`:                                    "host.name is [a]; array: false",
		`{"source":{"ip":"localhost"}}`:                              "source.ip is localhost, want ip",
		`{"alert":{"id":"x"}}`:                                       "alert.id is not a field",
		`{"@timestamp":"2026-08-20 10:00"}`:                          "@timestamp is 2026-08-20 10:00, want date",
		`{"labels":{"a.b":"c"}}`:                                     "labels.a.b is not a field",
		`{"event":{"category":["iam"],"type":["user","change"]}}`:    "",
		`{"tocsin":{"raw":{"x":1}},"labels":{"a":"b"},"tags":["a"]}`: "",
		`{"rule":{"name":""}}`:                                       "rule.name is , want keyword",
	} {
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(list.faults(doc), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// The mapping has each field under the type that the list says, and every field
// of every document has a mapping: nothing is mapped by guessing.
func TestMappingKeepsToECS(t *testing.T) {
	list := readECS(t)
	mapped := map[string]string{}
	for _, body := range [][]byte{ecsMappingJSON, ownMappingJSON} {
		var m struct {
			Properties map[string]any `json:"properties"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		collect("", m.Properties, mapped)
	}
	same := map[string]string{"match_only_text": "text", "wildcard": "keyword", "constant_keyword": "keyword", "object": "flattened", "integer": "long"}
	for path, kind := range mapped {
		want := list.fields[path].kind
		if s, other := same[want]; other {
			want = s
		}
		if !strings.HasPrefix(path, "tocsin.") && kind != want {
			t.Errorf("%s is mapped as %s, want %s", path, kind, want)
		}
	}
	for name, d := range ecsDocs(t) {
		var doc map[string]any
		if err := json.Unmarshal(d.Body, &doc); err != nil {
			t.Fatal(err)
		}
		for _, path := range leaves("", doc, mapped) {
			t.Errorf("%s: %s has no mapping", name, path)
		}
	}
}

// collect flattens a mapping into names and types.
func collect(path string, properties map[string]any, into map[string]string) {
	for name, v := range properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		m := v.(map[string]any)
		if kind, is := m["type"].(string); is {
			into[at] = kind
		}
		if inner, is := m["properties"].(map[string]any); is {
			collect(at, inner, into)
		}
	}
}

// leaves gives the values that have no mapping; a flattened field maps all in it.
func leaves(path string, v any, mapped map[string]string) (out []string) {
	if mapped[path] != "" {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for name, part := range v {
			out = append(out, leaves(strings.TrimPrefix(path+"."+name, "."), part, mapped)...)
		}
		return out
	case []any:
		for _, part := range v {
			if _, object := part.(map[string]any); object {
				out = append(out, leaves(path, part, mapped)...)
			}
		}
		if len(out) > 0 || len(v) > 0 && isObject(v[0]) {
			return out
		}
	}
	return []string{path}
}

func isObject(v any) bool { _, is := v.(map[string]any); return is }
