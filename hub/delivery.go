package hub

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kinds of endpoint.
const (
	KindWebhook   = "webhook"
	KindSlack     = "slack"
	KindPagerDuty = "pagerduty"
	KindEmail     = "email"
	KindElastic   = "elasticsearch"
	KindConnector = "connector" // an action of a source system; Name is the connector's
)

// An Endpoint is a far side that events or playbook steps are delivered to: a
// webhook, or a channel such as Slack. Its secret parts are kept apart, in
// [EndpointSecrets].
type Endpoint struct {
	ID          EndpointID        `json:"id"`
	Tenant      TenantID          `json:"tenant"`
	Kind        string            `json:"kind"`
	Name        string            `json:"name,omitempty"` // by which playbooks refer to it
	URL         string            `json:"url,omitempty"`
	Description string            `json:"description,omitempty"`
	Enabled     bool              `json:"enabled"`
	Disabled    string            `json:"disabled_reason,omitempty"` // why the hub switched it off, e.g. "410 Gone"
	Events      []string          `json:"events"`                    // globs such as alert.*; empty: only what playbooks send
	Filter      string            `json:"filter,omitempty"`          // expression over the event
	Headers     map[string]string `json:"headers,omitempty"`         // sent along, shown masked
	Signing     []SigningScheme   `json:"signing,omitempty"`
	RateLimit   int               `json:"rate_limit,omitempty"` // requests a second, 0 for no limit
	Timeout     Duration          `json:"timeout,omitzero"`
	Retry       *RetryPolicy      `json:"retry,omitempty"`
	Ordering    string            `json:"ordering,omitempty"`  // none or key
	Transform   string            `json:"transform,omitempty"` // expression that gives the body
	Templates   map[string]string `json:"templates,omitempty"` // texts in place of the built-in ones, by name
	Config      map[string]string `json:"config,omitempty"`    // what a kind needs beside: channel, region …
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Version     int64             `json:"version"`

	// PublicKeys verify the v1a signatures: those of the key pairs in Secrets,
	// newest first.
	PublicKeys []PublicKey `json:"public_keys,omitempty"`
	// Breaker is there while the endpoint fails; nil is the usual case. It is
	// stored apart, because it changes without anybody changing the endpoint.
	Breaker *Breaker `json:"breaker,omitempty"`

	Secrets EndpointSecrets `json:"-"`
}

// A PublicKey is the half of a key pair that receivers know (whpk_…).
type PublicKey struct {
	Key     string    `json:"key"`
	Expires time.Time `json:"expires,omitzero"` // of its pair; zero: does not expire
}

// A Breaker says that an endpoint fails: its deliveries are held until a probe,
// which is one of them, succeeds.
type Breaker struct {
	State   string    `json:"state"` // open or half_open
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
	Probes  int       `json:"probes"`            // that failed
	ProbeAt time.Time `json:"probe_at,omitzero"` // when the next is sent; while half open, when it is given up
}

// States of a breaker.
const (
	BreakerOpen     = "open"
	BreakerHalfOpen = "half_open" // a probe is on its way
)

// EndpointSecrets are the credentials of an endpoint. They never appear in an
// answer but once at creation, nor in a log, an error or the audit log.
type EndpointSecrets struct {
	// Signing secrets, newest first; each signs every request until it expires.
	// Key pairs (whsk_…) stand among the shared secrets (whsec_…).
	Signing []SigningSecret `json:"signing,omitempty"`
	// Tokens by name: bot_token, routing_key, api_key, password …
	Tokens map[string]string `json:"tokens,omitempty"`
}

// A SigningSecret is the text shown at creation (whsec_…), live until Expires.
type SigningSecret struct {
	Text    string    `json:"text"`
	Expires time.Time `json:"expires,omitzero"` // zero: does not expire
}

// A SigningScheme is a legacy signature put beside the standard one.
// Type hex is the hex HMAC-SHA256 of the body; type timestamped is t=…,v1=….
type SigningScheme struct {
	Type   string `json:"type"`
	Header string `json:"header"`
	Prefix string `json:"prefix,omitempty"`
}

// A RetryPolicy says when a failed delivery is tried again: after each wait of
// Schedule, or exponentially.
type RetryPolicy struct {
	Schedule []Duration `json:"schedule,omitempty"`
	Jitter   *float64   `json:"jitter,omitempty"` // 0.1 is ±10 %, the default

	Initial  Duration `json:"initial,omitzero"`
	Factor   float64  `json:"factor,omitempty"`
	Max      Duration `json:"max,omitzero"`
	Attempts int      `json:"attempts,omitempty"`
}

// A DeliveryState is where a delivery is in its life.
type DeliveryState string

// States of a delivery (contract §4).
const (
	DeliveryPending    DeliveryState = "pending"
	DeliveryDelivering DeliveryState = "delivering"
	DeliverySucceeded  DeliveryState = "succeeded"
	DeliveryRetrying   DeliveryState = "retrying"
	DeliveryHeld       DeliveryState = "held"
	DeliveryDead       DeliveryState = "dead"
)

// Final reports whether a delivery in state s is over.
func (s DeliveryState) Final() bool { return s == DeliverySucceeded || s == DeliveryDead }

