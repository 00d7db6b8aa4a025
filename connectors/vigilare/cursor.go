package vigilare

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
	Full    time.Time `json:"full,omitzero"`    // start of the last sweep that read the whole history
	Deep    bool      `json:"deep,omitempty"`   // the one that runs does

	Todo  []string  `json:"todo,omitempty"`   // accounts whose signals are still to be read
	Since time.Time `json:"since,omitzero"`   // of the first of them, once it is being read
	Token string    `json:"token,omitempty"`  // their next_token for it
	Open  []string  `json:"open,omitempty"`   // its scenarios with an open signal, as far as read
	Fired bool      `json:"alerts,omitempty"` // the alerts have been read

	Unsorted bool `json:"unsorted,omitempty"` // they do not come newest first

	Watched map[string]*watched `json:"accounts,omitempty"` // by account
	Alerts  map[string]*fired   `json:"fired,omitempty"`    // by alert id, those that can still change
	Horizon time.Time           `json:"horizon,omitzero"`   // alerts fired before it were in an earlier sweep

	Things   map[string]thing `json:"things,omitempty"`  // of the inventory, by their first key
	Reported time.Time        `json:"reported,omitzero"` // when all of them were reported last
	Tenant   string           `json:"tenant,omitempty"`  // their tenant's first key
}

// watched is what is remembered of one account.
type watched struct {
	Signals connectors.Memory `json:"signals"`
	Score   gauge             `json:"score"`

	// Busy names the scenarios that had an open signal when all were read last;
	// Known is whether that is certain.
	Busy  []string `json:"busy,omitempty"`
	Known bool     `json:"known,omitempty"`
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
	if p.Watched == nil {
		p.Watched = map[string]*watched{}
	}
	if p.Alerts == nil {
		p.Alerts = map[string]*fired{}
	}
	if p.Things == nil {
		p.Things = map[string]thing{}
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
	signals := 0
	for _, w := range p.Watched {
		signals += w.Signals.Len()
	}
	if p.Started.IsZero() {
		return fmt.Sprintf("%d sweeps done, %d accounts, %d signals and %d alerts remembered", p.Sweep, len(p.Watched), signals, len(p.Alerts))
	}
	return fmt.Sprintf("sweep %d has %d accounts to read, %d signals remembered", p.Sweep, len(p.Todo), signals)
}
