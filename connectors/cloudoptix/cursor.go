package cloudoptix

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A position is the stored cursor: where the sweep is and what it remembers.
// Fields are only added; another Version is refused.
type position struct {
	Version int       `json:"v"`
	Sweep   uint64    `json:"sweep"`            // number of the one that runs or ran last, from 1
	Started time.Time `json:"started,omitzero"` // of the one that runs, by their clock; zero between sweeps
	Until   time.Time `json:"until,omitzero"`   // where its last window ends
	Horizon time.Time `json:"horizon,omitzero"` // up to where the last one read
	Full    time.Time `json:"full,omitzero"`    // start of the last one that read the whole history
	Deep    bool      `json:"deep,omitempty"`   // the one that runs does
	All     bool      `json:"all,omitempty"`    // the one that runs does, in one window
	Shut    bool      `json:"shut,omitempty"`   // the one that runs lists the suppressed ones, or has done so
	Doubt   bool      `json:"doubt,omitempty"`  // the next one has to

	Window window `json:"window,omitzero"`

	Alerts connectors.Memory `json:"alerts"`
	Gap    int               `json:"gap,omitempty"`   // open alerts here that a whole reading did not find there
	Counts counts            `json:"counts,omitzero"` // open alerts there, after the last sweep
	Told   bool              `json:"told,omitempty"`  // the one that runs has told of a change

	Inventory stock              `json:"inventory,omitzero"`
	Scans     []scan             `json:"scans,omitempty"`   // whose results are awaited
	Reports   map[string]*report `json:"reports,omitempty"` // last ones of template scans, by what was scanned
}

// A window is a span of time in which alerts were last seen, and where the
// reading of it is.
type window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Page int       `json:"page"`           // to be read next
	Down bool      `json:"down,omitempty"` // pages are read from the last to the first
	Try  int       `json:"try,omitempty"`  // how often it was read before

	State string `json:"state,omitempty"` // of the alerts in it, "" for all
}

const version = 1

// restore reads a stored cursor; nil is the first ever.
func restore(cursor []byte) (position, error) {
	p := position{Version: version}
	if len(cursor) > 0 {
		if err := json.Unmarshal(cursor, &p); err != nil {
			return p, hub.Wrap(hub.Internal, err, "the stored cursor cannot be read")
		}
	}
	if p.Version != version {
		return p, hub.E(hub.Internal, fmt.Sprintf("the stored cursor has version %d; this program knows %d", p.Version, version))
	}
	if p.Reports == nil {
		p.Reports = map[string]*report{}
	}
	if p.Inventory.Things == nil {
		p.Inventory.Things = map[string]thing{}
	}
	return p, nil
}

// store gives the cursor to be stored.
func (p *position) store() []byte {
	b, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		panic(err) // times and strings of our own making
	}
	return b
}

// Describe shows a stored cursor to people.
func (*Source) Describe(cursor []byte) string {
	p, err := restore(cursor)
	if err != nil {
		return "unreadable"
	}
	text := fmt.Sprintf("%d alerts and %d things remembered", p.Alerts.Len(), len(p.Inventory.Things))
	if len(p.Scans) > 0 {
		text += fmt.Sprintf(", %d scans awaited", len(p.Scans))
	}
	if p.Started.IsZero() {
		return fmt.Sprintf("%d sweeps done, alerts read up to %s, %s", p.Sweep, p.Horizon.Format(time.RFC3339), text)
	}
	return fmt.Sprintf("sweep %d reads page %d of alerts seen from %s on, %s", p.Sweep, p.Window.Page, p.Window.From.Format(time.RFC3339), text)
}
