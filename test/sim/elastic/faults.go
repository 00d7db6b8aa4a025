package elastic

import (
	"net/http"
	"strings"
)

// When a connection is cut.
const (
	CutBefore = "before" // the work is not done
	CutAfter  = "after"  // the work is done, the answer is lost
)

// A Fault is what happens to a request instead of, or beside, its work.
type Fault struct {
	// Path says which requests it meets: those whose path contains it. Default
	// "_bulk".
	Path string `json:"path"`
	// Times it happens; default once, -1 for always.
	Times      int    `json:"times"`
	Status     int    `json:"status"` // answered without doing the work
	RetryAfter string `json:"retry_after"`
	Cut        string `json:"cut"`      // CutBefore or CutAfter
	Rollover   bool   `json:"rollover"` // all streams roll over after the work
	Name       string `json:"name"`
}

// maxRow bounds how many requests in a row are met by chance.
const maxRow = 3

// Script makes the next requests meet faults, in order, before chance decides.
func (s *Sim) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Path == "" {
			f.Path = "_bulk"
		}
		if f.Times == 0 {
			f.Times = 1
		}
		if f.Name == "" {
			f.Name = "scripted"
		}
		s.script = append(s.script, f)
	}
}

// Unscript forgets the scripted faults.
func (s *Sim) Unscript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = nil
}

// SetKind switches faults by chance off or on.
func (s *Sim) SetKind(kind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind = kind
}

// draw decides what happens to a request.
func (s *Sim) draw(r *http.Request) Fault {
	for i := range s.script {
		f := s.script[i]
		if !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if s.script[i].Times > 0 {
			if s.script[i].Times--; s.script[i].Times == 0 {
				s.script = append(s.script[:i], s.script[i+1:]...)
			}
		}
		if f.Rollover {
			defer s.rolloverAll()
		}
		return f
	}
	if s.kind {
		return Fault{}
	}
	return s.chance(strings.HasSuffix(r.URL.Path, "_bulk"))
}

// chance makes one bulk request in six unlucky, and one in twenty of others.
func (s *Sim) chance(bulk bool) Fault {
	n := s.rng.IntN(120)
	if s.rng.IntN(12) == 0 {
		s.rolloverAll()
	}
	if s.row >= maxRow || bulk && n >= 20 || !bulk && n >= 6 {
		s.row = 0
		return Fault{}
	}
	s.row++
	switch n % 6 {
	case 0:
		return Fault{Status: http.StatusTooManyRequests, RetryAfter: "1", Name: "throttled with Retry-After"}
	case 1:
		return Fault{Status: http.StatusTooManyRequests, Name: "throttled"}
	case 2:
		return Fault{Status: http.StatusServiceUnavailable, Name: "unavailable"}
	case 3:
		return Fault{Status: http.StatusBadGateway, Name: "bad gateway"}
	case 4:
		return Fault{Cut: CutBefore, Name: "cut before the work"}
	}
	return Fault{Cut: CutAfter, Name: "cut after the work"}
}

// itemFault refuses one document in twenty for now.
func (s *Sim) itemFault() (status int, kind, reason string) {
	if s.kind {
		return 0, "", ""
	}
	switch s.rng.IntN(60) {
	case 0, 1:
		return 429, "es_rejected_execution_exception", "rejected execution of coordinating operation"
	case 2:
		return 503, "unavailable_shards_exception", "primary shard is not active"
	}
	return 0, "", ""
}

func faultType(status int) string {
	switch status {
	case 401, 403:
		return "security_exception"
	case 404:
		return "index_not_found_exception"
	case 429:
		return "es_rejected_execution_exception"
	case 400:
		return "illegal_argument_exception"
	}
	return "process_cluster_event_timeout_exception"
}
