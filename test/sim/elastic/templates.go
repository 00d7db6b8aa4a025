package elastic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// stockName is the template that every Elasticsearch has for logs.
const stockName = "logs"

type pipeline struct {
	Processors []map[string]struct {
		Field    string `json:"field"`
		Value    any    `json:"value"`
		CopyFrom string `json:"copy_from"`
	} `json:"processors"`
	raw json.RawMessage
}

type component struct {
	Template templateBody `json:"template"`
	raw      json.RawMessage
}

type templateBody struct {
	Settings map[string]any `json:"settings"`
	Mappings *mapping       `json:"mappings"`
}

// A mapping is a tree of fields.
type mapping struct {
	Dynamic    any                 `json:"dynamic"`
	Type       string              `json:"type"`
	Properties map[string]*mapping `json:"properties"`
}

type template struct {
	Patterns   []string         `json:"index_patterns"`
	DataStream *json.RawMessage `json:"data_stream"`
	Priority   int              `json:"priority"`
	ComposedOf []string         `json:"composed_of"`
	MayMiss    []string         `json:"ignore_missing_component_templates"`
	Template   templateBody     `json:"template"`
	raw        json.RawMessage
}

func stockTemplate() *template {
	empty := json.RawMessage(`{}`)
	return &template{Patterns: []string{"logs-*-*"}, DataStream: &empty, Priority: 100, raw: json.RawMessage(`{}`)}
}

func acknowledged() answer { return ok(map[string]any{"acknowledged": true}) }

func (s *Sim) servePipeline(method, name string, body []byte) answer {
	if method == http.MethodDelete {
		delete(s.pipelines, name)
		return acknowledged()
	}
	if method != http.MethodPut {
		p, found := s.pipelines[name]
		if !found {
			return answer{status: 404, body: map[string]any{}}
		}
		return ok(map[string]any{name: p.raw})
	}
	p := &pipeline{raw: body}
	if err := json.Unmarshal(body, p); err != nil {
		return fail(400, "parse_exception", err.Error())
	}
	for _, processor := range p.Processors {
		for kind := range processor {
			if kind != "set" {
				return fail(400, "parse_exception", "No processor type exists with name ["+kind+"]")
			}
		}
	}
	s.pipelines[name] = p
	return acknowledged()
}

func (s *Sim) serveComponent(method, name string, body []byte) answer {
	if method != http.MethodPut {
		c, found := s.components[name]
		if !found {
			return fail(404, "resource_not_found_exception", "component template matching ["+name+"] not found")
		}
		return ok(map[string]any{"component_templates": []any{map[string]any{"name": name, "component_template": c.raw}}})
	}
	c := &component{raw: body}
	if err := json.Unmarshal(body, c); err != nil {
		return fail(400, "x_content_parse_exception", err.Error())
	}
	if kind := c.Template.Mappings.unknownType(); kind != "" {
		return fail(400, "mapper_parsing_exception", "The mapper type ["+kind+"] does not exist")
	}
	s.components[name] = c
	return acknowledged()
}

func (s *Sim) serveTemplate(method, name string, body []byte) answer {
	if method != http.MethodPut {
		t, found := s.templates[name]
		if !found {
			return fail(404, "resource_not_found_exception", "index template matching ["+name+"] not found")
		}
		return ok(map[string]any{"index_templates": []any{map[string]any{"name": name, "index_template": t.raw}}})
	}
	t := &template{raw: body}
	if err := json.Unmarshal(body, t); err != nil {
		return fail(400, "x_content_parse_exception", err.Error())
	}
	if len(t.Patterns) == 0 {
		return fail(400, "illegal_argument_exception", "index patterns must be given")
	}
	for _, c := range t.ComposedOf {
		if s.components[c] == nil && !slices.Contains(t.MayMiss, c) {
			return fail(400, "invalid_index_template_exception", "index template ["+name+"] specifies component templates ["+c+"] that do not exist")
		}
	}
	for other, o := range s.templates {
		if other != name && o.Priority == t.Priority && overlaps(o.Patterns, t.Patterns) {
			return fail(400, "illegal_argument_exception", "index template ["+name+"] has the same priority and pattern as ["+other+"]")
		}
	}
	s.templates[name] = t
	return acknowledged()
}

func overlaps(a, b []string) bool {
	return slices.ContainsFunc(a, func(p string) bool { return slices.Contains(b, p) })
}

// match gives the template for a new index, or "".
func (s *Sim) match(index string) (name string, t *template) {
	for n, candidate := range s.templates {
		for _, p := range candidate.Patterns {
			hit, _ := path.Match(p, index)
			if hit && (t == nil || candidate.Priority > t.Priority) {
				name, t = n, candidate
			}
		}
	}
	return name, t
}

// compose gives the mapping and final pipeline that a template makes.
func (s *Sim) compose(t *template) (*mapping, string) {
	if t == nil {
		return nil, ""
	}
	merged, final := &mapping{}, ""
	bodies := make([]templateBody, 0, len(t.ComposedOf)+1)
	for _, c := range t.ComposedOf {
		if known := s.components[c]; known != nil {
			bodies = append(bodies, known.Template)
		}
	}
	for _, b := range append(bodies, t.Template) {
		merged.merge(b.Mappings)
		for _, name := range []string{"index.default_pipeline", "index.final_pipeline"} {
			if v := setting(b.Settings, name); v != "" {
				final = v
			}
		}
	}
	if len(merged.Properties) == 0 {
		return nil, final
	}
	return merged, final
}

// setting finds a setting in its nested or dotted form.
func setting(settings map[string]any, name string) string {
	if v, found := settings[name]; found {
		return fmt.Sprint(v)
	}
	head, rest, nested := strings.Cut(name, ".")
	if inner, is := settings[head].(map[string]any); is && nested {
		return setting(inner, rest)
	}
	if v, found := settings[name]; found {
		return fmt.Sprint(v)
	}
	return ""
}

func (m *mapping) merge(o *mapping) {
	if o == nil {
		return
	}
	if o.Type != "" {
		m.Type = o.Type
	}
	if o.Dynamic != nil {
		m.Dynamic = o.Dynamic
	}
	for name, child := range o.Properties {
		if m.Properties == nil {
			m.Properties = map[string]*mapping{}
		}
		if m.Properties[name] == nil {
			m.Properties[name] = &mapping{}
		}
		m.Properties[name].merge(child)
	}
}

func (m *mapping) unknownType() string {
	if m == nil {
		return ""
	}
	known := []string{"", "object", "nested", "keyword", "constant_keyword", "text", "match_only_text", "wildcard", "date", "long", "integer", "float", "double", "boolean", "ip", "flattened"}
	if !slices.Contains(known, m.Type) {
		return m.Type
	}
	for _, child := range m.Properties {
		if kind := child.unknownType(); kind != "" {
			return kind
		}
	}
	return ""
}
