package playbook

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/internal/expr"
)

// with reads a step's inputs and checks them against its action. What is
// constant is checked by value; the rest is when the step runs.
func (r *reader) with(p *Playbook, s *Step, n *yaml.Node, path string, byKey map[string]entry) {
	e, given := byKey["with"]
	at := n
	if given {
		at = e.node
		known := slices.Sorted(maps.Keys(s.action.Params))
		for _, in := range r.mapping(e.node, e.path, nil) {
			spec, ok := s.action.Params[in.key]
			if !ok {
				r.fault(in.keyNode, in.path, "%s has no such input%s", s.Uses, inputs(in.key, known))
				continue
			}
			s.with = append(s.with, param{in.key, spec, r.input(p, &spec, in)})
		}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(s.with, func(w param) bool { return w.name == name })
	}
	for _, name := range slices.Sorted(maps.Keys(s.action.Params)) {
		if s.action.Params[name].Required && !has(name) {
			r.fault(at, join(join(path, "with"), name), "is missing; %s wants it (%s)", s.Uses, s.action.Params[name].Type)
		}
	}
	if s.action.Check != nil {
		if msg := s.action.Check(has); msg != "" {
			r.fault(at, join(path, "with"), "%s %s", s.Uses, msg)
		}
	}
}

func inputs(name string, known []string) string {
	if len(known) == 0 {
		return "; it has none"
	}
	return suggest(name, known)
}

func (r *reader) input(p *Playbook, spec *Param, e entry) value {
	before := len(r.problems)
	v := r.value(p, e.node, e.path)
	if len(r.problems) > before {
		return v
	}
	if c, ok := v.constant(); ok {
		if _, err := spec.convert(c); err != nil {
			r.fault(e.node, e.path, "%v", err)
		} else if s, text := c.(string); text && s == "" && spec.Required {
			r.fault(e.node, e.path, "is empty")
		}
	}
	return v
}

// value reads a node of any shape, with templates in its texts.
func (r *reader) value(p *Playbook, n *yaml.Node, path string) value {
	switch n.Kind {
	case yaml.MappingNode:
		v := value{kind: mapValue}
		for _, e := range r.mapping(n, path, nil) {
			v.keys = append(v.keys, e.key)
			v.list = append(v.list, r.value(p, e.node, e.path))
		}
		return v
	case yaml.SequenceNode:
		v := value{kind: listValue}
		for i, c := range n.Content {
			v.list = append(v.list, r.value(p, c, fmt.Sprintf("%s[%d]", path, i)))
		}
		return v
	}
	text, ok := scalar(n).(string)
	if !ok {
		return value{scalar: scalar(n)}
	}
	t, err := expr.CompileTemplate(expr.StepValue, text)
	if err != nil {
		r.compiled(n, path, err)
		return value{}
	}
	r.refers(p, t.Steps(), entry{node: n, path: path})
	return value{kind: templateValue, template: t}
}
