package outbox

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
)

// Table is the topic of the store that an outbox is, for who fills or empties
// the outbox of a hub that does not run.
const Table = tableName

// Enter makes a row as a store keeps it into one of an outbox: what is forwarded
// from there goes to the topic.
func Enter(topic string, row *store.MessageRow) error {
	m := message.Metadata{}
	if err := bus.DecodeHeaders(row.Headers, m); err != nil {
		return fmt.Errorf("headers of message %s: %w", row.ID, err)
	}
	m[metaTopic] = topic
	row.Headers = bus.EncodeHeaders(m)
	return nil
}

// Leave undoes Enter, and tells the topic.
func Leave(row *store.MessageRow) (topic string, err error) {
	topic, m, err := open(row)
	if err == nil {
		row.Headers = bus.EncodeHeaders(m.Metadata)
	}
	return topic, err
}
