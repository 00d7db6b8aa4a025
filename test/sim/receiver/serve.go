package receiver

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// trap is where redirects lead; nobody should follow them.
const trap = "/nobody-should-come-here"

// late is for requests that were on their way when 410 was answered.
const late = 2 * time.Second

// ServeHTTP takes a webhook, or a steering request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case unkind.Steering(r):
		s.steer(w, r)
		return
	case r.URL.Path == trap:
		s.side.Violate(r, "followed a redirect")
		w.WriteHeader(http.StatusTeapot)
		return
	}
	p := s.at(r.URL.Path)
	body := s.pool.Get().(*bytes.Buffer)
	body.Reset()
	defer s.pool.Put(body)
	if _, err := io.Copy(body, io.LimitReader(r.Body, maxBody)); err != nil {
		return // the sender broke off
	}
	p.counts.requests.Add(1)
	p.counts.bytes.Add(int64(body.Len()))
	status := s.take(w, r, p, body.Bytes())
	s.keep(r, body.Bytes(), status)
}

// take verifies and answers one webhook.
func (s *Sim) take(w http.ResponseWriter, r *http.Request, p *place, body []byte) int {
	now := s.side.Now()
	if fault := s.fault(p, r, body, now); fault != "" {
		p.counts.refused.Add(1)
		s.side.Violate(r, "%s", fault)
		return answer(w, http.StatusUnauthorized)
	}
	if !p.verifier.known() {
		p.counts.unverified.Add(1)
	}
	id := r.Header.Get("Webhook-Id")
	same, taken := p.memory.see(id, body)
	if !same {
		s.side.Violate(r, "webhook-id %s came with another body before", id)
	}
	if taken {
		p.counts.repeats.Add(1)
	}
	s.early(r, p, id, now)
	if status := s.trouble(w, r, p, id); status != 0 {
		p.counts.troubled.Add(1)
		return status
	}
	s.count(p, id)
	if p.Behaviour.Status != 0 {
		return answer(w, p.Behaviour.Status)
	}
	return answer(w, http.StatusNoContent)
}

func (s *Sim) count(p *place, id string) {
	if p.memory.take(id) {
		p.counts.taken.Add(1)
	}
}

func (s *Sim) fault(p *place, r *http.Request, body []byte, now time.Time) string {
	switch {
	case r.Method != http.MethodPost:
		return "want POST"
	case r.Header.Get("Content-Type") == "":
		return "no Content-Type"
	case !utf8.Valid(body) || !json.Valid(body):
		return "the body is not JSON in UTF-8"
	}
	if at := p.gone.Load(); at != 0 && now.UnixNano()-at > int64(late) {
		s.side.Violate(r, "came after 410")
	}
	return p.verifier.fault(r.Header, body, now)
}

// early judges a repeat by the Retry-After that its forerunner got.
func (s *Sim) early(r *http.Request, p *place, id string, now time.Time) {
	if p.Behaviour.Throttle == 0 {
		return
	}
	key := p.Path + " " + id
	s.mu.Lock()
	until, told := s.waits[key]
	delete(s.waits, key)
	s.mu.Unlock()
	if told && now.Before(until) {
		s.side.Violate(r, "%s came again %v before Retry-After was over", id, until.Sub(now).Round(time.Millisecond))
	}
}

// trouble makes the trouble that the place's behaviour asks for; 0 for none.
func (s *Sim) trouble(w http.ResponseWriter, r *http.Request, p *place, id string) int {
	b := p.Behaviour
	total := b.Fail + b.Throttle + b.CutBefore + b.CutAfter + b.Hang + b.Redirect + b.Gone
	if total == 0 {
		return 0
	}
	draw := float64(s.side.IntN(1_000_000)) / 1_000_000
	falls := func(p float64) bool { draw -= p; return draw < 0 }
	switch {
	case falls(b.Fail):
		return answer(w, []int{500, 502, 503, 504}[s.side.IntN(4)])
	case falls(b.Throttle):
		return s.throttle(w, p, id)
	case falls(b.CutBefore):
		panic(http.ErrAbortHandler)
	case falls(b.CutAfter):
		s.count(p, id)
		panic(http.ErrAbortHandler)
	case falls(b.Hang):
		return hang(w, r, b.HangMS)
	case falls(b.Redirect):
		w.Header().Set("Location", "http://"+r.Host+trap)
		return answer(w, http.StatusFound)
	case falls(b.Gone):
		p.gone.CompareAndSwap(0, s.side.Now().UnixNano())
		return answer(w, http.StatusGone)
	}
	return 0
}

func (s *Sim) throttle(w http.ResponseWriter, p *place, id string) int {
	seconds := max(p.Behaviour.RetryAfter, 1)
	s.mu.Lock()
	s.waits[p.Path+" "+id] = s.side.Now().Add(time.Duration(seconds) * time.Second)
	s.mu.Unlock()
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return answer(w, http.StatusTooManyRequests)
}

func hang(w http.ResponseWriter, r *http.Request, ms int) int {
	if ms == 0 {
		ms = 30_000
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
	return answer(w, http.StatusGatewayTimeout)
}

func answer(w http.ResponseWriter, status int) int {
	w.WriteHeader(status)
	return status
}

// keep remembers the newest requests for people to look at.
func (s *Sim) keep(r *http.Request, body []byte, status int) {
	kept := Request{At: s.side.Now(), Path: r.URL.Path, Header: r.Header.Clone(), Body: string(body), Status: status}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) >= 2*keepLast {
		s.last = append(s.last[:0], s.last[keepLast:]...)
	}
	s.last = append(s.last, kept)
}
