// Package intake reads findings in the hub's own JSON format (contract §3) and
// says what is wrong with those it cannot take, field by field.
//
// It is used for every finding that is pushed, so it reads each body once and
// decodes into one struct. Fields that it does not know are kept in payload.
package intake

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
)

// Limits of a finding's fields, in bytes. They keep a title out of places where
// nobody would read to its end; everything longer belongs into payload.
const (
	maxName  = 1024  // type, asset_id, source, source_id, dedup_key, names of assets
	maxTitle = 4096  // title
	maxText  = 65536 // description
	maxDepth = 100   // nesting of the whole finding
	maxPairs = 200   // labels, tags
)

// A wire is a finding as it is sent.
type wire struct {
	Type          string             `json:"type"`
	AssetID       string             `json:"asset_id"`
	Severity      hub.Severity       `json:"severity"`
	Title         string             `json:"title"`
	Description   string             `json:"description"`
	Payload       jsontext.Value     `json:"payload"`
	Source        string             `json:"source"`
	SourceID      string             `json:"source_id"`
	Status        hub.FindingStatus  `json:"status"`
	ObservedAt    time.Time          `json:"observed_at"`
	Labels        map[string]string  `json:"labels"`
	DedupKey      string             `json:"dedup_key"`
	Asset         *hub.Asset         `json:"asset"`
	Vulnerability *hub.Vulnerability `json:"vulnerability"`
	Compliance    *hub.Compliance    `json:"compliance"`
	RiskScore     *float64           `json:"risk_score"`
	Unknown       jsontext.Value     `json:",embed"`
}

// Finding reads one finding. raw is kept by the finding: it must not be changed
// afterwards. The error is a *hub.Error: Malformed if raw is not JSON, Invalid
// with its fields if it is no finding.
func Finding(raw []byte) (*hub.Finding, error) {
	if err := checkDepth(raw); err != nil {
		return nil, err
	}
	var w wire
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, explain(err)
	}
	if fields := w.check(); len(fields) > 0 {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: summary(fields), Fields: fields}
	}
	f := &hub.Finding{
		Type: w.Type, AssetID: w.AssetID, Severity: w.Severity, Title: w.Title, Description: w.Description,
		Source: w.Source, SourceID: w.SourceID, Status: w.Status, ObservedAt: w.ObservedAt, Labels: w.Labels,
		DedupKey: w.DedupKey, Asset: w.Asset, Vulnerability: w.Vulnerability, Compliance: w.Compliance,
		RiskScore: w.RiskScore, Payload: w.payload(), Raw: raw,
	}
	return f, nil
}

