// Package pagerduty simulates what the hub uses of PagerDuty: the Events API v2
// at /v2/enqueue, and its v3 webhooks.
//
// It enforces the documented fields and sizes (routing_key 32 letters and digits,
// dedup_key 255, summary 1,024, severity critical, error, warning or info,
// 512 KB of bytes an event, links and images by their members, no others) with
// 400 and the list of errors, and 120 events a minute for
// a routing key, in a sliding minute, with 429; such an event is not taken.
// Events with the same dedup_key and routing_key belong to one incident: a
// trigger opens it or is added to it, after a resolve a trigger opens a new
// one, and an acknowledge or resolve without an open incident is accepted and
// dropped. It imports nothing of ours but [unkind].
//
// The Events API documents no Retry-After; it is sent only when steered so,
// and then a request before its time is a violation, as is whatever gets 400.
//
// To steer it, beside what package unkind offers:
//
//	GET  /_sim/incidents     incidents by routing key and dedup key, newest last
//	GET  /_sim/dropped       acknowledges and resolves that met nothing open
//	PUT  /_sim/limits        {"per_minute": 120, "retry_after": false}
//	POST /_sim/fire          {"dedup_key", "event", "url", "secret", "user", …}, see [Hook]
//	     changes the incident as a person would and posts the signed v3 webhook;
//	     event is incident.acknowledged, .unacknowledged, .resolved, .reopened and so on
package pagerduty

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// DefaultRoutingKey is the integration key.
const DefaultRoutingKey = "e93facc04764012d7bfb002500d5d1a6"

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	RoutingKeys []string // default: DefaultRoutingKey
	PerMinute   int      // events for a key; default 120
	RetryAfter  bool     // send it with 429
}

// An Incident is one incident with the events that made it.
type Incident struct {
	ID         string    `json:"id"`
	RoutingKey string    `json:"routing_key"`
	DedupKey   string    `json:"dedup_key"`
	Status     string    `json:"status"` // triggered, acknowledged, resolved
	Summary    string    `json:"summary"`
	Severity   string    `json:"severity"`
	Source     string    `json:"source"`
	Triggers   int       `json:"triggers"`
	CreatedAt  time.Time `json:"created_at"`
	Events     []Event   `json:"events"`
}

// A Sim is the simulated PagerDuty. It is an [http.Handler].
type Sim struct {
	*unkind.Side
	handler http.Handler
	keys    map[string]bool

	mu         sync.Mutex // guards all below
	perMinute  int
	retryAfter bool
	taken      map[string][]time.Time // by routing key: events of the last minute
	incidents  []*Incident
	dropped    []Event
	serial     int
}

// New makes a simulator.
func New(o Options) *Sim {
	s := &Sim{
		Side: unkind.New("pagerduty", o.Options), keys: map[string]bool{}, perMinute: o.PerMinute, retryAfter: o.RetryAfter,
		taken: map[string][]time.Time{},
	}
	if s.perMinute == 0 {
		s.perMinute = 120
	}
	for _, k := range o.RoutingKeys {
		s.keys[k] = true
	}
	if len(s.keys) == 0 {
		s.keys[DefaultRoutingKey] = true
	}
	s.handler = s.Wrap(unkind.Voice{Failed: failed}, http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Incidents gives every incident, oldest first.
func (s *Sim) Incidents() []Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Incident, len(s.incidents))
	for i, inc := range s.incidents {
		out[i] = *inc
		out[i].Events = append([]Event(nil), inc.Events...)
	}
	return out
}

// Dropped gives the acknowledges and resolves that met nothing open.
func (s *Sim) Dropped() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event{}, s.dropped...)
}

// SetLimit changes how many events a key may send a minute, and whether 429
// says when to come back.
func (s *Sim) SetLimit(perMinute int, retryAfter bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perMinute, s.retryAfter = perMinute, retryAfter
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case unkind.Steering(r):
		s.steer(w, r)
	case r.URL.Path != "/v2/enqueue":
		s.Violate(r, "path is not simulated")
		http.Error(w, "not found", http.StatusNotFound)
	case r.Method != http.MethodPost:
		s.Violate(r, "want POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		s.enqueue(w, r)
	}
}

func throttled(w http.ResponseWriter) {
	unkind.Answer(w, http.StatusTooManyRequests, map[string]any{
		"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly.  Please retry later.",
	})
}

func failed(w http.ResponseWriter, status int) {
	unkind.Answer(w, status, map[string]any{"status": "error", "message": "Internal Server Error"})
}

// within counts an event against its key's sliding minute, or answers 429; now
// and then it does so on purpose.
func (s *Sim) within(w http.ResponseWriter, r *http.Request, key string) bool {
	early := s.Early(r, key)
	wait := max(early, time.Duration(s.Throttles())*time.Second)
	s.mu.Lock()
	now, tell := s.Now(), s.retryAfter
	recent := s.taken[key]
	for len(recent) > 0 && now.Sub(recent[0]) >= time.Minute {
		recent = recent[1:]
	}
	if wait == 0 && len(recent) >= s.perMinute {
		wait = time.Minute
		if len(recent) > 0 {
			wait = time.Minute - now.Sub(recent[0])
		}
	}
	if wait == 0 {
		recent = append(recent, now)
	}
	s.taken[key] = recent
	s.mu.Unlock()
	if wait == 0 {
		return true
	}
	if tell {
		seconds := max(int((wait+time.Second-1)/time.Second), 1)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		s.Told(key, time.Duration(seconds)*time.Second)
	}
	throttled(w)
	return false
}

// apply changes incidents as an event says. It gives the event's dedup key.
func (s *Sim) apply(e Event) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.DedupKey == "" { // only a trigger comes here without one
		s.serial++
		e.DedupKey = fmt.Sprintf("srv01-made-%08d", s.serial)
	}
	inc := s.open(e.RoutingKey, e.DedupKey)
	switch {
	case e.EventAction == "trigger" && inc == nil:
		s.serial++
		inc = &Incident{
			ID: fmt.Sprintf("Q%013d", s.serial), RoutingKey: e.RoutingKey, DedupKey: e.DedupKey, Status: "triggered", CreatedAt: s.Now(),
		}
		s.incidents = append(s.incidents, inc)
		fallthrough
	case e.EventAction == "trigger":
		inc.Triggers++
		inc.Summary, inc.Severity, inc.Source = e.Payload.Summary, e.Payload.Severity, e.Payload.Source
	case inc == nil:
		s.dropped = append(s.dropped, e)
		return e.DedupKey
	case e.EventAction == "acknowledge":
		inc.Status = "acknowledged"
	case e.EventAction == "resolve":
		inc.Status = "resolved"
	}
	inc.Events = append(inc.Events, e)
	return e.DedupKey
}

// open finds the open incident of a key; nil if there is none.
func (s *Sim) open(routing, dedup string) *Incident {
	for i := len(s.incidents) - 1; i >= 0; i-- {
		if inc := s.incidents[i]; inc.RoutingKey == routing && inc.DedupKey == dedup {
			if inc.Status == "resolved" {
				return nil
			}
			return inc
		}
	}
	return nil
}
