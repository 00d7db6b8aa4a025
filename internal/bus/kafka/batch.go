package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/tocsin/tocsin/hub"
)

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
