package connectors

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// A Phase says what a connector is doing.
type Phase string

// Phases of a connector.
const (
	PhasePulling   Phase = "pulling"
	PhaseWaiting   Phase = "waiting"   // for its interval, all well
	PhaseThrottled Phase = "throttled" // the vendor said when to come back
	PhaseFailing   Phase = "failing"   // backing off after an error
	PhasePaused    Phase = "paused"
	PhaseListening Phase = "listening" // has nothing to pull; its sockets, if it has any, are open
	PhaseStandby   Phase = "standby"   // another node pulls it
	PhaseStopped   Phase = "stopped"
)

// Phases lists every phase.
var Phases = [...]Phase{PhasePulling, PhaseWaiting, PhaseThrottled, PhaseFailing, PhasePaused, PhaseListening, PhaseStandby, PhaseStopped}

// A State is what GET /connectors shows of one connector.
type State struct {
	Name   string       `json:"name"`
	Kind   string       `json:"kind"`
	Tenant hub.TenantID `json:"tenant"`
	Phase  Phase        `json:"state"`

	Pulls    bool `json:"pulls"`
	Receives bool `json:"receives"`
	Listens  bool `json:"listens,omitempty"`
	Mirrors  bool `json:"mirrors,omitempty"` // is told what becomes of its findings here

	// Places are where it takes what is sent to it, and where it has connected to.
	Places []string `json:"listens_on,omitempty"`

	Cursor      string        `json:"cursor,omitempty"` // shown to people, not to go on from
	LastSuccess time.Time     `json:"last_success,omitzero"`
	LastAttempt time.Time     `json:"last_attempt,omitzero"`
	NextAttempt time.Time     `json:"next_attempt,omitzero"`
	Lag         *float64      `json:"lag_seconds,omitempty"` // since the start of the last whole pull, or of the first try
	Failures    int           `json:"consecutive_failures,omitempty"`
	LastError   *Fault        `json:"last_error,omitempty"` // cleared by the next success
	Interval    *hub.Duration `json:"interval,omitempty"`
	Counts      Counts        `json:"counts"`

	// Report is what the source system last said of itself.
	Report jsontext.Value `json:"report,omitempty"`
}

// Counts are since the start of the process.
type Counts struct {
	Pulls     int64 `json:"pulls"`
	Errors    int64 `json:"errors"`
	Pulled    int64 `json:"findings_pulled"`
	Received  int64 `json:"findings_received"`
	Rejected  int64 `json:"rejected"`
	Throttled int64 `json:"throttled"`
}

// A Fault is an error as people are told of it: what happened and what to do.
type Fault struct {
	At      time.Time `json:"at"`
	Kind    hub.Kind  `json:"kind"`
	Message string    `json:"message"`
	Advice  string    `json:"advice"`
}

var advice = map[hub.Kind]string{
	hub.Unauthorized: "renew the credential in the connector's config and restart, or POST …/test to try it",
	hub.Forbidden:    "give the credential the rights listed in the connector's README",
	hub.NotFound:     "check the connector's base_url",
	hub.Invalid:      "check the connector's config with tocsin check; the source system refuses what it asks for",
	hub.RateLimited:  "nothing; if it stays, raise the interval or the plan at the source system",
	hub.Transient:    "nothing; if it stays, check that the source system is up and reachable from here",
	hub.Conflict:     "see what is in the way: an address may be taken, or need a right (CAP_NET_BIND_SERVICE for ports below 1024); change it in the connector's config, or free it",
	hub.Malformed:    "check that base_url leads to the source system's API and not to a proxy or a login page; if it does, report it",
	hub.TooLarge:     "ask for less at a time: a smaller page_size or a shorter interval in the connector's config",
	hub.Internal:     "report it with the log lines around it; the connector keeps trying",
}

func faultOf(err error, now time.Time) *Fault {
	kind := hub.KindOf(err)
	what := advice[kind]
	if what == "" {
		what = advice[hub.Internal]
	}
	return &Fault{At: now.UTC(), Kind: kind, Message: messageOf(err), Advice: what}
}
