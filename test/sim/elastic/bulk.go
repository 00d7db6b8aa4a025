//lint:file-ignore ST1005 the texts are Elasticsearch's own

package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Marks in a document that decide its fate: refused for good, or diverted to
// the failure store.
const (
	MarkReject = "sim:reject"
	MarkDivert = "sim:divert"
)

// An action is the line in front of a document.
type action struct {
	op          string
	Index       string `json:"_index"`
	ID          string `json:"_id"`
	Version     int64  `json:"version"`
	VersionType string `json:"version_type"`
	StreamOnly  bool   `json:"require_data_stream"`
}

type itemError struct {
	status       int
	kind, reason string
}

// bulk does what a bulk request asks, item by item.
func (s *Sim) bulk(r *http.Request, body []byte) answer {
	if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/x-ndjson") && !strings.HasPrefix(kind, "application/json") &&
		!strings.HasPrefix(kind, "application/vnd.elasticsearch+x-ndjson") {
		return answer{status: 406, body: map[string]any{"error": "Content-Type header [" + kind + "] is not supported", "status": 406}}
	}
	if len(body) == 0 {
		return fail(400, "parse_exception", "request body is required")
	}
	if body[len(body)-1] != '\n' {
		return fail(400, "illegal_argument_exception", `The bulk request must be terminated by a newline [\n]`)
	}
	actions, docs, err := readBulk(body)
	if err != nil {
		return fail(400, "illegal_argument_exception", err.Error())
	}
	items := make([]any, len(actions))
	failed := false
	for i, a := range actions {
		item, e := s.write(a, docs[i])
		if e != nil {
			failed = true
			item["status"] = e.status
			item["error"] = map[string]any{"type": e.kind, "reason": e.reason}
		}
		items[i] = map[string]any{a.op: item}
	}
	full := map[string]any{"took": 1, "errors": failed, "items": items}
	return answer{status: 200, body: filter(full, r.URL.Query().Get("filter_path")), items: len(items)}
}

// readBulk takes a body apart. One bad action line spoils the whole request,
// as with the real one.
func readBulk(body []byte) (actions []action, docs []json.RawMessage, err error) {
	lines := bytes.Split(body[:len(body)-1], []byte{'\n'})
	for n := 0; n < len(lines); n++ {
		a, err := readAction(lines[n], n+1)
		if err != nil {
			return nil, nil, err
		}
		var doc json.RawMessage
		if a.op != "delete" {
			if n++; n >= len(lines) {
				return nil, nil, fmt.Errorf("The bulk request must contain a source for each [%s]", a.op)
			}
			doc = lines[n]
		}
		actions, docs = append(actions, a), append(docs, doc)
	}
	return actions, docs, nil
}

func readAction(line []byte, number int) (action, error) {
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(line, &outer); err != nil || len(outer) != 1 {
		return action{}, fmt.Errorf("Malformed action/metadata line [%d], expected START_OBJECT with one action", number)
	}
	for op, meta := range outer {
		if op != "create" && op != "index" && op != "update" && op != "delete" {
			return action{}, fmt.Errorf("Malformed action/metadata line [%d], expected one of [create, delete, index, update] but found [%s]", number, op)
		}
		a := action{op: op}
		d := json.NewDecoder(bytes.NewReader(meta))
		d.DisallowUnknownFields()
		if err := d.Decode(&a); err != nil {
			return action{}, fmt.Errorf("Action/metadata line [%d] contains an unknown parameter: %v", number, err)
		}
		return a, nil
	}
	return action{}, nil
}

