package carried

import (
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A Rule says which messages become findings, and what is in them. It fits a
// message if Match and When do, as far as they are given.
type Rule struct {
	Name string `yaml:"name"`

	// Match is a regular expression over the text. Its named groups are
	// input.match, and part of the identity unless there is a key.
	Match string `yaml:"match,omitempty"`

	// When is a condition over input, the message's parsed fields.
	When string `yaml:"when,omitempty"`

	// Drop keeps messages that fit from becoming findings.
	Drop bool `yaml:"drop,omitempty"`

	Fill `yaml:",inline"`
}

// Rules are compiled rules. The first that fits a message decides. They are safe
// for concurrent use.
type Rules struct {
	rules []rule
}

type rule struct {
	Rule
	match *regexp.Regexp
	when  *expr.Program
	fill  *Filler
	keyed bool
}

// CompileRules checks rules and makes them ready. The error tells everything
// that is wrong.
func CompileRules(all []Rule) (*Rules, error) {
	var out Rules
	var faults []error
	names := map[string]bool{}
	for i, r := range all {
		c, err := r.compile()
		if r.Name == "" {
			err = errors.Join(errors.New("name: is required"), err)
		} else if names[r.Name] {
			err = errors.Join(errors.New("name: another rule has it already"), err)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("rules[%d]: %w", i, err))
		}
		names[r.Name] = true
		out.rules = append(out.rules, c)
	}
	return &out, errors.Join(faults...)
}

func (r Rule) compile() (rule, error) {
	c := rule{Rule: r, keyed: r.Key != ""}
	var faults []error
	var err error
	if r.Match == "" && r.When == "" {
		faults = append(faults, errors.New("want match, when or both"))
	}
	if r.Match != "" {
		if c.match, err = regexp.Compile(r.Match); err != nil {
			faults = append(faults, fmt.Errorf("match: %w", err))
		}
	}
	if r.When != "" {
		if c.when, err = expr.Compile(expr.InputCondition, r.When); err != nil {
			faults = append(faults, fmt.Errorf("when: %w", err))
		}
	}
	if c.fill, err = r.Fill.Compile(); err != nil {
		faults = append(faults, err)
	}
	return c, errors.Join(faults...)
}

// None reports whether there are no rules, so that no input has to be made.
func (r *Rules) None() bool { return len(r.rules) == 0 }

// An Input is a message as rules see it.
type Input struct {
	Text string

	// Fields are texts, whole numbers as int64, maps from text to text, and JSON.
	// The names text and match are taken.
	Fields map[string]any

	decoded bool
}

// plain gives the input with what a rule's groups matched, in the bounds of
// expressions. It is the same map at each call.
func (in *Input) plain(match map[string]string) map[string]any {
	if !in.decoded {
		in.decoded = true
		in.Fields["text"] = clip(in.Text)
		for name, v := range in.Fields {
			switch v := v.(type) {
			case jsontext.Value:
				in.Fields[name] = decode(v)
			case inbound.Text:
				in.Fields[name] = clip(string(v))
			case string:
				in.Fields[name] = clip(v)
			}
		}
	}
	delete(in.Fields, "match")
	if match != nil {
		in.Fields["match"] = match
	}
	return in.Fields
}

// decode gives JSON as plain values; nil if an expression may not see so much.
func decode(raw jsontext.Value) any {
	v, err := expr.Decode(raw)
	if err != nil {
		return nil
	}
	return v
}

// clip cuts a text to what an expression sees, at a character's start.
func clip(s string) string {
	if len(s) <= expr.MaxText {
		return s
	}
	n := expr.MaxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// A Fit is a rule that fits a message.
type Fit struct {
	Name string
	Drop bool

	rule   *rule
	input  *Input
	match  map[string]string
	groups []string // the same, in order
}

// Fit finds the first rule for a message, nil if there is none. The error is
// that of conditions that failed, for the log: they count as false.
func (r *Rules) Fit(in *Input, now time.Time) (*Fit, error) {
	var faults []error
	for i := range r.rules {
		c := &r.rules[i]
		match, groups, ok := c.matches(in.Text)
		if !ok {
			continue
		}
		if c.when != nil {
			fits, err := c.when.Test(&expr.Vars{InputPlain: in.plain(match), Now: now})
			if err != nil {
				faults = append(faults, fmt.Errorf("rule %s: %w", c.Name, err))
			}
			if !fits {
				continue
			}
		}
		return &Fit{Name: c.Name, Drop: c.Drop, rule: c, input: in, match: match, groups: groups}, errors.Join(faults...)
	}
	return nil, errors.Join(faults...)
}

func (r *rule) matches(text string) (match map[string]string, groups []string, ok bool) {
	if r.match == nil {
		return nil, nil, true
	}
	if len(text) > maxMatched {
		text = text[:maxMatched]
	}
	found := r.match.FindStringSubmatch(text)
	if found == nil {
		return nil, nil, false
	}
	match = map[string]string{}
	for i, name := range r.match.SubexpNames() {
		if name != "" {
			match[name] = found[i]
			groups = append(groups, found[i])
		}
	}
	return match, groups, true
}

// maxMatched is how much of a text a regular expression sees.
const maxMatched = 64 << 10

// Fill fills in a finding as the rule has it. For a finding that has no identity
// of its own, fresh, it is the rule with the asset and what its groups matched,
// or the title if it has none.
func (f *Fit) Fill(out *hub.Finding, fresh bool, now time.Time) error {
	err := f.rule.fill.fill(out, &expr.Vars{InputPlain: f.input.plain(f.match), Now: now})
	if fresh && !f.rule.keyed {
		if len(f.groups) == 0 {
			f.groups = []string{out.Title}
		}
		out.SourceID = inbound.Key(append([]string{f.Name, out.AssetID}, f.groups...)...)
	} else if f.rule.keyed && out.SourceID == "" {
		out.SourceID = inbound.Key(f.Name, out.AssetID)
	}
	return err
}
