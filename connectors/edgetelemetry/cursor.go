package edgetelemetry

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
	Step    int       `json:"step,omitempty"`   // index into stepNames
	walk

	Memory map[string]*connectors.Memory `json:"memory,omitempty"` // by list
	Agents map[string]*agent             `json:"agents,omitempty"` // by id
	Seen   int                           `json:"seen,omitempty"`   // summaries in the last answer

	Full   bool             `json:"full,omitempty"`     // this sweep reads the inventory
	Read   time.Time        `json:"inventory,omitzero"` // when it was read last
	Walk   uint64           `json:"walk,omitempty"`     // number of that reading
	Things map[string]thing `json:"things,omitempty"`   // of the inventory, by key
	Whole  map[string]bool  `json:"whole,omitempty"`    // parts of it that this reading got
}

// A walk is the place within a step. It is cleared when the next one begins.
type walk struct {
	Begun  time.Time `json:"begun,omitzero"` // their clock at the step's first answer
	Stage  int       `json:"stage,omitempty"`
	Limit  int       `json:"limit,omitempty"`  // to ask for next
	Offset int       `json:"offset,omitempty"` // entries of the audit log that were read
	First  string    `json:"first,omitempty"`  // id of the first of the last answer
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
	if p.Memory == nil {
		p.Memory = map[string]*connectors.Memory{}
	}
	if p.Agents == nil {
		p.Agents = map[string]*agent{}
	}
	if p.Things == nil {
		p.Things = map[string]thing{}
	}
	if p.Whole == nil {
		p.Whole = map[string]bool{}
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
	items := 0
	for _, m := range p.Memory {
		items += m.Len()
	}
	if p.Started.IsZero() || p.Step >= len(stepNames) {
		return fmt.Sprintf("%d sweeps done, %d items and %d things remembered", p.Sweep, items, len(p.Things))
	}
	return fmt.Sprintf("sweep %d reads %s, %d items remembered", p.Sweep, stepNames[p.Step], items)
}
