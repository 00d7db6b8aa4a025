package dedup

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// DefaultReopenWindow is the reopen window of a profile that gives none.
const DefaultReopenWindow = 24 * time.Hour

// A Profile says what makes findings of one source the same. The zero value is
// ready.
type Profile struct {
	// Discriminators are JSON pointers into the payload whose values set findings
	// of one type on one asset apart, where the source gives no id of its own.
	// Vulnerability (cve, package) and compliance (framework, control) always do.
	Discriminators []string `json:"discriminators,omitempty" yaml:"discriminators"`

	// SharedAsset tells that other sources name the same assets alike: source and
	// source_id, which means something only within its source, are left out of
	// the identity.
	SharedAsset bool `json:"shared_asset,omitempty" yaml:"shared_asset"`

	// ReopenWindow is how long after its resolve an alert is reopened rather than
	// a new one made. nil is 24 h; 0 never reopens.
	ReopenWindow *hub.Duration `json:"reopen_window,omitempty" yaml:"reopen_window"`

	// Volatile are JSON pointers into the payload whose values change without
	// meaning; "" is the whole payload. nil stands for top-level members with
	// usual names for times, counters and runs, such as timestamp and scan_id;
	// an empty list for none.
	Volatile []string `json:"volatile,omitempty" yaml:"volatile"`

	// Unordered are JSON pointers to lists in the payload whose order means
	// nothing.
	Unordered []string `json:"unordered,omitempty" yaml:"unordered"`
}

// Check reports what is wrong with the profile.
func (p *Profile) Check() error {
	for _, list := range []struct {
		name     string
		pointers []string
	}{{"discriminators", p.Discriminators}, {"volatile", p.Volatile}, {"unordered", p.Unordered}} {
		for i, s := range list.pointers {
			if !jsontext.Pointer(s).IsValid() {
				return fmt.Errorf("%s[%d]: %q is no JSON pointer; one looks like /rule/id", list.name, i, s)
			}
		}
	}
	if p.ReopenWindow != nil && *p.ReopenWindow < 0 {
		return fmt.Errorf("reopen_window: must not be negative")
	}
	return nil
}

func (p *Profile) window() time.Duration {
	if p.ReopenWindow == nil {
		return DefaultReopenWindow
	}
	return time.Duration(*p.ReopenWindow)
}

// Profiles are the profiles of all sources.
type Profiles struct {
	Default Profile            // of a source that has none
	Sources map[string]Profile // by the source's name
}

// For gives the profile of a source. Where its own does not give a reopen
// window, the default's holds.
func (p *Profiles) For(source string) Profile {
	own, ok := p.Sources[source]
	if !ok {
		return p.Default
	}
	if own.ReopenWindow == nil {
		own.ReopenWindow = p.Default.ReopenWindow
	}
	return own
}

// commonlyVolatile tells whether a top-level member of a payload holds, by its
// name, a time, a counter or the number of a run.
func commonlyVolatile(name []byte) bool {
	switch string(name) {
	case "timestamp", "@timestamp", "time", "date", "ts", "observed_at", "detected_at", "created_at", "updated_at",
		"createdAt", "updatedAt", "observedAt", "detectedAt", "CreatedAt", "UpdatedAt",
		"first_seen", "last_seen", "firstSeen", "lastSeen", "first_detected", "last_detected",
		"count", "occurrences", "event_count", "hits", "seq", "sequence", "duration", "duration_ms",
		"scan_id", "scanId", "run_id", "runId", "request_id", "requestId", "trace_id", "traceId", "delivery_id":
		return true
	}
	return false
}
