package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin/tocsin/hub"
)

// VerifyFile checks an export in any of its formats. Where no keys are given, it
// takes the one in the export: that shows whether the export is whole, but not
// whose it is.
func VerifyFile(ctx context.Context, in io.Reader, opts Options) Report {
	f := &file{in: bufio.NewReaderSize(in, 2*maxLine)}
	if err := f.begin(); err != nil {
		return unreadable(err)
	}
	keys, head := opts.Keys, hub.AuditHead{Note: f.header.Note}
	if f.key != nil && len(keys) == 0 {
		keys = []ed25519.PublicKey{f.key}
	}
	if c, err := OpenCheckpoint(f.header.Note, keys...); err == nil {
		head.Log = c.Log // else it may be anything
	}
	r, err := newReader(opts, head, keys)
	if err != nil {
		return unreadable(err)
	}
	if fault := f.headerFault(); fault != nil && r.badNote == nil {
		r.badNote = fault
	}
	rep := r.run(ctx, f.rows())
	if !f.known && rep.Verdict != Unreadable {
		return unreadable(errors.New("this is no export of an audit log: no line has the form of an entry"))
	}
	return rep
}

// A file is an export being read.
type file struct {
	in     *bufio.Reader
	csv    bool
	array  bool // JSON: entries end in commas, brackets stand around
	header Header
	key    ed25519.PublicKey // the header's
	bad    error             // why the header is none
	known  bool              // something was seen that only exports have
}

// begin looks at the first line.
func (f *file) begin() error {
	start, err := f.in.Peek(len(headerStart))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(start, []byte(csvColumns[0]+",")):
		f.csv = true
		return nil
	case bytes.HasPrefix(start, []byte("[\n")):
		f.array = true
		_, err := f.in.Discard(2)
		return err
	case string(start) != headerStart:
		return nil
	}
	line, err := f.line()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.known = true
	f.bad = f.readHeader(line)
	return nil
}

func (f *file) readHeader(line []byte) error {
	var h struct {
		Checkpoint string `json:"checkpoint"`
		Key        string `json:"key"`
	}
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil {
		return errors.New("the line with the checkpoint cannot be read")
	}
	f.header = Header{Note: []byte(h.Checkpoint), Key: h.Key}
	if !bytes.Equal(f.header.line(), line) {
		return errors.New("the line with the checkpoint is not canonical")
	}
	var err error
	f.key, err = ParsePublicKey(h.Key)
	return err
}

// headerFault holds the header against itself, also where another key is given:
// no bit of an export may change unseen.
func (f *file) headerFault() *Fault {
	err := f.bad
	if err == nil && f.key != nil {
		var c Checkpoint
		c, err = OpenCheckpoint(f.header.Note, f.key)
		if want, _ := note.NewEd25519VerifierKey(c.Log, f.key); err == nil && f.header.Key != want {
			err = fmt.Errorf("the key is not written as that of log %s", c.Log)
		}
	}
	if err == nil {
		return nil
	}
	return &Fault{Kind: BadSignature, Sequence: -1, Detail: err.Error()}
}

// line gives the next line without its end, io.EOF behind the last. A line too
// long for an entry is cut, which makes it none.
func (f *file) line() ([]byte, error) {
	line, err := f.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		kept := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = f.in.ReadSlice('\n')
		}
		return kept, nil
	}
	if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// rows reads the entries.
func (f *file) rows() iter.Seq2[row, error] {
	lines := f.lineRows
	if f.csv {
		lines = csvRows(f.in)
	}
	return func(yield func(row, error) bool) {
		for r, err := range lines {
			f.known = f.known || r.flaw != noEntry
			if !yield(r, err) {
				return
			}
		}
	}
}

func (f *file) lineRows(yield func(row, error) bool) {
	for ended := false; ; {
		line, err := f.line()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			yield(row{}, err)
			return
		case f.array && !ended && string(line) == "]":
			ended = true
			continue
		case f.array:
			line = bytes.TrimSuffix(line, []byte(","))
		}
		if !yield(lineRow(line), nil) {
			return
		}
	}
}

// lineRow reads one line. It writes into line.
func lineRow(line []byte) row {
	r := row{flaw: noEntry}
	r.Sequence = -1
	if len(line) <= rowHead || len(line) >= maxLine || string(line[:len(rowStart)]) != rowStart ||
		string(line[rowHead-2:rowHead]) != `",` || !parseHash(&r.Hash, line[len(rowStart):rowHead-2]) {
		return r
	}
	line[rowHead-1] = '{' // where the comma was
	r.Bytes, r.flaw = line[rowHead-1:], sound
	return r
}
