package hub

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Fingerprint is the identity of a problem: findings with the same
// fingerprint belong to the same alert. pipelines/dedup makes it.
type Fingerprint [32]byte

// String gives the fingerprint in hex.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText gives the fingerprint in hex.
func (f Fingerprint) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, f[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (f *Fingerprint) UnmarshalText(b []byte) error {
	if len(b) != 2*len(f) {
		return fmt.Errorf("fingerprint has %d characters, want %d", len(b), 2*len(f))
	}
	_, err := hex.Decode(f[:], b)
	return err
}

// An AlertStatus is where an alert is in its life.
type AlertStatus string

// Statuses of an alert.
const (
	AlertOpen          AlertStatus = "open"
	AlertInvestigating AlertStatus = "investigating" // acknowledged
	AlertResolved      AlertStatus = "resolved"
	AlertDismissed     AlertStatus = "dismissed"
)

// An Alert is one problem, made of every finding that shares its fingerprint.
// Its JSON form is the API's answer, the body of alert events and the stored
// document.
type Alert struct {
	ID          AlertID     `json:"id"`
	Tenant      TenantID    `json:"tenant"`
	Fingerprint Fingerprint `json:"fingerprint"`

	Title       string      `json:"title"`
	Description string      `json:"description,omitempty"`
	Type        string      `json:"type"`
	Severity    Severity    `json:"severity"`
	Status      AlertStatus `json:"status"`
	AssetID     string      `json:"asset_id"`
	Asset       *Asset      `json:"asset,omitempty"`

	// Source is the first source that reported the problem; Sources are all.
	Source  string   `json:"source"`
	Sources []string `json:"sources"`

	FirstSeen time.Time `json:"first_seen"` // by the sources' event times
	LastSeen  time.Time `json:"last_seen"`
	CreatedAt time.Time `json:"created_at"` // by our clock
	UpdatedAt time.Time `json:"updated_at"`

	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitempty"`
	ResolvedAt     time.Time `json:"resolved_at,omitzero"`
	Assignee       string    `json:"assignee,omitempty"`

	// Count is how many findings that are no duplicates went into the alert.
	Count int64 `json:"count"`
	// Duplicates is how many repeated deliveries were ignored.
	Duplicates int64 `json:"duplicates,omitempty"`
	// Generation is the life of the alert: 1, and one more with each reopening.
	Generation int64 `json:"generation"`
	// Version is the number of the alert's last change, from 1 without a gap.
	// It is the ETag, and the change number in Elasticsearch document ids.
	Version int64 `json:"version"`

	RiskScore       *float64          `json:"risk_score,omitempty"`
	IncidentID      string            `json:"incident_id,omitempty"`
	PreviousAlertID AlertID           `json:"previous_alert_id,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Vulnerability   *Vulnerability    `json:"vulnerability,omitempty"`
	Compliance      *Compliance       `json:"compliance,omitempty"`
	Payload         jsontext.Value    `json:"payload,omitempty"`
}

// Account gives the account of the alert's asset, or "".
func (a *Alert) Account() string {
	if a.Asset == nil {
		return ""
	}
	return a.Asset.Account
}

// A Change is one row of an alert's timeline: what changed, who did it, why.
type Change struct {
	Alert   AlertID   `json:"alert_id"`
	Version int64     `json:"version"` // the alert's Version after the change
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`  // a user's or key's id, source:<name>, playbook:<name> or system
	Action  string    `json:"action"` // created, merged, reopened, resolved, acknowledged, dismissed, updated, noted …
	Reason  string    `json:"reason,omitempty"`
	Note    string    `json:"note,omitempty"`

	// Changes maps a field of the alert to its value before and after.
	Changes  Changes     `json:"changes,omitempty"`
	Findings []FindingID `json:"findings,omitempty"` // those that made the change
}

// Changes maps a field's JSON name to its value before and after.
type Changes map[string][2]any
