package edgetelemetry

import (
	"encoding/csv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// maxExport bounds how much of an export stands in an action's result, which is
// kept with the playbook's run.
const maxExport = 256 << 10

// exported wraps an export, cut at an entry.
func exported(format string, data jsontext.Value) (jsontext.Value, error) {
	whole := connectors.Text(data)
	content, entries, err := cutCSV(whole)
	if format == "json" {
		content, entries, err = cutJSON(whole)
	}
	if err != nil {
		return nil, hub.Wrap(hub.Transient, err, vendor+" sent an export that is no "+format)
	}
	return json.Marshal(struct {
		Format    string `json:"format"`
		Entries   int    `json:"entries"` // of the whole export
		Truncated bool   `json:"truncated"`
		Content   string `json:"content"`
	}{format, entries, len(content) < len(whole), content}, json.Deterministic(true))
}

// cutCSV gives the rows that fit, and how many there are behind the heading.
func cutCSV(whole string) (fits string, rows int, err error) {
	r := csv.NewReader(strings.NewReader(whole))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	end := int64(0)
	for rows = -1; r.InputOffset() < int64(len(whole)); rows++ {
		if _, err := r.Read(); err != nil {
			return "", 0, err
		}
		if r.InputOffset() <= maxExport {
			end = r.InputOffset()
		}
	}
	return strings.ToValidUTF8(whole[:end], "?"), max(rows, 0), nil
}

// cutJSON gives the entries that fit as an array, and how many there are.
func cutJSON(whole string) (fits string, entries int, err error) {
	var items []jsontext.Value
	if err := json.Unmarshal([]byte(whole), &items); err != nil {
		return "", 0, err
	}
	if len(whole) <= maxExport {
		return whole, len(items), nil
	}
	b := []byte{'['}
	for i, raw := range items {
		if len(b)+len(raw)+2 > maxExport {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, raw...)
	}
	return string(append(b, ']')), len(items), nil
}
