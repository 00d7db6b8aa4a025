package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
)

// idsCounter is the newest millisecond of which identifiers were given.
const idsCounter = "ids"

// NewDeliveryID names a delivery so that it sorts behind all that were named
// before, by whichever node: what is sent in order is sent in this order. Each
// transaction has a millisecond of its own for it, no earlier than the clock
// says and later than those of all transactions before.
func (tx *Tx) NewDeliveryID() hub.DeliveryID {
	for {
		if tx.milli == 0 {
			last := tx.counter(idsCounter, 0)
			tx.milli = max(tx.Now().UnixMilli(), last+1)
			tx.counter(idsCounter, tx.milli-last)
		}
		id, ok := tx.s.ids.At(hub.PrefixDelivery, tx.milli)
		if ok {
			return hub.DeliveryID(id)
		}
		tx.milli = 0
	}
}

// LastDeliveryID gives a text that sorts behind the names of all deliveries there
// are and before those of all to come.
func (r *Reader) LastDeliveryID(now time.Time) (hub.DeliveryID, error) {
	last, err := r.CounterValue(idsCounter)
	if last == 0 { // those there are were named otherwise, by the time
		last = now.UnixMilli()
	}
	return hub.DeliveryID(ident.Floor(hub.PrefixDelivery, time.UnixMilli(last+1))), err
}
