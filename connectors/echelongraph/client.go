package echelongraph

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A page is a part of a list.
type page struct {
	Data  []jsontext.Value `json:"data"`
	Total *int             `json:"total"`

	at time.Time // their clock when it was cut, to the second
}

// get asks for one thing and decodes the answer.
func (s *Source) get(ctx context.Context, path string, query url.Values, into any) (connectors.Answer, error) {
	answer, err := s.reads.Do(ctx, connectors.Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return answer, hub.Wrap(hub.Transient, err, "EchelonGraph sent an answer to "+path+" that cannot be read")
	}
	return answer, nil
}

// list asks for a page of a list, from 1.
func (s *Source) list(ctx context.Context, path string, n int, query url.Values) (page, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("page", strconv.Itoa(n))
	query.Set("limit", strconv.Itoa(s.cfg.PageSize))
	var p page
	answer, err := s.get(ctx, path, query, &p)
	p.at = answer.At
	return p, err
}

// more says whether a list goes on after so many items.
func (p page) more(seen int) bool {
	if len(p.Data) == 0 {
		return false
	}
	return p.Total == nil || seen < *p.Total
}

// keep remembers what EchelonGraph said of itself, for Report.
func (s *Source) keep(name string, said jsontext.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[name] = slices.Clone(said)
}

// miss remembers a capability that cannot be read, and logs it once.
func (s *Source) miss(name string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed[name] == "" {
		s.log.Warn("a capability cannot be read and is left out", "capability", name, "error", why)
	}
	s.missed[name] = why.Error()
}

func (s *Source) found(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missed, name)
}

// Report gives the last scores of compliance and risk, and what cannot be read.
func (s *Source) Report() jsontext.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.said)+len(s.missed) == 0 {
		return nil
	}
	all := maps.Clone(s.said)
	if len(s.missed) > 0 {
		left, err := json.Marshal(s.missed, json.Deterministic(true))
		if err == nil {
			all["left_out"] = left
		}
	}
	report, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return report
}

// Test asks for one alert.
func (s *Source) Test(ctx context.Context) error {
	query := url.Values{"page": {"1"}, "limit": {"1"}}
	_, err := s.reads.Do(ctx, connectors.Call{Method: http.MethodGet, Path: s.path("alerts"), Query: query, Urgent: true})
	return err
}
