package cybervault

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// A position is the stored cursor: where the sweep is and what it remembers.
// Fields are only added; another Version is refused.
type position struct {
	Version int    `json:"v"`
	Sweep   uint64 `json:"sweep"` // number of the sweep that runs or ran last, from 1
	Stage   stage  `json:"stage"` // "" between sweeps
	After   string `json:"after"` // their cursor for the next page of the stage

	Started time.Time `json:"started,omitzero"` // their clock at the sweep's first answer
	Horizon time.Time `json:"horizon,omitzero"` // alerts created before it were in an earlier sweep

	Newest    time.Time `json:"newest,omitzero"`     // of the last page of the walk over new alerts
	Unordered bool      `json:"unordered,omitempty"` // its pages were not sorted newest first
	Untracked int       `json:"untracked,omitempty"` // open alerts this sweep had no room for

	Memory []byte `json:"memory"` // packed
}

const version = 1

// restore reads a stored cursor; nil is the first ever.
func restore(cursor []byte) (position, memory, error) {
	if len(cursor) == 0 {
		return position{Version: version}, memory{}, nil
	}
	var p position
	if err := json.Unmarshal(cursor, &p); err != nil {
		return p, nil, hub.Wrap(hub.Internal, err, "the stored cursor cannot be read")
	}
	if p.Version != version {
		return p, nil, hub.E(hub.Internal, fmt.Sprintf("the stored cursor has version %d; this program knows %d", p.Version, version))
	}
	m, err := unpack(p.Memory)
	if err != nil {
		return p, nil, hub.Wrap(hub.Internal, err, "the stored cursor cannot be read")
	}
	p.Memory = nil
	return p, m, nil
}

// store gives the cursor to be stored.
func (p position) store(m memory) []byte {
	p.Memory = m.pack()
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // times and strings of our own making
	}
	return b
}

// Describe shows a stored cursor to people.
func (*Source) Describe(cursor []byte) string {
	p, m, err := restore(cursor)
	if err != nil {
		return "unreadable"
	}
	if p.Stage == idle {
		return fmt.Sprintf("%d sweeps done, %d alerts remembered", p.Sweep, len(m))
	}
	return fmt.Sprintf("sweep %d reads %s alerts, %d remembered", p.Sweep, p.Stage, len(m))
}
