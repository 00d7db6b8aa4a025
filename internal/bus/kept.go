package bus

import "github.com/ThreeDotsLabs/watermill/message"

// A Kept message is one as a store keeps it, its headers in one text.
type Kept struct {
	ID, Tenant, Key string
	Headers         string
	Payload         []byte
}

// Keep gives m as a store keeps it.
func Keep(m *message.Message) Kept {
	return Kept{ID: m.UUID, Tenant: m.Metadata[MetaTenant], Key: m.Metadata[MetaKey], Headers: EncodeHeaders(m.Metadata), Payload: m.Payload}
}
