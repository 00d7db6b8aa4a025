package audit

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/tocsin/tocsin/hub"
)

// A Format is a form of export.
type Format string

// Formats of exports. A verifier takes all three; only NDJSON brings its
// checkpoint along.
const (
	NDJSON Format = "ndjson" // a line with the checkpoint, then a line an entry
	JSON   Format = "json"   // one array of entries, a line each
	CSV    Format = "csv"    // a row an entry, for spreadsheets, with the entry itself in the last column
)

// A Header is what an export brings along to be checked by. The zero value is
// for exports of a part, which no checkpoint covers.
type Header struct {
	Note []byte // the newest checkpoint of what is exported
	Key  string // the public key as [Key].VerifierKey gives it
}

const (
	headerStart = `{"checkpoint":`
	headerKey   = `,"key":`
	rowStart    = `{"integrity_hash":"`
	// rowHead is how long a row is up to the entry's first member: its bytes are
	// a brace and the row from there.
	rowHead = len(rowStart) + 64 + len(`",`)
	maxLine = rowHead + MaxEntry
)

func (h *Header) line() []byte {
	b := appendString([]byte(headerStart), string(h.Note))
	b = appendString(append(b, headerKey...), h.Key)
	return append(b, '}')
}

// AppendEntry appends a sealed entry as the outside sees it: the JSON object of
// contract §9, with integrity_hash in front. Its hashed bytes are a brace and
// all that follows the first member's comma.
func AppendEntry(dst []byte, e hub.SealedEntry) []byte {
	dst = append(dst, rowStart...)
	dst = hex.AppendEncode(dst, e.Hash[:])
	dst = append(dst, '"', ',')
	return append(dst, e.Bytes[min(1, len(e.Bytes)):]...)
}

// A Writer writes an export.
type Writer struct {
	w      *bufio.Writer
	format Format
	row    []byte // reused
	csv    *csvWriter
	rows   int64
}

// NewWriter begins an export. The header is left out of all formats but NDJSON,
// and if it has no note.
func NewWriter(w io.Writer, format Format, header Header) (*Writer, error) {
	x := &Writer{w: bufio.NewWriterSize(w, 1<<16), format: format}
	switch format {
	case NDJSON:
		if len(header.Note) > 0 {
			_, err := x.w.Write(append(header.line(), '\n'))
			return x, err
		}
	case JSON:
		_, err := x.w.WriteString("[\n")
		return x, err
	case CSV:
		x.csv = newCSVWriter(x.w)
		return x, x.csv.begin()
	default:
		return nil, hub.E(hub.Malformed, fmt.Sprintf("%.20q is no format of exports; take ndjson, json or csv", format))
	}
	return x, nil
}

// Write adds an entry. It does not keep its bytes.
func (x *Writer) Write(e hub.SealedEntry) error {
	x.rows++
	if x.csv != nil {
		return x.csv.write(e)
	}
	x.row = x.row[:0]
	if x.format == JSON && x.rows > 1 {
		x.row = append(x.row, ",\n"...)
	}
	x.row = AppendEntry(x.row, e)
	if x.format == NDJSON {
		x.row = append(x.row, '\n')
	}
	_, err := x.w.Write(x.row)
	return err
}

// Close ends the export. It does not close what is written to.
func (x *Writer) Close() error {
	if x.csv != nil {
		x.csv.w.Flush()
	}
	if x.format == JSON {
		end := "\n]\n"
		if x.rows == 0 {
			end = "]\n"
		}
		if _, err := x.w.WriteString(end); err != nil {
			return err
		}
	}
	return x.w.Flush()
}
