package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// beat shows the coordinator of a group that a member lives, and gives what it
// says to that.
func (c *cluster) beat(ctx context.Context, group string, generation int, member string) error {
	h := &heartbeat{group: group, generation: generation, member: member}
	if _, err := c.ask(ctx, h); err != nil {
		return err
	}
	if h.code != 0 {
		return kafka.Error(h.code)
	}
	return nil
}

// A heartbeat is the request of that name, in version 1, and its answer. The
// library's own is of no use: it is sent to any broker, not to the coordinator,
// and the fields of the answer are read in the wrong order, so that there is
// never an error.
type heartbeat struct {
	group      string
	generation int
	member     string

	code int16 // of the answer
}

var (
	_ protocol.GroupMessage = (*heartbeat)(nil)
	_ protocol.RawExchanger = (*heartbeat)(nil)
)

const heartbeatVersion = 1

// ApiKey is the number of this kind of request.
func (h *heartbeat) ApiKey() protocol.ApiKey { return protocol.Heartbeat }

// Group has the transport send it to the group's coordinator.
func (h *heartbeat) Group() string { return h.group }

// Required has the transport leave writing and reading to this type.
func (h *heartbeat) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange sends the request and reads the answer.
func (h *heartbeat) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if _, err := rw.Write(h.encode()); err != nil {
		return nil, err
	}
	var answer [14]byte // length, correlation, throttle time, error code
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return nil, err
	}
	if length := binary.BigEndian.Uint32(answer[:]); length != uint32(len(answer)-4) {
		return nil, fmt.Errorf("the answer to a heartbeat has %d bytes, want %d", length, len(answer)-4)
	}
	h.code = int16(binary.BigEndian.Uint16(answer[12:]))
	return h, nil
}

func (h *heartbeat) encode() []byte {
	order := binary.BigEndian
	b := make([]byte, 4, 64)
	b = order.AppendUint16(b, uint16(protocol.Heartbeat))
	b = order.AppendUint16(b, heartbeatVersion)
	b = order.AppendUint32(b, 0) // correlation: a connection has one request at a time
	for _, text := range []string{clientID, h.group} {
		b = append(order.AppendUint16(b, uint16(len(text))), text...)
	}
	b = order.AppendUint32(b, uint32(h.generation))
	b = append(order.AppendUint16(b, uint16(len(h.member))), h.member...)
	order.PutUint32(b, uint32(len(b)-4))
	return b
}
