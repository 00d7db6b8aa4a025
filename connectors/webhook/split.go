package webhook

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/inbound"
)

// read maps a body.
func (s *Source) read(body []byte, headers map[string]string) (connectors.Batch, error) {
	whole := jsontext.Value(body)
	single := whole.IsValid(lenient...)
	vars := &expr.Vars{Headers: headers, Now: time.Now()}
	if single {
		vars.Input, vars.Body = whole, whole
		if drop, err := s.ignore.test(vars); drop || err != nil {
			return connectors.Batch{}, asMalformed(err)
		}
	} else if len(s.items) > 0 {
		return connectors.Batch{}, hub.E(hub.Malformed, "the body is no valid JSON")
	}
	return connectors.Collect(connectors.Walk(func(emit func(connectors.Part) error) error {
		each := func(raw jsontext.Value) error {
			vars.Input = raw
			if !single {
				vars.Body = raw // a line each, which have nothing around them
			}
			return emit(connectors.MapPiece(inbound.Piece{Raw: raw, End: int64(len(raw))}, func(p inbound.Piece) ([]hub.Finding, error) { return s.finding(vars, p.Raw) }))
		}
		if len(s.items) > 0 {
			return s.pick(whole, each, emit)
		}
		return all(body, each, emit)
	}))
}

var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func asMalformed(err error) error {
	if err == nil {
		return nil
	}
	return hub.Wrap(hub.Malformed, err, "ignore: "+err.Error())
}

// all gives the items of a body that is one, a list, or lines.
func all(body []byte, each func(jsontext.Value) error, emit func(connectors.Part) error) error {
	items := inbound.NewItems(bytes.NewReader(body), inbound.Shape{})
	for {
		p, err := items.Next()
		switch {
		case err == io.EOF: //nolint:errorlint // it comes bare
			return nil
		case err != nil:
			return err
		case p.Bad != nil:
			err = emit(connectors.Part{Reject: p.Bad.Error(), Raw: p.Raw, Start: p.Start, End: p.End})
		default:
			err = each(p.Raw)
		}
		if err != nil {
			return err
		}
	}
}

// pick gives the items that the pointer leads to. Where it leads nowhere at all,
// that is rejected: the sender must learn that the body is not what was expected.
func (s *Source) pick(body jsontext.Value, each func(jsontext.Value) error, emit func(connectors.Part) error) error {
	p := picker{each: each}
	if err := p.follow(body, s.items); err != nil || p.found || p.missing == "" {
		return err
	}
	return emit(connectors.Part{Reject: "the body has no " + p.missing + ", where the items are to be", End: int64(len(body))})
}

// A picker follows a pointer.
type picker struct {
	each    func(jsontext.Value) error
	found   bool   // a place that the pointer leads to, be it empty
	missing string // the first step that led nowhere
}

// follow goes down path from v and calls each for the items at its end: the
// elements of a list, or the value itself.
func (p *picker) follow(v jsontext.Value, path []string) error {
	v = bytes.TrimSpace(v)
	if len(path) == 0 {
		return p.arrived(v)
	}
	there := false
	err := children(v, func(name string, v jsontext.Value) error {
		if path[0] != "*" && (there || name != path[0]) {
			return nil
		}
		there = true
		return p.follow(v, path[1:])
	})
	switch {
	case path[0] == "*" && (v.Kind() == '[' || v.Kind() == '{'):
		p.found = p.found || !there
	case !there && p.missing == "":
		p.missing = "/" + path[0]
	}
	return err
}

func (p *picker) arrived(v jsontext.Value) error {
	p.found = true
	switch v.Kind() {
	case '[':
		return children(v, func(_ string, v jsontext.Value) error { return p.each(v) })
	case 'n':
		return nil
	}
	return p.each(v)
}

// children calls f for the members of an object or the elements of a list, whose
// names are their numbers.
func children(v jsontext.Value, f func(string, jsontext.Value) error) error {
	if v.Kind() != '[' && v.Kind() != '{' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(v), lenient...)
	open, err := d.ReadToken()
	object := open.Kind() == '{'
	for i := 0; err == nil && d.PeekKind() != ']' && d.PeekKind() != '}'; i++ {
		name := strconv.Itoa(i)
		if object {
			var tok jsontext.Token
			if tok, err = d.ReadToken(); err != nil {
				return err
			}
			name = tok.String()
		}
		var child jsontext.Value
		if child, err = d.ReadValue(); err == nil {
			err = f(name, child.Clone())
		}
	}
	return err
}

// pointer reads a JSON pointer whose steps may be *.
func (f *faults) pointer(at, text string) []string {
	if text == "" {
		return nil
	}
	if !strings.HasPrefix(text, "/") || !jsontext.Pointer(text).IsValid() {
		f.add(at, fmt.Sprintf("%q is no JSON pointer; one looks like /alerts or /hosts/*/findings", text))
		return nil
	}
	var steps []string
	for step := range jsontext.Pointer(text).Tokens() {
		steps = append(steps, step)
	}
	return steps
}
