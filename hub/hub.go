// Package hub is the vocabulary of Tocsin: findings, alerts, events,
// endpoints, deliveries, principals, audit entries and errors, with the rules
// that belong to the words themselves.
//
// It does no I/O and imports nothing else of ours, so that every other package
// can speak it. The JSON forms of [Finding], [Alert], [Event] and [Delivery]
// are what the outside sees; they change only by adding fields.
package hub

import "time"

// A TenantID names the organisation that a row belongs to. Every stored row
// has one and every query says which.
type TenantID string

// DefaultTenant is the tenant that the first start makes.
const DefaultTenant TenantID = "default"

// Identifiers are a prefix and a sortable id, made by internal/ident.
// None contains a dot, because webhook signatures separate their parts by it.
type (
	FindingID  string // fnd_…
	AlertID    string // alt_…
	EventID    string // msg_…; also the webhook-id of every delivery of the event
	EndpointID string // whk_… for webhooks, chn_… for channels
	DeliveryID string // dlv_…
	RunID      string // run_…, one run of a playbook
	ApprovalID string // apr_…, a question that a run of a playbook waits on
	KeyID      string // key_…, an API key
	UserID     string // usr_…
)

// Prefixes of the identifiers, as the contract lists them.
const (
	PrefixFinding  = "fnd_"
	PrefixAlert    = "alt_"
	PrefixIncident = "inc_"
	PrefixAsset    = "ast_"
	PrefixWebhook  = "whk_"
	PrefixEvent    = "msg_"
	PrefixDelivery = "dlv_"
	PrefixChannel  = "chn_"
	PrefixRule     = "rul_"
	PrefixPlaybook = "pbk_"
	PrefixRun      = "run_"
	PrefixApproval = "apr_"
	PrefixUser     = "usr_"
	PrefixRole     = "rol_"
	PrefixKey      = "key_"
	PrefixTenant   = "ten_"
	PrefixAudit    = "aud_"
)

// Micros is how times are stored: microseconds since 1970 in UTC. Stored and
// shown times are equal only if nothing finer is ever kept, so every time that
// enters the hub goes through [Truncate].
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the inverse of [Micros].
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Truncate gives t in UTC at the precision that is stored.
func Truncate(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
