package kafka

import (
	"context"
	"net"
)

// DialBy has a bus make its connections by dial.
func (o *Options) DialBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	o.dial = dial
}

// Confuse gives every partition of a topic another place in what the brokers
// know of this producer.
func (b *Bus) Confuse(topic string, epoch int16, sequence int32) {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	for _, q := range b.topic(topic).queues {
		q.who.epoch, q.sequence = epoch, sequence
	}
}

// Waiting is how many bytes wait to be published.
func (b *Bus) Waiting() int {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	return b.out.waiting
}
