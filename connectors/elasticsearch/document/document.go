// Package document reads documents of Elasticsearch and maps those whose fields
// are Elastic's own: detection alerts, and alerts in the Elastic Common Schema.
// It is pure, and apart from the connector so that it can be fuzzed without
// Elasticsearch's client.
package document

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Hit is one document as a search gives it.
type Hit struct {
	Index   string           `json:"_index"`
	ID      string           `json:"_id"`
	Version int64            `json:"_version"`
	Source  jsontext.Value   `json:"_source"`
	Sort    []jsontext.Value `json:"sort"`
}

// A Document is one whose fields are found by their dotted names, however they
// are nested: {"host":{"name":1}}, {"host.name":1} and {"host":[{"name":1}]} are
// the same to Elasticsearch.
type Document struct {
	hit  *Hit
	root map[string]any
}

// Read reads a document.
func Read(h *Hit) (*Document, error) {
	d := &Document{hit: h}
	if h.Source.Kind() != '{' {
		return nil, errors.New("it has no _source; the index must keep it")
	}
	return d, json.Unmarshal(h.Source, &d.root, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// values gives every plain value of a field.
func (d *Document) values(name string) []any { return collect(nil, d.root, name) }

// collect looks for name in v: whole, and split at each of its dots.
func collect(found []any, v any, name string) []any {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			found = collect(found, e, name)
		}
	case map[string]any:
		if inner, there := v[name]; there {
			found = plainValues(found, inner)
		}
		for i := range len(name) {
			if name[i] != '.' {
				continue
			}
			if inner, there := v[name[:i]]; there {
				found = collect(found, inner, name[i+1:])
			}
		}
	}
	return found
}

func plainValues(found []any, v any) []any {
	switch v := v.(type) {
	case nil, map[string]any:
		return found
	case []any:
		for _, e := range v {
			found = plainValues(found, e)
		}
		return found
	}
	return append(found, v)
}

// list gives the texts of the first field that has any.
func (d *Document) list(names ...string) []string {
	for _, n := range names {
		var texts []string
		for _, v := range d.values(n) {
			if t := strings.TrimSpace(asText(v)); t != "" {
				texts = append(texts, t)
			}
		}
		if len(texts) > 0 {
			return texts
		}
	}
	return nil
}

// first gives the first text of the first field that has one.
func (d *Document) first(names ...string) string {
	for _, n := range names {
		if t := d.text(n); t != "" {
			return t
		}
	}
	return ""
}

func (d *Document) text(name string) string {
	for _, v := range d.values(name) {
		if t := strings.TrimSpace(asText(v)); t != "" {
			return t
		}
	}
	return ""
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
