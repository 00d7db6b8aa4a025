// Package api serves the hub over HTTP.

package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// Deps are what the API needs of the rest of the hub, handed over by
// internal/app. Every method answers with a *hub.Error where the caller is to
// blame or should come back; any other error is a fault of ours.
//
// Methods that change something take the principal, authorise it, act and
// audit in one transaction; a read takes the tenant.
type Deps struct {
	Access     Access
	Findings   Findings
	Alerts     Alerts
	Webhooks   Webhooks
	Channels   Channels
	AlertRules AlertRules
	Approvals  Approvals
	Deliveries Deliveries
	Audit      Audit
	Connectors Connectors
	Inventory  Inventory
	Health     Health
	PagerDuty  PagerDuty // nil: its webhooks are not taken
	Slack      Slack     // nil: its interactions are not taken, and it is not installed

	// Vendor answers requests at the paths that senders of other products know,
	// such as Splunk's /services/collector, in the words of that product. An
	// error of kind NotFound says that no source serves the path. nil: none does.
	Vendor func(ctx context.Context, path string, r IngestRequest) (VendorAnswer, error)

	Version     string
	PublicURL   string        // of the hub, for instance fields and links
	BodyLimit   int64         // bytes; 5 MiB by the contract
	ReadTimeout time.Duration // for a whole request; 30 s if zero
	IdleTimeout time.Duration // of a connection without a request; 2 min if zero
	NoMetrics   bool          // do not serve /metrics
	Plan        string        // starter, professional, enterprise or unlimited: control plane limits
	IngestPlan  string
	Gatherer    prometheus.Gatherer
	Registry    prometheus.Registerer
	Log         *slog.Logger
}

// Access tells who calls.
type Access interface {
	// Authenticate gives the principal of an API key ("toc_live_…"). The error is
	// of kind Unauthorized and says what is missing or wrong, never which part of
	// a key was right. It is called for every request and must be cheap.
	Authenticate(ctx context.Context, bearer string) (hub.Principal, error)

	CreateKey(ctx context.Context, p hub.Principal, k KeySpec) (Key, string, error) // the key's text is shown once
	Keys(ctx context.Context, t hub.TenantID) ([]Key, error)
	RevokeKey(ctx context.Context, p hub.Principal, id hub.KeyID) error
}

