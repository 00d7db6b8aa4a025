package elastic

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxFlattenedDepth is Elasticsearch's default depth_limit.
const maxFlattenedDepth = 20

// maxTerm is Lucene's limit for one term, in bytes.
const maxTerm = 32766

// fits checks a document against a mapping as Elasticsearch would, and gives
// the reason for refusing it, or "". Fields that no mapping knows go to missing.
func (m *mapping) fits(field string, v any, missing func(string)) string {
	if list, is := v.([]any); is && m.Type != "flattened" {
		for _, e := range list {
			if reason := m.fits(field, e, missing); reason != "" {
				return reason
			}
		}
		return ""
	}
	switch m.Type {
	case "", "object", "nested":
		return m.fitsObject(field, v, missing)
	case "flattened":
		return fitsFlattened(field, v)
	}
	if v == nil {
		return ""
	}
	if m.fitsLeaf(v) {
		return ""
	}
	return fmt.Sprintf("failed to parse field [%s] of type [%s]", field, m.Type)
}

func (m *mapping) fitsObject(field string, v any, missing func(string)) string {
	object, is := v.(map[string]any)
	if !is {
		return "object mapping for [" + field + "] tried to parse field [" + field + "] as object, but found a concrete value"
	}
	for name, value := range object {
		if name == "" {
			return "field name cannot be an empty string"
		}
		full := strings.TrimPrefix(field+"."+name, ".")
		child := m.find(name)
		if child == nil {
			missing(full)
			continue
		}
		if reason := child.fits(full, value, missing); reason != "" {
			return reason
		}
	}
	return ""
}

// find gives the mapping of a name, which may be dotted.
func (m *mapping) find(name string) *mapping {
	for part := range strings.SplitSeq(name, ".") {
		if m = m.Properties[part]; m == nil {
			return nil
		}
	}
	return m
}

func (m *mapping) fitsLeaf(v any) bool {
	switch m.Type {
	case "date":
		text, is := v.(string)
		_, err := time.Parse(time.RFC3339Nano, text)
		return is && err == nil
	case "long", "integer":
		n, is := v.(json.Number)
		if !is {
			return false
		}
		_, err := n.Int64()
		return err == nil
	case "float", "double":
		n, is := v.(json.Number)
		if !is {
			return false
		}
		_, err := n.Float64()
		return err == nil
	case "ip":
		text, is := v.(string)
		a, err := netip.ParseAddr(text)
		return is && err == nil && a.Zone() == ""
	}
	_, object := v.(map[string]any)
	return !object
}

func fitsFlattened(field string, v any) string {
	if v == nil {
		return ""
	}
	object, is := v.(map[string]any)
	if !is || !flattens(object, "", 1) {
		return "failed to parse field [" + field + "] of type [flattened]"
	}
	return ""
}

func flattens(v any, prefix string, depth int) bool {
	switch v := v.(type) {
	case map[string]any:
		if depth > maxFlattenedDepth {
			return false
		}
		for name, child := range v {
			if strings.Contains(name, "\x00") || !flattens(child, prefix+name+".", depth+1) {
				return false
			}
		}
	case []any:
		for _, e := range v {
			if !flattens(e, prefix, depth) {
				return false
			}
		}
	case string:
		return len(prefix) < maxTerm
	}
	return true
}

// topLevel are the ECS field sets, and our own, that a document may have.
var topLevel = []string{
	"@timestamp", "message", "tags", "labels", "ecs", "event", "rule", "observer", "cloud", "host", "user", "user_agent",
	"source", "destination", "related", "organization", "data_stream", "vulnerability", "package", "threat", "http", "url",
	"file", "process", "container", "orchestrator", "network", "tocsin",
}

// closed are fields with a closed list of values in ECS; severity is that of
// Elastic's rule for external alerts.
var closed = map[string][]string{
	"kind":    {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
	"outcome": {"success", "failure", "unknown"},
	"category": {
		"api", "authentication", "configuration", "database", "driver", "email", "file", "host", "iam", "intrusion_detection",
		"library", "malware", "network", "package", "process", "registry", "session", "threat", "vulnerability", "web",
	},
	"type": {
		"access", "admin", "allowed", "change", "connection", "creation", "deletion", "denied", "end", "error", "group",
		"indicator", "info", "installation", "protocol", "start", "user", "device",
	},
	"severity": {"21", "47", "73", "99"},
}

// judge writes down what a SIEM would miss in a document.
func (s *Sim) judge(stream string, doc map[string]any) {
	for name := range doc {
		head, _, _ := strings.Cut(name, ".")
		if !slices.Contains(topLevel, head) {
			s.violate("field " + name + " is neither ECS nor tocsin.*")
		}
	}
	event, _ := doc["event"].(map[string]any)
	for name, allowed := range closed {
		for _, v := range each(event[name]) {
			if !slices.Contains(allowed, fmt.Sprint(v)) {
				s.violate(fmt.Sprintf("event.%s has the value %v, which its closed list lacks", name, v))
			}
		}
	}
	for _, name := range []string{"category", "type"} {
		if _, is := event[name].([]any); !is {
			s.violate("event." + name + " is no array")
		}
	}
	s.judgeRequired(stream, doc, event)
}

// judgeRequired demands what Elastic's rule reads, and what a data stream's
// name and its documents must agree on.
func (s *Sim) judgeRequired(stream string, doc, event map[string]any) {
	ecs, _ := doc["ecs"].(map[string]any)
	for name, v := range map[string]any{"message": doc["message"], "ecs.version": ecs["version"], "event.kind": event["kind"]} {
		if v == nil || v == "" {
			s.violate(name + " is missing")
		}
	}
	if event["ingested"] == nil && doc["event.ingested"] == nil {
		s.violate("event.ingested is missing: the rule for external alerts never finds the document")
	}
	if !strings.HasPrefix(stream, "logs-") {
		return
	}
	if event["id"] == nil {
		s.violate("event.id is missing")
	}
	ds, _ := doc["data_stream"].(map[string]any)
	if name := fmt.Sprintf("%v-%v-%v", ds["type"], ds["dataset"], ds["namespace"]); name != stream {
		s.violate("data_stream.* says " + name + " in the stream " + stream)
	}
	if event["dataset"] != ds["dataset"] {
		s.violate("event.dataset differs from data_stream.dataset")
	}
}

func each(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}
