package bus

import (
	"fmt"
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
)

// A Decision is what becomes of a message after a handler had it.
type Decision string

// Decisions about a message.
const (
	Ack   Decision = "ack"   // done
	Retry Decision = "retry" // again after a while, without end
	Limit Decision = "limit" // again after a while, but only so many times
	Dead  Decision = "dead"  // to the dead letters at once
)

// Verdict decides by the kind of a handler's error what becomes of the message.
//
// Transient and RateLimited blame the store or a far side, which will come back:
// the message is kept for as long as that takes. Internal is our own fault, of
// which nobody knows whether it will pass. Any other kind blames the message,
// which will not get better.
func Verdict(err error) Decision {
	switch hub.KindOf(err) {
	case "":
		return Ack
	case hub.Transient, hub.RateLimited:
		return Retry
	case hub.Internal:
		return Limit
	}
	return Dead
}

// Report is a middleware that tells the bus why a handler failed: Watermill
// itself passes on only that it did. A panic counts as an internal error. Put it
// nearest to the handler.
//
// Without it, a failed message is delivered again without end.
func Report(h message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) (out []*message.Message, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = hub.Wrap(hub.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "the handler failed")
			}
			if err != nil {
				Failed(m, err)
			}
		}()
		return h(m)
	}
}

// Failed tells the bus why a message is about to be refused.
func Failed(m *message.Message, err error) {
	if d, ok := m.Context().Value(DeliveryKey{}).(Delivery); ok {
		d.Failed(err)
	}
}

// DeliveryKey is the key under which a bus puts its [Delivery] into the context
// of a message.
type DeliveryKey struct{}

// A Delivery is one handing out of a message by a bus.
type Delivery interface {
	// Failed says why the message is about to be refused.
	Failed(err error)
}
