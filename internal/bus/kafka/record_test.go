package kafka

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/tocsin/tocsin/internal/bus"
	"pgregory.net/rapid"
)

// decode reads a batch as the library does.
func decode(t require, batch []byte, base, from int64) []*record {
	t.Helper()
	binary.BigEndian.PutUint64(batch, uint64(base))
	set := protocol.RecordSet{}
	_, err := set.ReadFrom(bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, uint32(len(batch))), batch...)))
	if err != nil {
		t.Fatalf("the library cannot read the batch: %v", err)
	}
	recs, err := readRecords(set.Records, from)
	if err != nil {
		t.Fatalf("read the records: %v", err)
	}
	return recs
}

type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// What is packed comes out again, with every compression.
func TestRecordsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringN(100, 300, -1))
		var msgs []*message.Message
		var entries []*entry
		for range rapid.IntRange(1, 70).Draw(t, "messages") {
			m := message.NewMessage(text.Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
			m.Metadata = rapid.MapOf(text.Filter(travels), text).Draw(t, "metadata")
			if key := text.Draw(t, "key"); key != "" {
				m.Metadata[bus.MetaKey] = key
			}
			msgs = append(msgs, m)
			body := appendRecord(nil, m)
			if about := sizeOf(m); about < len(body) {
				t.Fatalf("%d bytes are expected, there are %d", about, len(body))
			}
			entries = append(entries, &entry{body: body})
		}
		codec, err := codecOf(rapid.SampledFrom([]string{"", "none", "gzip", "snappy", "lz4", "zstd"}).Draw(t, "compression"))
		if err != nil {
			t.Fatal(err)
		}
		batch, err := encodeBatch(entries, producerID{7, 3}, 100, time.UnixMilli(1234), codec)
		if err != nil {
			t.Fatal(err)
		}
		skip := rapid.IntRange(0, len(msgs)-1).Draw(t, "skip")
		recs := decode(t, batch, 50, 50+int64(skip))
		if len(recs) != len(msgs)-skip {
			t.Fatalf("%d records come out, want %d", len(recs), len(msgs)-skip)
		}
		for i, r := range recs {
			compareMessage(t, r, msgs[skip+i], int64(50+skip+i))
		}
	})
}

func compareMessage(t *rapid.T, r *record, want *message.Message, offset int64) {
	got := r.message(2)
	if r.offset != offset || !r.at.Equal(time.UnixMilli(1234)) {
		t.Fatalf("the record is at %d of %v, want %d", r.offset, r.at, offset)
	}
	if pos := got.Metadata[bus.MetaPosition]; pos != placeText(position(2, offset)) {
		t.Fatalf("its place is %q", pos)
	}
	delete(got.Metadata, bus.MetaPosition)
	if want.UUID == "" {
		got.UUID = "" // it got another
	}
	if got.UUID != want.UUID || !bytes.Equal(got.Payload, want.Payload) || !maps.Equal(got.Metadata, want.Metadata) {
		t.Fatalf("got %s %q %v, want %s %q %v", got.UUID, got.Payload, got.Metadata, want.UUID, want.Payload, want.Metadata)
	}
}

// The headers of a batch that the broker looks at.
func TestBatchSaysWhoSentIt(t *testing.T) {
	e := &entry{body: appendRecord(nil, bus.NewMessage("x", "default", "k", []byte("payload")))}
	batch, err := encodeBatch([]*entry{e, e, e}, producerID{1 << 40, 5}, 77, time.UnixMilli(9), nil)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, slices.Clone(batch), 0, 0)
	order := binary.BigEndian
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"length", uint64(order.Uint32(batch[8:])), uint64(len(batch) - 12)},
		{"version", uint64(batch[16]), 2},
		{"last offset", uint64(order.Uint32(batch[23:])), 2},
		{"producer", order.Uint64(batch[43:]), 1 << 40},
		{"epoch", uint64(order.Uint16(batch[51:])), 5},
		{"sequence", uint64(order.Uint32(batch[53:])), 77},
		{"records", uint64(order.Uint32(batch[57:])), 3},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.name, c.got, c.want)
		}
	}
}

func TestForeignRecords(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []kafka.Header
		id      string
	}{
		{"ours", []kafka.Header{{Key: "tenant", Value: []byte("t")}, {Key: headerID, Value: []byte("fnd_1")}}, "fnd_1"},
		{"a CloudEvent", []kafka.Header{{Key: "ce_id", Value: []byte("e-1")}}, "e-1"},
		{"anything", nil, "kafka-0003000000000006"},
	} {
		x, err := copyRecord(&kafka.Record{Offset: 5, Value: kafka.NewBytes([]byte("{}")), Headers: c.headers})
		if err != nil {
			t.Fatal(err)
		}
		if m := x.message(3); m.UUID != c.id || string(m.Payload) != "{}" || m.Metadata[headerID] != "" {
			t.Errorf("%s: the message is %s %q %v, want id %s", c.name, m.UUID, m.Payload, m.Metadata, c.id)
		}
	}
}

func TestPositions(t *testing.T) {
	last := ""
	for _, partition := range []int{0, 1, 2, 1023} {
		for _, offset := range []int64{0, 1, 255, 1 << 40} {
			pos := position(partition, offset)
			if p, o := place(pos); p != partition || o != offset || pos <= 0 {
				t.Errorf("partition %d offset %d comes back as %d, %d", partition, offset, p, o)
			}
			if text := placeText(pos); text <= last {
				t.Errorf("%s is not behind %s", text, last)
			} else {
				last = text
			}
		}
	}
}

// The partitions of keys must never change: these are what Kafka's own producer
// gives (the hash values are those of its tests).
func TestPartitionsOfKeys(t *testing.T) {
	hashes := map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829}
	x := (&Bus{opts: Options{}}).newTopic("x", kafka.Topic{Partitions: make([]kafka.Partition, 12)})
	for key, hash := range hashes {
		if got, want := x.partition(key).no, int(hash&0x7fffffff)%12; got != want {
			t.Errorf("%q is of partition %d, want %d", key, got, want)
		}
	}
	if a, b := x.partition(""), x.partition(""); a != b {
		t.Error("messages without a key are not of one partition")
	}
}