// A Delivery is one event, or one step of a playbook run, on its way to one
// endpoint. It is at once the recorded intent: its ID is the key under which
// the far side is called, and it exists durably before the call.
type Delivery struct {
	ID       DeliveryID    `json:"id"`
	Tenant   TenantID      `json:"tenant"`
	Endpoint EndpointID    `json:"endpoint_id"`
	Kind     string        `json:"kind"` // of the endpoint
	Action   string        `json:"action"`
	State    DeliveryState `json:"state"`

	EventID   EventID   `json:"event_id"`
	EventType EventType `json:"event_type"`
	Sequence  int64     `json:"sequence"` // of the event
	Subject   string    `json:"subject"`

	// Run and Step say which playbook step asked for it; empty for a subscription.
	Run    RunID          `json:"run_id,omitempty"`
	Step   string         `json:"step,omitempty"`
	Params jsontext.Value `json:"params,omitempty"` // the step's evaluated "with"
	// Options are what the step asks of its delivery in place of the endpoint's own.
	Options *DeliveryOptions `json:"options,omitempty"`

	Attempts  int       `json:"attempts"` // made so far
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DueAt     time.Time `json:"next_attempt_at,omitzero"` // next try; while delivering, when the lease ends; [Never] behind another of its key
	Status    int       `json:"last_status,omitempty"`    // HTTP status of the last attempt
	Error     string    `json:"last_error,omitempty"`
	Fault     string    `json:"fault,omitempty"` // why it is dead: endpoint (theirs) or hub (ours)

	// Key is what it keeps its place in: of an endpoint's deliveries with one key,
	// each is sent when those before it are over. "" keeps none.
	Key string `json:"key,omitempty"`
	// Base is how many of its attempts the schedule does not count any more,
	// because somebody asked for it anew, or because they were probes.
	Base int `json:"-"`

	// Body is the event's encoded body; it is loaded with the delivery.
	Body []byte `json:"-"`
	// Lease names who is sending it, while it is being sent: who has it no more may
	// not record an outcome.
	Lease string `json:"-"`
	// InOrder says that it was held: what was held for an endpoint is sent one
	// after the other, as it came.
	InOrder bool `json:"-"`
	// Replayed says that somebody asked for it again, with many others: it makes
	// way for what is new.
	Replayed bool `json:"-"`
	// Probe says that it is sent to find out whether a failing endpoint takes
	// anything again.
	Probe bool `json:"-"`
	// Unsure says that it may have been sent already: nobody told what became of it
	// before the lease ended.
	Unsure bool `json:"-"`
}

// Never is when a delivery falls due that waits for another one: in the year 9999.
func Never() time.Time { return time.UnixMicro(253370764800_000_000).UTC() }

// DeliveryOptions take the place of the endpoint's own; zero values do not.
type DeliveryOptions struct {
	Timeout Duration     `json:"timeout,omitzero"`
	Retry   *RetryPolicy `json:"retry,omitempty"`
}

// Actions of a delivery: what is asked of the target.
const (
	ActionSend        = "send"        // the event itself
	ActionPost        = "post"        // a message (Slack, email)
	ActionTrigger     = "trigger"     // open an incident (PagerDuty)
	ActionAcknowledge = "acknowledge" // acknowledge it there
	ActionResolve     = "resolve"     // resolve it there
)

// An Attempt is one try of a delivery, kept as evidence.
type Attempt struct {
	Delivery DeliveryID        `json:"delivery_id"`
	Number   int               `json:"number"` // 1..n
	At       time.Time         `json:"at"`
	Duration Duration          `json:"duration"`
	Address  string            `json:"address,omitempty"` // host:port that answered
	Request  map[string]string `json:"request_headers,omitempty"`
	Digest   string            `json:"request_digest,omitempty"` // sha-256=<hex> of the body sent
	Status   int               `json:"status,omitempty"`
	Response map[string]string `json:"response_headers,omitempty"`
	Body     string            `json:"response_body,omitempty"` // at most 16 KiB
	Error    string            `json:"error,omitempty"`
	// Refused names the rule by which the hub did not send, such as loopback.
	Refused string `json:"refused,omitempty"`
	// Control is what the far side asked for besides: disable or abort-message.
	Control string `json:"control,omitempty"`
	Verdict string `json:"verdict"` // succeeded, retry, dead, held …
	// Reference is what the far side calls what it made of the delivery, such as a
	// message's channel and time stamp.
	Reference string `json:"reference,omitempty"`
	// Gathered is how many deliveries went in one request, if several did, and With
	// the one of them whose attempt holds what was sent and answered.
	Gathered int        `json:"gathered,omitempty"`
	With     DeliveryID `json:"with,omitempty"`
	// Posted is stored in the transaction that stores the attempt, apart from it.
	Posted []Posting `json:"-"`
}

// What a far side may ask for in its answer.
const (
	ControlDisable = "disable"       // send nothing more to this endpoint
	ControlAbort   = "abort-message" // do not try this delivery again
)

// A Duration is a time.Duration that reads and writes as text, such as "5s".
type Duration time.Duration

// MarshalText writes d as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration such as "1h30m".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// ShownURL gives the endpoint's URL for people and logs: that of an incoming
// webhook of Slack is a credential, so only its host is shown.
func (e *Endpoint) ShownURL() string {
	scheme, rest, ok := strings.Cut(e.URL, "://")
	if e.Kind != KindSlack || !ok {
		return e.URL
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/***"
}
