package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// A Response is an answer of the API, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Call makes a request with the hub's key. body is sent as it is if it is
// []byte or string, else encoded as JSON; nil is none. more are headers in
// pairs; an empty value removes one.
func (h *Hub) Call(ctx context.Context, method, path string, body any, more ...string) (*Response, error) {
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		in = bytes.NewReader(b)
	case string:
		in = bytes.NewReader([]byte(b))
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.URL(path), in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+Key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
		if more[i+1] == "" {
			req.Header.Del(more[i])
		}
	}
	res, err := apiClient.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return &Response{res.StatusCode, res.Header, text}, errors.Join(err, res.Body.Close())
}

// apiClient follows no redirects and uses no proxy.
var apiClient = &http.Client{
	Timeout:       60 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Get makes a GET of a path below /api/v1 and decodes the answer into out.
func (h *Hub) Get(ctx context.Context, path string, out any) error {
	return h.do(ctx, http.MethodGet, path, nil, out)
}

// Post makes a POST; out may be nil.
func (h *Hub) Post(ctx context.Context, path string, body, out any) error {
	return h.do(ctx, http.MethodPost, path, body, out)
}

// Patch makes a PATCH; out may be nil.
func (h *Hub) Patch(ctx context.Context, path string, body, out any) error {
	return h.do(ctx, http.MethodPatch, path, body, out)
}

func (h *Hub) do(ctx context.Context, method, path string, body, out any) error {
	r, err := h.Call(ctx, method, "/api/v1"+path, body)
	if err != nil {
		return err
	}
	if r.Status/100 != 2 {
		return fmt.Errorf("%s %s answered %d: %s", method, path, r.Status, bytes.TrimSpace(r.Body))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(r.Body, out); err != nil {
		return fmt.Errorf("%s %s: %w in %.200s", method, path, err, r.Body)
	}
	return nil
}

// An Endpoint is what the rig wants of a webhook endpoint.
type Endpoint struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Secret string `json:"secret"`
}

// Webhook makes a webhook endpoint that sends to path of the receiver, which
// then expects its signature. more are further fields of the request.
func (h *Hub) Webhook(ctx context.Context, r *Receiver, path string, more map[string]any) (Endpoint, error) {
	body := map[string]any{"url": r.URL(path)}
	for k, v := range more {
		body[k] = v
	}
	var e Endpoint
	if err := h.Post(ctx, "/webhooks", body, &e); err != nil {
		return e, err
	}
	return e, r.Expect(path, e.Secret)
}

// Metric gives the sum of a metric's series on the hub's page of metrics, of
// those whose labels hold every one of the given texts, such as state="x".
func (h *Hub) Metric(ctx context.Context, name string, labels ...string) (float64, error) {
	r, err := h.Call(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	return sumMetric(r.Body, name, labels)
}
