package embedded

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/internal/bus"
)

// A delivery is one handing out of an item.
type delivery struct {
	bus.Handout
	item *item
	msg  *message.Message
}

func newDelivery(ctx context.Context, it *item) (*delivery, error) {
	row := it.row
	m := message.NewMessage(row.ID, row.Payload)
	if row.Tenant != "" {
		m.Metadata[bus.MetaTenant] = row.Tenant
	}
	if row.Key != "" {
		m.Metadata[bus.MetaKey] = row.Key
	}
	m.Metadata[bus.MetaPosition] = placeText(row.Pos)
	if it.attempts > 0 {
		m.Metadata[bus.MetaAttempt] = strconv.Itoa(it.attempts + 1)
	}
	if err := bus.DecodeHeaders(row.Headers, m.Metadata); err != nil {
		return nil, fmt.Errorf("read the headers of message %d: %w", row.Pos, err)
	}
	d := &delivery{Handout: bus.Handout{Context: ctx}, item: it, msg: m}
	m.SetContext(d)
	return d, nil
}

// placeText gives a place as text that sorts as places do.
func placeText(pos int64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[pos>>(60-4*i)&15]
	}
	return string(b[:])
}
