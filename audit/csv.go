package audit

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// csvColumns are the columns of a CSV export. The last is the entry's canonical
// JSON, by which such an export can be checked; the others are compared with it.
var csvColumns = []string{
	"sequence", "timestamp", "id", "tenant_id", "user_id", "user_email", "actor_type", "action", "resource_type", "resource_id",
	"ip_address", "user_agent", "request_method", "request_path", "response_status", "outcome", "details", "prev_hash", "integrity_hash", "entry",
}

const (
	csvHash  = 18
	csvEntry = 19
)

type csvWriter struct {
	w     *csv.Writer
	cells []string
}

func newCSVWriter(w io.Writer) *csvWriter {
	return &csvWriter{w: csv.NewWriter(w), cells: make([]string, len(csvColumns))}
}

func (c *csvWriter) begin() error { return c.w.Write(csvColumns) }

func (c *csvWriter) write(e hub.SealedEntry) error {
	if err := csvCells(c.cells, e); err != nil {
		return fmt.Errorf("audit entry %d: %w", e.Sequence, err)
	}
	return c.w.Write(c.cells)
}

// csvCells fills cells with the row of an entry.
func csvCells(cells []string, e hub.SealedEntry) error {
	a, err := Decode(e.Bytes)
	if err != nil {
		return err
	}
	copy(cells, []string{
		strconv.FormatInt(a.Sequence, 10), a.Timestamp.Format(timeLayout), a.ID, string(a.Tenant), a.UserID, a.UserEmail,
		string(a.ActorType), a.Action, a.ResourceType, a.ResourceID, a.IPAddress, a.UserAgent, a.RequestMethod, a.RequestPath,
		strconv.Itoa(a.ResponseStatus), string(a.Outcome), string(a.Details), a.PrevHash, hexHash(e.Hash), string(e.Bytes),
	})
	for i := range cells[:csvHash] {
		cells[i] = harmless(cells[i])
	}
	return nil
}

// harmless gives text that no spreadsheet takes for a formula or a new row. An
// apostrophe in front makes it text there.
func harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, s)
	if first := strings.TrimLeft(s, " "); first != "" && strings.IndexByte("=+-@", first[0]) >= 0 {
		return "'" + s
	}
	return s
}

// csvRows reads a CSV export as rows.
func csvRows(in io.Reader) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		r := csv.NewReader(in)
		r.ReuseRecord, r.FieldsPerRecord = true, -1
		want := make([]string, len(csvColumns))
		for first := true; ; first = false {
			cells, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var broken *csv.ParseError
			if errors.As(err, &broken) {
				cells, err = nil, nil
			}
			if first && err == nil && len(cells) == len(csvColumns) && cells[csvEntry] == csvColumns[csvEntry] {
				continue
			}
			if !yield(csvRow(cells, want), err) || err != nil {
				return
			}
		}
	}
}

// csvRow reads one row; want is room for the cells that it should have.
func csvRow(cells, want []string) row {
	r := row{flaw: noEntry}
	r.Sequence = -1
	if len(cells) != len(csvColumns) || !parseHash(&r.Hash, []byte(cells[csvHash])) {
		return r
	}
	r.Bytes, r.flaw = []byte(cells[csvEntry]), sound
	if err := csvCells(want, r.SealedEntry); err != nil {
		return r // the judge will say so
	}
	for i := range want {
		if cells[i] != want[i] {
			r.flaw = wrongCell
		}
	}
	return r
}
