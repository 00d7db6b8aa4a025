package ops

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A fakeHub stands in for a hub's route of batches. It judges: bounds of a
// batch, and one content an Idempotency-Key.
type fakeHub struct {
	t        *testing.T
	keys     map[string]remembered
	findings []string // taken, in order, each once
	requests int
	sizes    []int // of the batches taken

	// before may answer a request instead; nil lets it through. lost makes the
	// answer to a batch that was taken disappear.
	before func(n int) *http.Response
	lost   func(n int) bool
}

type remembered struct {
	body   [32]byte
	answer string
	status int
}

func newFakeHub(t *testing.T) *fakeHub { return &fakeHub{t: t, keys: map[string]remembered{}} }

func (h *fakeHub) client() *Client {
	c, err := NewClient("http://hub.test:8080", "toc_live_test", "test", h)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// RoundTrip answers like POST /findings/batch.
func (h *fakeHub) RoundTrip(r *http.Request) (*http.Response, error) {
	n := h.requests
	h.requests++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Path != "/api/v1/findings/batch" || r.Header.Get("Authorization") != "Bearer toc_live_test" {
		h.t.Errorf("request to %s with %q", r.URL.Path, r.Header.Get("Authorization"))
	}
	if h.before != nil {
		if res := h.before(n); res != nil {
			return res, nil
		}
	}
	status, answer := h.batch(r.Header.Get("Idempotency-Key"), body)
	if h.lost != nil && h.lost(n) {
		return nil, errors.New("connection reset by peer")
	}
	return respond(status, answer), nil
}

func (h *fakeHub) batch(key string, body []byte) (int, string) {
	if len(body) > 4<<20 {
		h.t.Errorf("a batch of %d bytes", len(body))
	}
	sum := sha256.Sum256(body)
	if again, known := h.keys[key]; known {
		if again.body != sum {
			h.t.Errorf("the key %s came with two bodies", key)
		}
		return again.status, again.answer
	}
	status, answer := h.take(bytes.Split(bytes.TrimRight(body, "\n"), []byte("\n")))
	h.keys[key] = remembered{sum, answer, status}
	return status, answer
}

func (h *fakeHub) take(lines [][]byte) (int, string) {
	if len(lines) > 1000 {
		h.t.Errorf("a batch of %d findings", len(lines))
	}
	type reject struct {
		Index int    `json:"index"`
		Error string `json:"error"`
	}
	rejected, fields := []reject{}, []string{}
	for i, l := range lines {
		if !jsontext.Value(l).IsValid() || !bytes.Contains(l, []byte(`"type"`)) {
			rejected = append(rejected, reject{i, "type is required"})
			fields = append(fields, fmt.Sprintf(`{"pointer":"/%d/type","detail":"is required"}`, i))
			continue
		}
		h.findings = append(h.findings, string(l))
	}
	if len(rejected) == len(lines) {
		return 422, `{"title":"Unprocessable Entity","status":422,"detail":"no finding of the batch is valid","errors":[` + strings.Join(fields, ",") + `]}`
	}
	h.sizes = append(h.sizes, len(lines))
	b, err := json.Marshal(map[string]any{"accepted": len(lines) - len(rejected), "ids": []string{}, "rejected": rejected})
	if err != nil {
		h.t.Error(err)
	}
	return 202, string(b)
}

func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}
