package cybervault

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// pageLimit is the most the API gives in one page.
const pageLimit = 200

// A page is the answer of GET /alerts. Alerts are decoded one by one, so that
// one that is odd does not stop the others.
type page struct {
	Data       []jsontext.Value `json:"data"`
	NextCursor string           `json:"next_cursor"` // null at the end
	HasMore    bool             `json:"has_more"`

	alerts []alert
	odd    []connectors.Reject // items that are no alerts with an id
	at     time.Time           // their clock when the page was cut, to the second
}

// list gives one page of the alerts with a status, "" for all.
func (s *Source) list(ctx context.Context, status, after string) (page, error) {
	query := url.Values{"limit": {strconv.Itoa(pageLimit)}}
	if status != "" {
		query.Set("status", status)
	}
	if after != "" {
		query.Set("after", after)
	}
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: "/alerts", Query: query})
	if err != nil {
		return page{}, err
	}
	var p page
	if err := json.Unmarshal(answer.Body, &p); err != nil {
		return page{}, hub.Wrap(hub.Transient, err, "CyberVault sent a list of alerts that cannot be read")
	}
	if p.HasMore && (p.NextCursor == "" || p.NextCursor == after) {
		return page{}, hub.E(hub.Transient, "CyberVault says there are more alerts, but not where")
	}
	p.at = answer.At
	for i, raw := range p.Data {
		if a, ok := readAlert(raw); ok {
			p.alerts = append(p.alerts, a)
		} else {
			p.odd = append(p.odd, connectors.Reject{Index: i, Error: "an alert without a usable id", Item: raw})
		}
	}
	return p, nil
}

// A lastStatus is what GET /status said last.
type lastStatus struct {
	mu   sync.Mutex // guards body
	body jsontext.Value
}

// fetchStatus asks for the status and keeps it.
func (s *Source) fetchStatus(ctx context.Context, urgent bool) error {
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodGet, Path: "/status", Urgent: urgent})
	if err != nil {
		return err
	}
	body := jsontext.Value(answer.Body)
	if body.Kind() != '{' || body.Compact() != nil {
		return hub.E(hub.Transient, "CyberVault sent a status that cannot be read; check base_url")
	}
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	s.status.body = body
	return nil
}

// Report gives CyberVault's last answer to GET /status: status, threat_level,
// active_alerts, last_scan, region.
func (s *Source) Report() jsontext.Value {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	return s.status.body
}

// Test asks for the status.
func (s *Source) Test(ctx context.Context) error { return s.fetchStatus(ctx, true) }
