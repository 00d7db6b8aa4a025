package hub

import "time"

// A ReplayID names a replay: rpl_….
type ReplayID string

// PrefixReplay begins the ids of replays.
const PrefixReplay = "rpl_"

// A Replay sends an endpoint's deliveries of a range of time again. It goes on
// by itself, also after a restart, and makes way for what is new.
type Replay struct {
	ID       ReplayID    `json:"id"`
	Tenant   TenantID    `json:"tenant"`
	Endpoint EndpointID  `json:"endpoint_id"`
	State    ReplayState `json:"state"`

	Since  time.Time   `json:"since"`            // deliveries made at or after
	Until  time.Time   `json:"until"`            // and before
	Events []EventType `json:"events,omitempty"` // empty: of all types
	States []string    `json:"states,omitempty"` // empty: whatever became of them

	// Total is how many deliveries it is about; Done of them were dealt with, and
	// Skipped of those were on their way already.
	Total   int64 `json:"total"`
	Done    int64 `json:"done"`
	Skipped int64 `json:"skipped"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	CreatedBy string    `json:"created_by"`

	// Last is the newest delivery when it began, and Place the last one dealt with.
	Last  DeliveryID `json:"last,omitempty"`
	Place DeliveryID `json:"-"`
}

// A ReplayState is where a replay is in its life.
type ReplayState string

// States of a replay.
const (
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
)
