package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// A client speaks the hub's public API, as any other program would.
type client struct {
	http *http.Client
	base string
	key  string
}

func newClient(hub, key string) *client {
	return &client{
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
		base: hub + "/api/v1", key: key,
	}
}

// A request is one call of the API. What is empty is left out.
type request struct {
	method, path string
	body         []byte
	media        string // of the body; JSON if empty
	idempotency  string
}

// call makes a request, wants the status and reads the answer.
func (c *client) call(ctx context.Context, r request, status int, into any) error {
	answer, err := c.raw(ctx, r, status)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	return nil
}

func (c *client) raw(ctx context.Context, r request, status int) ([]byte, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if res.StatusCode != status {
		return nil, fmt.Errorf("%s %s: status %d, want %d: %s", r.method, r.path, res.StatusCode, status, bytes.TrimSpace(answer))
	}
	return answer, nil
}

func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	base := c.base
	if r.path == "/metrics" {
		base = strings.TrimSuffix(base, "/api/v1")
	}
	req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.media != "" {
		req.Header.Set("Content-Type", r.media)
	}
	if r.idempotency != "" {
		req.Header.Set("Idempotency-Key", r.idempotency)
	}
	return c.http.Do(req)
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, request{method: http.MethodGet, path: path}, http.StatusOK, into)
}

// A part is one part of a list.
type part[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
}

// all reads a list to its end, by cursor.
func all[T any](ctx context.Context, c *client, path string, query url.Values) ([]T, error) {
	var out []T
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", "200")
	for {
		var p part[T]
		if err := c.get(ctx, path+"?"+query.Encode(), &p); err != nil {
			return nil, err
		}
		out = append(out, p.Data...)
		if !p.HasMore {
			return out, nil
		}
		if p.NextCursor == nil {
			return nil, errors.New("GET " + path + ": has_more without next_cursor")
		}
		query.Set("after", *p.NextCursor)
	}
}

// A dashboard is the answer to GET /dashboard/metrics.
type dashboard struct {
	Findings   int64                       `json:"findings"`
	Alerts     int64                       `json:"alerts"`
	Reduction  float64                     `json:"data_reduction_percent"`
	Backlog    int64                       `json:"backlog"`
	Deliveries map[string]map[string]int64 `json:"deliveries"` // by kind and state
	Audit      int64                       `json:"audit_entries"`
}

func (c *client) dashboard(ctx context.Context) (d dashboard, err error) {
	err = c.get(ctx, "/dashboard/metrics", &d)
	return d, err
}

// open is how many deliveries are still on their way.
func (d *dashboard) open() (n int64) {
	for _, states := range d.Deliveries {
		for state, count := range states {
			if state != "succeeded" && state != "dead" {
				n += count
			}
		}
	}
	return n
}

// done is how many deliveries of a kind have arrived.
func (d *dashboard) done(kind string) int64 { return d.Deliveries[kind]["succeeded"] }

// A finding is what the API shows of a finding.
type finding struct {
	ID       string `json:"id"`
	Source   string `json:"source"`
	SourceID string `json:"source_id"`
	AssetID  string `json:"asset_id"`
	AlertID  string `json:"alert_id"`
	Outcome  string `json:"outcome"`
}

// An alert is what the API shows of an alert; timeline only by its id.
type alert struct {
	ID         string   `json:"id"`
	Type       string   `json:"type"`
	AssetID    string   `json:"asset_id"`
	Severity   string   `json:"severity"`
	Status     string   `json:"status"`
	Sources    []string `json:"sources"`
	Count      int      `json:"count"`
	Duplicates int      `json:"duplicates"`
	Generation int      `json:"generation"`
	Timeline   []change `json:"timeline"`
}

// A change is one row of an alert's timeline.
type change struct {
	Version int64  `json:"version"`
	Action  string `json:"action"`
}

// A delivery is what the API shows of a delivery.
type delivery struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Action    string `json:"action"`
	State     string `json:"state"`
	EventID   string `json:"event_id"`
	EventType string `json:"event_type"`
	Subject   string `json:"subject"`
	RunID     string `json:"run_id"`
	Attempts  int    `json:"attempts"`
	Error     string `json:"last_error"`

	// Log is shown by the delivery's id only.
	Log []struct {
		Request map[string]string `json:"request_headers"`
	} `json:"attempt_log"`
}

// A connector is what the API shows of a source.
type connector struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// webhookID is the id that the receiver sees: the event's for a subscription. A
// playbook's step has one of its own, which its attempts show.
func (d *delivery) webhookID() string {
	if d.RunID == "" {
		return d.EventID
	}
	for _, a := range d.Log {
		for name, value := range a.Request {
			if strings.EqualFold(name, "webhook-id") {
				return value
			}
		}
	}
	return "of delivery " + d.ID
}

// connectors does something with every connector, such as sync.
func (c *client) connectors(ctx context.Context, action string) error {
	for _, name := range sourceNames {
		if err := c.call(ctx, request{method: http.MethodPost, path: "/connectors/" + name + "/" + action}, http.StatusOK, nil); err != nil {
			return err
		}
	}
	return nil
}
