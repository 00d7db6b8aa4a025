package splunkhec

import (
	"bytes"
	"context"
	"errors"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Receive takes events at POST /ingest/{name}, for senders that can be given any
// address: JSON events, or lines if the body does not begin as JSON does. The
// answer is the hub's own.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if fault := s.check(r); fault != nil {
		return connectors.Batch{}, hub.E(hub.Unauthorized, fault.Text+": Authorization must be Splunk and this source's token")
	}
	reading := s.readLines(r.Body, metaOf(r.Query))
	if start := bytes.TrimSpace(r.Body); len(start) == 0 || start[0] == '{' || start[0] == '[' {
		reading = s.readEvents(bytes.NewReader(r.Body))
	}
	batch, _, err := reading.all()
	if err != nil {
		return connectors.Batch{}, err
	}
	if reading.count == 0 {
		return connectors.Batch{}, hub.Wrap(hub.Malformed, errors.New("no events"), "the body holds no event")
	}
	return batch, nil
}
