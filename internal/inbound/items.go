package inbound

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A Shape says where the items of an input are: below the members Lists of an
// object, which are arrays of items, or Wraps, which are an item or an object
// with such lists again. An object with neither is an item itself.
type Shape struct {
	Lists []string
	Wraps []string
}

// A Piece is an item as it stands in the input.
type Piece struct {
	Raw        jsontext.Value
	Start, End int64 // in bytes
	Line       int64 // where it begins, from 1
	Bad        error // why it is none; then Raw is its text, if that is known
}

// Items goes through an input: one object, an array of them, or any number of
// either, one after another or a line each. A line that is no JSON is bad alone.
type Items struct {
	shape  Shape
	stream *Stream
	frames []frame
	lines  *lines
}

// A frame is an array or object that we are in.
type frame struct {
	kind  byte   // [ for an array, l for a list within an object, { for an object, w for one that is wrapped
	kept  []byte // of an object: its members so far, to be an item if there is no list
	start int64
	line  int64
	held  bool // a list or wrapped object was in it
}

// NewItems goes through r.
func NewItems(r io.Reader, shape Shape) *Items {
	b, skipped := skipBOM(r)
	if looksLikeLines(b) {
		return &Items{shape: shape, lines: &lines{r: b, end: skipped}}
	}
	s := NewStream(b)
	s.base = skipped
	return &Items{shape: shape, stream: s}
}

// Next gives the next item; io.EOF at the end. Any other error is a [*Fault]:
// what is behind it cannot be read.
func (it *Items) Next() (Piece, error) {
	if it.lines == nil {
		return it.next()
	}
	for {
		if it.stream == nil {
			line, start, err := it.lines.next()
			if err != nil {
				return Piece{}, err
			}
			if line == nil {
				return Piece{Start: start, End: it.lines.end, Line: it.lines.line, Bad: ErrLong}, nil
			}
			it.stream, it.frames = NewStream(bytes.NewReader(line)), nil
			it.stream.base, it.stream.line = start, it.lines.line-1
		}
		p, err := it.next()
		if err == nil {
			p.End = it.lines.end
			return p, nil
		}
		start := it.stream.base
		it.stream = nil
		if !errors.Is(err, io.EOF) {
			return Piece{Raw: bytes.Clone(bytes.TrimSpace(it.lines.buf)), Start: start, End: it.lines.end, Line: it.lines.line, Bad: err}, nil
		}
	}
}

func (it *Items) next() (Piece, error) {
	for {
		in := it.top()
		switch k := it.stream.Kind(); {
		case k == '[' && (in == nil || in.kind == '['):
			if err := it.push('['); err != nil {
				return Piece{}, err
			}
		case k == ']':
			if err := it.pop(); err != nil {
				return Piece{}, err
			}
		case in != nil && (in.kind == '{' || in.kind == 'w'):
			if p, done, err := it.member(in); done || err != nil {
				return p, err
			}
		case k == '{' && (in == nil || in.kind == '['):
			if err := it.push('{'); err != nil {
				return Piece{}, err
			}
		default:
			return it.stream.Piece()
		}
	}
}

func (it *Items) top() *frame {
	if len(it.frames) == 0 {
		return nil
	}
	return &it.frames[len(it.frames)-1]
}

func (it *Items) push(kind byte) error {
	_, err := it.stream.Token()
	it.frames = append(it.frames, frame{kind: kind, start: it.stream.Offset() - 1, line: it.stream.Line()})
	return err
}

func (it *Items) pop() error {
	_, err := it.stream.Token()
	if len(it.frames) > 0 {
		it.frames = it.frames[:len(it.frames)-1]
	}
	return err
}

// Piece gives the next value as an item. One that is too long is bad alone.
func (s *Stream) Piece() (Piece, error) {
	raw, err := s.Value()
	end := s.Offset()
	if err == ErrLong { //nolint:errorlint // a Fault that wraps it is another thing
		return Piece{Bad: err, Start: end, End: end, Line: s.Line()}, nil
	}
	if err != nil {
		return Piece{}, err
	}
	return Piece{Raw: raw, Start: end - int64(len(raw)), End: end, Line: s.Line() - int64(bytes.Count(raw, newline))}, nil
}

