package ops

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/list"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// foreignFormats are the formats of source systems: those that connectors are
// sent. Each item becomes a finding here, so that the hub needs no connector of
// that kind, and a file of any size goes in batches.
func foreignFormats() []Format {
	var all []Format
	for _, k := range list.Kinds() {
		if f := k.Format; f != nil {
			all = append(all, Format{
				Name: k.Name, Doc: f.Doc, extensions: f.Extensions, looks: f.Looks, source: k.Name,
				open: func(r io.Reader) items { return &foreign{r: f.Read(r)} },
			})
		}
	}
	return all
}

// foreign reads findings out of another format.
type foreign struct {
	r       connectors.Reading
	part    connectors.Part
	pending []hub.Finding // of part
	index   int64         // of the part to come
}

// Close releases what reading took.
func (f *foreign) Close() error {
	f.r.Close()
	return nil
}

func (f *foreign) next() (item, error) {
	for len(f.pending) == 0 {
		part, err := f.r.Next()
		if errors.Is(err, io.EOF) {
			return item{}, io.EOF
		}
		if err != nil {
			return item{}, fmt.Errorf("item %d: %w", f.index, err)
		}
		f.part, f.pending = part, part.Findings
		f.index++
		if part.Reject != "" {
			return f.item([]byte(part.Reject), part.Reject), nil
		}
	}
	raw, err := json.Marshal(wireOf(&f.pending[0]), json.Deterministic(true))
	f.pending = f.pending[1:]
	switch {
	case err != nil:
		return f.item([]byte(err.Error()), "cannot be sent: "+err.Error()), nil
	case len(raw) > maxItem:
		return f.item(raw, "is longer than 4 MiB"), nil
	}
	return f.item(raw, ""), nil
}

func (f *foreign) item(raw []byte, bad string) item {
	return item{raw: raw, index: f.index - 1, line: max(f.part.Line, 1), end: f.part.End, bad: bad}
}

// A wire is a finding as POST /findings takes it.
type wire struct {
	Type          string             `json:"type"`
	AssetID       string             `json:"asset_id"`
	Severity      hub.Severity       `json:"severity"`
	Title         string             `json:"title,omitzero"`
	Description   string             `json:"description,omitzero"`
	SourceID      string             `json:"source_id,omitzero"`
	DedupKey      string             `json:"dedup_key,omitzero"`
	Status        hub.FindingStatus  `json:"status,omitzero"`
	ObservedAt    time.Time          `json:"observed_at,omitzero"`
	Labels        map[string]string  `json:"labels,omitempty"`
	Asset         *hub.Asset         `json:"asset,omitzero"`
	Vulnerability *hub.Vulnerability `json:"vulnerability,omitzero"`
	Compliance    *hub.Compliance    `json:"compliance,omitzero"`
	RiskScore     *float64           `json:"risk_score,omitzero"`
	Payload       jsontext.Value     `json:"payload,omitzero"`
}

func wireOf(f *hub.Finding) wire {
	return wire{
		Type: f.Type, AssetID: f.AssetID, Severity: f.Severity, Title: f.Title, Description: f.Description, SourceID: f.SourceID,
		DedupKey: f.DedupKey, Status: f.Status, ObservedAt: f.ObservedAt, Labels: f.Labels, Asset: f.Asset, Vulnerability: f.Vulnerability,
		Compliance: f.Compliance, RiskScore: f.RiskScore, Payload: f.Payload,
	}
}

// sniff finds the format of a source system by how the input begins; false for
// findings in the hub's own form, whatever they hold.
func sniff(formats []Format, r *bufio.Reader) (Format, bool) {
	start, _ := r.Peek(r.Size())
	if isOwn(start) {
		return Format{}, false
	}
	for _, f := range formats {
		if f.looks != nil && f.looks(start) {
			return f, true
		}
	}
	return Format{}, false
}

// isOwn reports whether the first object has the names that a finding needs.
func isOwn(start []byte) bool {
	s := inbound.NewStream(bytes.NewReader(bytes.TrimPrefix(start, []byte("\uFEFF"))))
	if s.Kind() == '[' {
		if _, err := s.Token(); err != nil {
			return false
		}
	}
	found := 0
	_ = s.Members(func(name string) error { // an error is where the start ends
		if name == "type" || name == "asset_id" || name == "severity" {
			found++
		}
		return s.Skip()
	})
	return found == 3
}
