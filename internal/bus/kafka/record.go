package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/internal/bus"
)

// headerID is the header that holds the id of a message.
const headerID = "message-id"

// A record is a message as it lies in a partition.
type record struct {
	offset  int64
	at      time.Time
	id      string // "" if its producer was not the hub
	key     string
	headers []kafka.Header // the others
	payload []byte
}

// appendRecord appends what a record of the second version has behind the place
// in its batch: key, value and headers.
func appendRecord(b []byte, m *message.Message) []byte {
	b = appendText(b, m.Metadata[bus.MetaKey])
	b = binary.AppendVarint(b, int64(len(m.Payload)))
	b = append(b, m.Payload...)
	n := 1
	for name := range m.Metadata {
		if travels(name) {
			n++
		}
	}
	b = binary.AppendVarint(b, int64(n))
	b = appendText(appendText(b, headerID), m.UUID)
	for name, value := range m.Metadata {
		if travels(name) {
			b = appendText(appendText(b, name), value)
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

// travels reports whether a header of a message becomes one of its record: the
// key is the record's, and the bus sets the others when it hands the message
// out.
func travels(name string) bool {
	switch name {
	case bus.MetaKey, bus.MetaPosition, bus.MetaAttempt, headerID:
		return false
	}
	return true
}

// sizeOf is about how many bytes the record of a message takes.
func sizeOf(m *message.Message) int {
	n := len(m.Payload) + len(m.UUID) + len(m.Metadata[bus.MetaKey]) + len(headerID) + 24
	for name, value := range m.Metadata {
		n += len(name) + len(value) + 8
	}
	return n
}

// readRecords takes the records from r that lie at from or behind; a broker may
// give earlier ones of the same batch.
func readRecords(r kafka.RecordReader, from int64) ([]*record, error) {
	var all []*record
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a record behind %d: %w", from, err)
		}
		x, err := copyRecord(rec)
		if err != nil {
			return nil, fmt.Errorf("read the record at %d: %w", rec.Offset, err)
		}
		if x.offset >= from {
			all = append(all, x)
		}
	}
}

// copyRecord copies a record out of the buffers of the library and gives them
// back.
func copyRecord(rec *kafka.Record) (*record, error) {
	key, err := drain(rec.Key)
	if err != nil {
		return nil, err
	}
	payload, err := drain(rec.Value)
	if err != nil {
		return nil, err
	}
	x := &record{offset: rec.Offset, at: rec.Time, key: string(key), payload: payload}
	for i, h := range rec.Headers {
		if h.Key == headerID {
			x.id = string(h.Value)
			rec.Headers[0], rec.Headers[i] = h, rec.Headers[0]
			x.headers = rec.Headers[1:]
			return x, nil
		}
	}
	x.headers = rec.Headers
	return x, nil
}

func drain(b kafka.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return kafka.ReadAll(b)
}

// message makes a message of a record.
func (x *record) message(partition int) *message.Message {
	m := message.NewMessage(x.id, x.payload)
	for _, h := range x.headers {
		m.Metadata[h.Key] = string(h.Value)
	}
	if x.key != "" {
		m.Metadata[bus.MetaKey] = x.key
	}
	m.Metadata[bus.MetaPosition] = placeText(position(partition, x.offset))
	if m.UUID == "" {
		m.UUID = m.Metadata[bus.MetaEventID]
	}
	if m.UUID == "" {
		m.UUID = "kafka-" + m.Metadata[bus.MetaPosition]
	}
	return m
}

// position makes one number, from 1, of a place in a topic. It sorts by
// partition, then by offset.
func position(partition int, offset int64) int64 { return int64(partition)<<offsetBits | (offset + 1) }

const offsetBits = 48

// place is the opposite of position. The offset is -1 before the first.
func place(position int64) (partition int, offset int64) {
	return int(position >> offsetBits), position&(1<<offsetBits-1) - 1
}

// placeText gives a position as text that sorts as positions do.
func placeText(pos int64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[pos>>(60-4*i)&15]
	}
	return string(b[:])
}
