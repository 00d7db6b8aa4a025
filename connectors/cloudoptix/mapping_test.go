package cloudoptix

import (
	"flag"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

// TestMapping maps every case: one of what Cloud Optix tells.
func TestMapping(t *testing.T) { connectortest.Cases(t, *update, mapCase) }

func FuzzMapping(f *testing.F) { connectortest.Fuzz(f, mapCase) }

func mapCase(in []byte) (connectors.Batch, error) {
	var c struct {
		Alert jsontext.Value `json:"alert"`
		Image jsontext.Value `json:"image"`
		Fault jsontext.Value `json:"fault"`
		Scan  scan           `json:"scan"`
	}
	if err := json.Unmarshal(in, &c); err != nil {
		return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
	}
	var b connectors.Batch
	at := inbound.ParseTime(c.Scan.Since.Format("2006-01-02T15:04:05Z07:00"))
	if a, ok := readAlert(c.Alert); ok {
		b.Findings = append(b.Findings, a.finding())
	}
	if i := (image{raw: c.Image}); len(c.Image) > 0 && json.Unmarshal(c.Image, &i) == nil && i.Tag != "" {
		b.Findings = append(b.Findings, i.finding(c.Scan, at))
	}
	if x := (fault{raw: c.Fault}); len(c.Fault) > 0 && json.Unmarshal(c.Fault, &x) == nil && x.Summary != "" {
		b.Findings = append(b.Findings, x.finding(c.Scan, at))
	}
	return b, nil
}
