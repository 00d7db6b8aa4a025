package hub

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An EventType names what happened.
type EventType string

// Event types (contract §4).
const (
	AlertCreated           EventType = "alert.created"
	AlertUpdated           EventType = "alert.updated"
	AlertAcknowledgedEvent EventType = "alert.acknowledged"
	AlertResolvedEvent     EventType = "alert.resolved"
	AlertReopened          EventType = "alert.reopened"
	AlertDismissedEvent    EventType = "alert.dismissed"
	IncidentCreated        EventType = "incident.created"
	IncidentUpdated        EventType = "incident.updated"
	IncidentResolved       EventType = "incident.resolved"
	ScanCompleted          EventType = "scan.completed"
	ComplianceFailed       EventType = "compliance.failed"
	ComplianceScoreChanged EventType = "compliance.score_changed"
	AssetVulnerable        EventType = "asset.vulnerable"
	ThreatLockdown         EventType = "threat.lockdown"
	WebhookTest            EventType = "webhook.test"
	EndpointDisabled       EventType = "endpoint.disabled"
	EndpointRecovered      EventType = "endpoint.recovered"
	DeliveryDeadEvent      EventType = "delivery.dead"
)

// EventTypes lists every event type.
var EventTypes = [...]EventType{
	AlertCreated, AlertUpdated, AlertAcknowledgedEvent, AlertResolvedEvent, AlertReopened, AlertDismissedEvent,
	IncidentCreated, IncidentUpdated, IncidentResolved, ScanCompleted, ComplianceFailed, ComplianceScoreChanged,
	AssetVulnerable, ThreatLockdown, WebhookTest, EndpointDisabled, EndpointRecovered, DeliveryDeadEvent,
}

// An Event is something that happened, as the outside is told of it: a
// CloudEvents 1.0 JSON event that is also a Standard Webhooks payload. Its JSON
// form is the body of every webhook and the payload on the topic events.
type Event struct {
	SpecVersion string    `json:"specversion"` // "1.0"
	ID          EventID   `json:"id"`
	Source      string    `json:"source"` // the hub's own URI
	Type        EventType `json:"type"`
	Subject     string    `json:"subject"` // the id of the object it is about
	Time        time.Time `json:"time"`
	Timestamp   time.Time `json:"timestamp"` // the same, by the name Standard Webhooks uses
	Tenant      TenantID  `json:"tenant"`
	// Sequence grows by at least one with each event of the hub, in commit order.
	Sequence int64     `json:"sequence"`
	Data     EventData `json:"data"`
}

// EventData holds the object under its kind and, for a change, what changed.
type EventData struct {
	Alert    *Alert         `json:"alert,omitempty"`
	Endpoint *EndpointBrief `json:"endpoint,omitempty"`
	Object   jsontext.Value `json:"object,omitempty"` // of kinds that have no field here

	Changes  Changes     `json:"changes,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Actor    string      `json:"actor,omitempty"`
	Findings []FindingID `json:"findings,omitempty"`

	// Depth is how many playbook runs in a row led to the event: 0 for what a
	// source or a person did, one more than its own event's for what a run does.
	Depth int `json:"depth,omitempty"`
}

// An EndpointBrief tells which endpoint an event is about, without secrets.
type EndpointBrief struct {
	ID     EndpointID `json:"id"`
	Name   string     `json:"name,omitempty"`
	Kind   string     `json:"kind"`
	URL    string     `json:"url,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// An EventRecord is an event as it is stored: its body is encoded once, and
// those bytes are signed and sent, so every delivery of it is the same.
type EventRecord struct {
	Sequence int64
	ID       EventID
	Tenant   TenantID
	Type     EventType
	Subject  string
	At       time.Time
	Body     []byte
}