// member reads one member of the object in, or its end, which gives an item if
// it had no list.
func (it *Items) member(in *frame) (Piece, bool, error) {
	if it.stream.Kind() != '"' { // the end, or a fault
		if _, err := it.stream.Token(); err != nil {
			return Piece{}, false, err
		}
		p := Piece{Raw: append(in.kept, '}'), Start: in.start, End: it.stream.Offset(), Line: in.line}
		held := in.held
		if in.kept == nil {
			p.Raw = jsontext.Value("{}")
		}
		it.frames = it.frames[:len(it.frames)-1]
		return p, !held, nil
	}
	name, err := it.stream.Name()
	if err != nil {
		return Piece{}, false, err
	}
	switch k := it.stream.Kind(); {
	case k == '[' && slices.Contains(it.shape.Lists, name):
		in.held = true
		return Piece{}, false, it.push('l')
	case k == '{' && slices.Contains(it.shape.Wraps, name):
		in.held = true
		return Piece{}, false, it.push('w')
	case in.held:
		return Piece{}, false, it.stream.Skip()
	}
	return Piece{}, false, it.keep(in, name)
}

func (it *Items) keep(in *frame, name string) error {
	v, err := it.stream.value()
	if err == nil && len(in.kept)+len(name)+len(v) > MaxItem {
		err = ErrLong
	}
	if err != nil {
		return it.stream.explain(err)
	}
	sep := byte(',')
	if in.kept == nil {
		sep = '{'
	}
	in.kept, _ = jsontext.AppendQuote(append(in.kept, sep), name) // invalid UTF-8 is replaced
	in.kept = append(append(in.kept, ':'), v...)
	return nil
}

// looksLikeLines reports whether the input is objects, a line each: the first
// line is one and others follow, or it is none and cannot begin a longer value,
// while a later line is one. A line longer than the reader's buffer is read as a
// stream, which takes lines as well.
func looksLikeLines(r *bufio.Reader) bool {
	start, _ := r.Peek(r.Size())
	start = bytes.TrimLeft(start, " \t\r\n")
	first, rest, more := bytes.Cut(start, newline)
	next := len(start) - len(bytes.TrimLeft(rest, " \t\r\n"))
	if !more || next == len(start) {
		return false
	}
	return isObject(first) || faultIn(start, next) && slices.ContainsFunc(bytes.Split(rest, newline), isObject)
}

func isObject(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) && jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// faultIn reports whether there is a fault up to a byte of the text, so that what
// stands before it is not the beginning of a value.
func faultIn(text []byte, upTo int) bool {
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		_, err := d.ReadToken()
		if err == nil {
			continue
		}
		var fault *jsontext.SyntacticError
		return errors.As(err, &fault) && !errors.Is(err, io.ErrUnexpectedEOF) && fault.ByteOffset <= int64(upTo)
	}
}

// lines reads lines that are not empty.
type lines struct {
	r    *bufio.Reader
	end  int64
	line int64 // of the one that was read last
	buf  []byte
}

// next gives nil for a line that is too long.
func (l *lines) next() (line []byte, start int64, err error) {
	for {
		start, l.buf = l.end, l.buf[:0]
		l.line++
		long := false
		for {
			part, err := l.r.ReadSlice('\n')
			l.end += int64(len(part))
			if long = long || len(l.buf)+len(part) > MaxItem; !long {
				l.buf = append(l.buf, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && l.end == start {
				return nil, start, err
			}
			break
		}
		if long {
			return nil, start, nil
		}
		if line := bytes.TrimSpace(l.buf); len(line) > 0 {
			return line, start, nil
		}
	}
}

// HasNames reports whether the start of a file looks like JSON with all these
// names in it.
func HasNames(start []byte, names ...string) bool {
	trimmed := bytes.TrimLeft(start, " \t\r\n\uFEFF")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
		return false
	}
	for _, n := range names {
		if !bytes.Contains(trimmed, []byte(`"`+n+`"`)) {
			return false
		}
	}
	return true
}
