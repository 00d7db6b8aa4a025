package cloudoptix

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

const root = "/api/v1"

// get asks for one thing and decodes the answer.
func (s *Source) get(ctx context.Context, path string, query url.Values, into any) (time.Time, error) {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: root + path, Query: query})
	if err != nil {
		return time.Time{}, err
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return time.Time{}, hub.Wrap(hub.Transient, err, "Cloud Optix sent an answer to "+path+" that cannot be read; check base_url")
	}
	return answer.At, nil
}

// A sheet is one page of a list.
type sheet struct {
	Data       []jsontext.Value `json:"data"`
	HasNext    bool             `json:"hasNext"`
	TotalPages inbound.Number   `json:"totalPages"`
	Fault      inbound.Text     `json:"errorMessage"`
}

// list asks for one page of a list. A page that has a fault and nothing else
// is no page.
func (s *Source) list(ctx context.Context, path string, query url.Values) (sheet, time.Time, error) {
	var out sheet
	at, err := s.get(ctx, path, query, &out)
	if err == nil && out.Fault != "" && len(out.Data) == 0 {
		err = meaning(s.cfg.APIKey.Scrub(string(out.Fault)))
	}
	return out, at, err
}

// counts is how many alerts there are.
type counts struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Total    int `json:"total"`
}

// of gives the number of those of a severity, all if none is named.
func (c counts) of(severity string) int {
	switch severity {
	case "critical":
		return c.Critical
	case "high":
		return c.High
	case "medium":
		return c.Medium
	case "low":
		return c.Low
	}
	return c.Total
}

// count asks how many alerts suit a query, and what time it is there.
func (s *Source) count(ctx context.Context, query url.Values) (counts, time.Time, error) {
	var c counts
	at, err := s.get(ctx, "/alerts/count", query, &c)
	return c, at, err
}

// keep makes counts the report, and how many alerts more are open here than there.
func (s *Source) keep(c counts, gap int) {
	report, err := json.Marshal(map[string]any{"open_alerts": c, "not_listed": max(gap, 0)}, json.Deterministic(true))
	if err != nil {
		return // numbers of their own
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = report
}

// Report gives how many alerts are open, as Cloud Optix counted them last, and how
// many it lists no more.
func (s *Source) Report() jsontext.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Test asks for a count of a day.
func (s *Source) Test(ctx context.Context) error {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: root + "/alerts/count", Query: url.Values{"days": {"1"}}, Urgent: true})
	if err != nil {
		return err
	}
	var c struct {
		Total *int `json:"total"`
	}
	if json.Unmarshal(answer.Body, &c) != nil || c.Total == nil {
		return hub.E(hub.Transient, "Cloud Optix sent a count that cannot be read; check base_url")
	}
	return nil
}

// stamp writes a time as the document wants it: to the second, with the offset.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

// takes reports whether alerts in a state pass the filters.
func (c *config) takes(state string) bool {
	return len(c.States) == 0 || slices.Contains(c.States, state)
}

// filters gives the configured filters of alerts.
func (c *config) filters() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{
		"alertType": c.AlertType, "providerList": strings.Join(c.Providers, ","), "policyTagList": strings.Join(c.PolicyTags, ","),
		"accountIds": strings.Join(c.AccountIDs, ","), "states": strings.Join(c.States, ","),
	} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}