// summary is the sentence for the caller: the first fault and how many there are.
func summary(fields []hub.Field) string {
	s := strings.TrimPrefix(fields[0].Pointer, "/") + " " + fields[0].Detail
	if n := len(fields) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

type faults []hub.Field

func (f *faults) add(pointer, format string, args ...any) {
	*f = append(*f, hub.Field{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (f *faults) length(pointer, s string, limit int) {
	if len(s) > limit {
		f.add(pointer, "has %d bytes, at most %d are allowed", len(s), limit)
	}
}

func (w *wire) check() []hub.Field {
	var f faults
	w.checkRequired(&f)
	if w.Status != "" && w.Status != hub.FindingOpen && w.Status != hub.FindingResolved {
		f.add("/status", "%s is not one of open, resolved", show(string(w.Status)))
	}
	if w.RiskScore != nil && (*w.RiskScore < 0 || *w.RiskScore > 100) {
		f.add("/risk_score", "must be from 0 to 100")
	}
	if w.Vulnerability != nil && w.Vulnerability.CVSS != nil && (*w.Vulnerability.CVSS < 0 || *w.Vulnerability.CVSS > 10) {
		f.add("/vulnerability/cvss", "must be from 0 to 10")
	}
	if w.Payload != nil && w.Payload.Kind() == 'n' {
		w.Payload = nil
	}
	if w.Payload != nil && w.Payload.Kind() != '{' {
		f.add("/payload", "must be an object")
	}
	w.checkSizes(&f)
	return f
}

func (w *wire) checkRequired(f *faults) {
	switch {
	case w.Type == "":
		f.add("/type", "is required: one of %s", strings.Join(hub.FindingTypes[:], ", "))
	case !slices.Contains(hub.FindingTypes[:], w.Type):
		f.add("/type", "%s is not one of %s", show(w.Type), strings.Join(hub.FindingTypes[:], ", "))
	}
	if w.AssetID == "" {
		f.add("/asset_id", "is required: the identifier of the asset in your inventory")
	}
	switch {
	case w.Severity == "":
		f.add("/severity", "is required: one of critical, high, medium, low, info")
	case !w.Severity.Valid():
		f.add("/severity", "%s is not one of critical, high, medium, low, info", show(string(w.Severity)))
	}
}

func (w *wire) checkSizes(f *faults) {
	f.length("/asset_id", w.AssetID, maxName)
	f.length("/source", w.Source, maxName)
	f.length("/source_id", w.SourceID, maxName)
	f.length("/dedup_key", w.DedupKey, maxName)
	f.length("/title", w.Title, maxTitle)
	f.length("/description", w.Description, maxText)
	if len(w.Labels) > maxPairs {
		f.add("/labels", "has %d labels, at most %d are allowed", len(w.Labels), maxPairs)
	}
	if w.Asset != nil && len(w.Asset.Tags) > maxPairs {
		f.add("/asset/tags", "has %d tags, at most %d are allowed", len(w.Asset.Tags), maxPairs)
	}
	if y := w.ObservedAt.Year(); !w.ObservedAt.IsZero() && (y < 1970 || y > 2200) {
		f.add("/observed_at", "must lie between the years 1970 and 2200")
	}
}

// show quotes a value of the caller's, cut where it is long.
func show(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// payload gives the payload with the unknown fields. A field of the payload
// wins over an unknown one of the same name.
func (w *wire) payload() jsontext.Value {
	if len(w.Unknown) == 0 {
		return w.Payload
	}
	if w.Payload == nil {
		return w.Unknown
	}
	var own, more map[string]jsontext.Value
	if json.Unmarshal(w.Payload, &own) != nil || json.Unmarshal(w.Unknown, &more) != nil {
		return w.Payload // cannot be: both were read before
	}
	for name, v := range more {
		if _, there := own[name]; !there {
			own[name] = v
		}
	}
	merged, err := json.Marshal(own, json.Deterministic(true))
	if err != nil {
		return w.Payload
	}
	return merged
}

// checkDepth refuses nesting that would exhaust whoever reads the payload later.
// It does not care whether raw is JSON.
func checkDepth(raw []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return &hub.Error{
					Kind: hub.Invalid, Msg: fmt.Sprintf("the body is nested deeper than %d levels", maxDepth),
					Fields: []hub.Field{{Pointer: "", Detail: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}},
				}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// explain says in the caller's terms why the JSON could not be read.
func explain(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return hub.Wrap(hub.Malformed, err, "the body is not valid JSON: "+syntax(syntactic))
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return hub.Wrap(hub.Malformed, err, "the body is not valid JSON")
	}
	pointer := string(semantic.JSONPointer)
	detail := "must be " + wanted(semantic)
	if pointer == "" {
		return &hub.Error{Kind: hub.Invalid, Err: err, Msg: "a finding must be a JSON object", Fields: []hub.Field{{Pointer: "", Detail: "must be a JSON object"}}}
	}
	fields := []hub.Field{{Pointer: pointer, Detail: detail}}
	return &hub.Error{Kind: hub.Invalid, Err: err, Msg: summary(fields), Fields: fields}
}

func syntax(e *jsontext.SyntacticError) string {
	why := "it breaks off or has a character where none may be"
	if e.Err != nil {
		why = strings.TrimPrefix(e.Err.Error(), "jsontext: ")
	}
	if !utf8.ValidString(why) {
		why = strings.ToValidUTF8(why, "�")
	}
	s := fmt.Sprintf("%s at byte %d", why, e.ByteOffset)
	if e.JSONPointer != "" {
		s += ", in " + string(e.JSONPointer)
	}
	return s
}

func wanted(e *json.SemanticError) string {
	if e.GoType == reflect.TypeFor[time.Time]() {
		return "a time such as 2025-06-14T08:22:14Z (RFC 3339)"
	}
	if e.GoType == nil {
		return "of another type"
	}
	switch e.GoType.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Float64:
		return "a number"
	case reflect.Map:
		return "an object of strings"
	case reflect.Struct:
		return "an object"
	}
	return "of another type"
}
