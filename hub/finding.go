package hub

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Finding is one observation of one problem by one source, in the hub's own
// terms. It is what travels on the topic findings.
//
// Its JSON form is both the API's answer and the payload on the bus; fields are
// only ever added, and a reader ignores those it does not know.
type Finding struct {
	ID     FindingID `json:"id"`
	Tenant TenantID  `json:"tenant"`

	// Type is one of [FindingTypes].
	Type     string   `json:"type"`
	AssetID  string   `json:"asset_id"`
	Severity Severity `json:"severity"`

	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`

	// Source names the connector or sender; SourceID is the source's own stable
	// id of the finding, empty if it has none.
	Source   string `json:"source"`
	SourceID string `json:"source_id,omitempty"`

	// Status is what the source says: open or resolved.
	Status FindingStatus `json:"status"`

	// ObservedAt is the source's event time; ReceivedAt is ours. ObservedGiven
	// tells whether the source gave ObservedAt or we filled it in with ours.
	ObservedAt    time.Time `json:"observed_at"`
	ObservedGiven bool      `json:"observed_given,omitempty"`
	ReceivedAt    time.Time `json:"received_at"`

	// SourceSequence breaks ties between observations of equal ObservedAt where
	// the source numbers its events; 0 if it does not.
	SourceSequence int64 `json:"source_sequence,omitempty"`

	Labels        map[string]string `json:"labels,omitempty"`
	DedupKey      string            `json:"dedup_key,omitempty"`
	Asset         *Asset            `json:"asset,omitempty"`
	Vulnerability *Vulnerability    `json:"vulnerability,omitempty"`
	Compliance    *Compliance       `json:"compliance,omitempty"`
	RiskScore     *float64          `json:"risk_score,omitempty"`

	// AcknowledgedAt is when somebody acknowledged the finding at its source, as
	// the source tells it; zero if nobody did, or the source knows no such thing.
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`

	// Payload is the sender's own object, unknown top-level fields included.
	Payload jsontext.Value `json:"payload,omitempty"`

	// Raw is the finding as it was received, where that was JSON.
	Raw jsontext.Value `json:"raw,omitempty"`
}

// A SourceFinding is a source's own id of a finding, and what the source said of
// it last.
type SourceFinding struct {
	Source   string
	SourceID string
	Status   FindingStatus
}

// A FindingStatus is what a source says of its finding.
type FindingStatus string

// Statuses of a finding.
const (
	FindingOpen     FindingStatus = "open"
	FindingResolved FindingStatus = "resolved"
)

// An Asset is the thing a finding is about.
type Asset struct {
	Type     string            `json:"type,omitempty"`
	Provider string            `json:"provider,omitempty"`
	Account  string            `json:"account,omitempty"`
	Region   string            `json:"region,omitempty"`
	Name     string            `json:"name,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// A Vulnerability describes a known weakness in a package.
type Vulnerability struct {
	CVE          string   `json:"cve,omitempty"`
	CVSS         *float64 `json:"cvss,omitempty"`
	Package      string   `json:"package,omitempty"`
	FixedVersion string   `json:"fixed_version,omitempty"`
}

// A Compliance result is the outcome of one control of one framework.
type Compliance struct {
	Framework string `json:"framework,omitempty"`
	Control   string `json:"control,omitempty"`
	Result    string `json:"result,omitempty"`
}

// An Outcome is what triage did with a finding.
type Outcome string

// Outcomes of triage (contract §3).
const (
	OutcomeCreated    Outcome = "created"
	OutcomeMerged     Outcome = "merged"
	OutcomeReopened   Outcome = "reopened"
	OutcomeResolved   Outcome = "resolved"
	OutcomeSuppressed Outcome = "suppressed"
	OutcomeDuplicate  Outcome = "duplicate"
	OutcomeLate       Outcome = "late"
)

// A Triage is the stored result for one finding: where it went and why.
// AlertID is empty for a resolve that came before its open.
type Triage struct {
	Finding FindingID `json:"id"`
	Alert   AlertID   `json:"alert_id"`
	Outcome Outcome   `json:"outcome"`
}
