package hub

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An AuditEntry tells of one state change. The audit package numbers, chains
// and encodes it; until then Sequence, PrevHash and IntegrityHash are empty.
// The JSON names are those of the contract, §9.
type AuditEntry struct {
	ID        string    `json:"id"` // aud_…
	Sequence  int64     `json:"sequence"`
	Timestamp time.Time `json:"timestamp"`
	Tenant    TenantID  `json:"tenant_id"`

	UserID    string    `json:"user_id"`
	UserEmail string    `json:"user_email"`
	ActorType ActorType `json:"actor_type"`

	// Action is dotted, such as finding.accept, alert.create, playbook.step or
	// webhook.attempt.
	Action       string `json:"action"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`

	IPAddress      string `json:"ip_address"`
	UserAgent      string `json:"user_agent"`
	RequestMethod  string `json:"request_method"`
	RequestPath    string `json:"request_path"`
	ResponseStatus int    `json:"response_status"`

	Outcome AuditOutcome `json:"outcome"`
	// Details is a JSON object without floats and with integers up to 2^53−1;
	// nil for none.
	Details jsontext.Value `json:"details"`

	PrevHash      string `json:"prev_hash"`
	IntegrityHash string `json:"integrity_hash"`
}

// An AuditOutcome says how what an entry tells of ended.
type AuditOutcome string

// Outcomes in the audit log.
const (
	AuditSuccess AuditOutcome = "success"
	AuditFailure AuditOutcome = "failure"
	AuditDenied  AuditOutcome = "denied"
)

// Audited gives an entry for what p did, ready for details.
func Audited(p Principal, action, resourceType, resourceID string) AuditEntry {
	return AuditEntry{
		Tenant: p.Tenant, UserID: p.ID, UserEmail: p.Email, ActorType: p.Type,
		Action: action, ResourceType: resourceType, ResourceID: resourceID,
		IPAddress: p.IP, UserAgent: p.UserAgent, RequestMethod: p.Method, RequestPath: p.Path,
		Outcome: AuditSuccess,
	}
}

// An AuditHead is the end of one tenant's audit log: what the next entry is
// chained to. It is stored in the same transaction as the entries.
type AuditHead struct {
	Log      string     // the checkpoint origin, which binds entries to one log
	Tenant   TenantID   // whose log it is
	Size     int64      // entries so far; the next sequence number
	Last     [32]byte   // integrity hash of the newest entry
	Time     int64      // its time in microseconds; time never decreases
	Frontier [][32]byte // roots of the perfect subtrees of the RFC 6962 tree, largest first
	Note     []byte     // the newest signed checkpoint
}

// A SealedEntry is an entry in its final form. Bytes are the truth: canonical
// JSON (RFC 8785), whose hash is chain link and Merkle leaf at once.
type SealedEntry struct {
	Sequence int64
	Hash     [32]byte
	Bytes    []byte
}
