package connectors

import (
	"bytes"
	"context"
	"io"

	"github.com/tocsin/tocsin/internal/inbound"
)

// PushConfig is the whole config of a kind that only receives.
type PushConfig struct {
	Common       `yaml:",inline"`
	inbound.Auth `yaml:",inline"`
}

// Push is a source that only receives: a sender that has proven who it is, and
// a body that is read as files of the kind's format are.
type Push struct {
	guard *inbound.Guard
	read  func(io.Reader) Reading
}

// NewPush makes a source of checked settings.
func NewPush(auth *inbound.Auth, read func(io.Reader) Reading) (*Push, error) {
	guard, err := auth.Open()
	if err != nil {
		return nil, err
	}
	return &Push{guard, read}, nil
}

// OpenPush opens a kind whose config is a [PushConfig].
func OpenPush(s Settings, read func(io.Reader) Reading) (Source, error) {
	var cfg PushConfig
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	return NewPush(&cfg.Auth, read)
}

// Receive takes a request.
func (p *Push) Receive(_ context.Context, r Request) (Batch, error) {
	if err := p.guard.Check(r.Header, r.Body); err != nil {
		return Batch{}, err
	}
	return Collect(p.read(bytes.NewReader(r.Body)))
}

// Close does nothing: the source holds nothing.
func (*Push) Close() error { return nil }
