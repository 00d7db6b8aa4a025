package edgetelemetry

import (
	"flag"
	"net/http"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

// TestMapping maps every case: an item of a list, with what was asked for beside.
func TestMapping(t *testing.T) { connectortest.Cases(t, *update, mapper()) }

func FuzzMapping(f *testing.F) { connectortest.Fuzz(f, mapper()) }

func mapper() connectortest.Read {
	s := connectortest.Settings(config1)
	s.Client = &http.Client{}
	source, err := Open(s)
	if err != nil {
		panic(err)
	}
	return func(in []byte) (connectors.Batch, error) {
		var c struct {
			Alert    jsontext.Value `json:"alert"`
			Incident jsontext.Value `json:"incident"`
			Detail   jsontext.Value `json:"detail"`
			Rule     string         `json:"rule"`
			Blast    string         `json:"blast"`
			Summary  jsontext.Value `json:"summary"`
			Entry    jsontext.Value `json:"entry"`
		}
		if err := json.Unmarshal(in, &c); err != nil {
			return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
		}
		var b connectors.Batch
		if x, ok := readItem(c.Alert); ok {
			x.rule, x.blast = c.Rule, c.Blast
			b.Findings = append(b.Findings, x.alert(source.asset))
		}
		if x, ok := readItem(c.Incident); ok {
			x.detail(c.Detail)
			x.blast = c.Blast
			b.Findings = append(b.Findings, x.incident(source.asset))
		}
		if x, ok := readSummary(c.Summary, 70); ok {
			b.Findings = append(b.Findings, x.finding(source.asset))
		}
		if e, ok := readEntry(c.Entry); ok {
			b.Findings = append(b.Findings, e.finding(source.asset))
		}
		return b, nil
	}
}
