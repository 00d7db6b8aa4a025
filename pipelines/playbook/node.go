package playbook

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/internal/expr"
)

// A reader walks a YAML document and collects what is wrong with it.
type reader struct {
	file     string
	problems Problems
}

func (r *reader) fault(n *yaml.Node, path, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Path: path, Msg: fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)

// document gives the one document in text, nil if it cannot be read.
func (r *reader) document(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); err != nil {
		msg, line := err.Error(), 0
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			line, _ = strconv.Atoi(m[1])
			msg = msg[len(m[0]):]
		}
		if msg == "EOF" {
			msg = "the file is empty"
		}
		r.problems = append(r.problems, Problem{File: r.file, Line: line, Msg: msg})
		return nil
	}
	if err := dec.Decode(&next); err == nil {
		r.fault(&next, "", "a second document; a file holds one")
	}
	if n := aliased(&doc); n != nil {
		r.fault(n, "", "anchors and aliases are not supported; write the value out")
		return nil
	}
	return doc.Content[0]
}

func aliased(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if found := aliased(c); found != nil {
			return found
		}
	}
	return nil
}

// An entry is one key of a mapping with its value.
type entry struct {
	key        string
	node       *yaml.Node
	keyNode    *yaml.Node
	path, base string
}

// mapping gives the entries of n, refusing what is no mapping, keys that come
// twice and, unless known is nil, keys that are not known.
func (r *reader) mapping(n *yaml.Node, path string, known []string) []entry {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, "is %s, want a map", nodeKind(n))
		return nil
	}
	var list []entry
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		e := entry{key: k.Value, keyNode: k, node: n.Content[i+1], path: join(path, k.Value), base: path}
		switch {
		case slices.ContainsFunc(list, func(o entry) bool { return o.key == e.key }):
			r.fault(k, e.path, "is there twice")
		case known != nil && !slices.Contains(known, e.key):
			r.fault(k, e.path, "unknown key%s", suggest(e.key, known))
		default:
			list = append(list, e)
		}
	}
	return list
}

func (r *reader) sequence(n *yaml.Node, path string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, path, "is %s, want a list", nodeKind(n))
		return nil
	}
	return n.Content
}

func (r *reader) text(n *yaml.Node, path string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.fault(n, path, "is %s, want text", nodeKind(n))
		return ""
	}
	return n.Value
}

// texts takes one text for a list of one.
func (r *reader) texts(n *yaml.Node, path string) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{r.text(n, path)}
	}
	var list []string
	for i, c := range r.sequence(n, path) {
		list = append(list, r.text(c, fmt.Sprintf("%s[%d]", path, i)))
	}
	return list
}

func (r *reader) bool(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		r.fault(n, path, "is %s, want true or false", nodeKind(n))
	}
	return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
}

func (r *reader) number(n *yaml.Node, path string, low, high float64) float64 {
	f, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || f < low || f > high {
		r.fault(n, path, "is %s, want a number from %v to %v", nodeKind(n), low, high)
	}
	return f
}

func (r *reader) span(n *yaml.Node, path string) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d <= 0 {
		r.fault(n, path, "is %s, want a duration such as 30s, 15m or 2h", nodeKind(n))
	}
	return d
}

// expression compiles a condition or a list expression, with or without ${{ }}
// around it.
func (r *reader) expression(kind expr.Kind, n *yaml.Node, path string) *expr.Program {
	source := r.text(n, path)
	if n.Kind != yaml.ScalarNode {
		return nil
	}
	if t := strings.TrimSpace(source); strings.HasPrefix(t, "${{") && strings.HasSuffix(t, "}}") {
		source = strings.TrimSpace(t[3 : len(t)-2])
	}
	p, err := expr.Compile(kind, source)
	r.compiled(n, path, err)
	return p
}

// compiled reports the faults of an expression in n.
func (r *reader) compiled(n *yaml.Node, path string, err error) {
	var e *expr.Error
	if !errors.As(err, &e) {
		if err != nil {
			r.fault(n, path, "%v", err)
		}
		return
	}
	for _, p := range e.Problems {
		line := n.Line + p.Line - 1
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			line++ // the text begins on the line after the key
		}
		msg := p.Msg
		if p.Column > 1 {
			msg = fmt.Sprintf("%s (at character %d)", msg, p.Column)
		}
		r.problems = append(r.problems, Problem{File: r.file, Line: line, Path: path, Msg: msg})
	}
}

func nodeKind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	}
	return strconv.Quote(n.Value)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func suggest(s string, known []string) string {
	if near := expr.Nearest(s, known); near != "" {
		return ", did you mean " + near + "?"
	}
	return ", known are " + strings.Join(known, ", ")
}

// plain gives a node as plain values. Numbers with a leading zero stay text:
// they are account numbers, not octal.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = plain(c)
		}
		return list
	}
	return scalar(n)
}

func scalar(n *yaml.Node) any {
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case "!!int", "!!float":
		digits := strings.TrimLeft(n.Value, "-+")
		if len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
			break
		}
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && f-f == 0 { // neither infinite nor NaN
			return f
		}
	}
	return n.Value
}
