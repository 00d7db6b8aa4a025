package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
)

// MaxBatch is how many findings one request may hold (contract §3).
const MaxBatch = 1000

// A Reject is one item of a batch that is no finding.
type Reject struct {
	Index int // from 0, in the order of the body
	Err   error
}

// Array reads a JSON array of findings. Items that are no findings are listed;
// the error is for a body that is no array at all.
func Array(body []byte) ([]*hub.Finding, []Reject, error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if d.PeekKind() != '[' {
		if _, err := d.ReadToken(); err != nil {
			return nil, nil, explain(err)
		}
		return nil, nil, &hub.Error{Kind: hub.Invalid, Msg: "the body must be a JSON array of findings", Fields: []hub.Field{{Detail: "must be an array"}}}
	}
	_, _ = d.ReadToken()
	var b batch
	for d.PeekKind() != ']' {
		raw, err := d.ReadValue()
		if err != nil {
			return nil, nil, explain(err)
		}
		if err := b.add(bytes.Clone(raw)); err != nil {
			return nil, nil, err
		}
	}
	_, _ = d.ReadToken()
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, nil, hub.Wrap(hub.Malformed, err, "the body goes on after the end of the array")
	}
	return b.findings, b.rejected, nil
}

// Lines reads newline-delimited JSON, a finding a line. A line that is no JSON
// is rejected alone; empty lines are passed over and not counted.
func Lines(body []byte) ([]*hub.Finding, []Reject, error) {
	var b batch
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := b.add(line); err != nil {
			return nil, nil, err
		}
	}
	return b.findings, b.rejected, nil
}

type batch struct {
	n        int
	findings []*hub.Finding
	rejected []Reject
}

func (b *batch) add(raw []byte) error {
	if b.n == MaxBatch {
		return &hub.Error{
			Kind: hub.Invalid, Msg: fmt.Sprintf("a batch holds at most %d findings; send the rest in another request", MaxBatch),
			Fields: []hub.Field{{Detail: fmt.Sprintf("holds more than %d findings", MaxBatch)}},
		}
	}
	f, err := Finding(raw)
	if err != nil {
		b.rejected = append(b.rejected, Reject{b.n, err})
	} else {
		b.findings = append(b.findings, f)
	}
	b.n++
	return nil
}
