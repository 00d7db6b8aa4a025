package kafka

import (
	"context"
	"net"
)

// DialBy has a bus make its connections by dial.
func (o *Options) DialBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	o.dial = dial
}
