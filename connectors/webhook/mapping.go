package webhook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A Map says what the fields of a finding are: texts, with expressions over
// input, body, headers and now in ${{ … }}.
type Map struct {
	// SourceID is the sender's own stable id of the finding. Without it, and
	// without DedupKey, type, asset and the discriminators of the source's dedup
	// profile tell findings apart.
	SourceID string `yaml:"source_id,omitempty"`
	DedupKey string `yaml:"dedup_key,omitempty"`

	Type     string `yaml:"type"`
	AssetID  string `yaml:"asset_id"`
	Severity string `yaml:"severity"` // a word, or a number from 0 to 10
	Status   string `yaml:"status,omitempty"`

	Title       string `yaml:"title,omitempty"`
	Description string `yaml:"description,omitempty"`
	ObservedAt  string `yaml:"observed_at,omitempty"`
	Sequence    string `yaml:"source_sequence,omitempty"`
	RiskScore   string `yaml:"risk_score,omitempty"`

	Labels map[string]string `yaml:"labels,omitempty"`
	Asset  struct {
		Type     string            `yaml:"type,omitempty"`
		Provider string            `yaml:"provider,omitempty"`
		Account  string            `yaml:"account,omitempty"`
		Region   string            `yaml:"region,omitempty"`
		Name     string            `yaml:"name,omitempty"`
		Tags     map[string]string `yaml:"tags,omitempty"`
	} `yaml:"asset,omitempty"`
	Vulnerability struct {
		CVE          string `yaml:"cve,omitempty"`
		CVSS         string `yaml:"cvss,omitempty"`
		Package      string `yaml:"package,omitempty"`
		FixedVersion string `yaml:"fixed_version,omitempty"`
	} `yaml:"vulnerability,omitempty"`
	Compliance struct {
		Framework string `yaml:"framework,omitempty"`
		Control   string `yaml:"control,omitempty"`
		Result    string `yaml:"result,omitempty"`
	} `yaml:"compliance,omitempty"`

	// Payload is an expression that gives an object; the whole item if not given.
	Payload string `yaml:"payload,omitempty"`
}

// Words translate a sender's words into ours, before the usual ones are tried.
type Words struct {
	Type     map[string]string `yaml:"type,omitempty"`
	Severity map[string]string `yaml:"severity,omitempty"`
	Status   map[string]string `yaml:"status,omitempty"`
}

// A mapping is a compiled Map.
type mapping struct {
	rules []rule
	words Words
}

// A rule fills one field.
type rule struct {
	name     string // as in the config, with dots
	template *expr.Template
	needed   bool // without it there is no finding
	set      func(*mapping, *hub.Finding, any) error
}

func (f *faults) mapping(m *Map, w *Words) *mapping {
	out := &mapping{words: *w}
	for _, s := range slots(m) {
		if s.text == "" {
			if s.required {
				f.add(pointer(s.name), "is required")
			}
			continue
		}
		t, err := expr.CompileTemplate(expr.RequestValue, s.text)
		if err != nil {
			f.add(pointer(s.name), err.Error())
			continue
		}
		r := rule{name: s.name, template: t, needed: s.needed, set: s.set}
		if text, fixed := t.Constant(); fixed {
			if err := r.set(out, &hub.Finding{}, text); err != nil {
				f.add(pointer(s.name), err.Error())
			}
		}
		out.rules = append(out.rules, r)
	}
	f.words("/words/type", w.Type, func(s string) bool { return slices.Contains(hub.FindingTypes[:], s) }, strings.Join(hub.FindingTypes[:], ", "))
	f.words("/words/severity", w.Severity, func(s string) bool { return hub.Severity(s).Valid() }, "critical, high, medium, low, info")
	f.words("/words/status", w.Status, func(s string) bool { return s == "open" || s == "resolved" }, "open, resolved")
	return out
}

func pointer(name string) string { return "/map/" + strings.ReplaceAll(name, ".", "/") }

func (f *faults) words(at string, words map[string]string, known func(string) bool, list string) {
	for _, w := range slices.Sorted(maps.Keys(words)) {
		if !known(words[w]) {
			f.add(at+"/"+w, fmt.Sprintf("%q is none of %s", words[w], list))
		}
	}
}

// A condition is an expression that is true or false; nil is none.
type condition struct{ p *expr.Program }

func (f *faults) condition(at, text string) *condition {
	if text == "" {
		return nil
	}
	p, err := expr.Compile(expr.RequestCondition, text)
	if err != nil {
		f.add(at, err.Error())
		return nil
	}
	return &condition{p}
}

func (c *condition) test(v *expr.Vars) (bool, error) {
	if c == nil {
		return false, nil
	}
	return c.p.Test(v)
}

// finding maps one item, which vars show already.
func (s *Source) finding(vars *expr.Vars, raw jsontext.Value) ([]hub.Finding, error) {
	if err := inbound.Check(raw); err != nil {
		return nil, err
	}
	if s.when != nil {
		if ok, err := s.when.test(vars); err != nil {
			return nil, fmt.Errorf("when: %w", err)
		} else if !ok {
			return nil, nil
		}
	}
	f := hub.Finding{Raw: raw, Status: hub.FindingOpen, Labels: map[string]string{}}
	if err := s.mapping.fill(vars, &f); err != nil {
		return nil, err
	}
	if f.Title == "" {
		f.Title = f.Type + " on " + f.AssetID
	}
	if f.Payload == nil {
		f.Payload = raw
		if raw.Kind() != '{' {
			f.Payload = append(append(jsontext.Value(`{"value":`), raw...), '}')
		}
	}
	return []hub.Finding{f}, nil
}

func (m *mapping) fill(vars *expr.Vars, f *hub.Finding) error {
	var unmapped []string
	for _, r := range m.rules {
		v, err := r.template.Eval(vars)
		if err == nil && v != nil {
			err = r.set(m, f, v)
		}
		if err == nil && r.needed && (v == nil || v == "") {
			err = errors.New("gives nothing")
		}
		switch {
		case err != nil && r.needed:
			return fmt.Errorf("map.%s: %w", r.name, err)
		case err != nil:
			unmapped = append(unmapped, r.name)
		}
	}
	if len(unmapped) > 0 {
		f.Labels["webhook_unmapped"] = strings.Join(unmapped, ",")
	}
	return nil
}
