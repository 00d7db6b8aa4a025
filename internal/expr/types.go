package expr

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/tocsin/tocsin/hub"
)

// Names of the types that expressions see.
const (
	alertType         = "Alert"
	assetType         = "Asset"
	vulnerabilityType = "Vulnerability"
	complianceType    = "Compliance"
	eventType         = "Event"
	dataType          = "EventData"
	endpointType      = "Endpoint"
	findingType       = "Finding"
	stepType          = "Step"
	runType           = "Run"
)

// objects lists every typed object. The field names are those of the JSON form.
func objects() []*object {
	return []*object{
		{alertType, reflect.TypeFor[*alertView](), alertFields()},
		{findingType, reflect.TypeFor[*findingView](), findingFields()},
		{eventType, reflect.TypeFor[*eventView](), eventFields()},
		{dataType, reflect.TypeFor[*dataView](), dataFields()},
		{assetType, reflect.TypeFor[*hub.Asset](), assetFields()},
		{vulnerabilityType, reflect.TypeFor[*hub.Vulnerability](), vulnerabilityFields()},
		{complianceType, reflect.TypeFor[*hub.Compliance](), complianceFields()},
		{endpointType, reflect.TypeFor[*hub.EndpointBrief](), endpointFields()},
		{stepType, reflect.TypeFor[*Step](), stepFields()},
		{runType, reflect.TypeFor[*Run](), runFields()},
	}
}

