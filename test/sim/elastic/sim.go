// Package elastic simulates Elasticsearch as far as a writer of data streams
// and a SIEM that reads them see it. It is written from Elastic's
// documentation and from answers of a real 8.19 node, and shares no code with
// the hub.
//
// It is a judge: it refuses what the real one refuses, and writes down as a
// violation what the real one takes but a SIEM would then miss, such as a
// stream made by the stock template, a value outside ECS's closed lists, or one
// document in two backing indices.
//
// It is unkind unless told otherwise: by a seed it throttles, fails, cuts
// connections before and after doing the work, refuses single documents for
// now, and rolls streams over in between. Paths under /_sim/ steer it and tell
// what it has received.
package elastic

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options say how a simulator behaves.
type Options struct {
	Seed uint64 // of the unkindness
	Kind bool   // no faults but those that are scripted
	// MaxBody is the largest request body after decompression; default 100 MB,
	// as Elasticsearch has it.
	MaxBody int64
	// APIKey that requests must carry in its encoded form; "" lets all in.
	APIKey string
}

// A Sim is a simulated Elasticsearch. It serves HTTP.
type Sim struct {
	opt Options

	mu         sync.Mutex // guards all below
	kind       bool
	rng        *rand.Rand
	row        int // unkind answers in a row, which are limited so that work gets done
	script     []Fault
	pipelines  map[string]*pipeline
	components map[string]*component
	templates  map[string]*template
	streams    map[string]*stream
	indices    map[string]*index
	points     map[string]*point
	lastPoint  int
	history    []Request
	violations []string
	noted      map[string]bool
}

// A Request is what the simulator received and how it answered.
type Request struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Bytes  int       `json:"bytes"` // of the body, after decompression
	Items  int       `json:"items,omitempty"`
	Status int       `json:"status"` // 0: cut
	Fault  string    `json:"fault,omitempty"`
}

// maxHistory bounds what is kept of requests in a long demonstration.
const maxHistory = 20000

// New makes a simulator without data.
func New(o Options) *Sim {
	if o.MaxBody == 0 {
		o.MaxBody = 100 << 20
	}
	s := &Sim{opt: o}
	s.reset()
	return s
}

func (s *Sim) reset() {
	s.kind, s.row, s.script = s.opt.Kind, 0, nil
	s.rng = rand.New(rand.NewPCG(s.opt.Seed, 0x656c6173))
	s.pipelines, s.components = map[string]*pipeline{}, map[string]*component{}
	s.templates = map[string]*template{stockName: stockTemplate()}
	s.streams, s.indices, s.points = map[string]*stream{}, map[string]*index{}, map[string]*point{}
	s.history, s.violations, s.noted = nil, nil, map[string]bool{}
}

// ServeHTTP answers one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		s.control(w, r)
		return
	}
	body, err := readBody(r, s.opt.MaxBody)
	s.mu.Lock()
	a := s.answer(r, body, err)
	s.record(r, body, a)
	s.mu.Unlock()
	if a.cut {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	h := w.Header()
	h.Set("X-Elastic-Product", "Elasticsearch")
	h.Set("Content-Type", "application/json")
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// An answer is what goes back.
type answer struct {
	status     int
	body       any
	retryAfter string
	items      int
	fault      string
	cut        bool
}

func (s *Sim) answer(r *http.Request, body []byte, err error) answer {
	if tooLarge(err) {
		return answer{status: 413, body: map[string]any{}}
	}
	if err != nil {
		return fail(400, "parse_exception", err.Error())
	}
	if s.opt.APIKey != "" && !s.knows(r.Header.Get("Authorization")) {
		return fail(401, "security_exception", "missing authentication credentials for REST request ["+r.URL.Path+"]")
	}
	f := s.draw(r)
	if f.Status != 0 {
		a := fail(f.Status, faultType(f.Status), f.Name)
		a.retryAfter, a.fault = f.RetryAfter, f.Name
		return a
	}
	if f.Cut == CutBefore {
		return answer{cut: true, fault: f.Name}
	}
	a := s.route(r, body)
	a.fault, a.cut = f.Name, f.Cut == CutAfter
	return a
}

// knows compares credentials; the scheme's name has no case.
func (s *Sim) knows(authorization string) bool {
	scheme, key, _ := strings.Cut(authorization, " ")
	return strings.EqualFold(scheme, "ApiKey") && key == s.opt.APIKey
}

func (s *Sim) record(r *http.Request, body []byte, a answer) {
	status := a.status
	if a.cut {
		status = 0
	}
	if len(s.history) == maxHistory {
		s.history = append(s.history[:0], s.history[maxHistory/2:]...)
	}
	s.history = append(s.history, Request{
		At: time.Now(), Method: r.Method, Path: r.URL.Path, Bytes: len(body),
		Items: a.items, Status: status, Fault: a.fault,
	})
}

func (s *Sim) route(r *http.Request, body []byte) answer {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last := parts[len(parts)-1]
	switch {
	case r.URL.Path == "/":
		return ok(map[string]any{
			"name": "sim", "cluster_name": "sim", "tagline": "You Know, for Search",
			"version": map[string]any{"number": "8.19.0", "build_flavor": "default"},
		})
	case r.URL.Path == "/_cluster/health":
		return ok(map[string]any{"cluster_name": "sim", "status": "green", "number_of_nodes": 1})
	case len(parts) == 3 && parts[0] == "_ingest" && parts[1] == "pipeline":
		return s.servePipeline(r.Method, last, body)
	case len(parts) == 2 && parts[0] == "_component_template":
		return s.serveComponent(r.Method, last, body)
	case len(parts) == 2 && parts[0] == "_index_template":
		return s.serveTemplate(r.Method, last, body)
	case last == "_bulk" && r.Method != http.MethodGet:
		return s.bulk(r, body)
	case len(parts) == 2 && last == "_refresh":
		return s.refresh(parts[0])
	case len(parts) == 2 && last == "_rollover" && r.Method == http.MethodPost:
		return s.serveRollover(parts[0])
	case len(parts) == 2 && last == "_pit" && r.Method == http.MethodPost:
		return s.openPoint(r, parts[0])
	case r.URL.Path == "/_pit" && r.Method == http.MethodDelete:
		return s.closePoint(body)
	case r.URL.Path == "/_search" && bytes.Contains(body, []byte(`"pit":`)):
		return s.page(body)
	case last == "_search" && len(parts) <= 2:
		return s.search(r, parts[0], body)
	case last == "_count" && len(parts) <= 2:
		return s.count(r, parts[0], body)
	case len(parts) == 3 && parts[1] == "_doc" && r.Method == http.MethodGet:
		return s.getDoc(parts[0], last)
	}
	return fail(400, "illegal_argument_exception", "the simulator does not know "+r.Method+" "+r.URL.Path)
}

func ok(body any) answer { return answer{status: 200, body: body} }

// fail makes an error in Elasticsearch's form.
func fail(status int, kind, reason string) answer {
	cause := map[string]any{"type": kind, "reason": reason}
	return answer{status: status, body: map[string]any{
		"error": map[string]any{"type": kind, "reason": reason, "root_cause": []any{cause}}, "status": status,
	}}
}

// violate writes down what a SIEM would suffer from, each once.
func (s *Sim) violate(text string) {
	if !s.noted[text] {
		s.noted[text] = true
		s.violations = append(s.violations, text)
	}
}

func readBody(r *http.Request, most int64) ([]byte, error) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	b, err := io.ReadAll(io.LimitReader(body, most+1))
	if int64(len(b)) > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	return b, err
}

func tooLarge(err error) bool {
	_, is := err.(*http.MaxBytesError)
	return is
}