// write does one action and gives its item.
func (s *Sim) write(a action, doc json.RawMessage) (map[string]any, *itemError) {
	item := map[string]any{"_index": a.Index, "_id": a.ID}
	switch {
	case a.Index == "" || a.ID == "":
		return item, &itemError{400, "action_request_validation_exception", "index and id must be given"}
	case len(a.ID) > 512:
		return item, &itemError{400, "illegal_argument_exception", "id is too long, must be no longer than 512 bytes"}
	}
	if status, kind, reason := s.itemFault(); status != 0 {
		return item, &itemError{status, kind, reason}
	}
	ix, st, e := s.open(a.Index, a.StreamOnly)
	if e != nil {
		return item, e
	}
	if st != nil && a.op != "create" {
		s.violate(a.op + " in the data stream " + a.Index)
		return item, &itemError{400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams"}
	}
	if st != nil && !a.StreamOnly {
		s.violate("create in " + a.Index + " without require_data_stream")
	}
	item["_index"] = ix.name
	source, parsed, e := s.prepare(ix, st, doc)
	if e != nil {
		return item, e
	}
	if st != nil && bytes.Contains(doc, []byte(MarkDivert)) {
		st.failures = append(st.failures, doc)
		item["status"], item["failure_store"], item["_index"] = 201, "used", ".fs-"+a.Index+"-000002"
		return item, nil
	}
	return item, s.commit(a, ix, st, item, source, parsed)
}

// prepare runs the pipeline and checks the document against the mapping.
func (s *Sim) prepare(ix *index, st *stream, doc json.RawMessage) (json.RawMessage, map[string]any, *itemError) {
	parsed, err := parse(doc)
	if err != nil {
		return nil, nil, &itemError{400, "document_parsing_exception", "[1:1] failed to parse: " + err.Error()}
	}
	if bytes.Contains(doc, []byte(MarkReject)) {
		return nil, nil, &itemError{400, "document_parsing_exception", "[1:99] failed to parse field [sim] of type [date]"}
	}
	if ix.pipeline != "" {
		p := s.pipelines[ix.pipeline]
		if p == nil {
			return nil, nil, &itemError{400, "illegal_argument_exception", "pipeline with id [" + ix.pipeline + "] does not exist"}
		}
		p.run(parsed)
		doc, _ = json.Marshal(parsed)
	}
	if _, has := parsed["@timestamp"]; st != nil && !has {
		return nil, nil, &itemError{400, "document_parsing_exception", "[1:7] failed to parse: data stream timestamp field [@timestamp] is missing"}
	}
	if ix.mapping != nil {
		missing := func(field string) { s.violate("field " + field + " is in no mapping") }
		if reason := ix.mapping.fits("", parsed, missing); reason != "" {
			return nil, nil, &itemError{400, "document_parsing_exception", "[1:1] " + reason}
		}
	}
	return doc, parsed, nil
}

// commit compares versions and stores.
func (s *Sim) commit(a action, ix *index, st *stream, item map[string]any, source json.RawMessage, parsed map[string]any) *itemError {
	existing := ix.docs[a.ID]
	version := int64(1)
	switch {
	case a.op == "create" && existing != nil:
		return &itemError{409, "version_conflict_engine_exception", fmt.Sprintf("[%s]: version conflict, document already exists (current version [%d])", a.ID, existing.version)}
	case a.VersionType == "external":
		version = a.Version
		if existing != nil && existing.version >= version {
			return &itemError{409, "version_conflict_engine_exception", fmt.Sprintf("[%s]: version conflict, current version [%d] is higher or equal to the one provided [%d]", a.ID, existing.version, version)}
		}
	case existing != nil:
		version = existing.version + 1
	}
	item["status"], item["result"], item["_version"] = 201, "created", version
	if existing != nil {
		item["status"], item["result"] = 200, "updated"
	}
	s.judge(a.Index, parsed)
	s.put(a.Index, ix, st, a.ID, version, source)
	return nil
}

// parse reads a document as strictly as Elasticsearch: no duplicate names.
func parse(doc json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one document on the line")
	}
	return v, duplicates(doc)
}

// duplicates looks for a name that an object has twice.
func duplicates(doc json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	type frame struct {
		names  map[string]bool // nil in an array
		isName bool
	}
	var stack []frame
	for {
		t, err := d.Token()
		if err != nil {
			return nil // the end; the syntax was checked before
		}
		if t == json.Delim('}') || t == json.Delim(']') {
			stack = stack[:len(stack)-1]
			if n := len(stack); n > 0 {
				stack[n-1].isName = stack[n-1].names != nil
			}
			continue
		}
		n := len(stack)
		if n > 0 && stack[n-1].isName {
			name := t.(string)
			if stack[n-1].names[name] {
				return fmt.Errorf("Duplicate field '%s'", name)
			}
			stack[n-1].names[name], stack[n-1].isName = true, false
			continue
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, frame{names: map[string]bool{}, isName: true})
		case json.Delim('['):
			stack = append(stack, frame{})
		default:
			if n > 0 {
				stack[n-1].isName = stack[n-1].names != nil
			}
		}
	}
}

// run applies the set processors of a pipeline.
func (p *pipeline) run(doc map[string]any) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, processor := range p.Processors {
		set := processor["set"]
		value := set.Value
		if text, is := value.(string); is {
			value = strings.NewReplacer("{{{_ingest.timestamp}}}", now, "{{_ingest.timestamp}}", now).Replace(text)
		}
		object, parts := doc, strings.Split(set.Field, ".")
		for _, part := range parts[:len(parts)-1] {
			inner, is := object[part].(map[string]any)
			if !is {
				inner = map[string]any{}
				object[part] = inner
			}
			object = inner
		}
		object[parts[len(parts)-1]] = value
	}
}

// filter keeps what filter_path names: dotted paths in which * stands for one
// name, through arrays.
func filter(full map[string]any, paths string) any {
	if paths == "" {
		return full
	}
	raw, _ := json.Marshal(full)
	var plain any
	_ = json.Unmarshal(raw, &plain)
	var kept any = map[string]any{}
	for p := range strings.SplitSeq(paths, ",") {
		kept = overlay(kept, pick(plain, strings.Split(p, ".")))
	}
	return kept
}

func pick(v any, path []string) any {
	if len(path) == 0 {
		return v
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = pick(e, path)
		}
		return list
	case map[string]any:
		picked := map[string]any{}
		for name, child := range v {
			if path[0] == "*" || path[0] == name {
				if got := pick(child, path[1:]); got != nil {
					picked[name] = got
				}
			}
		}
		if len(picked) > 0 {
			return picked
		}
	}
	return nil
}

func overlay(a, b any) any {
	switch b := b.(type) {
	case nil:
		return a
	case map[string]any:
		object, is := a.(map[string]any)
		if !is {
			return b
		}
		for name, child := range b {
			object[name] = overlay(object[name], child)
		}
		return object
	case []any:
		list, is := a.([]any)
		if !is || len(list) != len(b) {
			return b
		}
		for i := range b {
			list[i] = overlay(list[i], b[i])
		}
		return list
	}
	return b
}
