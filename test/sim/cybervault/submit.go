package cybervault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A Finding is what is submitted.
type Finding struct {
	ID       string          `json:"id,omitempty"` // made by the simulator
	Type     string          `json:"type"`
	AssetID  string          `json:"asset_id"`
	Severity string          `json:"severity"`
	Payload  json.RawMessage `json:"payload,omitempty"`
}

// classes are the vulnerability classes that may be submitted.
var classes = []string{"xss", "csrf", "brute_force", "malware", "custom"}

func (s *Sim) submitFinding(w http.ResponseWriter, r *http.Request) {
	var f Finding
	if !s.body(w, r, &f) {
		return
	}
	if fault := f.fault(); fault != "" {
		s.Violate(r, "%s", fault)
		refuse(w, 422, fault)
		return
	}
	s.mu.Lock()
	id := s.ingest(f)
	s.mu.Unlock()
	unkind.Answer(w, 202, map[string]string{"id": id, "status": "accepted"})
}

// ingest stores a finding once: the same content again has the same id.
func (s *Sim) ingest(f Finding) string {
	for _, old := range s.submitted {
		if old.Type == f.Type && old.AssetID == f.AssetID && old.Severity == f.Severity && bytes.Equal(old.Payload, f.Payload) {
			return old.ID
		}
	}
	s.serial++
	f.ID = fmt.Sprintf("fnd_7tR2v%06d", s.serial)
	s.submitted = append(s.submitted, f)
	return f.ID
}

func (s *Sim) batchAlerts(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.Query()) > 0 {
		s.Violate(r, "parameters on POST: %s", r.URL.RawQuery)
	}
	var batch []Finding
	if !s.body(w, r, &batch) {
		return
	}
	if len(batch) == 0 || len(batch) > 200 {
		s.Violate(r, "batch of %d", len(batch))
		refuse(w, 422, "A batch has 1 to 200 alerts.")
		return
	}
	for i, f := range batch {
		if fault := f.fault(); fault != "" {
			s.Violate(r, "alert %d: %s", i, fault)
			refuse(w, 422, fmt.Sprintf("Alert %d: %s", i, fault))
			return
		}
	}
	unkind.Answer(w, 201, map[string]any{"data": s.create(batch)})
}

// create makes an alert of each item that is new.
func (s *Sim) create(batch []Finding) []Alert {
	made := make([]Alert, len(batch))
	for i, f := range batch {
		s.mu.Lock()
		id := strings.Replace(s.ingest(f), "fnd_", "alt_", 1)
		at := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.ID == id })
		if at >= 0 {
			made[i] = s.alerts[at]
		}
		s.mu.Unlock()
		if at < 0 {
			made[i] = s.AddAlert(Alert{ID: id, Severity: f.Severity, Type: f.Type, AssetID: f.AssetID, Status: "open"})
		}
	}
	return made
}

// body reads a JSON body strictly; it has answered if it gives false.
func (s *Sim) body(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		s.Violate(r, "Content-Type %q", r.Header.Get("Content-Type"))
		refuse(w, 415, "Content-Type must be application/json.")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 5<<20))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more after the JSON value")
		}
	}
	if err != nil {
		s.Violate(r, "body: %v", err)
		refuse(w, 400, "Malformed request body.")
		return false
	}
	return true
}

func (f Finding) fault() string {
	switch {
	case f.ID != "":
		return "Unknown field: id."
	case f.Type == "":
		return "Missing required field: type."
	case !slices.Contains(classes, f.Type):
		return "Invalid type: must be one of xss, csrf, brute_force, malware, custom."
	case f.AssetID == "":
		return "Missing required field: asset_id."
	case f.Severity == "":
		return "Missing required field: severity."
	case !slices.Contains(severities, f.Severity):
		return "Invalid severity: must be one of critical, high, medium, low."
	case len(f.Payload) > 0 && f.Payload[0] != '{':
		return "Invalid payload: must be an object."
	}
	return ""
}