// fieldNames lists every field there is, for guesses at what was meant.
func fieldNames() []string {
	var names []string
	for _, o := range objects() {
		names = append(names, o.FieldNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func alertFields() fields {
	type v = *alertView
	return fields{
		"id":                text(func(a v) hub.AlertID { return a.ID }),
		"tenant":            text(func(a v) hub.TenantID { return a.Tenant }),
		"fingerprint":       text(func(a v) string { return a.Fingerprint.String() }),
		"title":             text(func(a v) string { return a.Title }),
		"description":       text(func(a v) string { return a.Description }),
		"type":              text(func(a v) string { return a.Type }),
		"severity":          text(func(a v) hub.Severity { return a.Severity }),
		"severity_num":      number(func(a v) int64 { return severityNum(a.Severity) }),
		"status":            text(func(a v) hub.AlertStatus { return a.Status }),
		"asset_id":          text(func(a v) string { return a.AssetID }),
		"asset":             part(assetType, func(a v) *hub.Asset { return a.Asset }),
		"source":            text(func(a v) string { return a.Source }),
		"sources":           texts(func(a v) []string { return a.Sources }),
		"first_seen":        moment(func(a v) time.Time { return a.FirstSeen }),
		"last_seen":         moment(func(a v) time.Time { return a.LastSeen }),
		"created_at":        moment(func(a v) time.Time { return a.CreatedAt }),
		"updated_at":        moment(func(a v) time.Time { return a.UpdatedAt }),
		"acknowledged_at":   moment(func(a v) time.Time { return a.AcknowledgedAt }),
		"acknowledged_by":   text(func(a v) string { return a.AcknowledgedBy }),
		"resolved_at":       moment(func(a v) time.Time { return a.ResolvedAt }),
		"assignee":          text(func(a v) string { return a.Assignee }),
		"count":             number(func(a v) int64 { return a.Count }),
		"duplicates":        number(func(a v) int64 { return a.Duplicates }),
		"generation":        number(func(a v) int64 { return a.Generation }),
		"version":           number(func(a v) int64 { return a.Version }),
		"risk_score":        decimal(func(a v) *float64 { return a.RiskScore }),
		"incident_id":       text(func(a v) string { return a.IncidentID }),
		"previous_alert_id": text(func(a v) hub.AlertID { return a.PreviousAlertID }),
		"labels":            mapping(func(a v) map[string]string { return a.Labels }),
		"vulnerability":     part(vulnerabilityType, func(a v) *hub.Vulnerability { return a.Vulnerability }),
		"compliance":        part(complianceType, func(a v) *hub.Compliance { return a.Compliance }),
		"payload":           untyped(func(a v) *document { a.payload.raw = a.Payload; return &a.payload }),
	}
}

func findingFields() fields {
	type v = *findingView
	return fields{
		"id":              text(func(f v) hub.FindingID { return f.ID }),
		"tenant":          text(func(f v) hub.TenantID { return f.Tenant }),
		"type":            text(func(f v) string { return f.Type }),
		"asset_id":        text(func(f v) string { return f.AssetID }),
		"severity":        text(func(f v) hub.Severity { return f.Severity }),
		"severity_num":    number(func(f v) int64 { return severityNum(f.Severity) }),
		"title":           text(func(f v) string { return f.Title }),
		"description":     text(func(f v) string { return f.Description }),
		"source":          text(func(f v) string { return f.Source }),
		"source_id":       text(func(f v) string { return f.SourceID }),
		"status":          text(func(f v) hub.FindingStatus { return f.Status }),
		"observed_at":     moment(func(f v) time.Time { return f.ObservedAt }),
		"received_at":     moment(func(f v) time.Time { return f.ReceivedAt }),
		"source_sequence": number(func(f v) int64 { return f.SourceSequence }),
		"labels":          mapping(func(f v) map[string]string { return f.Labels }),
		"dedup_key":       text(func(f v) string { return f.DedupKey }),
		"asset":           part(assetType, func(f v) *hub.Asset { return f.Asset }),
		"vulnerability":   part(vulnerabilityType, func(f v) *hub.Vulnerability { return f.Vulnerability }),
		"compliance":      part(complianceType, func(f v) *hub.Compliance { return f.Compliance }),
		"risk_score":      decimal(func(f v) *float64 { return f.RiskScore }),
		"payload":         untyped(func(f v) *document { f.payload.raw = f.Payload; return &f.payload }),
		"raw":             untyped(func(f v) *document { f.raw.raw = f.Raw; return &f.raw }),
	}
}

func eventFields() fields {
	type v = *eventView
	return fields{
		"id":       text(func(e v) hub.EventID { return e.ID }),
		"source":   text(func(e v) string { return e.Source }),
		"type":     text(func(e v) hub.EventType { return e.Type }),
		"subject":  text(func(e v) string { return e.Subject }),
		"time":     moment(func(e v) time.Time { return e.Time }),
		"tenant":   text(func(e v) hub.TenantID { return e.Tenant }),
		"sequence": number(func(e v) int64 { return e.Sequence }),
		"reason":   text(func(e v) string { return e.Data.Reason }),
		"actor":    text(func(e v) string { return e.Data.Actor }),
		"depth":    number(func(e v) int64 { return int64(e.Data.Depth) }),
		"changes":  changed(func(e v) hub.Changes { return e.Data.Changes }),
		"data":     part(dataType, func(e v) *dataView { return (*dataView)(e) }),
	}
}

func dataFields() fields {
	type v = *dataView
	return fields{
		"alert":    part(alertType, func(d v) *alertView { return d.alertView() }),
		"endpoint": part(endpointType, func(d v) *hub.EndpointBrief { return d.Data.Endpoint }),
		"object":   untyped(func(d v) *document { d.object.raw = d.Data.Object; return &d.object }),
		"reason":   text(func(d v) string { return d.Data.Reason }),
		"actor":    text(func(d v) string { return d.Data.Actor }),
		"changes":  changed(func(d v) hub.Changes { return d.Data.Changes }),
	}
}

func assetFields() fields {
	type v = *hub.Asset
	return fields{
		"type":     text(func(a v) string { return a.Type }),
		"provider": text(func(a v) string { return a.Provider }),
		"account":  text(func(a v) string { return a.Account }),
		"region":   text(func(a v) string { return a.Region }),
		"name":     text(func(a v) string { return a.Name }),
		"tags":     mapping(func(a v) map[string]string { return a.Tags }),
	}
}

func vulnerabilityFields() fields {
	type v = *hub.Vulnerability
	return fields{
		"cve":           text(func(x v) string { return x.CVE }),
		"cvss":          decimal(func(x v) *float64 { return x.CVSS }),
		"package":       text(func(x v) string { return x.Package }),
		"fixed_version": text(func(x v) string { return x.FixedVersion }),
	}
}

func complianceFields() fields {
	type v = *hub.Compliance
	return fields{
		"framework": text(func(c v) string { return c.Framework }),
		"control":   text(func(c v) string { return c.Control }),
		"result":    text(func(c v) string { return c.Result }),
	}
}

func endpointFields() fields {
	type v = *hub.EndpointBrief
	return fields{
		"id":     text(func(e v) hub.EndpointID { return e.ID }),
		"name":   text(func(e v) string { return e.Name }),
		"kind":   text(func(e v) string { return e.Kind }),
		"url":    text(func(e v) string { return e.URL }),
		"reason": text(func(e v) string { return e.Reason }),
	}
}

func stepFields() fields {
	type v = *Step
	return fields{
		"status": text(func(s v) string { return s.Status }),
		"at":     moment(func(s v) time.Time { return s.At }),
		"error":  text(func(s v) string { return s.Error }),
		"output": untyped(func(s v) *document { s.output.raw = s.Output; return &s.output }),
	}
}

func runFields() fields {
	type v = *Run
	return fields{
		"id":         text(func(r v) hub.RunID { return r.ID }),
		"playbook":   text(func(r v) string { return r.Playbook }),
		"version":    text(func(r v) string { return r.Version }),
		"started_at": moment(func(r v) time.Time { return r.StartedAt }),
	}
}

// untyped is a field whose JSON is decoded when an expression asks for it.
func untyped[T any](get func(T) *document) *types.FieldType {
	return &types.FieldType{
		Type: cel.DynType,
		IsSet: func(target any) bool {
			v, ok := target.(T)
			return ok && len(get(v).raw) > 0
		},
		GetFrom: func(target any) (any, error) {
			if v, ok := target.(T); ok {
				return get(v).decoded()
			}
			return nil, fmt.Errorf("%T is not what the field belongs to", target)
		},
	}
}

// changed is the map of a field's name to its value before and after.
func changed[T any](get func(T) hub.Changes) *types.FieldType {
	return field(cel.MapType(cel.StringType, cel.ListType(cel.DynType)), func(v T) (any, bool) {
		c := get(v)
		m := make(map[string]any, len(c))
		for k, pair := range c {
			m[k] = []any{plain(pair[0]), plain(pair[1])}
		}
		return m, len(m) > 0
	})
}
