package hub

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AssetID is ast_…, an entry of the inventory.
type AssetID string

// A NodeKind is what sort of thing an entry of the inventory is.
type NodeKind string

// Kinds of entries.
const (
	NodeAsset   NodeKind = "asset"   // a machine, image, bucket, function, repository …
	NodeAccount NodeKind = "account" // a cloud account, subscription, project, tenant
	NodeUser    NodeKind = "user"    // a person or a machine identity
	NodeNetwork NodeKind = "network" // an address or a range
)

// Valid reports whether k is a known kind.
func (k NodeKind) Valid() bool {
	switch k {
	case NodeAsset, NodeAccount, NodeUser, NodeNetwork:
		return true
	}
	return false
}

// A NodeReport is what one source says of one thing at one time. Things that
// share a key are the same thing, whichever source reports them; a finding is
// about the thing that has its asset_id as a key.
type NodeReport struct {
	Kind NodeKind `json:"kind"`

	// Keys name the thing: the first as the source's findings name it in
	// asset_id, the others are what other sources may call it, such as an ARN.
	Keys []string `json:"keys"`

	SourceID string `json:"source_id,omitempty"` // the source's own id
	Asset
	RiskScore *float64 `json:"risk_score,omitempty"` // 0–100, 100 is worst

	// Attributes are the source's own words, as a JSON object.
	Attributes jsontext.Value `json:"attributes,omitempty"`

	SeenAt time.Time `json:"seen_at"`
	Gone   bool      `json:"gone,omitempty"` // the source says that it is no more
}

// An EdgeReport is what one source says of how two things hang together: an
// attack that has come to From can go on to To.
type EdgeReport struct {
	From   string    `json:"from"` // a key of a thing
	To     string    `json:"to"`
	Kind   string    `json:"kind"` // such as contains, can_access, runs_on, exposes
	SeenAt time.Time `json:"seen_at"`
	Gone   bool      `json:"gone,omitempty"`
}

// A Node is an entry of the inventory: the newest word of each source on one
// thing, put together.
type Node struct {
	ID     AssetID  `json:"id"`
	Tenant TenantID `json:"tenant_id"`
	Kind   NodeKind `json:"kind"`
	Keys   []string `json:"keys"`
	Asset
	RiskScore  *float64       `json:"risk_score,omitempty"`
	Attributes jsontext.Value `json:"attributes,omitempty"` // by source

	// Sources are who reported it, and when.
	Sources   []NodeSource `json:"sources"`
	FirstSeen time.Time    `json:"first_seen"`
	LastSeen  time.Time    `json:"last_seen"`
	Gone      bool         `json:"gone,omitempty"` // every source says so
}

// A NodeSource is where knowledge of a node comes from.
type NodeSource struct {
	Source    string    `json:"source"`
	SourceID  string    `json:"source_id,omitempty"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Gone      bool      `json:"gone,omitempty"`
	GoneAt    time.Time `json:"gone_at,omitzero"` // when it was said to be gone
}

// An Edge is a connection of two entries of the inventory, as one source says.
type Edge struct {
	From    AssetID   `json:"from"`
	To      AssetID   `json:"to"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source"`
	SeenAt  time.Time `json:"seen_at"`
	FromKey string    `json:"from_key"`
	ToKey   string    `json:"to_key"`
}
