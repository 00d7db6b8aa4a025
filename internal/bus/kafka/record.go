package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/tocsin/tocsin/hub"
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

// Layout of a record batch of the second version. Places count from its start.
const (
	batchHead      = 61 // bytes before the records
	recordHead     = 12 // at most so many bytes before the key of a record
	placeLength    = 8  // of what follows it
	placeChecksum  = 17
	placeAttribute = 21 // the checksum is over what follows from here
)

// A producerID is who the broker takes the sender of a batch for, by which it
// knows a repeat. A number of -1 is nobody, whose repeats are not known.
type producerID struct {
	number int64
	epoch  int16
}

// encodeBatch makes a record batch, which is the unit that a broker stores.
func encodeBatch(entries []*entry, who producerID, sequence int32, at time.Time, codec compress.Codec) ([]byte, error) {
	size := batchHead
	for _, e := range entries {
		size += len(e.body) + recordHead
	}
	b := make([]byte, batchHead, size)
	millis := at.UnixMilli()
	order := binary.BigEndian
	order.PutUint32(b[12:], 0xffffffff) // the leader's epoch, which the broker sets
	b[16] = 2
	order.PutUint32(b[23:], uint32(len(entries)-1))
	order.PutUint64(b[27:], uint64(millis))
	order.PutUint64(b[35:], uint64(millis))
	order.PutUint64(b[43:], uint64(who.number))
	order.PutUint16(b[51:], uint16(who.epoch))
	order.PutUint32(b[53:], uint32(sequence))
	order.PutUint32(b[57:], uint32(len(entries)))
	if codec == nil {
		b = appendRecords(b, entries)
	} else {
		order.PutUint16(b[placeAttribute:], uint16(codec.Code()))
		packed := bytes.NewBuffer(b)
		w := codec.NewWriter(packed)
		_, err := w.Write(appendRecords(make([]byte, 0, size), entries))
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, fmt.Errorf("compress a batch: %w", err)
		}
		b = packed.Bytes()
	}
	order.PutUint32(b[placeLength:], uint32(len(b)-placeLength-4))
	order.PutUint32(b[placeChecksum:], crc32.Checksum(b[placeAttribute:], castagnoli))
	return b, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecords(b []byte, entries []*entry) []byte {
	for i, e := range entries {
		place := varintSize(int64(i))
		b = binary.AppendVarint(b, int64(1+1+place+len(e.body)))
		b = append(b, 0, 0) // no attributes, the time of the batch
		b = binary.AppendVarint(b, int64(i))
		b = append(b, e.body...)
	}
	return b
}

func varintSize(v int64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], v)
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

// codecOf gives the codec of a compression by its name; nil for none.
func codecOf(name string) (compress.Codec, error) {
	if name == "" || name == "none" {
		return nil, nil
	}
	for _, c := range []compress.Compression{compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		if c.String() == name {
			return c.Codec(), nil
		}
	}
	return nil, hub.E(hub.Invalid, fmt.Sprintf("%q is no compression of Kafka; choose none, gzip, snappy, lz4 or zstd", name))
}
