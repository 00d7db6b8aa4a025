package webhook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A slot is a field of the config's map with what it fills in.
type slot struct {
	name, text string
	required   bool // must be configured
	needed     bool // must give something, if configured
	set        func(*mapping, *hub.Finding, any) error
}

// slots lists every field of m.
func slots(m *Map) []slot {
	text := func(name, text string, into func(*hub.Finding) *string) slot {
		return slot{name: name, text: text, set: func(_ *mapping, f *hub.Finding, v any) error { *into(f) = asText(v); return nil }}
	}
	needed := func(s slot, required bool) slot { s.needed, s.required = true, required; return s }
	list := []slot{
		needed(text("source_id", m.SourceID, func(f *hub.Finding) *string { return &f.SourceID }), false),
		needed(text("dedup_key", m.DedupKey, func(f *hub.Finding) *string { return &f.DedupKey }), false),
		needed(slot{name: "type", text: m.Type, set: (*mapping).setType}, true),
		needed(text("asset_id", m.AssetID, func(f *hub.Finding) *string { return &f.AssetID }), true),
		needed(slot{name: "severity", text: m.Severity, set: (*mapping).setSeverity}, true),
		needed(slot{name: "status", text: m.Status, set: (*mapping).setStatus}, false),
		text("title", m.Title, func(f *hub.Finding) *string { return &f.Title }),
		text("description", m.Description, func(f *hub.Finding) *string { return &f.Description }),
		{name: "observed_at", text: m.ObservedAt, set: setTime},
		{name: "source_sequence", text: m.Sequence, set: setSequence},
		{name: "risk_score", text: m.RiskScore, set: setNumber(100, func(f *hub.Finding) **float64 { return &f.RiskScore })},
		{name: "payload", text: m.Payload, set: setPayload},
	}
	list = append(list, assetSlots(m, text)...)
	list = append(list, detailSlots(m, text)...)
	return list
}

type textSlot func(name, text string, into func(*hub.Finding) *string) slot

func assetSlots(m *Map, text textSlot) []slot {
	a := &m.Asset
	list := []slot{
		text("asset.type", a.Type, func(f *hub.Finding) *string { return &asset(f).Type }),
		text("asset.provider", a.Provider, func(f *hub.Finding) *string { return &asset(f).Provider }),
		text("asset.account", a.Account, func(f *hub.Finding) *string { return &asset(f).Account }),
		text("asset.region", a.Region, func(f *hub.Finding) *string { return &asset(f).Region }),
		text("asset.name", a.Name, func(f *hub.Finding) *string { return &asset(f).Name }),
	}
	for _, name := range slices.Sorted(maps.Keys(a.Tags)) {
		list = append(list, slot{name: "asset.tags." + name, text: a.Tags[name], set: func(_ *mapping, f *hub.Finding, v any) error {
			if asset(f).Tags == nil {
				f.Asset.Tags = map[string]string{}
			}
			f.Asset.Tags[name] = asText(v)
			return nil
		}})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Labels)) {
		list = append(list, slot{name: "labels." + name, text: m.Labels[name], set: func(_ *mapping, f *hub.Finding, v any) error {
			if f.Labels == nil {
				f.Labels = map[string]string{}
			}
			f.Labels[name] = asText(v)
			return nil
		}})
	}
	return list
}

func detailSlots(m *Map, text textSlot) []slot {
	v, c := &m.Vulnerability, &m.Compliance
	return []slot{
		text("vulnerability.cve", v.CVE, func(f *hub.Finding) *string { return &vulnerability(f).CVE }),
		{name: "vulnerability.cvss", text: v.CVSS, set: setNumber(10, func(f *hub.Finding) **float64 { return &vulnerability(f).CVSS })},
		text("vulnerability.package", v.Package, func(f *hub.Finding) *string { return &vulnerability(f).Package }),
		text("vulnerability.fixed_version", v.FixedVersion, func(f *hub.Finding) *string { return &vulnerability(f).FixedVersion }),
		text("compliance.framework", c.Framework, func(f *hub.Finding) *string { return &compliance(f).Framework }),
		text("compliance.control", c.Control, func(f *hub.Finding) *string { return &compliance(f).Control }),
		text("compliance.result", c.Result, func(f *hub.Finding) *string { return &compliance(f).Result }),
	}
}