// A KeySpec is what a new API key should be.
type KeySpec struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"` // owner, admin, analyst, member, viewer or ingest
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// A Key is an API key without its secret.
type Key struct {
	ID        hub.KeyID `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// An Idempotency is a request's Idempotency-Key with what was asked. The zero
// value is none.
type Idempotency struct {
	Key     string
	Request [32]byte // SHA-256 over method, path and body
	// Answer encodes the answer to remember; it is called inside the transaction
	// with the result, and must be pure.
	Answer func(result any) (status int, body []byte)
}

// A Remembered is the first answer to a request whose key was used before. A
// method that takes an Idempotency returns it as the error; with another
// request under the same key the error is a *hub.Error of kind Conflict.
type Remembered struct {
	Status int
	Body   []byte
}

// Error says that this is no failure.
func (*Remembered) Error() string { return "answered before" }

// Findings is the data plane.
type Findings interface {
	// Accept makes the findings durable on the bus, with their audit entries, in
	// one group-committed transaction. It fills in ID, Tenant, Source, Status,
	// ObservedAt and ReceivedAt where they are empty. On return without error the
	// findings survive kill -9. A full backlog or a store that cannot write is
	// Transient with RetryAfter.
	Accept(ctx context.Context, p hub.Principal, all []*hub.Finding, idem Idempotency) error
	// Wait waits until the finding was triaged, at most until ctx ends.
	Wait(ctx context.Context, t hub.TenantID, id hub.FindingID) (hub.Triage, error)
	// Ingest hands a request to a configured source: signature first, then
	// mapping, then Accept. Rejected items are listed by index.
	Ingest(ctx context.Context, source string, r IngestRequest) (IngestResult, error)

	Finding(ctx context.Context, t hub.TenantID, id hub.FindingID) (*FindingView, error)
	List(ctx context.Context, t hub.TenantID, q FindingQuery, pg page.Request) (List[FindingView], error)
}

// An IngestRequest is what a source pushed. Its fields are copies: they outlive
// the request.
type IngestRequest struct {
	Method string
	Header map[string][]string // canonical names
	Query  map[string][]string
	Body   []byte
	IP     string
}

// A VendorAnswer is what a source says to its sender.
type VendorAnswer struct {
	Status     int
	Type       string // of the content
	Body       []byte
	RetryAfter time.Duration // 0: no such header
}

// An IngestResult is what became of a push.
type IngestResult struct {
	IDs      []hub.FindingID `json:"ids"`
	Rejected []Reject        `json:"rejected"`
}

// A Reject is one item of a batch that was not taken.
type Reject struct {
	Index int    `json:"index"`
	Error string `json:"error"`
}

// A FindingView is a finding with what became of it. Before its triage Outcome
// is empty and Status says accepted.
type FindingView struct {
	*hub.Finding
	AlertID hub.AlertID `json:"alert_id,omitempty"`
	Outcome hub.Outcome `json:"outcome,omitempty"`
	State   string      `json:"state"` // accepted or triaged
}

// A FindingQuery filters a list of findings.
type FindingQuery struct {
	Severity, Type, Source, AssetID, Outcome []string
	Alert                                    hub.AlertID
}

// A List is one part of a list.
type List[T any] struct {
	Data  []T
	Next  string // cursor, "" at the end
	Total *int64 // only by page number
}

// Alerts is what people do with alerts.
type Alerts interface {
	List(ctx context.Context, t hub.TenantID, f *hub.AlertFilter, pg page.Request) (List[*hub.Alert], error)
	Count(ctx context.Context, t hub.TenantID, f *hub.AlertFilter) (map[hub.Severity]int64, error)
	Alert(ctx context.Context, t hub.TenantID, id hub.AlertID) (*AlertView, error)
	// Act changes an alert. IfMatch, when not 0, is the version it must have;
	// another one is a Precondition error.
	Act(ctx context.Context, p hub.Principal, id hub.AlertID, a AlertAction, ifMatch int64, idem Idempotency) (*hub.Alert, error)
	// Bulk acts on many alerts, each by itself.
	Bulk(ctx context.Context, p hub.Principal, b BulkAction, idem Idempotency) (BulkResult, error)
}

// An AlertView is an alert with its history.
type AlertView struct {
	*hub.Alert
	Timeline []hub.Change  `json:"timeline"`
	Findings []FindingView `json:"findings"` // the newest 100
	// AssetNode is the entry of the inventory that the alert is about; "" if no
	// source has reported it.
	AssetNode hub.AssetID `json:"asset_node,omitempty"`
}

// An AlertAction is one change by a person. Kind is acknowledge, resolve,
// dismiss, reopen or update; the pointers are for update, nil leaves a field.
type AlertAction struct {
	Kind     string
	Status   *hub.AlertStatus
	Assignee *string
	Severity *hub.Severity
	Note     string
	Labels   map[string]*string // null removes a label
}

// A BulkAction is an action on the alerts with the ids or that a filter takes.
type BulkAction struct {
	Action AlertAction
	IDs    []hub.AlertID
	Filter *hub.AlertFilter
}

// A BulkResult tells what a bulk action did.
type BulkResult struct {
	Changed   int      `json:"changed"`
	Unchanged int      `json:"unchanged"`
	Failed    []Failed `json:"failed"`
}

// A Failed is one alert that a bulk action could not change.
type Failed struct {
	ID    hub.AlertID `json:"id"`
	Error string      `json:"error"`
}

// Webhooks are the endpoints of kind webhook.
type Webhooks interface {
	List(ctx context.Context, t hub.TenantID, pg page.Request) (List[*hub.Endpoint], error)
	Endpoint(ctx context.Context, t hub.TenantID, id hub.EndpointID) (*hub.Endpoint, error)
	// Create fills in ID and secret; the secret's text is returned once.
	Create(ctx context.Context, p hub.Principal, e *hub.Endpoint, idem Idempotency) (secret string, err error)
	// Update runs change on the endpoint and stores it if its checks hold.
	Update(ctx context.Context, p hub.Principal, id hub.EndpointID, ifMatch int64, change func(*hub.Endpoint) error) (*hub.Endpoint, error)
	Delete(ctx context.Context, p hub.Principal, id hub.EndpointID) error
	// Rotate makes a new secret or key pair; the old ones sign on until the grace
	// is over.
	Rotate(ctx context.Context, p hub.Principal, id hub.EndpointID, r Rotation) (Rotated, error)
	// Test sends webhook.test now, as the only attempt, and tells how it went.
	Test(ctx context.Context, p hub.Principal, id hub.EndpointID) (hub.Attempt, error)

	// Replay sends deliveries of a range of time again, or counts them. It returns
	// when that is recorded; it is done in the background.
	Replay(ctx context.Context, p hub.Principal, id hub.EndpointID, spec ReplaySpec, idem Idempotency) (*hub.Replay, error)
	Replays(ctx context.Context, t hub.TenantID, id hub.EndpointID) ([]*hub.Replay, error)
	ReplayState(ctx context.Context, t hub.TenantID, id hub.ReplayID) (*hub.Replay, error)
	CancelReplay(ctx context.Context, p hub.Principal, id hub.ReplayID) (*hub.Replay, error)
}

// A ReplaySpec says which deliveries of an endpoint are sent again.
type ReplaySpec struct {
	Since, Until time.Time
	Events       []string // globs; nil: all
	States       []string // of the deliveries; nil: all
	DryRun       bool
}

// A Rotation says which new key an endpoint gets.
type Rotation struct {
	Grace   time.Duration // how long the old ones of its kind sign on
	KeyPair bool          // a key pair for v1a in place of a shared secret
}

// Rotated is what a receiver needs to verify with the new key.
type Rotated struct {
	Secret    string `json:"secret,omitempty" doc:"Shown this once"`
	PublicKey string `json:"public_key,omitempty" doc:"Of the new key pair; also in public_keys of the endpoint"`
}

// Deliveries is what was sent and what is to be sent.
type Deliveries interface {
	List(ctx context.Context, t hub.TenantID, q DeliveryQuery, pg page.Request) (List[hub.Delivery], error)
	Delivery(ctx context.Context, t hub.TenantID, id hub.DeliveryID) (*DeliveryView, error)
	// Retry makes a delivery due now; it takes the place of its next retry.
	Retry(ctx context.Context, p hub.Principal, id hub.DeliveryID) (*hub.Delivery, error)
}

// A DeliveryQuery filters a list of deliveries.
type DeliveryQuery struct {
	Endpoint    hub.EndpointID
	State, Kind []string
	EventID     hub.EventID
	Subject     string
}

// A DeliveryView is a delivery with its attempts.
type DeliveryView struct {
	hub.Delivery
	AttemptLog []hub.Attempt `json:"attempt_log"`
}

// Audit is the audit log as its readers see it.
type Audit interface {
	Logs(ctx context.Context, p hub.Principal, q AuditQuery) (AuditLogs, error)
	Stats(ctx context.Context, p hub.Principal, q AuditQuery) (AuditStats, error)
	// Export writes entries as json, csv or ndjson.
	Export(ctx context.Context, p hub.Principal, format string, q AuditQuery, w func([]byte) error) error
	Checkpoint(ctx context.Context, t hub.TenantID) ([]byte, error)
	Proof(ctx context.Context, t hub.TenantID, id string) (any, error)
	Verify(ctx context.Context, p hub.Principal) (any, error)
	// Denied records that p was refused.
	Denied(ctx context.Context, p hub.Principal, permission string)
}

// An AuditQuery filters audit entries.
type AuditQuery struct {
	UserID, Action, ResourceType, ResourceID, IP, Q string
	Start, End                                      time.Time
	Limit, Offset                                   int
	After                                           string
}

// AuditLogs is one part of the audit log, newest first.
type AuditLogs struct {
	Data []hub.AuditEntry
	Next string
}

// AuditStats counts audit entries.
type AuditStats struct {
	Total     int64            `json:"total_count"`
	Actions   map[string]int64 `json:"action_counts"`
	Resources map[string]int64 `json:"resource_counts"`
}

// Connectors is the state of the sources.
type Connectors interface {
	List(ctx context.Context, t hub.TenantID) ([]ConnectorState, error)
	// Rejected shows the newest items of a source that could not be used.
	Rejected(ctx context.Context, t hub.TenantID, name string) ([]RejectedItem, error)
	// Do is sync, pause, resume or test.
	Do(ctx context.Context, p hub.Principal, name, action string) (ConnectorState, error)
}

// A ConnectorState is how a source is doing.
type ConnectorState struct {
	Name        string           `json:"name"`
	Kind        string           `json:"kind"`
	State       string           `json:"state"` // pulling, waiting, throttled, failing, paused, listening, standby or stopped
	Pulls       bool             `json:"pulls"`
	Receives    bool             `json:"receives"`
	Listens     bool             `json:"listens"`
	Mirrors     bool             `json:"mirrors"`              // is told what becomes of its findings here
	ListensOn   []string         `json:"listens_on,omitempty"` // where what is sent to it is taken, and where it has connected to
	Interval    *hub.Duration    `json:"interval,omitempty"`
	Cursor      string           `json:"cursor,omitempty"`
	LastSuccess time.Time        `json:"last_success,omitzero"`
	LastAttempt time.Time        `json:"last_attempt,omitzero"`
	NextAttempt time.Time        `json:"next_attempt,omitzero"`
	Lag         *float64         `json:"lag_seconds,omitempty"`
	Failures    int              `json:"consecutive_failures,omitempty"`
	LastError   *ConnectorFault  `json:"last_error,omitempty"`
	Counts      map[string]int64 `json:"counts"`
	Report      jsontext.Value   `json:"report,omitempty"` // what the source system last said of itself
}

// A RejectedItem is an item that a source sent, or listed, and that could not be
// used.
type RejectedItem struct {
	Number int64     `json:"number"` // among the source's, from 1
	At     time.Time `json:"at"`
	Index  int       `json:"index"` // in its request or page, from 0
	Error  string    `json:"error"`
	Item   string    `json:"item,omitempty"`  // as it came, if that is known; the first 16 KiB
	Bytes  int       `json:"bytes,omitempty"` // of the whole item
}

// A ConnectorFault is what went wrong last and what to do about it.
type ConnectorFault struct {
	At     time.Time `json:"at"`
	Error  string    `json:"error"`
	Advice string    `json:"advice,omitempty"`
}

// Health says whether the parts work. Status is the seed systems' /status.
type Health interface {
	Ready(ctx context.Context) map[string]string // part → ok, or what is wrong
	Status(ctx context.Context, t hub.TenantID) (any, error)
	Dashboard(ctx context.Context, t hub.TenantID) (any, error)
}
