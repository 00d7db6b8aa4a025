package expr

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRendered is the longest text that a template may give.
const maxRendered = 64 << 10

// A Template is a text with expressions in ${{ … }}. $${{ stands for a literal
// ${{. It is safe for concurrent use.
type Template struct {
	source string
	parts  []templatePart
	steps  []string
}

// A templatePart is either an expression or literal text.
type templatePart struct {
	text string
	prog *Program
}

// CompileTemplate reads text; kind is that of its expressions, [Value] or
// [StepValue]. Its error is a [*Error] whose places are within text.
func CompileTemplate(kind Kind, text string) (*Template, error) {
	t := &Template{source: text}
	var problems []Problem
	rest, at := text, 0
	for {
		open := strings.Index(rest, "${{")
		if open < 0 {
			t.literal(rest)
			break
		}
		if open > 0 && rest[open-1] == '$' {
			t.literal(rest[:open-1] + "${{")
			rest, at = rest[open+3:], at+open+3
			continue
		}
		t.literal(rest[:open])
		length := closing(rest[open+3:])
		if length < 0 {
			problems = append(problems, shift(text, at+open, Problem{1, 1, "${{ has no closing }}"}))
			break
		}
		problems = append(problems, t.expression(kind, at+open+3, rest[open+3:open+3+length])...)
		rest, at = rest[open+3+length+2:], at+open+3+length+2
	}
	if len(problems) > 0 {
		return nil, &Error{Source: text, Problems: problems}
	}
	return t, nil
}

func (t *Template) literal(s string) {
	if s == "" {
		return
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].prog == nil {
		t.parts[n-1].text += s
		return
	}
	t.parts = append(t.parts, templatePart{text: s})
}

func (t *Template) expression(kind Kind, at int, source string) []Problem {
	p, err := Compile(kind, source)
	if e := (*Error)(nil); errors.As(err, &e) {
		var problems []Problem
		for _, f := range e.Problems {
			problems = append(problems, shift(t.source, at, f))
		}
		return problems
	} else if err != nil {
		return []Problem{shift(t.source, at, Problem{1, 1, err.Error()})}
	}
	t.parts = append(t.parts, templatePart{prog: p})
	for _, s := range p.steps {
		if !slices.Contains(t.steps, s) {
			t.steps = append(t.steps, s)
		}
	}
	return nil
}

// shift moves a place within a part that begins at byte at of text to one
// within text.
func shift(text string, at int, p Problem) Problem {
	before := text[:at]
	lines := strings.Count(before, "\n")
	if p.Line == 1 {
		p.Column += len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	}
	p.Line += lines
	return p
}

// closing finds the }} that ends an expression, past braces and quoted text
// inside of it; -1 if there is none.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 && strings.HasPrefix(s[i:], "}}") {
				return i
			}
			depth--
		case '"', '\'':
			i += quoted(s[i:]) - 1
		}
	}
	return -1
}

// quoted gives the length of the quoted text that s begins with.
func quoted(s string) int {
	q := s[:1]
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s, triple) {
		q = triple
	}
	for i := len(q); i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if strings.HasPrefix(s[i:], q) {
			return i + len(q)
		}
	}
	return len(s)
}

// Constant gives the text if the template has no expression in it.
func (t *Template) Constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].prog == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Steps lists the step ids that the template reads.
func (t *Template) Steps() []string { return t.steps }

// Eval fills the template in. One that is a single expression and nothing else
// gives that expression's value; any other gives text.
func (t *Template) Eval(v *Vars) (any, error) {
	if s, ok := t.Constant(); ok {
		return s, nil
	}
	if len(t.parts) == 1 {
		return t.parts[0].prog.Eval(v)
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.prog == nil {
			b.WriteString(p.text)
			continue
		}
		val, err := p.prog.Eval(v)
		if err != nil {
			return nil, fmt.Errorf("${{%s}}: %w", p.prog.source, err)
		}
		if err := writeText(&b, val); err != nil {
			return nil, err
		}
		if b.Len() > maxRendered {
			return nil, fmt.Errorf("the text grows beyond %d bytes", maxRendered)
		}
	}
	return b.String(), nil
}

// writeText writes a value as it stands in text: nothing for null, JSON for
// lists and objects.
func writeText(b *strings.Builder, v any) error {
	switch v := v.(type) {
	case nil:
	case string:
		b.WriteString(v)
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'f', -1, 64))
	case time.Time:
		b.WriteString(v.UTC().Format(time.RFC3339Nano))
	case time.Duration:
		b.WriteString(v.String())
	case jsontext.Value:
		b.Write(v)
	default:
		enc, err := Encode(v)
		if err != nil {
			return err
		}
		b.Write(enc)
	}
	return nil
}
