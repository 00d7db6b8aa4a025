package ops

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxItem is how long one finding may be, so that a batch stays below the
// 4 MiB that are safely under the hub's body limit of 5 MiB.
const maxItem = maxBatchBytes - 1

// A Format is a form of input that findings can be sent from.
type Format struct {
	Name string
	Doc  string

	extensions []string
	looks      func(start []byte) bool // of a source system's; nil if its beginning does not tell it
	source     string                  // of findings that name none, if the caller gives none
	open       func(r io.Reader) items
}

// Formats lists the forms of input: the hub's own first, then those of source
// systems, which the kinds of connectors bring along.
func Formats() []Format {
	return append([]Format{
		{Name: "json", Doc: "one finding, or an array of findings", extensions: []string{".json"}, open: openJSON},
		{Name: "ndjson", Doc: "a finding a line", extensions: []string{".ndjson", ".jsonl", ".jsonlines"}, open: openLines},
	}, foreignFormats()...)
}

// own is how many of Formats are the hub's own.
const own = 2

// An item is one finding as it stands in the input.
type item struct {
	raw   []byte // on one line; valid until the next call
	index int64  // from 0
	line  int64  // from 1, where it begins
	end   int64  // offset behind it
	bad   string // why it cannot be sent; then raw is what the digest is taken of
}

// items gives the findings of an input one after the other, in bounded memory.
type items interface {
	// next gives io.EOF at the end. Any other error ends the input too: what
	// comes after it cannot be read.
	next() (item, error)
}

// chooseFormat finds a format by its name, else by the file's ending if it is
// that of a source system's format, else by how the input begins, else by the
// ending: a report named .json is most often somebody else's.
func chooseFormat(name, file string, r *bufio.Reader) (Format, error) {
	all := Formats()
	if err := KnownFormat(name); err != nil {
		return Format{}, err
	}
	if i := slices.IndexFunc(all, func(f Format) bool { return f.Name == name }); i >= 0 {
		return all[i], nil
	}
	ext := strings.ToLower(filepath.Ext(file))
	ending := func(f Format) bool { return slices.Contains(f.extensions, ext) }
	if i := slices.IndexFunc(all[own:], ending); i >= 0 {
		return all[own+i], nil
	}
	if f, found := sniff(all[own:], r); found {
		return f, nil
	}
	if i := slices.IndexFunc(all[:own], ending); i >= 0 {
		return all[i], nil
	}
	if looksLikeLines(r) {
		return all[1], nil
	}
	return all[0], nil
}

func formatNames() []string {
	var names []string
	for _, f := range Formats() {
		names = append(names, f.Name)
	}
	return names
}

// looksLikeLines reports whether the first line is an object of its own.
func looksLikeLines(r *bufio.Reader) bool {
	start, err := r.Peek(r.Size())
	start = bytes.TrimLeft(start, " \t\r\n\uFEFF")
	line, _, more := bytes.Cut(start, []byte("\n"))
	if !more && err == nil { // longer than the buffer
		return bytes.HasPrefix(line, []byte("{"))
	}
	return bytes.HasPrefix(line, []byte("{")) && jsontext.Value(line).IsValid()
}

// lines reads a finding a line.
type lines struct {
	r     *bufio.Reader
	line  int64
	index int64
	end   int64
	buf   []byte
}

func openLines(r io.Reader) items { return &lines{r: bufio.NewReaderSize(r, 256<<10)} }

func (l *lines) next() (item, error) {
	for {
		long, err := l.read()
		if err != nil && (err != io.EOF || len(l.buf) == 0) {
			return item{}, err
		}
		l.line++
		raw := bytes.TrimSpace(bytes.TrimPrefix(l.buf, []byte("\uFEFF")))
		if len(raw) == 0 {
			continue
		}
		it := item{raw: raw, index: l.index, line: l.line, end: l.end}
		if long {
			it.bad = "is longer than 4 MiB"
		}
		l.index++
		return it, nil
	}
}

