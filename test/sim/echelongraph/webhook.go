package echelongraph

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An outbox holds the webhooks that are still to be sent.
type outbox struct {
	wake chan struct{} // holds one

	mu     sync.Mutex // guards queue and failed
	queue  []message
	failed int
}

// A message is one event on its way to one endpoint.
type message struct {
	hook Hook
	body []byte
}

// maxTries ends the retries of one message: they take a little over eight minutes.
const maxTries = 10

// Event gives an event's body.
func Event(id, kind string, at time.Time, data any) []byte {
	body, err := json.Marshal(map[string]any{"id": id, "type": kind, "created_at": at.UTC().Format(time.RFC3339), "data": data})
	if err != nil {
		panic(err) // a fault of the simulator
	}
	return body
}

// Sign gives the value of X-EchelonGraph-Signature.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// add queues an event for the endpoints; some twice, some after what follows.
func (o *outbox) add(s *Sim, hooks []Hook, kind string, body []byte) {
	repeat, reorder := s.Knobs().Repeat, s.Knobs().Reorder
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range hooks {
		if len(h.Events) > 0 && !slices.Contains(h.Events, kind) {
			continue
		}
		o.queue = append(o.queue, message{h, body})
		if s.Chance(repeat) {
			o.queue = append(o.queue, message{h, body})
		}
		if n := len(o.queue); n > 1 && s.Chance(reorder) {
			o.queue[n-1], o.queue[n-2] = o.queue[n-2], o.queue[n-1]
		}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Flush sends what is queued, later each time, until it is taken or given up.
func (s *Sim) Flush(ctx context.Context, client *http.Client) {
	for ctx.Err() == nil {
		m, ok := s.outbox.pop()
		if !ok {
			return
		}
		for try := 1; !post(ctx, client, m); try++ {
			if try == maxTries || ctx.Err() != nil {
				s.outbox.giveUp()
				break
			}
			wait(ctx, time.Second<<(try-1))
		}
	}
}

func (o *outbox) pop() (message, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return message{}, false
	}
	m := o.queue[0]
	o.queue = o.queue[1:]
	return m, true
}

func (o *outbox) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed++
}

// GivenUp is how many webhooks were never taken.
func (s *Sim) GivenUp() int {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return s.outbox.failed
}

func post(ctx context.Context, client *http.Client, m message) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.hook.URL, bytes.NewReader(m.body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-EchelonGraph-Signature", Sign(m.hook.Secret, m.body))
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	res.Body.Close()
	return res.StatusCode/100 == 2
}

// Subscribe sends every later event to an endpoint.
func (s *Sim) Subscribe(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, h)
}
