package syslog

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A framer takes messages off a stream, by RFC 6587: with their length in front
// (octet counting), or up to the end of a line. Each message tells which.
type framer struct {
	r   *bufio.Reader
	max int
	end int64 // bytes behind us

	line int64 // where the last message begins, from 1
	ends int64 // of lines behind us
}

// readBuffer is how much of a connection is read ahead. It bounds what is lost
// with a connection, and how many messages are made durable together.
const readBuffer = 64 << 10

func newFramer(r io.Reader, maxMessage int) *framer {
	return &framer{r: bufio.NewReaderSize(r, readBuffer), max: maxMessage}
}

// maxLength is the longest length that is believed. A sender with a longer one
// does not count octets, or means harm.
const maxLength = 16 << 20

var errFraming = errors.New("a message claims to be longer than 16 MiB")

// next gives the next message that is not empty; cut tells that it was longer
// than the limit. It belongs to the caller.
func (f *framer) next() (msg []byte, cut bool, err error) {
	for {
		length, header, err := f.length()
		if err != nil {
			return nil, false, err
		}
		f.line = f.ends + 1
		if header > 0 {
			_, _ = f.r.Discard(header) // it was peeked at
			f.end += int64(header + length)
			msg, cut, err = f.counted(length)
			f.ends += int64(bytes.Count(msg, []byte("\n")))
		} else {
			msg, cut, err = f.upToEnd()
		}
		if msg = bytes.TrimRight(msg, "\r\n\x00"); len(msg) > 0 || err != nil {
			if len(msg) > 0 && errors.Is(err, io.EOF) {
				err = nil // the last line has no end; the next call tells the end
			}
			return msg, cut, err
		}
	}
}

// length reads "123 " where "<" follows; header is 0 for a line.
func (f *framer) length() (length, header int, err error) {
	if _, err := f.r.Peek(1); err != nil {
		return 0, 0, err
	}
	for n := 0; ; n++ {
		b, err := f.r.Peek(n + 1)
		if err != nil {
			return 0, 0, nil //nolint:nilerr // too short for a length: a line, whose end tells the error
		}
		switch c := b[n]; {
		case c >= '0' && c <= '9' && n < 10 && (n > 0 || c != '0'):
			length = length*10 + int(c-'0')
		case c == ' ' && n > 0:
			if b, err = f.r.Peek(n + 2); err != nil || b[n+1] != '<' {
				return 0, 0, nil //nolint:nilerr // as above
			}
			if length > maxLength {
				return 0, 0, errFraming
			}
			return length, n + 1, nil
		default:
			return 0, 0, nil
		}
	}
}

// counted reads a message of a known length.
func (f *framer) counted(length int) (msg []byte, cut bool, err error) {
	msg = make([]byte, min(length, f.max))
	if n, err := io.ReadFull(f.r, msg); err != nil {
		return msg[:n], false, io.ErrUnexpectedEOF
	}
	if length > f.max {
		_, err = io.CopyN(io.Discard, f.r, int64(length-f.max))
	}
	return msg, length > f.max, err
}

// upToEnd reads up to the end of the line.
func (f *framer) upToEnd() (msg []byte, cut bool, err error) {
	for {
		part, err := f.r.ReadSlice('\n')
		f.end += int64(len(part))
		if bytes.HasSuffix(part, []byte("\n")) {
			f.ends++
		}
		if room := max(f.max-len(msg), 0); len(bytes.TrimRight(part, "\r\n")) > room {
			part, cut = part[:room], true
		}
		msg = append(msg, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return msg, cut, err
		}
	}
}

// ready reports whether a whole message is there without waiting for more.
func (f *framer) ready() bool {
	n := f.r.Buffered()
	if n == 0 {
		return false
	}
	b, err := f.r.Peek(n)
	if err != nil {
		return false
	}
	digits := 0
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		digits++
	}
	if digits > 0 && digits < len(b)-1 && digits < 10 && b[digits] == ' ' && b[digits+1] == '<' {
		length := 0
		for _, c := range b[:digits] {
			length = length*10 + int(c-'0')
		}
		return len(b)-digits-1 >= length
	}
	return bytes.IndexByte(b, '\n') >= 0
}
