package cybervault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Subscription is one webhook endpoint.
type Subscription struct {
	URL    string   `json:"url"`
	Secret string   `json:"secret"`
	Events []string `json:"events"` // none: all
}

// An outbox holds what is still to be sent.
type outbox struct {
	wake chan struct{} // holds one

	mu     sync.Mutex // guards all below
	subs   []Subscription
	queue  []message
	serial int
	failed int // given up after the last try
}

// A message is one event on its way to one endpoint.
type message struct {
	sub   Subscription
	kind  string
	body  []byte
	tries int
}

// maxTries ends the retries: ten tries take a little over eight minutes.
const maxTries = 10

// Subscribe sends every later event to an endpoint.
func (s *Sim) Subscribe(sub Subscription) {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	s.outbox.subs = append(s.outbox.subs, sub)
}

// Send queues an event of any type for the endpoints.
func (s *Sim) Send(kind string, data any) { s.enqueue(kind, data) }

func (s *Sim) enqueue(kind string, data any) {
	repeat, reorder := s.Knobs().Repeat, s.Knobs().Reorder
	o := &s.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.subs) == 0 {
		return
	}
	o.serial++
	body := Event(fmt.Sprintf("evt_4kZ8w%06d", o.serial), kind, s.Now(), data)
	for _, sub := range o.subs {
		if len(sub.Events) > 0 && !slices.Contains(sub.Events, kind) {
			continue
		}
		o.queue = append(o.queue, message{sub: sub, kind: kind, body: body})
		if s.Chance(repeat) {
			o.queue = append(o.queue, message{sub: sub, kind: kind, body: body})
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

// Event gives a webhook's body.
func Event(id, kind string, at time.Time, data any) []byte {
	body, err := json.Marshal(map[string]any{
		"id": id, "type": kind, "created_at": at.UTC().Format(time.RFC3339), "data": data,
	})
	if err != nil {
		panic(err) // a fault of the simulator
	}
	return body
}

// Sign gives the value of X-CV-Signature: the hex HMAC-SHA256 of the body.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Run sends webhooks with client until ctx ends.
func (s *Sim) Run(ctx context.Context, client *http.Client) {
	for ctx.Err() == nil {
		s.Flush(ctx, client)
		select {
		case <-s.outbox.wake:
		case <-ctx.Done():
		}
	}
}

// Flush sends what is queued, with exponential backoff, until it is taken or
// given up.
func (s *Sim) Flush(ctx context.Context, client *http.Client) {
	for ctx.Err() == nil {
		m, ok := s.outbox.pop()
		if !ok {
			return
		}
		for !post(ctx, client, m) {
			m.tries++
			if m.tries == maxTries || ctx.Err() != nil {
				s.outbox.giveUp()
				break
			}
			wait(ctx, time.Second<<(m.tries-1))
		}
	}
}

// GivenUp is how many webhooks were never taken.
func (s *Sim) GivenUp() int {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return s.outbox.failed
}

func (o *outbox) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed++
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

func post(ctx context.Context, client *http.Client, m message) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.sub.URL, bytes.NewReader(m.body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-CV-Signature", Sign(m.sub.Secret, m.body))
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	res.Body.Close()
	return res.StatusCode/100 == 2
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
