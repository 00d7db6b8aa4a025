package ops

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A place is where a finding stands in its file.
type place struct{ index, line int64 }

// A refused finding, and why.
type refused struct {
	place
	why string
}

// A batch is what is sent in one request, and what was found not worth sending
// on the way.
type batch struct {
	body   []byte // a finding a line
	ends   []int  // offsets in body behind each finding
	places []place
	bad    []refused
	end    int64 // offset in the file behind the last one
}

func (b *batch) empty() bool  { return len(b.places)+len(b.bad) == 0 }
func (b *batch) count() int64 { return int64(len(b.places) + len(b.bad)) }

// room reports whether one more fits.
func (b *batch) room(raw []byte, it item) bool {
	if b.count() >= maxBatchItems {
		return false
	}
	return it.bad != "" || len(b.body)+len(raw)+1 <= maxBatchBytes
}

func (b *batch) add(raw []byte, it item) {
	at := place{it.index, it.line}
	if it.bad != "" {
		b.bad = append(b.bad, refused{at, it.bad})
	} else {
		b.body = append(append(b.body, raw...), '\n')
		b.ends = append(b.ends, len(b.body))
		b.places = append(b.places, at)
	}
	b.end = it.end
}

func (b *batch) reset() {
	b.body, b.ends, b.places, b.bad = b.body[:0], b.ends[:0], b.places[:0], nil
}

// merge puts two lists in the order of the file.
func merge(a, b []refused) []refused {
	all := append(a, b...)
	slices.SortFunc(all, func(x, y refused) int { return int(x.index - y.index) })
	return all
}

// readRefused reads the answer to a batch of which at least one was taken.
func readRefused(body []byte, places []place) ([]refused, error) {
	var answer struct {
		Accepted int `json:"accepted"`
		Rejected []struct {
			Index int    `json:"index"`
			Error string `json:"error"`
		} `json:"rejected"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer to a batch cannot be read (%w); look whether --url names a hub", err)
	}
	var all []refused
	for _, r := range answer.Rejected {
		if r.Index < 0 || r.Index >= len(places) {
			return nil, fmt.Errorf("the hub rejects finding %d of a batch of %d; look whether --url names a hub", r.Index, len(places))
		}
		all = append(all, refused{places[r.Index], r.Error})
	}
	if answer.Accepted+len(all) != len(places) {
		return nil, fmt.Errorf("the hub tells of %d findings of a batch of %d; look whether --url names a hub", answer.Accepted+len(all), len(places))
	}
	return all, nil
}

// allRefused reads the answer to a batch of which none was taken: its fields
// point at /<index>/<field>.
func allRefused(p *APIError, places []place) []refused {
	all := make([]refused, len(places))
	for i := range all {
		all[i].place = places[i]
	}
	for _, f := range p.Fields {
		index, field, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(all) {
			continue
		}
		if all[i].why != "" {
			all[i].why += "; "
		}
		all[i].why += strings.TrimSpace(field + " " + f.Detail)
	}
	for i := range all {
		if all[i].why == "" {
			all[i].why = p.Error()
		}
	}
	return all
}

// withSource puts a source into a finding that names none. What is no object
// stays as it is: the hub will say so.
func withSource(raw []byte, source string) []byte {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return raw
	}
	empty := d.PeekKind() == '}'
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil || name.String() == "source" {
			return raw
		}
		if d.SkipValue() != nil {
			return raw
		}
	}
	text, err := jsontext.AppendQuote([]byte(`{"source":`), source)
	if err != nil {
		return raw
	}
	if !empty {
		text = append(text, ',')
	}
	return append(text, bytes.TrimLeft(raw, " \t\r\n")[1:]...)
}