func asset(f *hub.Finding) *hub.Asset {
	if f.Asset == nil {
		f.Asset = &hub.Asset{}
	}
	return f.Asset
}

func vulnerability(f *hub.Finding) *hub.Vulnerability {
	if f.Vulnerability == nil {
		f.Vulnerability = &hub.Vulnerability{}
	}
	return f.Vulnerability
}

func compliance(f *hub.Finding) *hub.Compliance {
	if f.Compliance == nil {
		f.Compliance = &hub.Compliance{}
	}
	return f.Compliance
}

func (m *mapping) setType(f *hub.Finding, v any) error {
	word := asText(v)
	f.Type = m.words.Type[word]
	if f.Type == "" {
		f.Type = strings.ToLower(word)
	}
	if !slices.Contains(hub.FindingTypes[:], f.Type) {
		return fmt.Errorf("%q is none of %s; translate it in words.type", clip(word), strings.Join(hub.FindingTypes[:], ", "))
	}
	return nil
}

// setSeverity takes a word, or a number from 0 to 10 as CVSS has it.
func (m *mapping) setSeverity(f *hub.Finding, v any) error {
	word := asText(v)
	if s, ok := m.words.Severity[word]; ok {
		f.Severity = hub.Severity(s)
		return nil
	}
	if s, ok := inbound.Severity(word); ok {
		f.Severity = s
		return nil
	}
	if n, err := strconv.ParseFloat(word, 64); err == nil && n >= 0 && n <= 10 {
		f.Severity = inbound.Score(n)
		return nil
	}
	return fmt.Errorf("%q is no severity; translate it in words.severity", clip(word))
}

func (m *mapping) setStatus(f *hub.Finding, v any) error {
	word := asText(v)
	if s, ok := m.words.Status[word]; ok {
		f.Status = hub.FindingStatus(s)
		return nil
	}
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "open", "new", "active", "firing", "triggered", "alerting", "problem", "failed", "fail", "down", "critical", "warning", "in_progress", "investigating", "acknowledged", "reopened", "true":
		f.Status = hub.FindingOpen
	case "resolved", "closed", "ok", "recovered", "fixed", "cleared", "inactive", "passed", "pass", "up", "done", "dismissed", "false":
		f.Status = hub.FindingResolved
	default:
		return fmt.Errorf("%q is neither open nor resolved; translate it in words.status", clip(word))
	}
	return nil
}

func setTime(_ *mapping, f *hub.Finding, v any) error {
	if t, ok := v.(time.Time); ok {
		f.ObservedAt = t
		return nil
	}
	f.ObservedAt = inbound.ParseTime(asText(v))
	if f.ObservedAt.IsZero() {
		return fmt.Errorf("%q is no time", clip(asText(v)))
	}
	return nil
}

func setSequence(_ *mapping, f *hub.Finding, v any) error {
	n, err := strconv.ParseInt(asText(v), 10, 64)
	if err != nil || n < 0 {
		return errors.New("is no whole number")
	}
	f.SourceSequence = n
	return nil
}

func setNumber(limit float64, into func(*hub.Finding) **float64) func(*mapping, *hub.Finding, any) error {
	return func(_ *mapping, f *hub.Finding, v any) error {
		n, err := strconv.ParseFloat(asText(v), 64)
		if err != nil || !(n >= 0 && n <= limit) {
			return fmt.Errorf("is no number from 0 to %v", limit)
		}
		*into(f) = &n
		return nil
	}
}

func setPayload(_ *mapping, f *hub.Finding, v any) error {
	raw, err := expr.Encode(v)
	if err != nil || raw.Kind() != '{' {
		return errors.New("is no object; write one expression that gives one")
	}
	f.Payload = raw
	return nil
}

// asText writes a value as it stands in text: nothing for null, JSON for lists
// and objects.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case jsontext.Value:
		return string(v)
	}
	raw, err := expr.Encode(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// clip keeps a sender's word short in messages.
func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "…"
}
