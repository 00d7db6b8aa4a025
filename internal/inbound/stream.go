package inbound

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxItem is how long one item may be, in bytes: what a request to the hub may
// hold, with room for what is around it.
const MaxItem = 4 << 20

// ErrLong is for a value that would not fit into a request. One that was read
// to its end all the same can be passed over; if not, it comes in a [Fault].
var ErrLong = errors.New("a value is longer than 4 MiB")

// A Stream walks through JSON of any length and holds no more than one value of
// it. Whether names repeat and text is UTF-8 is left to whoever decodes the
// values, so that one bad item does not spoil those around it.
type Stream struct {
	dec   *jsontext.Decoder
	meter *meter
	base  int64 // where the text begins in the input
	line  int64 // and how many lines are before it
	spool *spool

	spans []span // of a list that was set aside: where its elements stand in the input
	in    int    // the span that we are in
}

// NewStream walks through r.
func NewStream(r io.Reader) *Stream {
	m := &meter{r: r}
	s := &Stream{meter: m, dec: jsontext.NewDecoder(m, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	m.refill()
	return s
}

// Kind tells what comes next: one of { } [ ] " 0 t f n; 0 at the end or at a
// fault, which the next call of another method tells.
func (s *Stream) Kind() jsontext.Kind {
	s.meter.refill()
	return s.dec.PeekKind()
}

// Token passes over a brace, a bracket or a plain value.
func (s *Stream) Token() (jsontext.Token, error) {
	s.meter.refill()
	tok, err := s.dec.ReadToken()
	return tok, s.explain(err)
}

// Name reads the next name of an object.
func (s *Stream) Name() (string, error) {
	tok, err := s.Token()
	if err != nil {
		return "", err
	}
	return tok.String(), nil
}

// Value reads the next value whole. It belongs to the caller.
func (s *Stream) Value() (jsontext.Value, error) {
	v, err := s.value()
	return v.Clone(), err
}

// value is good until the next call.
func (s *Stream) value() (jsontext.Value, error) {
	s.meter.refill()
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, s.explain(err)
	}
	if len(v) > MaxItem {
		return nil, ErrLong
	}
	return v, nil
}

// Into decodes the next value as far as it fits.
func (s *Stream) Into(into any) error {
	v, err := s.value()
	if err == ErrLong { //nolint:errorlint // a Fault that wraps it is another thing
		return nil
	}
	if err == nil && !deep(v) {
		_ = json.Unmarshal(v, into)
	}
	return err
}

// Text reads the next value as a [Text] does.
func (s *Stream) Text(into *Text) error {
	if k := s.Kind(); k == '{' || k == '[' {
		return s.Skip()
	}
	tok, err := s.Token()
	if err == nil && tok.Kind() != 'n' {
		*into = Text(tok.String())
	}
	return err
}

// Skip passes over the next value, however long it is.
func (s *Stream) Skip() error {
	if k := s.Kind(); k != '{' && k != '[' {
		_, err := s.Token()
		return err
	}
	for depth := 0; ; {
		tok, err := s.Token()
		if err != nil {
			return err
		}
		switch tok.Kind() {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// Offset is how many bytes of the input are behind us.
func (s *Stream) Offset() int64 {
	at := s.dec.InputOffset()
	if x := s.span(at); x != nil {
		return x.from + at - x.at
	}
	return s.base + at
}

// Line is the line of the input that we are in, from 1.
func (s *Stream) Line() int64 {
	passed := s.meter.lines - int64(bytes.Count(s.dec.UnreadBuffer(), newline))
	if x := s.span(s.dec.InputOffset()); x != nil {
		return x.line + passed - x.passed
	}
	return s.line + passed + 1
}

var newline = []byte{'\n'}

// span finds the element that an offset is in. Offsets do not go back.
func (s *Stream) span(at int64) *span {
	for s.in+1 < len(s.spans) && s.spans[s.in+1].at <= at {
		s.in++
	}
	if s.in >= len(s.spans) || s.spans[s.in].at > at {
		return nil
	}
	return &s.spans[s.in]
}

// Members calls f for each member of the object that comes next; f reads or
// skips its value. What is no object is skipped.
func (s *Stream) Members(f func(name string) error) error {
	if s.Kind() != '{' {
		return s.Skip()
	}
	if _, err := s.Token(); err != nil {
		return err
	}
	for s.Kind() == '"' {
		name, err := s.Name()
		if err != nil {
			return err
		}
		if err := f(name); err != nil {
			return err
		}
	}
	_, err := s.Token()
	return err
}

// Elements calls f for each element of the array that comes next; f reads or
// skips it. What is no array is skipped.
func (s *Stream) Elements(f func() error) error {
	if s.Kind() != '[' {
		return s.Skip()
	}
	if _, err := s.Token(); err != nil {
		return err
	}
	for k := s.Kind(); k != ']'; k = s.Kind() {
		if k == 0 {
			break // Token tells the fault
		}
		if err := f(); err != nil {
			return err
		}
	}
	_, err := s.Token()
	return err
}

// explain says where a fault is. io.EOF stays what it is.
func (s *Stream) explain(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // the decoder gives it bare
		return err
	}
	var told *Fault
	if errors.As(err, &told) {
		return err
	}
	at := s.dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, ErrLong):
		err = ErrLong
	case errors.As(err, &syntactic):
		at, err = syntactic.ByteOffset, syntactic.Err
	}
	return &Fault{At: s.base + at, Err: err}
}

// A Fault is why an input cannot be read any further, and at which byte.
type Fault struct {
	At  int64
	Err error
}

// Error tells both.
func (f *Fault) Error() string { return fmt.Sprintf("%v at byte %d", f.Err, f.At) }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// A meter keeps one huge value from filling the memory: what is read between
// two refills is bounded.
type meter struct {
	r     io.Reader
	left  int64
	lines int64 // ends of lines that were read
}

// The decoder reads ahead, at most as much as it holds.
func (m *meter) refill() { m.left = 4 * MaxItem }

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, ErrLong
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.lines += int64(bytes.Count(p[:n], newline))
	return n, err
}

// skipBOM drops the mark that some editors and shells put first.
func skipBOM(r io.Reader) (b *bufio.Reader, skipped int64) {
	size := 64 << 10
	if l, known := r.(interface{ Len() int }); known { // a request is most often far shorter
		size = min(size, l.Len()+1)
	}
	b = bufio.NewReaderSize(r, size)
	if start, _ := b.Peek(3); string(start) == "\uFEFF" {
		n, _ := b.Discard(3)
		return b, int64(n)
	}
	return b, 0
}
