package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A query is the part of the query language that a test or a demonstration
// needs.
type query struct {
	MatchAll *struct{} `json:"match_all"`
	IDs      *struct {
		Values []string `json:"values"`
	} `json:"ids"`
	Term  map[string]any   `json:"term"`
	Terms map[string][]any `json:"terms"`
	Range map[string]struct {
		GTE any `json:"gte"`
		LT  any `json:"lt"`
	} `json:"range"`
	Bool *struct {
		Filter  []query `json:"filter"`
		Must    []query `json:"must"`
		MustNot []query `json:"must_not"`
	} `json:"bool"`
}

func (s *Sim) search(r *http.Request, target string, body []byte) answer {
	request := struct {
		Size  *int   `json:"size"`
		Query *query `json:"query"`
	}{}
	if a, bad := s.readQuery(r, target, body, &request); bad {
		return a
	}
	size := 10
	if request.Size != nil {
		size = *request.Size
	}
	found := s.find(target, request.Query)
	hits := []any{}
	for _, d := range found[:min(size, len(found))] {
		hits = append(hits, d)
	}
	full := map[string]any{
		"took": 1, "timed_out": false, "_shards": map[string]any{"total": 1, "successful": 1, "failed": 0},
		"hits": map[string]any{"total": map[string]any{"value": len(found), "relation": "eq"}, "hits": hits},
	}
	return ok(filter(full, r.URL.Query().Get("filter_path")))
}

func (s *Sim) count(r *http.Request, target string, body []byte) answer {
	request := struct {
		Query *query `json:"query"`
	}{}
	if a, bad := s.readQuery(r, target, body, &request); bad {
		return a
	}
	return ok(map[string]any{"count": len(s.find(target, request.Query))})
}

// readQuery reads a query and checks that a name without * exists.
func (s *Sim) readQuery(r *http.Request, target string, body []byte, into any) (answer, bool) {
	if len(body) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		if err := d.Decode(into); err != nil {
			return fail(400, "parsing_exception", err.Error()), true
		}
	}
	if !strings.Contains(target, "*") && len(s.resolve(target)) == 0 && r.URL.Query().Get("ignore_unavailable") != "true" {
		return fail(404, "index_not_found_exception", "no such index ["+target+"]"), true
	}
	return answer{}, false
}

func (s *Sim) find(target string, q *query) []Document {
	if strings.HasPrefix(target, "_") {
		target = "*"
	}
	found := []Document{}
	for _, d := range s.documents(target, time.Now()) {
		if q.matches(d) {
			found = append(found, d)
		}
	}
	return found
}

func (q *query) matches(d Document) bool {
	if q == nil {
		return true
	}
	if q.IDs != nil && !contains(q.IDs.Values, d.ID) {
		return false
	}
	if q.Term == nil && q.Terms == nil && q.Range == nil && q.Bool == nil {
		return true
	}
	doc := d.from.decoded()
	return doc != nil && q.matchesFields(d, doc)
}

func (q *query) matchesFields(d Document, doc map[string]any) bool {
	for field, want := range q.Term {
		if object, is := want.(map[string]any); is {
			want = object["value"]
		}
		if !has(at(doc, field), want) {
			return false
		}
	}
	for field, wants := range q.Terms {
		hit := false
		for _, want := range wants {
			hit = hit || has(at(doc, field), want)
		}
		if !hit {
			return false
		}
	}
	for field, r := range q.Range {
		v := at(doc, field)
		if v == nil || r.GTE != nil && compare(v, r.GTE) < 0 || r.LT != nil && compare(v, r.LT) >= 0 {
			return false
		}
	}
	if q.Bool == nil {
		return true
	}
	for _, part := range append(q.Bool.Filter, q.Bool.Must...) {
		if !part.matches(d) {
			return false
		}
	}
	for _, part := range q.Bool.MustNot {
		if part.matches(d) {
			return false
		}
	}
	return true
}

// compare compares times as times, and anything else as text.
func compare(a, b any) int {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	s, errS := time.Parse(time.RFC3339Nano, x)
	t, errT := time.Parse(time.RFC3339Nano, y)
	if errS == nil && errT == nil {
		return s.Compare(t)
	}
	return strings.Compare(x, y)
}

// at gives the value under a dotted path.
func at(doc map[string]any, field string) any {
	if v, found := doc[field]; found {
		return v
	}
	head, rest, nested := strings.Cut(field, ".")
	if inner, is := doc[head].(map[string]any); is && nested {
		return at(inner, rest)
	}
	return nil
}

func has(v, want any) bool {
	for _, e := range each(v) {
		if fmt.Sprint(e) == fmt.Sprint(want) {
			return true
		}
	}
	return false
}

func contains(list []string, text string) bool {
	for _, e := range list {
		if e == text {
			return true
		}
	}
	return false
}

func (s *Sim) refresh(target string) answer {
	found := s.resolve(target)
	if len(found) == 0 && !strings.Contains(target, "*") {
		return fail(404, "index_not_found_exception", "no such index ["+target+"]")
	}
	now := time.Now()
	for _, ix := range found {
		for _, d := range ix.docs {
			if d.at.After(now) {
				d.at = now
			}
		}
	}
	return ok(map[string]any{"_shards": map[string]any{"total": len(found), "successful": len(found), "failed": 0}})
}

func (s *Sim) serveRollover(target string) answer {
	st := s.streams[target]
	if st == nil {
		return fail(404, "index_not_found_exception", "no such index ["+target+"]")
	}
	old := st.backing[len(st.backing)-1].name
	s.rollover(target, st)
	return ok(map[string]any{"acknowledged": true, "rolled_over": true, "old_index": old, "new_index": st.backing[len(st.backing)-1].name})
}

func (s *Sim) getDoc(target, id string) answer {
	for _, ix := range s.resolve(target) {
		if d := ix.docs[id]; d != nil {
			return ok(map[string]any{"_index": ix.name, "_id": id, "_version": d.version, "found": true, "_source": d.source})
		}
	}
	return answer{status: 404, body: map[string]any{"_index": target, "_id": id, "found": false}}
}
