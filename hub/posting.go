package hub

import (
	"strings"
	"time"
)

// A Posting says which message at an endpoint stands for one life of an alert, so
// that what happens to the alert changes that message and is said in its thread.
// One that asks for an approval stands for that: its id is in the alert's place,
// with generation 1.
type Posting struct {
	Tenant     TenantID   `json:"tenant"`
	Endpoint   EndpointID `json:"endpoint_id"`
	Alert      AlertID    `json:"alert_id"`
	Generation int64      `json:"generation"`

	// Asked is where the endpoint was told to post, and Place what the far side
	// calls that; they differ where the endpoint has a name and the far side an id.
	Asked string `json:"asked"`
	Place string `json:"place"`
	// Message is the far side's name of it within Place.
	Message string `json:"message"`
	// Summary says that the message sums many alerts up: it is not this alert's own.
	Summary bool `json:"summary,omitempty"`
	// Version is of the alert as the message shows it, Wanted as it should: more
	// while the message lags behind.
	Version int64 `json:"version"`
	Wanted  int64 `json:"wanted"`

	Delivery DeliveryID `json:"delivery_id"` // that made the message
	At       time.Time  `json:"at"`          // when it was last changed
	// For is the delivery with whose outcome it is stored.
	For DeliveryID `json:"-"`
}

// OfApproval reports whether the message asks for an approval.
func (p *Posting) OfApproval() bool { return strings.HasPrefix(string(p.Alert), PrefixApproval) }
