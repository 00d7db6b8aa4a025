package inbound

import (
	"bytes"
	"io"
	"os"

	"github.com/go-json-experiment/json/jsontext"
)

// spoolMemory is how much of a spool is held in memory before it goes to a file.
const spoolMemory = 8 << 20

// Detach sets the next value aside and gives a stream to walk through it later:
// for a list whose items cannot be understood before something that stands
// behind it. What is long goes to a temporary file, which Close removes.
func (s *Stream) Detach() (*Stream, error) {
	s.Kind() // passes over the separator
	at, line := s.Offset(), s.Line()
	sp := &spool{}
	if err := s.copy(sp); err != nil {
		sp.Close()
		return nil, err
	}
	r, err := sp.reader()
	if err != nil {
		sp.Close()
		return nil, err
	}
	d := NewStream(r)
	d.base, d.line, d.spool, d.spans = at, line-1, sp, sp.spans
	return d, nil
}

// A span tells where an element of a list that was set aside stands.
type span struct {
	at, passed int64 // in the spool: its offset and the lines before it
	from, line int64 // in the input: its offset and its line
}

// Close releases what Detach took. It is harmless for other streams.
func (s *Stream) Close() {
	if s != nil && s.spool != nil {
		s.spool.Close()
	}
}

// copy writes the next value to w; of a list, element by element as they stand.
func (s *Stream) copy(w *spool) error {
	if s.Kind() != '[' {
		v, err := s.value()
		if err != nil {
			return s.explain(err)
		}
		_, err = w.Write(v)
		return err
	}
	sep := []byte("[")
	err := s.Elements(func() error {
		v, err := s.value()
		x := span{from: s.Offset() - int64(len(v)), line: s.Line() - int64(bytes.Count(v, newline))}
		if err == ErrLong { //nolint:errorlint // a Fault that wraps it is another thing
			v, err = jsontext.Value(`"longer than 4 MiB"`), nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(sep); err != nil {
			return err
		}
		sep = []byte(",")
		x.at, x.passed = w.written, w.lines
		w.spans = append(w.spans, x)
		_, err = w.Write(v)
		return err
	})
	if err == nil && sep[0] == '[' {
		_, err = w.Write(sep)
	}
	if err == nil {
		_, err = w.Write([]byte("]"))
	}
	return err
}

// A spool is written first and read afterwards.
type spool struct {
	memory bytes.Buffer
	file   *os.File

	written, lines int64
	spans          []span
}

func (p *spool) Write(b []byte) (int, error) {
	p.written += int64(len(b))
	p.lines += int64(bytes.Count(b, newline))
	if p.file == nil && p.memory.Len()+len(b) <= spoolMemory {
		return p.memory.Write(b)
	}
	if p.file == nil {
		f, err := os.CreateTemp("", "tocsin-spool-*")
		if err != nil {
			return 0, err
		}
		p.file = f
	}
	return p.file.Write(b)
}

func (p *spool) reader() (io.Reader, error) {
	if p.file == nil {
		return &p.memory, nil
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(&p.memory, p.file), nil
}

// Close removes the file.
func (p *spool) Close() {
	if p.file == nil {
		return
	}
	_ = p.file.Close()
	_ = os.Remove(p.file.Name())
	p.file = nil
}
