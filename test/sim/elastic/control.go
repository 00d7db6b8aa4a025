package elastic

import (
	"encoding/json"
	"net/http"
	"slices"
)

// control steers the simulator and tells what it has received:
//
//	POST /_sim/script      a Fault, or a list of them, for the next requests
//	POST /_sim/kind        {"kind": true} switches faults by chance off
//	POST /_sim/rollover    ?stream=NAME
//	POST /_sim/reset       as new
//	GET  /_sim/history     requests
//	GET  /_sim/violations  what a SIEM would suffer from
//	GET  /_sim/documents   ?index=NAME or a pattern with *; all without
//	GET  /_sim/summary     numbers for a demonstration
func (s *Sim) control(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r, 1<<20)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var result any = map[string]bool{"ok": true}
	switch r.Method + " " + r.URL.Path {
	case "POST /_sim/script":
		faults, err := readFaults(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Script(faults...)
	case "POST /_sim/kind":
		var set struct{ Kind bool }
		if err := json.Unmarshal(body, &set); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetKind(set.Kind)
	case "POST /_sim/rollover":
		result = map[string]bool{"ok": s.Rollover(r.URL.Query().Get("stream"))}
	case "POST /_sim/reset":
		s.Reset()
	case "GET /_sim/history":
		result = s.History()
	case "GET /_sim/violations":
		result = s.Violations()
	case "GET /_sim/documents":
		target := r.URL.Query().Get("index")
		if target == "" {
			target = "*"
		}
		result = s.Documents(target)
	case "GET /_sim/summary":
		result = s.Summary()
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result)
}

func readFaults(body []byte) ([]Fault, error) {
	var list []Fault
	if err := json.Unmarshal(body, &list); err == nil {
		return list, nil
	}
	var one Fault
	err := json.Unmarshal(body, &one)
	return []Fault{one}, err
}

// Reset forgets everything but the options.
func (s *Sim) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset()
}

// History gives the requests received, oldest first.
func (s *Sim) History() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history)
}

// Violations gives what a SIEM would suffer from, in the order of discovery.
func (s *Sim) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.violations...)
}

// A Summary is the state in numbers.
type Summary struct {
	Requests   int            `json:"requests"`
	Faults     int            `json:"faults"`
	Documents  map[string]int `json:"documents"` // by data stream or index
	Diverted   int            `json:"diverted"`
	Violations int            `json:"violations"`
}

// Summary gives the state in numbers.
func (s *Sim) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Summary{Requests: len(s.history), Documents: map[string]int{}, Violations: len(s.violations)}
	for _, r := range s.history {
		if r.Fault != "" {
			sum.Faults++
		}
	}
	for name, st := range s.streams {
		for _, ix := range st.backing {
			sum.Documents[name] += len(ix.docs)
		}
		sum.Diverted += len(st.failures)
	}
	for name, ix := range s.indices {
		sum.Documents[name] = len(ix.docs)
	}
	return sum
}
