package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A point is a point in time: what was searchable when it was opened, in its
// order on the shard.
type point struct {
	docs  []Document
	until time.Time
}

// maxPoints is how many points in time may be open at once (a setting of the
// real one, 300 by default).
const maxPoints = 300

// openPoint answers POST /<target>/_pit.
func (s *Sim) openPoint(r *http.Request, target string) answer {
	alive, err := time.ParseDuration(r.URL.Query().Get("keep_alive"))
	if err != nil {
		return fail(400, "action_request_validation_exception", "Validation Failed: 1: [keep_alive] is not specified;")
	}
	if !strings.Contains(target, "*") && len(s.resolve(target)) == 0 && r.URL.Query().Get("ignore_unavailable") != "true" {
		return fail(404, "index_not_found_exception", "no such index ["+target+"]")
	}
	s.expire()
	if len(s.points) >= maxPoints {
		return fail(500, "too_many_scroll_contexts_exception", "Trying to create too many search contexts")
	}
	s.lastPoint++
	id := "pit" + strconv.Itoa(s.lastPoint)
	s.points[id] = &point{s.documents(target, time.Now()), time.Now().Add(alive)}
	return ok(map[string]any{"id": id, "_shards": map[string]any{"total": 1, "successful": 1, "skipped": 0, "failed": 0}})
}

// closePoint answers DELETE /_pit.
func (s *Sim) closePoint(body []byte) answer {
	var request struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &request) != nil || s.points[request.ID] == nil {
		return answer{status: 404, body: map[string]any{"succeeded": true, "num_freed": 0}}
	}
	delete(s.points, request.ID)
	return ok(map[string]any{"succeeded": true, "num_freed": 1})
}

func (s *Sim) expire() {
	for id, p := range s.points {
		if time.Now().After(p.until) {
			delete(s.points, id)
		}
	}
}

// OpenPoints is how many points in time are open: a caller that leaves them open
// holds the cluster's memory.
func (s *Sim) OpenPoints() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.points)
}

// A paged search is one within a point in time.
type paged struct {
	Size  *int             `json:"size"`
	Query *query           `json:"query"`
	Sort  []map[string]any `json:"sort"`
	After []any            `json:"search_after"`
	PIT   *struct {
		ID        string `json:"id"`
		KeepAlive string `json:"keep_alive"`
	} `json:"pit"`
	Version bool `json:"version"`
}

// page answers POST /_search with a point in time.
func (s *Sim) page(body []byte) answer {
	var request paged
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&request); err != nil {
		return fail(400, "parsing_exception", err.Error())
	}
	s.expire()
	p := s.points[request.PIT.ID]
	if p == nil || !s.kind && s.rng.IntN(50) == 0 { // a node has gone, and the point with it
		delete(s.points, request.PIT.ID)
		return fail(404, "search_context_missing_exception", "No search context found for id ["+request.PIT.ID+"]")
	}
	if alive, err := time.ParseDuration(request.PIT.KeepAlive); err == nil {
		p.until = time.Now().Add(alive)
	}
	size := 10
	if request.Size != nil {
		size = *request.Size
	}
	if size > 10_000 {
		return fail(400, "illegal_argument_exception", "Result window is too large")
	}
	if len(request.After) > 0 && len(request.After) != len(request.Sort) {
		return fail(400, "illegal_argument_exception", fmt.Sprintf("search_after has %d value(s) but sort has %d.", len(request.After), len(request.Sort)))
	}
	hits, err := request.hits(p.docs)
	if err != nil {
		return fail(400, "illegal_argument_exception", err.Error())
	}
	return ok(map[string]any{
		"pit_id": request.PIT.ID, "took": 1, "timed_out": false, "_shards": map[string]any{"total": 1, "successful": 1, "skipped": 0, "failed": 0},
		"hits": map[string]any{"hits": hits[:min(size, len(hits))]},
	})
}

// A hit is a document with the values that it was sorted by.
type hit struct {
	Document
	Sort []any `json:"sort"`

	keys []int64
}

func (p *paged) hits(docs []Document) ([]hit, error) {
	found := []hit{}
	for place, d := range docs {
		if !p.Query.matches(d) {
			continue
		}
		h := hit{Document: d}
		for _, by := range p.Sort {
			for field := range by {
				k, shown := sortValue(d, field, place)
				h.keys, h.Sort = append(h.keys, k), append(h.Sort, shown)
			}
		}
		found = append(found, h)
	}
	slices.SortStableFunc(found, func(a, b hit) int { return slices.Compare(a.keys, b.keys) })
	if len(p.After) == 0 {
		return found, nil
	}
	after := make([]int64, len(p.After))
	for i, v := range p.After {
		text := fmt.Sprint(v)
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			after[i] = t.UnixMilli()
		} else if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			after[i] = n
		} else {
			return nil, fmt.Errorf("cannot parse search_after value for field [%d]: %s", i, text)
		}
	}
	first, _ := slices.BinarySearchFunc(found, after, func(h hit, after []int64) int {
		if slices.Compare(h.keys, after) > 0 {
			return 1
		}
		return -1
	})
	return found[first:], nil
}

// sortValue is what a document is sorted by: a date in milliseconds, as the real
// one keeps them, or its place on the shard.
func sortValue(d Document, field string, place int) (int64, any) {
	if field == "_shard_doc" {
		return int64(place), place
	}
	t, err := time.Parse(time.RFC3339Nano, fmt.Sprint(at(d.from.decoded(), field)))
	if err != nil {
		return 1 << 62, nil // a missing value sorts last
	}
	return t.UnixMilli(), t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// Put stores a document as somebody else's program would, in a plain index. Its
// version is one more than that of the document with this id.
func (s *Sim) Put(index, id string, source any) (version int64) {
	b, err := json.Marshal(source)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ix := s.indices[index]
	if ix == nil {
		ix = s.newIndex(index, nil)
		s.indices[index] = ix
	}
	version = 1
	if old := ix.docs[id]; old != nil {
		version = old.version + 1
	}
	s.put(index, ix, nil, id, version, b)
	return version
}

// SetAPIKey changes the key that requests must carry; "" lets all in.
func (s *Sim) SetAPIKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opt.APIKey = key
}
