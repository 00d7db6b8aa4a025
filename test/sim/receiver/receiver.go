// Package receiver simulates whoever receives our webhooks, at any path.
//
// It verifies with code of its own, written from the specifications: Standard
// Webhooks (webhook-id, webhook-timestamp, webhook-signature with v1 and v1a),
// the hex HMAC-SHA256 of the body in X-CV-Signature, and t=…,v1=… signatures.
// It remembers each id compactly (40 bytes or so), so that millions fit, and
// keeps up with 5,000 requests a second beside the sender on two cores. It
// imports nothing of ours but [unkind].
//
// A violation is: a missing or wrong signature, a missing header, an id with a
// dot in it, a clock more than five minutes off, a body that is not JSON in
// UTF-8, the same id with another body, a redirect that was followed, a request
// after 410, and a repeat before Retry-After is over.
//
// To steer it, beside what package unkind offers:
//
//	PUT  /_sim/endpoints {"path", "secrets", …}  how a path verifies and behaves; "" is for all others
//	GET  /_sim/counts[?path=/a]                   what came, in total or for a path
//	POST /_sim/missing   {"path", "ids": […]}     which of the ids were not taken
//	GET  /_sim/last                               the last requests with their bodies
package receiver

import (
	"bytes"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// An Endpoint says how the requests to a path are verified and answered.
type Endpoint struct {
	Path      string    `json:"path"`       // "" is for every path without its own
	Secrets   []string  `json:"secrets"`    // whsec_…; one of them must fit. None: nothing is verified
	PublicKey string    `json:"public_key"` // whpk_…; if set, a v1a signature must fit too
	Hex       string    `json:"hex"`        // header with the hex signature that must be there, such as X-CV-Signature
	HexPrefix string    `json:"hex_prefix"`
	Stamped   string    `json:"timestamped"` // header with t=…,v1=… that must be there
	Behaviour Behaviour `json:"behaviour"`
}

// A Behaviour is how often, from 0 to 1, a good request meets trouble.
type Behaviour struct {
	Fail       float64 `json:"fail"`        // 500, 502, 503 or 504
	Throttle   float64 `json:"throttle"`    // 429 with Retry-After
	RetryAfter int     `json:"retry_after"` // seconds, default 1
	CutBefore  float64 `json:"cut_before"`  // the connection breaks, nothing was taken
	CutAfter   float64 `json:"cut_after"`   // it breaks after the webhook was taken
	Hang       float64 `json:"hang"`        // the answer comes after HangMS, or the sender gives up
	HangMS     int     `json:"hang_ms"`     // default 30000
	Redirect   float64 `json:"redirect"`    // 302 to a place where nobody should come
	Gone       float64 `json:"gone"`        // 410: the endpoint is to be disabled
	Status     int     `json:"status"`      // of every good answer, default 204
}

// Rough is a behaviour for tests of delivery: one request in eight fails.
var Rough = Behaviour{Fail: 0.04, Throttle: 0.02, CutBefore: 0.02, CutAfter: 0.02, Redirect: 0.01}

// Options say how the receiver starts.
type Options struct {
	unkind.Options
	Endpoints []Endpoint
}

// Counts are what came.
type Counts struct {
	Requests   int64 `json:"requests"`
	Taken      int64 `json:"taken"`      // ids answered with 2xx, each once
	Repeats    int64 `json:"repeats"`    // requests with an id that was taken already
	Refused    int64 `json:"refused"`    // for their signature or form
	Unverified int64 `json:"unverified"` // no secret is known for the path
	Troubled   int64 `json:"troubled"`   // met trouble made on purpose
	Bytes      int64 `json:"bytes"`
}

// A Sim is the receiver. It is an [http.Handler].
type Sim struct {
	side  *unkind.Side
	paths atomic.Pointer[map[string]*place] // replaced as a whole, under mu
	pool  sync.Pool                         // of *bytes.Buffer, for bodies

	mu    sync.Mutex           // guards all below, and the replacement of paths
	waits map[string]time.Time // by path and id: told in Retry-After
	last  []Request            // the newest, at most keepLast
}

// A place is a path: its settings, which are replaced as a whole, and what came.
type place struct {
	Endpoint
	verifier verifier
	*record
}

// A record is what came to a path; it stays when the settings change.
type record struct {
	gone   atomic.Int64 // when 410 was answered, in Unix nanoseconds; 0 for never
	counts struct{ requests, taken, repeats, refused, unverified, troubled, bytes atomic.Int64 }
	memory memory
}

func newRecord() *record {
	r := &record{}
	r.memory.init()
	return r
}

// A Request is one of the last requests.
type Request struct {
	At     time.Time   `json:"at"`
	Path   string      `json:"path"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Status int         `json:"status"`
}

const (
	keepLast = 50
	maxBody  = 6 << 20
)

// New makes a receiver. Unless told to be kind, paths without an endpoint of
// their own behave [Rough].
func New(o Options) *Sim {
	s := &Sim{side: unkind.New("receiver", o.Options), waits: map[string]time.Time{}}
	s.pool.New = func() any { return new(bytes.Buffer) }
	paths := map[string]*place{}
	s.paths.Store(&paths)
	others := Endpoint{}
	if !o.Kind {
		others.Behaviour = Rough
	}
	s.Put(others)
	for _, e := range o.Endpoints {
		s.Put(e)
	}
	return s
}

// Put says how a path verifies and behaves; what it remembers stays.
func (s *Sim) Put(e Endpoint) error {
	v, err := newVerifier(e)
	if err != nil {
		return err
	}
	s.change(func(paths map[string]*place) {
		r := newRecord()
		if old := paths[e.Path]; old != nil {
			r = old.record
			r.gone.Store(0)
		}
		paths[e.Path] = &place{Endpoint: e, verifier: v, record: r}
	})
	return nil
}

// change replaces the table of paths with a changed copy, so that readers need
// no lock.
func (s *Sim) change(edit func(map[string]*place)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := map[string]*place{}
	for path, p := range *s.paths.Load() {
		paths[path] = p
	}
	edit(paths)
	s.paths.Store(&paths)
}

// at gives the place of a path; one that is met first starts like "".
func (s *Sim) at(path string) *place {
	if p := (*s.paths.Load())[path]; p != nil {
		return p
	}
	s.change(func(paths map[string]*place) {
		if paths[path] == nil && len(paths) < 10_000 {
			p := &place{Endpoint: paths[""].Endpoint, verifier: paths[""].verifier, record: newRecord()}
			p.Path = path
			paths[path] = p
		}
	})
	if p := (*s.paths.Load())[path]; p != nil {
		return p
	}
	return (*s.paths.Load())[""]
}

// Counts gives the counts of a path, "" for all together.
func (s *Sim) Counts(path string) Counts {
	var total Counts
	for name, p := range *s.paths.Load() {
		if path == "" || name == path {
			total.add(p)
		}
	}
	return total
}

func (c *Counts) add(p *place) {
	c.Requests += p.counts.requests.Load()
	c.Taken += p.counts.taken.Load()
	c.Repeats += p.counts.repeats.Load()
	c.Refused += p.counts.refused.Load()
	c.Unverified += p.counts.unverified.Load()
	c.Troubled += p.counts.troubled.Load()
	c.Bytes += p.counts.bytes.Load()
}

// Taken reports whether the id was taken at the path.
func (s *Sim) Taken(path, id string) bool {
	p := (*s.paths.Load())[path]
	return p != nil && p.memory.taken(id)
}

// Missing gives those of the ids that were not taken at the path.
func (s *Sim) Missing(path string, ids []string) []string {
	missing := []string{}
	for _, id := range ids {
		if !s.Taken(path, id) {
			missing = append(missing, id)
		}
	}
	return missing
}

// Violations gives what the senders did wrong.
func (s *Sim) Violations() []unkind.Violation { return s.side.Violations() }

// Last gives the newest requests, oldest first.
func (s *Sim) Last() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request{}, s.last...)
}

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/counts":
		unkind.Answer(w, 200, s.Counts(r.URL.Query().Get("path")))
	case "GET /_sim/last":
		unkind.Answer(w, 200, s.Last())
	case "PUT /_sim/endpoints":
		var in Endpoint
		if !unkind.Read(w, r, &in) {
			return
		}
		if err := s.Put(in); err != nil {
			unkind.Answer(w, 400, map[string]string{"error": err.Error()})
			return
		}
		unkind.Answer(w, 200, in)
	case "POST /_sim/missing":
		var in struct {
			Path string
			IDs  []string
		}
		if unkind.Read(w, r, &in) {
			unkind.Answer(w, 200, map[string]any{"missing": s.Missing(in.Path, in.IDs)})
		}
	default:
		if !s.side.Steer(w, r) {
			http.Error(w, "no such steering request", http.StatusNotFound)
		}
	}
}
