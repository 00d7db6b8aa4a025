package carried

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

// A Fill says what the fields of a finding are, as texts with expressions over
// input: "${{ input.host }}". A field that is left out, or whose expression
// gives nothing or fails, is not filled in.
type Fill struct {
	Type        string            `yaml:"type,omitempty"`
	Severity    string            `yaml:"severity,omitempty"` // a word, or a number from 0 to 100
	Asset       string            `yaml:"asset,omitempty"`
	Title       string            `yaml:"title,omitempty"`
	Description string            `yaml:"description,omitempty"`
	Key         string            `yaml:"key,omitempty"`    // the identity: the same key is the same finding
	Status      string            `yaml:"status,omitempty"` // open or resolved
	ObservedAt  string            `yaml:"observed_at,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
}

// A Filler is a compiled [Fill]. It is safe for concurrent use.
type Filler struct {
	fields []filled
}

type filled struct {
	name     string
	label    bool
	template *expr.Template
}

// Compile makes f ready. The error tells every fault with its field.
func (f *Fill) Compile() (*Filler, error) {
	var out Filler
	var faults []error
	add := func(name, text string, label bool) {
		if text == "" {
			return
		}
		t, err := expr.CompileTemplate(expr.InputValue, text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			return
		}
		if fixed, ok := t.Constant(); ok && !label {
			if err := checkFixed(name, fixed); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
		out.fields = append(out.fields, filled{name, label, t})
	}
	add("type", f.Type, false)
	add("severity", f.Severity, false)
	add("asset", f.Asset, false)
	add("title", f.Title, false)
	add("description", f.Description, false)
	add("key", f.Key, false)
	add("status", f.Status, false)
	add("observed_at", f.ObservedAt, false)
	for _, name := range slices.Sorted(maps.Keys(f.Labels)) {
		add(name, f.Labels[name], true)
	}
	return &out, errors.Join(faults...)
}

// checkFixed refuses a text that could never be right.
func checkFixed(name, text string) error {
	switch name {
	case "type":
		if !slices.Contains(hub.FindingTypes[:], text) {
			return fmt.Errorf("%q is none of %s", text, strings.Join(hub.FindingTypes[:], ", "))
		}
	case "severity":
		if _, ok := severity(text); !ok {
			return fmt.Errorf("%q is none of critical, high, medium, low, info, nor a number from 0 to 100", text)
		}
	case "status":
		if text != string(hub.FindingOpen) && text != string(hub.FindingResolved) {
			return fmt.Errorf("%q is neither open nor resolved", text)
		}
	}
	return nil
}

// Fill fills in f by input. The error names the fields whose expressions failed;
// the others are filled in all the same.
func (p *Filler) Fill(f *hub.Finding, input jsontext.Value, now time.Time) error {
	return p.fill(f, &expr.Vars{Input: input, Now: now})
}

func (p *Filler) fill(f *hub.Finding, vars *expr.Vars) error {
	var faults []error
	for _, field := range p.fields {
		v, err := field.template.Eval(vars)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field.name, err))
			continue
		}
		if text := plain(v); text != "" {
			field.set(f, text)
		}
	}
	return errors.Join(faults...)
}

func (p *filled) set(f *hub.Finding, text string) {
	switch {
	case p.label:
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[p.name] = text
		return
	}
	switch p.name {
	case "type":
		f.Type = "custom"
		if t := strings.ToLower(text); slices.Contains(hub.FindingTypes[:], t) {
			f.Type = t
		} else if t := inbound.TypeOf(text); t != "" {
			f.Type = t
		}
	case "severity":
		s, ok := severity(text)
		if !ok {
			s = hub.High // too loud is noticed and mended, too quiet is not
		}
		f.Severity = s
	case "asset":
		f.AssetID, f.Asset = text, nil
	case "title":
		f.Title = text
	case "description":
		f.Description = text
	case "key":
		f.SourceID, f.DedupKey = inbound.Key(text), ""
	case "status":
		f.Status = status(text)
	case "observed_at":
		f.ObservedAt = inbound.ParseTime(text)
	}
}

// severity reads a word, or a number as SIEMs use it, 0 to 100: Elastic's bands
// begin at 21, 47, 73 and 99.
func severity(text string) (hub.Severity, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return inbound.Severity(text)
	}
	switch {
	case n < 0 || n > 100:
		return "", false
	case n >= 99:
		return hub.Critical, true
	case n >= 73:
		return hub.High, true
	case n >= 47:
		return hub.Medium, true
	case n >= 21:
		return hub.Low, true
	}
	return hub.Info, true
}

// status knows the words of most tools for an end.
func status(word string) hub.FindingStatus {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "resolved", "closed", "fixed", "ok", "inactive", "cleared":
		return hub.FindingResolved
	}
	return hub.FindingOpen
}

// plain writes a value as text; null is none.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	b, err := expr.Encode(v)
	if err != nil || string(b) == "null" {
		return ""
	}
	return string(b)
}
