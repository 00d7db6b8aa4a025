package connectors

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	Next() (Item, error)

	// Close releases what reading took. It may be called at any time.
	Close()
}

// An Item is one piece of an input, and what was made of it.
type Item struct {
	Findings []hub.Finding // none if the piece tells nothing, such as a control that passed and never failed
	Reject   string        // why it cannot be used; "" if it can

	Start, End int64 // where it stands in the input, in bytes
}

// maxPush bounds what one request may bring, so that its transaction does not
// hold up others.
const maxPush = 20_000

// Collect reads a whole request.
func Collect(r Reading) (Batch, error) {
	defer r.Close()
	var b Batch
	for i := 0; ; i++ {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return Batch{}, hub.Wrap(hub.Malformed, err, "the body is not what it should be: "+err.Error())
		}
		if item.Reject != "" {
			b.Rejects = append(b.Rejects, Reject{Index: i, Error: item.Reject})
			continue
		}
		b.Findings = append(b.Findings, item.Findings...)
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

type itemReading struct {
	items *inbound.Items
	m     Mapping
}

func (r *itemReading) Close() {}

func (r *itemReading) Next() (Item, error) {
	piece, err := r.items.Next()
	if err != nil {
		return Item{}, err
	}
	return MapItem(piece, r.m), nil
}

// MapItem maps one piece and keeps what comes of it within the hub's limits.
func MapItem(piece inbound.Piece, m Mapping) Item {
	item := Item{Start: piece.Start, End: piece.End}
	err := piece.Bad
	if err == nil {
		item.Findings, err = m(piece)
	}
	if err != nil {
		item.Findings, item.Reject = nil, err.Error()
		return item
	}
	for i := range item.Findings {
		inbound.Tidy(&item.Findings[i])
	}
	return item
}
