package syslog

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/carried"
)

// A file is a file of messages, framed as on a connection.
type file struct {
	f *framer
	m *mapper
}

// readFile reads messages whose own format tells what they are; there are no
// rules for a file.
func readFile(r io.Reader) connectors.Reading {
	return (&Source{cfg: config{MaxMessage: 64 << 10, Unmatched: "skip"}}).file(r)
}

func (s *Source) file(r io.Reader) *file {
	if s.rules == nil {
		s.rules, _ = carried.CompileRules(nil)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return &file{newFramer(r, s.cfg.MaxMessage), s.mapper()}
}

// Close does nothing: a file belongs to the caller.
func (*file) Close() {}

// Next gives what the next message says.
func (f *file) Next() (connectors.Part, error) {
	part := connectors.Part{Start: f.f.end}
	msg, _, err := f.f.next()
	part.End, part.Line = f.f.end, f.f.line
	if errors.Is(err, io.ErrUnexpectedEOF) {
		part.Reject = "the input ends within a message"
		return part, nil
	}
	if len(msg) == 0 && err != nil {
		return connectors.Part{}, err
	}
	if part.Findings, err = f.m.findings(msg, netip.Addr{}); err != nil {
		part.Reject = err.Error()
	}
	return part, nil
}
