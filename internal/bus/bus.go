// Package bus is what every message bus of the hub has in common: the topics,
// the headers of their messages, what becomes of a message whose handling
// failed, and the Batcher, which makes one call of many handlers.
//
// Publishers and subscribers are Watermill's. internal/bus/embedded keeps the
// messages in the store's own database.
//
// Topics:
//
//	findings     a hub.Finding as JSON, key = its fingerprint in hex, id = fnd_…
//	events       a hub.Event as JSON (a CloudEvent), key = its subject, id = msg_…
//	deadletters  what no handler could take, as it was, with the headers dead-…
//
// A message is delivered at least once to every group; messages of one key come
// in the order of their publishing.
package bus

import (
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Topics of the hub.
const (
	TopicFindings    = "findings"
	TopicEvents      = "events"
	TopicDeadLetters = "deadletters"
)

// Headers of a message. Those of dead letters are beside [DeadLetter].
const (
	// MetaTenant is whose message it is.
	MetaTenant = "tenant"
	// MetaKey says which messages keep their order; those without are one key.
	MetaKey = "key"
	// MetaContentType is the media type of the payload. Without it the payload is
	// JSON.
	MetaContentType = "content-type"

	// MetaPosition is where in its topic a received message lies, as fixed-width
	// text that sorts as the places do. The bus sets it.
	MetaPosition = "position"
	// MetaAttempt is which delivery of the message this is to its group, from 2;
	// the first has none. The bus sets it.
	MetaAttempt = "attempt"
)

// Headers of a message whose payload is a CloudEvent, named as in the Kafka
// binding of CloudEvents. They repeat what is in the payload, for consumers that
// filter without reading it.
const (
	MetaEventID   = "ce_id"
	MetaEventType = "ce_type"

	ContentCloudEvent = "application/cloudevents+json"
)

// NewMessage makes a message. From publishing on neither it nor its payload may
// be changed.
func NewMessage(id, tenant, key string, payload []byte) *message.Message {
	m := message.NewMessage(id, payload)
	m.Metadata[MetaTenant] = tenant
	m.Metadata[MetaKey] = key
	return m
}

// Attempt tells which delivery of a received message this is, from 1.
func Attempt(m *message.Message) int {
	n, err := strconv.Atoi(m.Metadata[MetaAttempt])
	if err != nil {
		return 1
	}
	return n
}
