package kafka

import (
	"context"
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

func newDelivery(ctx context.Context, it *item) *delivery {
	d := &delivery{Handout: bus.Handout{Context: ctx}, item: it, msg: it.rec.message(it.part.no)}
	if it.attempts > 0 {
		d.msg.Metadata[bus.MetaAttempt] = strconv.Itoa(it.attempts + 1)
	}
	d.msg.SetContext(d)
	return d
}
