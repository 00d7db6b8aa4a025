package cef

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is how long a message may be, in bytes.
const maxLine = 256 << 10

// lines gives the lines that are not empty, in bounded memory.
type lines struct {
	r    *bufio.Reader
	end  int64 // offset behind the last line
	line int64 // its number, from 1
	buf  []byte
}

func newLines(r io.Reader) *lines {
	b := bufio.NewReaderSize(r, 64<<10)
	l := &lines{r: b}
	if start, _ := b.Peek(3); string(start) == "\uFEFF" {
		n, _ := b.Discard(3)
		l.end = int64(n)
	}
	return l
}

// next gives a line and where it starts; the line is valid until the next call,
// and nil if it is too long.
func (l *lines) next() (line []byte, start int64, err error) {
	for {
		start, l.buf = l.end, l.buf[:0]
		long, err := l.read()
		if err != nil && (!errors.Is(err, io.EOF) || l.end == start) {
			return nil, start, err
		}
		l.line++
		if long {
			return nil, start, nil
		}
		if line := bytes.TrimRight(l.buf, "\r\n"); len(bytes.TrimSpace(line)) > 0 {
			return line, start, nil
		}
	}
}

func (l *lines) read() (long bool, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		l.end += int64(len(part))
		if long = long || len(l.buf)+len(part) > maxLine; !long {
			l.buf = append(l.buf, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

// firstLine gives the first line that is not empty of the start of an input.
func firstLine(start []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\uFEFF\r\n\t "), []byte("\n"))
	return string(line)
}
