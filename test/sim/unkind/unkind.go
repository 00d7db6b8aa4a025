// Package unkind is what the simulated far sides share: trouble made on
// purpose, and a judge that remembers what the caller did wrong.
//
// It is for test/sim only and imports nothing of ours: a simulator is written
// from the far side's own document, so that it shares none of our mistakes.
//
// A [Side] wraps a simulator's handler. Below /_sim/ it answers to whoever
// steers the test:
//
//	GET  /_sim/violations  what the caller did against the document
//	GET  /_sim/history     the last requests with their answers
//	GET  /_sim/knobs       how unkind it is; PUT changes what is given
//	POST /_sim/forget      empties violations and history
package unkind

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Knobs say how often each trouble is made, from 0 to 1.
type Knobs struct {
	Throttle float64 `json:"throttle"` // 429 though the limit is not reached
	Fail     float64 `json:"fail"`     // 5xx, half of them after the request took effect
	Cut      float64 `json:"cut"`      // the connection breaks: before, after or within the answer
	Slow     float64 `json:"slow"`     // the answer takes up to SlowMS
	SlowMS   int     `json:"slow_ms"`
	Repeat   float64 `json:"repeat"`  // what the simulator sends comes twice
	Reorder  float64 `json:"reorder"` // … or after what follows it
}

// usual is how a simulator is unless told otherwise.
var usual = Knobs{Throttle: 0.03, Fail: 0.03, Cut: 0.03, Slow: 0.05, SlowMS: 200, Repeat: 0.1, Reorder: 0.1}

// Options say how a simulator starts. The zero value is unkind with seed 0.
type Options struct {
	Seed uint64           // the same seed makes the same trouble for the same requests
	Kind bool             // no trouble on purpose; rules and limits of the document stay
	Now  func() time.Time // default time.Now
}

// A Side is the common part of a simulated far side.
type Side struct {
	name string
	now  func() time.Time

	mu         sync.Mutex // guards all below
	random     *rand.Rand
	knobs      Knobs
	violations []Violation
	history    []Exchange // the last maxHistory
	requests   int
	notBefore  map[string]time.Time // by limit: told in Retry-After
}

// A Violation is something the caller did against the document.
type Violation struct {
	At      time.Time `json:"at"`
	Request string    `json:"request"` // method and path
	Fault   string    `json:"fault"`
}

// String gives the violation in one line.
func (v Violation) String() string { return v.Request + ": " + v.Fault }

// An Exchange is one request and its answer's status; 0 if it was cut.
type Exchange struct {
	At      time.Time `json:"at"`
	Request string    `json:"request"`
	Status  int       `json:"status"`
	Trouble string    `json:"trouble,omitempty"` // made on purpose
}

const (
	maxHistory    = 2000
	maxViolations = 1000
	// grace is for requests that were on their way when Retry-After was told.
	grace = 20 * time.Millisecond
)

// New makes a side.
func New(name string, o Options) *Side {
	s := &Side{
		name: name, now: o.Now, knobs: usual, notBefore: map[string]time.Time{},
		random: rand.New(rand.NewPCG(o.Seed, 0x51)),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Kind {
		s.knobs = Knobs{}
	}
	return s
}

// Now is the simulator's clock.
func (s *Side) Now() time.Time { return s.now() }

// Set changes the knobs.
func (s *Side) Set(k Knobs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k
}

// Be makes the side kind, or as unkind as at first.
func (s *Side) Be(kind bool) {
	if kind {
		s.Set(Knobs{})
		return
	}
	s.Set(usual)
}

// Knobs gives the knobs as they are.
func (s *Side) Knobs() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

// Chance is true with probability p.
func (s *Side) Chance(p float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p > 0 && s.random.Float64() < p
}

// IntN gives a random number from 0 to n-1.
func (s *Side) IntN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

// Violate records that the request broke the document.
func (s *Side) Violate(r *http.Request, format string, args ...any) {
	v := Violation{At: s.now(), Request: r.Method + " " + r.URL.Path, Fault: fmt.Sprintf(format, args...)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) < maxViolations {
		s.violations = append(s.violations, v)
	}
}

// Violations gives what was recorded.
func (s *Side) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Violation{}, s.violations...)
}

// History gives the last requests, oldest first.
func (s *Side) History() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Exchange{}, s.history...)
}

// Requests is how many requests came.
func (s *Side) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *Side) record(e Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.history) >= 2*maxHistory {
		s.history = append(s.history[:0], s.history[maxHistory:]...)
	}
	s.history = append(s.history, e)
}

// Told remembers that the holder of a limit was told to stay away.
func (s *Side) Told(limit string, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.now().Add(wait); until.After(s.notBefore[limit]) {
		s.notBefore[limit] = until
	}
}

// Early records a violation if the request comes before the time that the
// holder of the limit was told, and says how long it should have waited on.
func (s *Side) Early(r *http.Request, limit string) time.Duration {
	s.mu.Lock()
	until, told := s.notBefore[limit]
	left := until.Sub(s.now())
	if told && left <= 0 {
		delete(s.notBefore, limit)
	}
	s.mu.Unlock()
	if left <= 0 {
		return 0
	}
	if left > grace {
		s.Violate(r, "came %v before the time given in Retry-After", left.Round(time.Millisecond))
	}
	return left
}

// Steer answers the common requests below /_sim/; false for others.
func (s *Side) Steer(w http.ResponseWriter, r *http.Request) bool {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/violations":
		Answer(w, 200, s.Violations())
	case "GET /_sim/history":
		Answer(w, 200, s.History())
	case "GET /_sim/knobs":
		Answer(w, 200, s.Knobs())
	case "PUT /_sim/knobs":
		s.steerKnobs(w, r)
	case "POST /_sim/forget":
		s.mu.Lock()
		s.violations, s.history, s.requests = nil, nil, 0
		s.mu.Unlock()
		Answer(w, 200, map[string]bool{"ok": true})
	default:
		return false
	}
	return true
}

func (s *Side) steerKnobs(w http.ResponseWriter, r *http.Request) {
	k := s.Knobs()
	if !Read(w, r, &k) {
		return
	}
	s.Set(k)
	Answer(w, 200, k)
}

// Steering reports whether r is for whoever steers the simulator.
func Steering(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/_sim/") }

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a fault of the simulator
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// Read decodes a steering request strictly; it has answered if it gives false.
func Read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		Answer(w, 400, map[string]string{"error": "steering request: " + err.Error()})
		return false
	}
	return true
}