// read puts the next line into buf. Of one that is too long only the beginning
// is kept.
func (l *lines) read() (long bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.end += int64(len(part))
		if room := maxItem + 2 - len(l.buf); len(part) > room { // two for the end of the line
			part, long = part[:room], true
		}
		l.buf = append(l.buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long || len(bytes.TrimRight(l.buf, "\r\n")) > maxItem, err
		}
	}
}

// values reads one finding, an array of them, or several of either.
type values struct {
	src   *source
	dec   *jsontext.Decoder
	index int64
	buf   jsontext.Value // the item on one line; the decoder's own bytes may not be changed
}

func openJSON(r io.Reader) items {
	src := &source{r: skipBOM(r), budget: readAhead}
	// Whether names repeat and text is UTF-8 is for the hub to judge, item by item.
	return &values{src: src, dec: jsontext.NewDecoder(src, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if start, _ := b.Peek(3); string(start) == "\uFEFF" {
		_, _ = b.Discard(3)
	}
	return b
}

func (v *values) next() (item, error) {
	for {
		switch kind := v.dec.PeekKind(); {
		case v.dec.StackDepth() == 0 && kind == '[', kind == ']':
			if _, err := v.dec.ReadToken(); err != nil {
				return item{}, v.explain(err)
			}
			continue
		}
		raw, err := v.dec.ReadValue()
		if err != nil {
			return item{}, v.explain(err)
		}
		return v.item(raw), nil
	}
}

func (v *values) item(raw jsontext.Value) item {
	end := v.dec.InputOffset()
	it := item{index: v.index, end: end, line: v.src.lineAt(end - int64(len(raw)))}
	v.buf = append(v.buf[:0], raw...)
	if err := v.buf.Compact(); err != nil {
		it.bad = "is not JSON: " + err.Error()
	} else if len(v.buf) > maxItem {
		it.bad = "is longer than 4 MiB"
	}
	it.raw = v.buf
	v.index++
	v.src.budget = readAhead
	return it
}

func (v *values) explain(err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	at := v.dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, errHuge):
		err = errHuge
	case errors.As(err, &syntactic):
		at, err = syntactic.ByteOffset, syntactic.Err
	}
	return fmt.Errorf("line %d (finding %d): %w", v.src.lineAt(at), v.index, err)
}

// readAhead is how much is read for one finding at most, the decoder's own
// reading ahead included.
const readAhead = 4 * maxBatchBytes

var errHuge = errors.New("a value is longer than 4 MiB")

// A source counts lines and keeps one huge value from filling the memory.
type source struct {
	r        io.Reader
	budget   int64
	read     int64
	newlines []int64 // offsets of those read but not yet passed by lineAt
	line     int64   // passed
}

func (s *source) Read(p []byte) (int, error) {
	if s.budget <= 0 {
		return 0, errHuge
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.budget)])
	for at := 0; ; {
		i := bytes.IndexByte(p[at:n], '\n')
		if i < 0 {
			break
		}
		s.newlines = append(s.newlines, s.read+int64(at+i))
		at += i + 1
	}
	s.read += int64(n)
	s.budget -= int64(n)
	return n, err
}

// lineAt gives the line of an offset, from 1. Offsets must not go back.
func (s *source) lineAt(offset int64) int64 {
	n := 0
	for n < len(s.newlines) && s.newlines[n] < offset {
		n++
	}
	s.line += int64(n)
	s.newlines = slices.Delete(s.newlines, 0, n)
	return s.line + 1
}

// KnownFormat tells whether there is a format of that name; "" is to find out.
func KnownFormat(name string) error {
	if name == "" || slices.Contains(formatNames(), name) {
		return nil
	}
	return &UsageError{fmt.Sprintf("%q is no format; there are %s", name, strings.Join(formatNames(), ", "))}
}
