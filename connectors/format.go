package connectors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A Format is how files are read that hold what a kind is sent: `tocsin send`
// submits them item by item.
type Format struct {
	Doc        string   // one line for people
	Extensions []string // that tell it, such as .sarif; they may be none

	// Looks reports whether a file that begins so is of this format; nil if that
	// cannot be told.
	Looks func(start []byte) bool

	Read func(r io.Reader) Reading
}

// A Reading gives the items of an input one after the other, in memory that is
// bounded by the longest of them.
type Reading interface {
	// Next gives the next item; io.EOF at the end. Any other error says why
	// what is behind the last item cannot be read.
	Next() (Part, error)

	// Close releases what reading took. It may be called at any time.
	Close()
}

// A Part is one piece of an input, and what was made of it.
type Part struct {
	Findings []hub.Finding // none if the piece tells nothing, such as a control that passed and never failed
	Reject   string        // why it cannot be used; "" if it can
	Raw      []byte        // of a rejected one, as it stands in the input, if that is known

	Start, End int64 // where it stands in the input, in bytes
	Line       int64 // where it begins, from 1; 0 if that is not known
}

// maxPush bounds what one request may bring, so that its transaction does not
// hold up others.
const maxPush = 20_000

// Collect reads a whole request.
func Collect(r Reading) (Batch, error) {
	defer r.Close()
	var b Batch
	for i := 0; ; i++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return Batch{}, hub.Wrap(hub.Malformed, err, "the body is not what it should be: "+err.Error())
		}
		if p.Reject != "" {
			b.Rejects = append(b.Rejects, Reject{Index: i, Error: p.Reject, Item: p.Raw})
			continue
		}
		b.Findings = append(b.Findings, p.Findings...)
		if len(b.Findings) > maxPush {
			return Batch{}, hub.E(hub.TooLarge, fmt.Sprintf("the body holds more than %d findings; send it in parts, or with tocsin send", maxPush))
		}
	}
}

// A Mapping makes findings of one item. An error is a sentence for the sender.
type Mapping func(piece inbound.Piece) ([]hub.Finding, error)

// ReadItems reads an input whose items can be mapped each by itself.
func ReadItems(r io.Reader, shape inbound.Shape, m Mapping) Reading {
	return &itemReading{inbound.NewItems(r, shape), m}
}

// ReadBody is [Collect] of [ReadItems] for a request.
func ReadBody(body []byte, shape inbound.Shape, m Mapping) (Batch, error) {
	return Collect(ReadItems(bytes.NewReader(body), shape, m))
}

// Walk makes a Reading of a function that goes through an input and hands each
// item to emit; if that fails, it must end with the same error.
func Walk(f func(emit func(Part) error) error) Reading {
	next, stop := iter.Pull2(func(yield func(Part, error) bool) {
		err := f(func(i Part) error {
			if !yield(i, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Part{}, err)
		}
	})
	return &walk{next, stop}
}

var errStopped = errors.New("connectors: nobody reads on")

type walk struct {
	next func() (Part, error, bool)
	stop func()
}

func (w *walk) Close() { w.stop() }

func (w *walk) Next() (Part, error) {
	p, err, more := w.next()
	if !more {
		return Part{}, io.EOF
	}
	return p, err
}

type itemReading struct {
	items *inbound.Items
	m     Mapping
}

func (r *itemReading) Close() {}

func (r *itemReading) Next() (Part, error) {
	piece, err := r.items.Next()
	if err != nil {
		return Part{}, err
	}
	return MapPiece(piece, r.m), nil
}

// MapPiece maps one piece and keeps what comes of it within the hub's limits.
func MapPiece(piece inbound.Piece, m Mapping) Part {
	p := Part{Start: piece.Start, End: piece.End, Line: piece.Line}
	err := piece.Bad
	if err == nil {
		p.Findings, err = m(piece)
	}
	if err != nil {
		p.Findings, p.Reject, p.Raw = nil, err.Error(), piece.Raw
		return p
	}
	for i := range p.Findings {
		inbound.Tidy(&p.Findings[i])
	}
	return p
}
